"""The ledger's verbs, as contract calls: the same on every chain; only the transactor differs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from provenance.errors import LedgerRefused
from provenance.ledger.abi import Event, decode_log, decode_result, encode_call
from provenance.ledger.protocol import (
    Account,
    Batch,
    ConsentRevocation,
    Licence,
    Log,
    LogSource,
    Offer,
    Stream,
    Token,
)
from provenance.ledger.refusals import Reverted, refusal
from provenance.ledger.view import LogView


@dataclass(frozen=True)
class Receipt:
    """A transaction that succeeded; ``logs`` are those of ``contract``, which it called or deployed."""

    transaction: str
    block: int
    gas_used: int
    logs: tuple[Log, ...]
    contract: str


class Transactor(Protocol):
    """One chain that takes transactions; both calls raise Reverted."""

    @property
    def source(self) -> LogSource:
        """The chain's logs."""

    def send(self, account: Account, data: bytes, value: int) -> Receipt:
        """Signs and sends a call of the contract and returns once it is in a block."""

    def call(self, data: bytes) -> bytes:
        """Runs a view."""

    def balance(self, account: str) -> int:
        """An account's own money."""

    def close(self) -> None:
        """Releases files and connections."""


class ContractLedger(LogView):
    """A Ledger over a transactor; ``last_receipt`` is that of the last transaction."""

    def __init__(self, transactor: Transactor, clock: Callable[[], float] = time.time) -> None:
        super().__init__(transactor.source, clock)
        self._transactor = transactor
        self.last_receipt: Receipt | None = None

    def mint(self, account: Account, *, weights: str, dataset: str, base: str, terms: str, cid: str) -> Token:
        """Mints an adapter to the account."""
        event = self._send("AdapterMinted", account, "mint", weights, dataset, base, terms, cid)
        return self.token(event.values["tokenId"])

    def set_offer(self, account: Account, token: int, *, price: int, duration: int) -> Offer | None:
        """Offers licences for sale; a duration of 0 withdraws the offer and returns None."""
        self._send("OfferSet", account, "offer", token, price, duration)
        return Offer(token, price, duration) if duration else None

    def buy(
        self, account: Account, token: int, *, max_price: int | None = None, min_duration: int | None = None
    ) -> Licence:
        """Buys a licence or prolongs it; the limits default to the offer as read now."""
        offer = self.offer(token) or Offer(token, 0, 0)
        most = offer.price if max_price is None else max_price
        least = offer.duration if min_duration is None else min_duration
        self._send("LicenceGranted", account, "buy", token, most, least, value=min(most, offer.price))
        return self._licence(token, account.address)

    def grant(self, account: Account, token: int, licensee: str, *, expires: int) -> Licence:
        """Gives a licence until ``expires``."""
        self._send("LicenceGranted", account, "grant", token, licensee.lower(), expires)
        return self._licence(token, licensee)

    def revoke(self, account: Account, token: int, licensee: str, *, reason: str) -> Licence:
        """Ends a licence now."""
        self._send("LicenceRevoked", account, "revoke", token, licensee.lower(), reason)
        return self._licence(token, licensee)

    def revoke_adapter(self, account: Account, token: int, *, reason: str) -> Token:
        """Declares an adapter withdrawn, for good."""
        self._send("AdapterRevoked", account, "revokeAdapter", token, reason)
        return self.token(token)

    def revoke_consent(self, account: Account, token: int, *, record: str, reason: str) -> ConsentRevocation:
        """States that consent to a dataset record was withdrawn."""
        event = self._send("ConsentRevoked", account, "revokeConsent", token, record, reason)
        return ConsentRevocation(token, record, reason, event.log.timestamp)

    def open_stream(self, account: Account, token: int = 0) -> Stream:
        """Opens a stream for the account."""
        event = self._send("StreamOpened", account, "openStream", token)
        return self.stream(event.values["stream"])

    def anchor(self, account: Account, *, stream: int, first: int, count: int, root: str, cid: str) -> Batch:
        """Anchors the next ``count`` records of a stream."""
        event = self._send("BatchAnchored", account, "anchor", stream, first, count, root, cid)
        log = event.log
        return Batch(stream, first, count, root, cid, log.timestamp, log.transaction, log.block)

    def register_issuer(self, account: Account, root_digest: str) -> frozenset[str]:
        """Binds a root certificate to the account; harmless if it is already bound."""
        if root_digest not in self.issuers(account.address):
            self._send("IssuerRegistered", account, "registerIssuer", root_digest)
        return self.issuers(account.address)

    def transfer(self, account: Account, token: int, to: str) -> Token:
        """Hands an adapter to another owner."""
        self._send("Transfer", account, "transferFrom", account.address, to.lower(), token)
        return self.token(token)

    def withdraw(self, account: Account) -> int:
        """Pays out what the contract owes the account; returns the amount."""
        return int(self._send("Withdrawn", account, "withdraw").values["amount"])

    def owed(self, account: str) -> int:
        """What the contract owes an account."""
        return int(self.call("owed", account.lower()))

    def balance(self, account: str) -> int:
        """An account's own money."""
        return self._transactor.balance(account.lower())

    def call(self, function: str, *values: Any) -> Any:
        """What one of the contract's views returns; raises LedgerRefused."""
        try:
            return decode_result(function, self._transactor.call(encode_call(function, values)))
        except Reverted as error:
            raise refusal(error.data) from error

    def close(self) -> None:
        """Releases files and connections."""
        self._transactor.close()

    def _send(self, expected: str, account: Account, function: str, *values: Any, value: int = 0) -> Event:
        """Sends a call and returns the event it must have caused."""
        try:
            receipt = self._transactor.send(account, encode_call(function, values), value)
        except Reverted as error:
            raise refusal(error.data) from error
        self.last_receipt = receipt
        for log in receipt.logs:
            event = decode_log(log)
            if event.name == expected:
                return event
        raise LedgerRefused(
            f"the transaction {receipt.transaction} left no {expected} event",
            fix="check the chain with `prov chain status`",
        )

    def _licence(self, token: int, licensee: str) -> Licence:
        held = self.licence(token, licensee)
        if held is None:
            raise LedgerRefused(f"the ledger shows no licence of {licensee} for token {token} after the transaction")
        return held
