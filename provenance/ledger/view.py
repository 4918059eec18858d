"""Folds the contract's event logs into tokens, licences, streams and batches: the one reader for every chain."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

from contracts.artifact import load_artifact
from provenance.errors import LedgerLookupError
from provenance.ledger.abi import Event, decode_log, topic
from provenance.ledger.protocol import (
    Batch,
    ConsentRevocation,
    Head,
    LedgerIdentity,
    Licence,
    LogSource,
    Offer,
    Stream,
    Token,
)


def namespace_of(chain_id: int, contract: str) -> int:
    """Eight bits that name a ledger in a watermark: the first byte of sha256 of ``CHAIN:0xCONTRACT``."""
    return hashlib.sha256(f"{chain_id}:{contract.lower()}".encode()).digest()[0]


class LogView:
    """A LedgerReader over any LogSource; ``clock`` gives the time that expiries are compared with."""

    def __init__(self, source: LogSource, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock

    @property
    def source(self) -> LogSource:
        """The raw logs."""
        return self._source

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract."""
        return self._source.identity

    @property
    def namespace(self) -> int:
        """Eight bits that name this ledger in a watermark."""
        return namespace_of(self.identity.chain_id, self.identity.contract)

    def head(self) -> Head:
        """The last block."""
        return self._source.head()

    def close(self) -> None:
        """Releases files and connections."""
        self._source.close()

    def now(self) -> int:
        """The later of the wall clock and the last block: a chain without traffic does not keep a licence alive."""
        return max(int(self._clock()), self.head().timestamp)

    def token(self, token: int) -> Token:
        """One adapter; raises LedgerLookupError."""
        minted = self._events("AdapterMinted", token)
        if not minted:
            raise LedgerLookupError(
                f"there is no token {token} on this ledger",
                expected=f"an adapter of contract {self.identity.contract} on chain {self.identity.chain_id}",
                fix="`prov model list` shows the tokens, `prov chain status` the ledger",
            )
        return _token(minted[0], self._events("Transfer", None, None, token), self._events("AdapterRevoked", token))

    def tokens(self) -> tuple[Token, ...]:
        """Every adapter, by id."""
        transfers = _grouped(self._events("Transfer"), "tokenId")
        revoked = _grouped(self._events("AdapterRevoked"), "tokenId")
        minted = self._events("AdapterMinted")
        return tuple(
            _token(each, transfers.get(each.values["tokenId"], []), revoked.get(each.values["tokenId"], []))
            for each in minted
        )

    def token_of_weights(self, weights: str) -> Token | None:
        """The adapter with this weights digest, if it was minted."""
        minted = self._events("AdapterMinted", None, None, weights)
        return self.token(minted[0].values["tokenId"]) if minted else None

    def offer(self, token: int) -> Offer | None:
        """The standing offer, if there is one; raises LedgerLookupError."""
        if self.token(token).revoked_at is not None:
            return None
        offers = self._events("OfferSet", token)
        if not offers or offers[-1].values["duration"] == 0:
            return None
        return Offer(token, offers[-1].values["price"], offers[-1].values["duration"])

    def licence(self, token: int, account: str) -> Licence | None:
        """The licence an account holds or held; raises LedgerLookupError for an unknown token."""
        self.token(token)
        account = account.lower()
        granted = self._events("LicenceGranted", token, account)
        return _licence(granted, self._events("LicenceRevoked", token, account)) if granted else None

    def licences(self, token: int) -> tuple[Licence, ...]:
        """Every licence ever given for an adapter; raises LedgerLookupError."""
        self.token(token)
        granted = _grouped(self._events("LicenceGranted", token), "user")
        revoked = _grouped(self._events("LicenceRevoked", token), "user")
        return tuple(_licence(events, revoked.get(user, [])) for user, events in granted.items())

    def has_licence(self, token: int, account: str) -> bool:
        """Whether an account may use an adapter now: its owner, or a licensee before expiry, unless it was revoked."""
        try:
            adapter = self.token(token)
        except LedgerLookupError:
            return False
        if adapter.revoked_at is not None:
            return False
        if adapter.owner == account.lower():
            return True
        held = self.licence(token, account)
        return held is not None and held.revoked_at is None and held.expires > self.now()

    def stream(self, stream: int) -> Stream:
        """One stream; raises LedgerLookupError."""
        opened = self._events("StreamOpened", stream)
        if not opened:
            raise LedgerLookupError(f"there is no stream {stream} on this ledger")
        return _stream(opened[0])

    def streams(self, holder: str | None = None) -> tuple[Stream, ...]:
        """Every stream, or one holder's."""
        wanted = None if holder is None else holder.lower()
        return tuple(_stream(each) for each in self._events("StreamOpened", None, None, wanted))

    def batches(self, stream: int) -> tuple[Batch, ...]:
        """A stream's batches, by serial; raises LedgerLookupError."""
        self.stream(stream)
        return tuple(_batch(each) for each in self._events("BatchAnchored", stream))

    def batch_covering(self, stream: int, serial: int) -> Batch | None:
        """The batch a serial is anchored in, if it is; raises LedgerLookupError for an unknown stream."""
        return next((each for each in self.batches(stream) if each.covers(serial)), None)

    def next_serial(self, stream: int) -> int:
        """The first serial not anchored yet; raises LedgerLookupError."""
        return max((each.first + each.count for each in self.batches(stream)), default=0)

    def issuers(self, account: str) -> frozenset[str]:
        """Digests of the root certificates an account has registered as its own."""
        return frozenset(each.values["rootDigest"] for each in self._events("IssuerRegistered", account.lower()))

    def consent_revocations(self, token: int) -> tuple[ConsentRevocation, ...]:
        """Consents withdrawn from an adapter's dataset; raises LedgerLookupError."""
        self.token(token)
        return tuple(
            ConsentRevocation(token, each.values["recordDigest"], each.values["reason"], each.log.timestamp)
            for each in self._events("ConsentRevoked", token)
        )

    def _events(self, name: str, *indexed: int | str | None) -> list[Event]:
        topics = [load_artifact().events[name].selector]
        topics_or_any = [*topics, *(None if value is None else topic(value) for value in indexed)]
        return [decode_log(log) for log in self._source.logs(topics_or_any)]


