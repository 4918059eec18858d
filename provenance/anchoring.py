"""Anchoring: everything recorded since the last time, put in the store and its Merkle roots on the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from provenance.batch import MAX_BATCH, batch_files, batch_root, read_log_head
from provenance.certificates import certificate_digest, parse_certificates
from provenance.errors import RecordError
from provenance.files import read_file
from provenance.home import Home
from provenance.journal import Entry, Journal
from provenance.ledger.protocol import Account, Batch, Ledger, LedgerReader
from provenance.moments import format_moment
from provenance.record import ImageRecord, parse_record
from provenance.stores import add_tree
from provenance.stores.protocol import BlockStore
from provenance.unixfs import BlockSource
from safety.log import BlockedLog
from safety.log_audit import KnownHead

Progress = Callable[[int, int], None]


def anchor_pending(
    home: Home,
    ledger: Ledger,
    store: BlockStore,
    journal: Journal,
    account: Account,
    *,
    progress: Progress | None = None,
) -> list[Batch]:
    """Anchors every recorded serial of the account's streams, at most 4096 to a transaction; returns new batches.

    May be killed and run again at any point: what the ledger already holds is recognised, not sent twice. Serials
    reserved by processes that died are anchored as void records; one still being made ends its stream's batch. The
    home's root certificate is registered to the account first, so that anyone can tie credentials to it. Every batch
    brings the head of the home's log of what was blocked, so that what is cut off that log later is missed; raises
    SafetyError when that is broken already.
    """
    log_head = BlockedLog(home.safety_log).head()
    chain = read_file(home.path / "identity" / "issuer.pem", limit=1 << 20)
    streams = [s for s in journal.streams() if ledger.stream(s).holder == account.address]
    for stream in streams:
        _recognise(ledger, journal, stream)
        journal.void_abandoned(stream)
    total = sum(journal.waiting(stream) for stream in streams)
    root = certificate_digest(parse_certificates(chain)[-1])
    if total and root not in ledger.issuers(account.address):
        ledger.register_issuer(account, root)
    batches: list[Batch] = []
    for stream in streams:
        while entries := journal.unanchored(stream, first=ledger.next_serial(stream), limit=MAX_BATCH):
            _check_issuer(entries, root)
            cid = str(add_tree(store, batch_files(entries, chain, log_head)))
            store.keep(cid)
            batch = ledger.anchor(
                account, stream=stream, first=entries[0].serial, count=len(entries), root=batch_root(entries), cid=cid
            )
            journal.mark_anchored(batch)
            batches.append(batch)
            if progress is not None:
                progress(sum(b.count for b in batches), total)
    return batches


def anchored_log_heads(home: Home, reader: LedgerReader, store: BlockSource) -> list[KnownHead]:
    """The heads of the home's log of what was blocked that its anchored batches bring, oldest first.

    Raises Unavailable when ledger or store cannot answer.
    """
    if not (home.path / "journal.sqlite").exists():
        return []
    with Journal.of_home(home) as journal:
        batches = [batch for stream in journal.streams() for batch in reader.batches(stream)]
    found = []
    for batch in sorted(batches, key=lambda batch: batch.block):
        head = read_log_head(store, batch)
        if head is not None:
            whence = f"stream {batch.stream}, serials {batch.first} to {batch.first + batch.count - 1}, anchored"
            found.append(KnownHead(head, f"{whence} {format_moment(datetime.fromtimestamp(batch.anchored_at, UTC))}"))
    return found


def _recognise(ledger: Ledger, journal: Journal, stream: int) -> None:
    """Marks what the ledger holds already: a run that died after its transaction left it unmarked."""
    for batch in ledger.batches(stream):
        if not journal.has_unmarked(batch.stream, batch.first, batch.count):
            continue
        entries = journal.unanchored(stream, first=batch.first, limit=batch.count)
        if len(entries) != batch.count or batch_root(entries) != batch.root:
            raise RecordError(
                f"the ledger holds other records for serials {batch.first} to {batch.first + batch.count - 1} of "
                f"stream {stream} than this journal",
                expected=f"root {batch.root}",
                fix="two copies of one home made images in the same stream; restore the journal that anchored them",
            )
        journal.mark_anchored(batch)


def _check_issuer(entries: list[Entry], root: str) -> None:
    for entry in entries:
        record = parse_record(entry.record)
        if isinstance(record, ImageRecord) and record.issuer != root:
            raise RecordError(
                f"serial {entry.serial} of stream {record.stream} was signed under another root than this home has now",
                expected=f"root {record.issuer}",
                found=f"root {root}",
                fix="put the identity that signed it back into the home, then anchor",
            )
