"""What a ledger tells and does, whichever chain it is on: the values, ``LedgerReader`` and ``Ledger``.

Addresses are lower-case ``0x`` strings; digests and hashes are lower-case hexadecimal without ``0x``; times are seconds
since 1970, money is wei.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from provenance.ledger.licences import NATIVE, Licence, Minting, Offer, Parent, Shares, Terms, Usage, Voucher

STREAM_LIMIT = 2**28
SERIAL_LIMIT = 2**28

OWNER_GRACE = 7 * 24 * 3600
"""Seconds in which a former owner may still anchor what it made; a licence's own grace is in its terms."""


@dataclass(frozen=True)
class LedgerIdentity:
    """Which contract on which chain: ``genesis`` is a block hash, ``code_digest`` the sha256 of the deployed code."""

    chain_id: int
    genesis: str
    contract: str
    code_digest: str


@dataclass(frozen=True)
class Head:
    """The last block."""

    block: int
    timestamp: int


@dataclass(frozen=True)
class Token:
    """An adapter: ``maker`` minted it, ``owner`` holds it now; ``cid`` is its published release.

    ``revoked_at``: withdrawn by owner or maker, for good. ``taken_down_at``: by the safety account, until it is lifted;
    ``takedown_reason`` is the sha256 of a text published elsewhere.
    """

    token: int
    owner: str
    maker: str
    weights: str
    dataset: str
    base: str
    terms: str
    cid: str
    minted_at: int
    shares: Shares = field(default_factory=Shares)
    parents: tuple[Parent, ...] = ()
    revoked_at: int | None = None
    reason: str | None = None
    taken_down_at: int | None = None
    takedown_reason: str | None = None


@dataclass(frozen=True)
class Stream:
    """A holder's numbered sequence of images made with one adapter, or with none (``token`` 0)."""

    stream: int
    token: int
    holder: str
    opened_at: int


@dataclass(frozen=True)
class Batch:
    """Records ``first`` to ``first + count - 1`` of a stream under one Merkle root; ``cid`` is where they are."""

    stream: int
    first: int
    count: int
    root: str
    cid: str
    anchored_at: int
    transaction: str
    block: int

    def covers(self, serial: int) -> bool:
        """Whether a serial lies in this batch."""
        return self.first <= serial < self.first + self.count


@dataclass(frozen=True)
class ConsentRevocation:
    """A statement by the maker or the safety account that consent to a dataset record (by its digest) was withdrawn."""

    token: int
    record: str
    reason: str
    revoked_at: int
    by: str


@dataclass(frozen=True)
class IssuerKey:
    """A root certificate (by its digest) that an account stands by from ``valid_from`` until ``revoked_at``."""

    account: str
    root: str
    valid_from: int
    revoked_at: int | None = None
    reason: str | None = None

    def is_valid(self, time: int) -> bool:
        """Whether the account stood by it at a time."""
        return self.valid_from <= time and (self.revoked_at is None or time < self.revoked_at)


