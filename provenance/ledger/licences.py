"""What adapters and licences cost and allow: terms, offers, licences, vouchers, usage, shares.

Money is in the smallest unit of its currency (wei for the chain's own), times are seconds since 1970, shares are in
hundredths of a percent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NEVER = 2**40 - 1
"""The expiry of a licence that does not end."""

NATIVE = "0x" + "00" * 20
"""The currency that is the chain's own money; any other is the address of an ERC-20 token."""

WHOLE = 10_000
"""Shares are parts of this."""

MILLION = 1_000_000
"""A contributor's part is counted in this."""

COMMERCIAL, TRANSFERABLE = 1, 2


@dataclass(frozen=True)
class Terms:
    """What a licence allows and costs.

    ``duration`` is in seconds (NEVER: without end); ``quota`` in images (0: no limit); ``grace`` in days (0 to 255)
    after the end, in which images made before may still be anchored.
    """

    price: int = 0
    duration: int = NEVER
    quota: int = 0
    commercial: bool = False
    transferable: bool = False
    grace: int = 7
    currency: str = NATIVE

    @property
    def flags(self) -> int:
        """The flags as the contract packs them."""
        return COMMERCIAL * self.commercial | TRANSFERABLE * self.transferable


@dataclass(frozen=True)
class Offer:
    """Terms on offer: ``number`` counts them within a token, from 1; they never change."""

    token: int
    number: int
    seller: str
    terms: Terms


@dataclass(frozen=True)
class Licence:
    """The latest state of one account's licence to use one adapter; ``offer`` is the number it was bought under, or 0.

    ``quota``, ``used`` (reported) and ``anchored`` count images over all licences the account ever had for it.
    ``ended_at`` is when it was revoked (with a ``reason`` and a ``refund`` in ``refund_currency``), renounced or
    handed on before ``expires``.
    """

    token: int
    licensee: str
    offer: int
    expires: int
    granted_at: int
    quota: int = 0
    used: int = 0
    anchored: int = 0
    commercial: bool = False
    transferable: bool = False
    grace: int = 0
    ended_at: int | None = None
    revoked_at: int | None = None
    reason: str | None = None
    refund: int = 0
    refund_currency: str = NATIVE

    @property
    def usage(self) -> int:
        """Images on record: the same images may have been anchored and reported."""
        return max(self.used, self.anchored)

    @property
    def left(self) -> int | None:
        """Images still allowed; None when there is no limit."""
        return max(0, self.quota - self.usage) if self.quota else None

    def is_valid(self, now: int) -> bool:
        """Whether it allows a picture at a time: strictly before its end and within its quota."""
        return self.ended_at is None and self.expires > now and self.left != 0


@dataclass(frozen=True)
class Voucher:
    """A licence that an adapter's owner promises in a signature; EIP-712 type ``Voucher``."""

    token: int
    licensee: str
    terms: Terms
    nonce: int
    deadline: int


@dataclass(frozen=True)
class Usage:
    """A licensee's report of how many images it made in all with an adapter; EIP-712 type ``Usage``."""

    token: int
    user: str
    used: int


@dataclass(frozen=True)
class Shares:
    """Who gets what of an adapter's sales, and what it asks of others.

    ``royalty`` is asked on resale (at most 2,500), ``derivative`` of the sales of adapters made from this one, and
    ``contributors`` goes to the accounts under ``contributors_root``.
    """

    derivable: bool = False
    royalty: int = 0
    derivative: int = 0
    contributors: int = 0
    contributors_root: str = "00" * 32


@dataclass(frozen=True)
class Parent:
    """An adapter that another was made from, and its share of that one's sales."""

    token: int
    share: int


@dataclass(frozen=True)
class Minting:
    """What is minted; EIP-712 type ``Mint``. ``salt`` hides it in the commitment that comes first."""

    maker: str
    weights: str
    dataset: str
    base: str
    terms: str
    cid: str
    salt: str
    shares: Shares = field(default_factory=Shares)
    parents: tuple[int, ...] = ()
    deadline: int = NEVER
