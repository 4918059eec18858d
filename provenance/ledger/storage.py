"""Where the contract keeps what, and how: slots and packed structs, as Solidity lays them out.

The slots of variables come from the compiler's ``storageLayout`` in the artefact; the members of the structs are those
of contracts/src, low bits first. Layout: Solidity documentation, "Layout of State Variables in Storage".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.artifact import load_artifact
from provenance.ledger.keccak import keccak

Struct = tuple[tuple[str, int], ...]

ADAPTER: Final[Struct] = (
    ("maker", 160),
    ("base", 24),
    ("royalty", 16),
    ("parents", 16),
    ("contributors", 16),
    ("derivative", 16),
    ("flags", 8),
)
LICENCE: Final[Struct] = (
    ("offer", 24),
    ("expires", 40),
    ("paid_from", 40),
    ("paid_until", 40),
    ("quota", 32),
    ("used", 32),
    ("anchored", 32),
    ("grace", 8),
    ("flags", 8),
)
OFFER_PRICE: Final[Struct] = (("currency", 160), ("price", 96))
OFFER_TERMS: Final[Struct] = (
    ("seller", 160),
    ("duration", 40),
    ("quota", 32),
    ("flags", 8),
    ("grace", 8),
    ("open", 8),
)
"""An offer takes two slots: ``OFFER_PRICE``, and ``OFFER_TERMS`` in the next."""
STREAM: Final[Struct] = (("holder", 160), ("token", 32), ("next", 32), ("batches", 32))
BATCH: Final[Struct] = (("end", 32), ("block", 40), ("root", 184))
ISSUER: Final[Struct] = (("valid_from", 40), ("revoked_at", 40))

ADAPTER_REVOKED = 2
ADAPTER_TAKEN_DOWN = 4
LICENCE_REVOKED = 128
ROOT_BYTES = 23
"""The bytes of a batch's root that are kept in storage."""


def slot_of(variable: str, *keys: int | str) -> int:
    """The slot of a variable, or of what a mapping, or a mapping of mappings, holds under these keys.

    A key is a number, an address, or 32 bytes in hexadecimal.
    """
    slot = load_artifact().storage[variable].slot
    for key in keys:
        word = (
            key.to_bytes(32, "big") if isinstance(key, int) else bytes.fromhex(key.removeprefix("0x")).rjust(32, b"\0")
        )
        slot = int.from_bytes(keccak(word + slot.to_bytes(32, "big")), "big")
    return slot


def member_of(variable: str, word: int, bits: int) -> int:
    """A variable that shares its slot with others, from the slot's value."""
    return word >> 8 * load_artifact().storage[variable].offset & (1 << bits) - 1


def unpack(word: int, struct: Struct) -> Mapping[str, int]:
    """The members of a struct in one slot."""
    values: dict[str, int] = {}
    for name, bits in struct:
        values[name] = word & (1 << bits) - 1
        word >>= bits
    return values


def address_of(value: int) -> str:
    """An address from a word or member."""
    return f"0x{value & (1 << 160) - 1:040x}"
