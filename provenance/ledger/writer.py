"""The ledger's verbs, as contract calls: the same on every chain; only the transactor differs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from provenance.errors import LedgerRefused
from provenance.ledger.abi import Event, decode_log, decode_result, encode_call
from provenance.ledger.licences import NATIVE, Licence, Minting, Offer, Shares, Terms, Usage, Voucher
from provenance.ledger.payment import allow, choose_offer, require_agreed
from provenance.ledger.protocol import (
    Account,
    Batch,
    ConsentRevocation,
    IssuerKey,
    Log,
    LogSource,
    Stream,
    Token,
)
from provenance.ledger.refusals import Reverted, refusal
from provenance.ledger.typed_data import mint_values, voucher_values
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
    """One chain that takes transactions; sending and calling raise Reverted."""

    @property
    def source(self) -> LogSource:
        """The chain's logs."""

    def send(self, account: Account, data: bytes, value: int, to: str | None = None) -> Receipt:
        """Signs and sends a call of the contract, or of another, and returns once it is in a block."""

    def call(self, data: bytes, to: str | None = None) -> bytes:
        """Runs a view of the contract, or of another."""

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

    def mint(
        self,
        account: Account,
        *,
        weights: str,
        dataset: str,
        base: str,
        terms: str,
        cid: str,
        shares: Shares = Shares(),
        parents: Sequence[int] = (),
    ) -> Token:
        """Commits to a mint, then mints the adapter to the account."""
        minting = Minting(
            maker=account.address,
            weights=weights,
            dataset=dataset,
            base=base,
            terms=terms,
            cid=cid,
            salt=secrets.token_hex(32),
            shares=shares,
            parents=tuple(sorted(parents)),
        )
        if (taken := self.token_of_weights(weights)) is not None:
            # The commitment says nothing, so the contract could only refuse after it was paid for.
            raise LedgerRefused(
                f"these weights are already token {taken.token}", fix=f"look at it with `prov model show {taken.token}`"
            )
        self.commit_mint(account, minting)
        return self.mint_for(account, minting, b"")

    def commit_mint(self, account: Account, minting: Minting) -> str:
        """Announces a mint without saying what; returns the commitment. Harmless if it stands already."""
        commitment = str(self.call("mintDigest", mint_values(minting)))
        if not self._events("MintCommitted", commitment):
            self._send("MintCommitted", account, "commitMint", commitment)
        return commitment

    def mint_for(self, account: Account, minting: Minting, signature: bytes) -> Token:
        """Mints what was committed to in an earlier block, to a maker who signed it."""
        event = self._send("AdapterMinted", account, "mint", mint_values(minting), signature)
        return self.token(event.values["tokenId"])

    def make_offer(self, account: Account, token: int, terms: Terms) -> Offer:
        """Offers licences for sale."""
        values = (terms.currency, terms.price, terms.duration, terms.quota, terms.flags, terms.grace)
        event = self._send("OfferMade", account, "offer", token, values)
        return Offer(token, event.values["offerId"], account.address, terms)

    def close_offer(self, account: Account, token: int, number: int) -> None:
        """Closes an offer; licences sold stay as they are."""
        self._send("OfferClosed", account, "closeOffer", token, number)

    def buy(
        self,
        account: Account,
        token: int,
        *,
        number: int | None = None,
        max_price: int | None = None,
        currency: str | None = None,
    ) -> Licence:
        """Buys a licence or prolongs it: on the offer that is meant (see ``choose_offer``), at most at ``max_price`` in
        the ``currency`` agreed to."""
        offer = choose_offer(self, token, account.address, number)
        terms = offer.terms
        require_agreed(terms, f"offer {offer.number} of token {token}", max_price=max_price, currency=currency)
        value = self._prepare_payment(account, terms.currency, terms.price)
        most = terms.price if max_price is None else max_price
        self._send("LicenceGranted", account, "buy", token, offer.number, most, value=value)
        return self._held(token, account.address)

    def redeem(
        self,
        account: Account,
        voucher: Voucher,
        signature: bytes,
        *,
        max_price: int | None = None,
        currency: str | None = None,
    ) -> Licence:
        """Turns a voucher into its licensee's licence; the account pays, as far as it has agreed to."""
        terms = voucher.terms
        require_agreed(terms, "the voucher", max_price=max_price, currency=currency)
        value = self._prepare_payment(account, terms.currency, terms.price)
        self._send("LicenceGranted", account, "redeem", voucher_values(voucher), signature, value=value)
        return self._held(voucher.token, voucher.licensee)

    def cancel_voucher(self, account: Account, nonce: int) -> None:
        """Makes a voucher of the account's worthless."""
        self._send("NonceUsed", account, "cancelVoucher", nonce)

    def grant(self, account: Account, token: int, licensee: str, *, expires: int, terms: Terms = Terms()) -> Licence:
        """Gives a licence until ``expires``; price, duration and currency of the terms are not read."""
        values = (token, licensee.lower(), expires, terms.quota, terms.flags, terms.grace)
        self._send("LicenceGranted", account, "grant", *values)
        return self._held(token, licensee)

    def revoke(self, account: Account, token: int, licensee: str, *, reason: str) -> Licence:
        """Ends a licence now; the account pays what its unused time cost, as far as the ledger owes it less."""
        currency, amount = self.refund(token, licensee)
        missing = max(0, amount - self.owed(account.address, currency))
        if missing and currency == NATIVE:
            # The refund shrinks by the second, and what is above it is owed back: with a wei too much from the start,
            # the gas for that is in the estimate.
            missing += 1
        value = self._prepare_payment(account, currency, missing)
        self._send("LicenceRevoked", account, "revoke", token, licensee.lower(), reason, value=value)
        return self._held(token, licensee)

    def renounce(self, account: Account, token: int) -> Licence:
        """Gives up the account's licence."""
        self._send("LicenceRenounced", account, "renounce", token)
        return self._held(token, account.address)

    def transfer_licence(self, account: Account, token: int, to: str) -> Licence:
        """Hands the account's licence to another."""
        self._send("LicenceTransferred", account, "transferLicence", token, to.lower())
        return self._held(token, to)

    def settle(self, account: Account, usage: Usage, signature: bytes) -> Licence | None:
        """Records a licensee's signed report."""
        self._send("UsageReported", account, "settle", usage.token, usage.user, usage.used, signature)
        return self.licence(usage.token, usage.user)

    def consume(self, account: Account, token: int, count: int) -> Licence | None:
        """Reports images of the account's own."""
        self._send("UsageReported", account, "consume", token, count)
        return self.licence(token, account.address)

    def refund(self, token: int, licensee: str) -> tuple[str, int]:
        """Currency and amount that a revocation now would give back."""
        found = self.call("refundOf", token, licensee.lower())
        return str(found["currency"]), int(found["amount"])

    def revoke_adapter(self, account: Account, token: int, *, reason: str) -> Token:
        """Declares an adapter withdrawn, for good."""
        self._send("AdapterRevoked", account, "revokeAdapter", token, reason)
        return self.token(token)

    def take_down(self, account: Account, token: int, *, reason: str) -> Token:
        """Takes an adapter down; ``reason`` is the sha256 of a text. Only the safety account may."""
        self._send("AdapterTakenDown", account, "takeDown", token, reason)
        return self.token(token)

    def reinstate(self, account: Account, token: int, *, reason: str) -> Token:
        """Lifts a takedown. Only the safety account may."""
        self._send("AdapterReinstated", account, "reinstate", token, reason)
        return self.token(token)

    def revoke_consent(self, account: Account, token: int, *, record: str, reason: str) -> ConsentRevocation:
        """States that consent to a dataset record was withdrawn."""
        event = self._send("ConsentRevoked", account, "revokeConsent", token, record, reason)
        return ConsentRevocation(token, record, reason, event.log.timestamp, account.address)

    def open_stream(self, account: Account, token: int = 0) -> Stream:
        """Opens a stream for the account."""
        event = self._send("StreamOpened", account, "openStream", token)
        return self.stream(event.values["stream"])

    def anchor(self, account: Account, *, stream: int, first: int, count: int, root: str, cid: str) -> Batch:
        """Anchors the next ``count`` records of a stream."""
        log = self._send("BatchAnchored", account, "anchor", stream, first, count, root, cid).log
        return Batch(stream, first, count, root, cid, log.timestamp, log.transaction, log.block)

    def register_issuer(self, account: Account, root_digest: str, *, valid_from: int = 0) -> frozenset[str]:
        """Binds a root certificate to the account from a time on (0: now); harmless if it is already bound."""
        if root_digest not in self.issuers(account.address):
            self._send("IssuerRegistered", account, "registerIssuer", root_digest, valid_from)
        return self.issuers(account.address)

    def revoke_issuer(self, account: Account, root_digest: str, *, reason: str) -> IssuerKey:
        """Ends a root certificate of the account's now, for good."""
        self._send("IssuerRevoked", account, "revokeIssuer", root_digest, reason)
        return next(each for each in self.issuer_keys(account.address) if each.root == root_digest)

    def transfer(self, account: Account, token: int, to: str) -> Token:
        """Hands an adapter to another owner."""
        self._send("Transfer", account, "transferFrom", account.address, to.lower(), token)
        return self.token(token)

    def collect(self, account: Account, token: int, parent: int, *, currency: str = NATIVE) -> int:
        """Moves a parent's share of an adapter's sales to the parent; returns the amount."""
        event = self._send("ShareCollected", account, "collect", token, parent, currency.lower())
        return int(event.values["amount"])

    def claim(
        self,
        account: Account,
        token: int,
        contributor: str,
        millionths: int,
        proof: Sequence[str],
        *,
        currency: str = NATIVE,
    ) -> int:
        """Credits a contributor with its share of an adapter's sales; returns the amount."""
        values = (token, currency.lower(), contributor.lower(), millionths, tuple(proof))
        return int(self._send("ShareClaimed", account, "claim", *values).values["amount"])

    def withdraw(self, account: Account, *, currency: str = NATIVE, to: str | None = None) -> int:
        """Pays out what the contract owes the account, to itself or another; returns the amount."""
        receiver = (to or account.address).lower()
        return int(self._send("Withdrawn", account, "withdraw", currency.lower(), receiver).values["amount"])

    def owed(self, account: str, currency: str = NATIVE) -> int:
        """What the contract owes an account."""
        return int(self.call("owed", currency.lower(), account.lower()))

    def balance(self, account: str) -> int:
        """An account's own money."""
        return self._transactor.balance(account.lower())

    def operator(self) -> str:
        """The contract's owner: it appoints the safety account and may pause new mints and sales."""
        return str(self.call("owner"))

    def safety(self) -> str:
        """The account that may take adapters down; the zero address if there is none."""
        return str(self.call("safety"))

    def is_paused(self) -> bool:
        """Whether new mints and sales are stopped."""
        return bool(self.call("paused"))

    def appoint_safety(self, account: Account, safety: str) -> None:
        """Appoints the safety account. Only the operator may."""
        self._send("SafetyAppointed", account, "appointSafety", safety.lower())

    def set_paused(self, account: Account, paused: bool) -> None:
        """Stops new mints and sales, or lets them go on."""
        self._send("Paused" if paused else "Unpaused", account, "pause" if paused else "unpause")

    def offer_operator(self, account: Account, to: str) -> None:
        """Offers the contract's ownership to another account, which must accept."""
        self._send("OwnershipTransferStarted", account, "transferOwnership", to.lower())

    def accept_operator(self, account: Account) -> None:
        """Accepts the contract's ownership."""
        self._send("OwnershipTransferred", account, "acceptOwnership")

    def call(self, function: str, *values: Any) -> Any:
        """What one of the contract's views returns; raises LedgerRefused."""
        try:
            return decode_result(function, self._transactor.call(encode_call(function, values)))
        except Reverted as error:
            raise refusal(error.data) from error

    def close(self) -> None:
        """Releases files and connections."""
        self._transactor.close()

    def _prepare_payment(self, account: Account, currency: str, amount: int) -> int:
        """What to send along; an ERC-20 token is told first that the contract may take the amount."""
        if currency == NATIVE or amount == 0:
            return amount
        allow(self._transactor, account, self.identity.contract, currency, amount)
        return 0

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

    def _held(self, token: int, licensee: str) -> Licence:
        held = self.licence(token, licensee)
        if held is None:
            raise LedgerRefused(f"the ledger shows no licence of {licensee} for token {token} after the transaction")
        return held