@dataclass(frozen=True)
class Log:
    """One event log of the contract as the chain holds it; ``topics`` and ``data`` are hexadecimal without ``0x``."""

    block: int
    timestamp: int
    transaction: str
    index: int
    topics: tuple[str, ...]
    data: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object; see ``provenance.ledger.snapshot`` for the strict parser."""
        return {
            "block": self.block,
            "timestamp": self.timestamp,
            "transaction": self.transaction,
            "index": self.index,
            "topics": list(self.topics),
            "data": self.data,
        }


class LogSource(Protocol):
    """Where logs come from: an embedded chain, a node, or a snapshot."""

    @property
    def identity(self) -> LedgerIdentity:
        """Which ledger these logs belong to."""

    def head(self) -> Head:
        """The last block known."""

    def finalised(self) -> Head:
        """The last block that will not be undone."""

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        """Logs whose topics equal the ones given (None: any), in chain order."""

    def close(self) -> None:
        """Releases files and connections."""


@runtime_checkable
class IndexedLogs(Protocol):
    """A log source that finds a batch among a million without reading them all."""

    def last_log_from(self, topics: Sequence[str | None], first: int) -> Log | None:
        """The log with these two topics whose data begin with the greatest number not above ``first``."""


class LedgerReader(Protocol):
    """What anyone may ask; unknown ids raise LedgerLookupError, an unreachable chain raises LedgerUnavailable."""

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract."""

    @property
    def namespace(self) -> int:
        """Eight bits that name this ledger in a watermark."""

    @property
    def source(self) -> LogSource:
        """The raw logs; ``provenance.ledger.snapshot.take_snapshot`` copies the ones about a token and a stream."""

    def head(self) -> Head:
        """The last block."""

    def now(self) -> int:
        """The time that expiries are compared with: the later of the wall clock and the last block."""

    def token(self, token: int) -> Token:
        """One adapter."""

    def tokens(self) -> tuple[Token, ...]:
        """Every adapter, by id."""

    def token_of_weights(self, weights: str) -> Token | None:
        """The adapter with this weights digest, if it was minted."""

    def offers(self, token: int) -> tuple[Offer, ...]:
        """The offers that stand, by number."""

    def offer(self, token: int, number: int | None = None) -> Offer | None:
        """One standing offer, or the latest; None if there is none."""

    def licence(self, token: int, account: str) -> Licence | None:
        """The licence an account holds or held; None if it never had one (owners need none)."""

    def licences(self, token: int) -> tuple[Licence, ...]:
        """Every licence ever given for an adapter."""

    def has_licence(self, token: int, account: str, *, finalised: bool = False) -> bool:
        """Whether an account may use an adapter now, as the last (final) block has it; never raises for unknown ids."""

    def stream(self, stream: int) -> Stream:
        """One stream."""

    def streams(self, holder: str | None = None) -> tuple[Stream, ...]:
        """Every stream, or one holder's."""

    def batches(self, stream: int) -> tuple[Batch, ...]:
        """A stream's batches, by serial."""

    def batch_covering(self, stream: int, serial: int) -> Batch | None:
        """The batch a serial is anchored in, if it is."""

    def next_serial(self, stream: int) -> int:
        """The first serial not anchored yet."""

    def issuer_keys(self, account: str) -> tuple[IssuerKey, ...]:
        """Every root certificate an account ever registered as its own."""

    def issuers(self, account: str, time: int | None = None) -> frozenset[str]:
        """Digests of the root certificates an account stood by at a time, or stands by now."""

    def consent_revocations(self, token: int, records: Iterable[str] = ()) -> tuple[ConsentRevocation, ...]:
        """Consents withdrawn from an adapter's dataset; for the records named, a node cannot leave one out."""

    def close(self) -> None:
        """Releases files and connections."""


class Account(Protocol):
    """A secp256k1 account that signs transactions; its key may be anywhere."""

    @property
    def name(self) -> str:
        """What its home calls it."""

    @property
    def address(self) -> str:
        """Lower-case ``0x`` address."""

    def sign_transaction(self, transaction: dict[str, Any]) -> bytes:
        """The signed transaction's bytes."""

    def sign_typed_data(self, typed: dict[str, Any]) -> bytes:
        """The 65 bytes (r, s, v) of a signature over EIP-712 typed data."""