def _token(minted: Event, transfers: list[Event], revoked: list[Event]) -> Token:
    values = minted.values
    return Token(
        token=values["tokenId"],
        owner=transfers[-1].values["to"] if transfers else values["maker"],
        maker=values["maker"],
        weights=values["weights"],
        dataset=values["dataset"],
        base=values["base"],
        terms=values["terms"],
        cid=values["cid"],
        minted_at=minted.log.timestamp,
        revoked_at=revoked[0].log.timestamp if revoked else None,
        reason=revoked[0].values["reason"] if revoked else None,
    )


def _licence(granted: list[Event], revoked: list[Event]) -> Licence:
    last = granted[-1]
    later = [each for each in revoked if _place(each) > _place(last)]
    return Licence(
        token=last.values["tokenId"],
        licensee=last.values["user"],
        expires=last.values["expires"],
        granted_at=last.log.timestamp,
        revoked_at=later[0].log.timestamp if later else None,
        reason=later[0].values["reason"] if later else None,
    )


def _stream(opened: Event) -> Stream:
    values = opened.values
    return Stream(values["stream"], values["tokenId"], values["holder"], opened.log.timestamp)


def _batch(anchored: Event) -> Batch:
    values, log = anchored.values, anchored.log
    return Batch(
        stream=values["stream"],
        first=values["first"],
        count=values["count"],
        root=values["root"],
        cid=values["cid"],
        anchored_at=log.timestamp,
        transaction=log.transaction,
        block=log.block,
    )


def _place(event: Event) -> tuple[int, int]:
    return event.log.block, event.log.index


def _grouped(events: Iterable[Event], key: str) -> dict[object, list[Event]]:
    groups: dict[object, list[Event]] = {}
    for event in events:
        groups.setdefault(event.values[key], []).append(event)
    return groups
