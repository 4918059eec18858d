"""The manifests on record in a home: those it made itself, and those anchored on its ledger and kept in its store.

Nothing is believed as it is found: blocks hash to their CIDs, a record stands under its anchored root, and the
manifest store hashes to what its record says. Records of the home's own journal are its own word, anchored or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.canonical import sha256_hex
from provenance.credentials import named_bindings
from provenance.errors import LedgerLookupError, RecordError
from provenance.home import Home
from provenance.journal import Journal
from provenance.record import ImageRecord, parse_record
from provenance.resolution.binding import SoftBinding
from provenance.resolution.names import name_of, payload_of
from provenance.stores.protocol import BlockStore
from provenance.trust import TrustStore, verify_chain
from provenance.verify.evidence import HomeEvidence
from provenance.verify.findings import Findings
from provenance.verify.history import Anchor, read_record
from safety.watermark import Payload

if TYPE_CHECKING:
    from provenance.ledger.protocol import LedgerReader


@dataclass(frozen=True)
class RecordedManifest:
    """One manifest store with the record that names it; ``anchor`` is None for what only this home's journal holds."""

    name: str
    record: ImageRecord
    manifest: bytes
    anchor: Anchor | None

    def has(self, binding: SoftBinding) -> bool:
        """Whether the signed manifest names a soft binding, algorithm and value."""
        return (binding.algorithm, binding.value) in named_bindings(self.manifest)


@dataclass(frozen=True)
class ManifestRepository:
    """Answers from one home; safe between threads, since ledger and journal are opened anew for each question.

    Every method raises Unavailable when ledger or store cannot answer, and RecordError, FormatError or BlockCorrupt
    when what they hold is not what it should be.
    """

    home: Home
    open_reader: Callable[[], LedgerReader]
    store: BlockStore

    def by_binding(self, binding: SoftBinding) -> RecordedManifest | None:
        """The manifest whose soft binding that is."""
        with self._reader() as reader:
            found = self._find(reader, binding.payload)
        return found if found is not None and found.has(binding) else None

    def by_name(self, name: str) -> RecordedManifest | None:
        """The manifest of a name: its C2PA name, or its record's."""
        with self._reader() as reader:
            identity = reader.identity
            payload = payload_of(name, reader.namespace, f"{identity.chain_id}:{identity.contract}")
            found = None if payload is None else self._find(reader, payload)
        return found if found is not None and name.lower() in (found.name.lower(), found.record.id) else None

    def vouched_roots(self, found: RecordedManifest, trust: TrustStore) -> bytes:
        """The root certificate of a manifest's issuer as PEM, if the stream's holder vouched for it; else empty."""
        from provenance.certificates import certificate_digest, parse_certificates, to_pem

        if found.anchor is None:
            return b""
        with self._reader() as reader:
            chain = HomeEvidence(reader, self.store).issuer_pem(found.anchor.batch)
        signer = verify_chain(chain, trust.with_roots(found.anchor.vouched), what="the batch's issuer.pem")
        if not signer.trusted or signer.root_digest != found.record.issuer:
            return b""
        return to_pem(*(c for c in parse_certificates(chain) if certificate_digest(c) == signer.root_digest))

    def _find(self, reader: LedgerReader, payload: Payload) -> RecordedManifest | None:
        if payload.namespace != reader.namespace:
            return None
        return self._in_journal(reader, payload) or self._on_ledger(reader, payload)

    def _in_journal(self, reader: LedgerReader, payload: Payload) -> RecordedManifest | None:
        path = self.home.path / "journal.sqlite"
        if not path.exists():
            return None
        with Journal(path, reader.identity) as journal:
            entry = journal.entry(payload.stream, payload.serial)
        if entry is None:
            return None
        record = parse_record(entry.record)
        if not isinstance(record, ImageRecord):
            return None
        return _recorded(record, entry.manifest, None)

    def _on_ledger(self, reader: LedgerReader, payload: Payload) -> RecordedManifest | None:
        try:
            stream = reader.stream(payload.stream)
        except LedgerLookupError:
            return None
        batch = reader.batch_covering(payload.stream, payload.serial)
        if batch is None:
            return None
        anchor = Anchor(payload, stream, batch, reader.issuers(stream.holder, batch.anchored_at))
        evidence = HomeEvidence(reader, self.store)
        inclusion = evidence.inclusion(batch, payload.serial)
        if not isinstance(parse_record(inclusion.record), ImageRecord):
            return None
        record = read_record(anchor, evidence, Findings(payload.hex))
        return _recorded(record, evidence.manifest(batch, payload.serial), anchor)

    @contextmanager
    def _reader(self) -> Iterator[LedgerReader]:
        reader = self.open_reader()
        try:
            yield reader
        finally:
            reader.close()


def open_repository(home: Home) -> ManifestRepository:
    """The manifests of a home, over the ledger and the store that its settings name."""
    from provenance.ledger import open_reader
    from provenance.stores import open_store

    return ManifestRepository(home, lambda: open_reader(home), open_store(home))


def _recorded(record: ImageRecord, manifest: bytes, anchor: Anchor | None) -> RecordedManifest:
    if sha256_hex(manifest) != record.manifest:
        raise RecordError(
            "the credentials kept for a picture are not its record's",
            expected=f"manifest {record.manifest}",
            found=f"manifest {sha256_hex(manifest)}",
            fix="restore them from a backup, or from another copy of the batch",
        )
    return RecordedManifest(name_of(record, manifest), record, manifest, anchor)
