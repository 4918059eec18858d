"""What a ledger tells and does, whichever chain it is on: the values, ``LedgerReader`` and ``Ledger``.

Addresses are lower-case ``0x`` strings; digests and hashes are lower-case hexadecimal without ``0x``; times are seconds
since 1970, money is wei.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NEVER = 2**64 - 1
"""The expiry of a licence that does not end."""

STREAM_LIMIT = 2**28
SERIAL_LIMIT = 2**28

ANCHOR_GRACE = 7 * 24 * 3600
"""Seconds after the end of a licence in which its holder may still anchor what was made before."""


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
    """An adapter: ``maker`` minted it, ``owner`` holds it now; ``cid`` is its published release."""

    token: int
    owner: str
    maker: str
    weights: str
    dataset: str
    base: str
    terms: str
    cid: str
    minted_at: int
    revoked_at: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Offer:
    """The price of one licence and how many seconds it lasts (NEVER: without end)."""

    token: int
    price: int
    duration: int


@dataclass(frozen=True)
class Licence:
    """The latest state of one account's licence to use one adapter; valid while ``expires > now`` and not revoked."""

    token: int
    licensee: str
    expires: int
    granted_at: int
    revoked_at: int | None = None
    reason: str | None = None


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
    """The maker's statement that consent to one dataset record (by its digest) was withdrawn."""

    token: int
    record: str
    reason: str
    revoked_at: int


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

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        """Logs whose topics equal the ones given (None: any), in chain order."""

    def close(self) -> None:
        """Releases files and connections."""


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

    def offer(self, token: int) -> Offer | None:
        """The standing offer, if there is one."""

    def licence(self, token: int, account: str) -> Licence | None:
        """The licence an account holds or held; None if it never had one (owners need none)."""

    def licences(self, token: int) -> tuple[Licence, ...]:
        """Every licence ever given for an adapter."""

    def has_licence(self, token: int, account: str) -> bool:
        """Whether an account may use an adapter now; never raises for unknown ids."""

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

    def issuers(self, account: str) -> frozenset[str]:
        """Digests of the root certificates an account has registered as its own."""

    def consent_revocations(self, token: int) -> tuple[ConsentRevocation, ...]:
        """Consents withdrawn from an adapter's dataset."""

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


class Ledger(LedgerReader, Protocol):
    """What an account may do; each call returns after its receipt says success, or raises LedgerRefused."""

    def mint(self, account: Account, *, weights: str, dataset: str, base: str, terms: str, cid: str) -> Token:
        """Mints an adapter to the account."""

    def set_offer(self, account: Account, token: int, *, price: int, duration: int) -> Offer | None:
        """Offers licences for sale; a duration of 0 withdraws the offer and returns None."""

    def buy(
        self, account: Account, token: int, *, max_price: int | None = None, min_duration: int | None = None
    ) -> Licence:
        """Buys a licence or prolongs it; the limits default to the offer as read now."""

    def grant(self, account: Account, token: int, licensee: str, *, expires: int) -> Licence:
        """Gives a licence until ``expires``."""

    def revoke(self, account: Account, token: int, licensee: str, *, reason: str) -> Licence:
        """Ends a licence now."""

    def revoke_adapter(self, account: Account, token: int, *, reason: str) -> Token:
        """Declares an adapter withdrawn, for good."""

    def revoke_consent(self, account: Account, token: int, *, record: str, reason: str) -> ConsentRevocation:
        """States that consent to a dataset record was withdrawn."""

    def open_stream(self, account: Account, token: int = 0) -> Stream:
        """Opens a stream for the account."""

    def anchor(self, account: Account, *, stream: int, first: int, count: int, root: str, cid: str) -> Batch:
        """Anchors the next ``count`` records of a stream."""

    def register_issuer(self, account: Account, root_digest: str) -> frozenset[str]:
        """Binds a root certificate to the account; harmless if it is already bound."""

    def transfer(self, account: Account, token: int, to: str) -> Token:
        """Hands an adapter to another owner."""

    def withdraw(self, account: Account) -> int:
        """Pays out what the contract owes the account; returns the amount."""

    def owed(self, account: str) -> int:
        """What the contract owes an account."""

    def balance(self, account: str) -> int:
        """An account's own money."""
