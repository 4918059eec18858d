"""The logs that speak about one stream, in one canonical file: a ledger that can be read without a chain.

A snapshot proves nothing by itself; whoever hands it on signs it, and the reader decides whether to trust that signer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError
from provenance.ledger.abi import event_topics
from provenance.ledger.folds import LICENCE_EVENTS, TOKEN_EVENTS
from provenance.ledger.protocol import Head, LedgerIdentity, LedgerReader, Log
from provenance.ledger.view import LogView

TYPE = "urn:prov:ledger-snapshot:v1"
MAX_BYTES = 32 * 1024 * 1024
HEX = re.compile(r"(?:[0-9a-f]{2})*")
WORD = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Snapshot:
    """Some of a ledger's logs as they stood at one block; a LogSource."""

    identity: LedgerIdentity
    at: Head
    entries: tuple[Log, ...]

    def head(self) -> Head:
        """The block it was taken at."""
        return self.at

    def finalised(self) -> Head:
        """The block it was taken at: whoever signed it vouches for it."""
        return self.at

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        """The logs that match."""
        return [each for each in self.entries if matches(each, topics)]

    def close(self) -> None:
        """A snapshot holds nothing open."""

    def reader(self, clock: Callable[[], float] = time.time) -> LedgerReader:
        """Reads it like a ledger; what it does not hold looks as if it were not there."""
        return LogView(self, clock)

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(
            {
                "type": TYPE,
                "identity": asdict(self.identity),
                "head": asdict(self.at),
                "logs": [each.to_json() for each in self.entries],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Snapshot:
        """Reads one strictly; raises FormatError."""
        raw = parse_json(data, "the ledger snapshot", limit=MAX_BYTES)
        if not isinstance(raw, dict) or raw.get("type") != TYPE or set(raw) != {"type", "identity", "head", "logs"}:
            raise FormatError("this is not a ledger snapshot", expected=f'type "{TYPE}" with identity, head and logs')
        identity = _fields(raw["identity"], {"chain_id": int, "genesis": WORD, "contract": str, "code_digest": WORD})
        if not re.fullmatch(r"0x[0-9a-f]{40}", identity["contract"]):
            raise FormatError("a ledger snapshot names no contract", found=repr(identity["contract"]))
        head = _fields(raw["head"], {"block": int, "timestamp": int})
        if not isinstance(raw["logs"], list):
            raise FormatError("a ledger snapshot's logs are not a list")
        logs = tuple(_log(each) for each in raw["logs"])
        places = [(each.block, each.index) for each in logs]
        if places != sorted(set(places)):
            raise FormatError("a ledger snapshot's logs are not in chain order")
        return cls(LedgerIdentity(**identity), Head(**head), logs)


def take_snapshot(reader: LedgerReader, stream: int, serial: int | None = None) -> Snapshot:
    """Copies what decides about a stream: its token, its holder's licence and issuers, and its batches.

    With ``serial``, only the batch that covers it. Raises LedgerLookupError for an unknown stream.
    """
    head = reader.head()
    opened = reader.stream(stream)
    wanted: list[list[str | None]] = [event_topics("StreamOpened", stream), *_issuer_topics(opened.holder)]
    if opened.token:
        token = reader.token(opened.token)
        wanted += [event_topics(name, opened.token) for name in (*TOKEN_EVENTS, "ConsentRevoked", "LicenceTransferred")]
        wanted += [event_topics(name, opened.token, opened.holder) for name in LICENCE_EVENTS]
        wanted += [event_topics("Transfer", None, None, opened.token)]
        wanted += _issuer_topics(token.maker) + _issuer_topics(token.owner)
    logs = {(each.block, each.index): each for topics in wanted for each in reader.source.logs(topics)}
    batch = None if serial is None else reader.batch_covering(stream, serial)
    for each in reader.source.logs(event_topics("BatchAnchored", stream)):
        if serial is None or (batch is not None and each.transaction == batch.transaction):
            logs[each.block, each.index] = each
    return Snapshot(reader.identity, head, tuple(logs[place] for place in sorted(logs)))


def matches(log: Log, topics: Sequence[str | None]) -> bool:
    """Whether a log has these topics (None: any)."""
    return len(log.topics) >= len(topics) and all(
        wanted is None or wanted == found for wanted, found in zip(topics, log.topics, strict=False)
    )


def _issuer_topics(account: str) -> list[list[str | None]]:
    return [event_topics("IssuerRegistered", account), event_topics("IssuerRevoked", account)]


def _log(raw: Any) -> Log:
    names = {"block": int, "timestamp": int, "transaction": WORD, "index": int, "topics": list, "data": HEX}
    values = _fields(raw, names)
    topics = values["topics"]
    if not 1 <= len(topics) <= 4 or not all(isinstance(each, str) and WORD.fullmatch(each) for each in topics):
        raise FormatError("a log has malformed topics", expected="1 to 4 words of 32 bytes", found=repr(topics)[:200])
    return Log(**{**values, "topics": tuple(topics)})


def _fields(raw: Any, kinds: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(raw, dict) or set(raw) != set(kinds):
        raise FormatError("a ledger snapshot has other fields than expected", expected=", ".join(sorted(kinds)))
    for name, kind in kinds.items():
        value = raw[name]
        if isinstance(kind, re.Pattern):
            good = isinstance(value, str) and kind.fullmatch(value) is not None
        else:
            good = isinstance(value, kind) and not isinstance(value, bool) and (kind is not int or value >= 0)
        if not good:
            raise FormatError(f"{name} in a ledger snapshot is malformed", found=repr(value)[:200])
    return raw
