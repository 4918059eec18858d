"""Folds the contract's event logs into tokens, licences, streams and batches: the one reader for every chain."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from provenance.errors import LedgerLookupError
from provenance.ledger.abi import Event, decode_log, event_topics
from provenance.ledger.folds import (
    LICENCE_EVENTS,
    TOKEN_EVENTS,
    fold_batch,
    fold_issuer,
    fold_licence,
    fold_offer,
    fold_stream,
    fold_token,
    grouped,
    legible,
)
from provenance.ledger.licences import Licence, Offer
from provenance.ledger.protocol import (
    Batch,
    ConsentRevocation,
    Head,
    IndexedLogs,
    IssuerKey,
    LedgerIdentity,
    Log,
    LogSource,
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
        events = [event for name in TOKEN_EVENTS for event in self._events(name, token)]
        if not any(each.name == "AdapterMinted" for each in events):
            raise LedgerLookupError(
                f"there is no token {token} on this ledger",
                expected=f"an adapter of contract {self.identity.contract} on chain {self.identity.chain_id}",
                fix="`prov model list` shows the tokens, `prov chain status` the ledger",
            )
        return fold_token(events, self._events("Transfer", None, None, token))

    def tokens(self) -> tuple[Token, ...]:
        """Every adapter, by id."""
        transfers = grouped(self._events("Transfer"), "tokenId")
        events = grouped((event for name in TOKEN_EVENTS for event in self._events(name)), "tokenId")
        return tuple(
            fold_token(events[token], transfers.get(token, []))
            for token in sorted(token for token in events if isinstance(token, int))
        )

    def token_of_weights(self, weights: str) -> Token | None:
        """The adapter with this weights digest, if it was minted."""
        minted = self._events("AdapterMinted", None, None, weights)
        return self.token(minted[0].values["tokenId"]) if minted else None

    def offers(self, token: int) -> tuple[Offer, ...]:
        """The offers that stand, by number; raises LedgerLookupError."""
        adapter = self.token(token)
        if adapter.revoked_at is not None or adapter.taken_down_at is not None:
            return ()
        return tuple(each for each, is_open in self._all_offers(token) if is_open and each.seller == adapter.owner)

    def offer(self, token: int, number: int | None = None) -> Offer | None:
        """One standing offer, or the latest; None if there is none; raises LedgerLookupError."""
        standing = [each for each in self.offers(token) if number in (None, each.number)]
        return standing[-1] if standing else None

    def licence(self, token: int, account: str) -> Licence | None:
        """The licence an account holds or held; raises LedgerLookupError for an unknown token."""
        self.token(token)
        return self._licence(token, account.lower())

    def licences(self, token: int) -> tuple[Licence, ...]:
        """Every licence ever given for an adapter; raises LedgerLookupError."""
        self.token(token)
        events = grouped((event for name in LICENCE_EVENTS for event in self._events(name, token)), "user")
        handed_on = grouped(self._events("LicenceTransferred", token), "from")
        folded = (fold_licence([*found, *handed_on.get(user, [])]) for user, found in events.items())
        return tuple(each for each in folded if each is not None)

    def has_licence(self, token: int, account: str, *, finalised: bool = False) -> bool:
        """Whether an account may use an adapter now: its owner, or a licensee before expiry and within its quota, but
        nobody while it is taken down. ``finalised`` leaves out what may still be undone."""
        if finalised:
            return LogView(_Until(self._source, self._source.finalised()), self._clock).has_licence(token, account)
        try:
            adapter = self.token(token)
        except LedgerLookupError:
            return False
        if adapter.taken_down_at is not None:
            return False
        if adapter.owner == account.lower():
            return True
        held = self._licence(token, account.lower())
        return held is not None and held.is_valid(self.now())

    def stream(self, stream: int) -> Stream:
        """One stream; raises LedgerLookupError."""
        opened = self._events("StreamOpened", stream)
        if not opened:
            raise LedgerLookupError(f"there is no stream {stream} on this ledger")
        return fold_stream(opened[0])

    def streams(self, holder: str | None = None) -> tuple[Stream, ...]:
        """Every stream, or one holder's."""
        wanted = None if holder is None else holder.lower()
        return tuple(fold_stream(each) for each in self._events("StreamOpened", None, None, wanted))

    def batches(self, stream: int) -> tuple[Batch, ...]:
        """A stream's batches, by serial; raises LedgerLookupError."""
        self.stream(stream)
        return tuple(fold_batch(each) for each in self._events("BatchAnchored", stream))

    def batch_covering(self, stream: int, serial: int) -> Batch | None:
        """The batch a serial is anchored in, if it is; raises LedgerLookupError for an unknown stream."""
        self.stream(stream)
        batches: Iterable[Batch] = ()
        if not isinstance(self._source, IndexedLogs):
            batches = self.batches(stream)
        elif log := self._source.last_log_from(event_topics("BatchAnchored", stream), serial):
            batches = [fold_batch(decode_log(log))]
        return next((each for each in batches if each.covers(serial)), None)

    def next_serial(self, stream: int) -> int:
        """The first serial not anchored yet; raises LedgerLookupError."""
        return max((each.first + each.count for each in self.batches(stream)), default=0)

    def issuer_keys(self, account: str) -> tuple[IssuerKey, ...]:
        """Every root certificate an account ever registered as its own."""
        revoked = grouped(self._events("IssuerRevoked", account.lower()), "rootDigest")
        return tuple(
            fold_issuer(each, revoked.get(each.values["rootDigest"], []))
            for each in self._events("IssuerRegistered", account.lower())
        )

    def issuers(self, account: str, time: int | None = None) -> frozenset[str]:
        """Digests of the root certificates an account stood by at a time, or stands by now."""
        when = self.now() if time is None else time
        return frozenset(each.root for each in self.issuer_keys(account) if each.is_valid(when))

    def consent_revocations(self, token: int, records: Iterable[str] = ()) -> tuple[ConsentRevocation, ...]:
        """Consents withdrawn from an adapter's dataset; raises LedgerLookupError. All logs are at hand, so ``records``
        are not asked for one by one."""
        self.token(token)
        return tuple(
            ConsentRevocation(
                token,
                each.values["recordDigest"],
                legible(each.values["reason"]),
                each.log.timestamp,
                each.values["by"],
            )
            for each in self._events("ConsentRevoked", token)
        )

    def _all_offers(self, token: int) -> list[tuple[Offer, bool]]:
        """Every offer ever made for an adapter, by number, and whether it was left open."""
        closed = {each.values["offerId"] for each in self._events("OfferClosed", token)}
        made = [fold_offer(each) for each in self._events("OfferMade", token)]
        return [(each, each.number not in closed) for each in made]

    def _licence(self, token: int, account: str) -> Licence | None:
        events = [event for name in LICENCE_EVENTS for event in self._events(name, token, account)]
        return fold_licence([*events, *self._events("LicenceTransferred", token, account)])

    def _events(self, name: str, *indexed: int | str | None) -> list[Event]:
        return [decode_log(log) for log in self._source.logs(event_topics(name, *indexed))]


class _Until:
    """A log source that ends at a block."""

    def __init__(self, source: LogSource, end: Head) -> None:
        self._source = source
        self._end = end

    @property
    def identity(self) -> LedgerIdentity:
        return self._source.identity

    def head(self) -> Head:
        return self._end

    def finalised(self) -> Head:
        return self._end

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        return [log for log in self._source.logs(topics) if log.block <= self._end.block]

    def close(self) -> None:
        self._source.close()