class Ledger(LedgerReader, Protocol):
    """What an account may do; each call returns after its receipt says success, or raises LedgerRefused."""

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

    def commit_mint(self, account: Account, minting: Minting) -> str:
        """Announces a mint without saying what; returns the commitment. Harmless if it stands already."""

    def mint_for(self, account: Account, minting: Minting, signature: bytes) -> Token:
        """Mints what was committed to in an earlier block, to a maker who signed it."""

    def make_offer(self, account: Account, token: int, terms: Terms) -> Offer:
        """Offers licences for sale."""

    def close_offer(self, account: Account, token: int, number: int) -> None:
        """Closes an offer; licences sold stay as they are."""

    def buy(
        self,
        account: Account,
        token: int,
        *,
        number: int | None = None,
        max_price: int | None = None,
        currency: str | None = None,
    ) -> Licence:
        """Buys a licence or prolongs it: on the offer named, prolonged or alone, at most at a price in a currency."""

    def redeem(
        self,
        account: Account,
        voucher: Voucher,
        signature: bytes,
        *,
        max_price: int | None = None,
        currency: str | None = None,
    ) -> Licence:
        """Turns a voucher into its licensee's licence; the account pays, at most a price in a currency."""

    def cancel_voucher(self, account: Account, nonce: int) -> None:
        """Makes a voucher of the account's worthless."""

    def grant(self, account: Account, token: int, licensee: str, *, expires: int, terms: Terms = Terms()) -> Licence:
        """Gives a licence until ``expires``; price, duration and currency of the terms are not read."""

    def revoke(self, account: Account, token: int, licensee: str, *, reason: str) -> Licence:
        """Ends a licence now; the account pays what its unused time cost, as far as the ledger owes it less."""

    def renounce(self, account: Account, token: int) -> Licence:
        """Gives up the account's licence."""

    def transfer_licence(self, account: Account, token: int, to: str) -> Licence:
        """Hands the account's licence to another."""

    def settle(self, account: Account, usage: Usage, signature: bytes) -> Licence | None:
        """Records a licensee's signed report."""

    def consume(self, account: Account, token: int, count: int) -> Licence | None:
        """Reports images of the account's own."""

    def refund(self, token: int, licensee: str) -> tuple[str, int]:
        """Currency and amount that a revocation now would give back."""

    def revoke_adapter(self, account: Account, token: int, *, reason: str) -> Token:
        """Declares an adapter withdrawn, for good."""

    def take_down(self, account: Account, token: int, *, reason: str) -> Token:
        """Takes an adapter down; ``reason`` is the sha256 of a text. Only the safety account may."""

    def reinstate(self, account: Account, token: int, *, reason: str) -> Token:
        """Lifts a takedown. Only the safety account may."""

    def revoke_consent(self, account: Account, token: int, *, record: str, reason: str) -> ConsentRevocation:
        """States that consent to a dataset record was withdrawn."""

    def open_stream(self, account: Account, token: int = 0) -> Stream:
        """Opens a stream for the account."""

    def anchor(self, account: Account, *, stream: int, first: int, count: int, root: str, cid: str) -> Batch:
        """Anchors the next ``count`` records of a stream."""

    def register_issuer(self, account: Account, root_digest: str, *, valid_from: int = 0) -> frozenset[str]:
        """Binds a root certificate to the account from a time on (0: now); harmless if it is already bound."""

    def revoke_issuer(self, account: Account, root_digest: str, *, reason: str) -> IssuerKey:
        """Ends a root certificate of the account's now, for good."""

    def transfer(self, account: Account, token: int, to: str) -> Token:
        """Hands an adapter to another owner."""

    def collect(self, account: Account, token: int, parent: int, *, currency: str = NATIVE) -> int:
        """Moves a parent's share of an adapter's sales to the parent; returns the amount."""

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

    def withdraw(self, account: Account, *, currency: str = NATIVE, to: str | None = None) -> int:
        """Pays out what the contract owes the account, to itself or another; returns the amount."""

    def owed(self, account: str, currency: str = NATIVE) -> int:
        """What the contract owes an account."""

    def balance(self, account: str) -> int:
        """An account's own money."""

    def operator(self) -> str:
        """The contract's owner: it appoints the safety account and may pause new mints and sales."""

    def safety(self) -> str:
        """The account that may take adapters down; the zero address if there is none."""

    def is_paused(self) -> bool:
        """Whether new mints and sales are stopped."""

    def appoint_safety(self, account: Account, safety: str) -> None:
        """Appoints the safety account. Only the operator may."""

    def set_paused(self, account: Account, paused: bool) -> None:
        """Stops new mints and sales, or lets them go on."""

    def offer_operator(self, account: Account, to: str) -> None:
        """Offers the contract's ownership to another account, which must accept."""

    def accept_operator(self, account: Account) -> None:
        """Accepts the contract's ownership."""
