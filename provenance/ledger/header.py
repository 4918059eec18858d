"""A block's header, hashed again from its fields: what a node says about a block is then bound to the block's hash.

Fields in the order of Ethereum's Prague fork (EIP-1559, 4895, 4844, 4788 and 7685); a later fork's header does not hash
to what it says and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provenance.errors import FormatError
from provenance.ledger.hexadecimal import parse_bytes, parse_quantity
from provenance.ledger.keccak import keccak
from provenance.ledger.rlp import Item, encode, encode_number

FIELDS: tuple[tuple[str, int | None], ...] = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", None),
    ("number", None),
    ("gasLimit", None),
    ("gasUsed", None),
    ("timestamp", None),
    ("extraData", 0),
    ("mixHash", 32),
    ("nonce", 8),
)
LATER_FIELDS: tuple[tuple[str, int | None], ...] = (
    ("baseFeePerGas", None),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", None),
    ("excessBlobGas", None),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)


@dataclass(frozen=True)
class Header:
    """What we use of a header; hashes and roots are 32 bytes, ``base_fee`` is wei for one gas."""

    number: int
    timestamp: int
    hash: bytes
    parent: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    base_fee: int


def parse_header(raw: Any, *, is_bound: bool = True) -> Header:
    """A block as ``eth_getBlockByNumber`` gives it; raises FormatError.

    ``is_bound``: its fields must hash to its hash. Without, the hash is only what the node says: for chains whose
    headers have other fields.
    """
    if not isinstance(raw, dict):
        raise FormatError("there is no such block", found=repr(raw)[:100])
    header = Header(
        number=parse_quantity(raw.get("number"), "a block's number"),
        timestamp=parse_quantity(raw.get("timestamp"), "a block's time"),
        hash=parse_bytes(raw.get("hash"), "a block's hash", length=32),
        parent=parse_bytes(raw.get("parentHash"), "a block's parent", length=32),
        state_root=parse_bytes(raw.get("stateRoot"), "a block's state root", length=32),
        transactions_root=parse_bytes(raw.get("transactionsRoot"), "a block's transactions root", length=32),
        receipts_root=parse_bytes(raw.get("receiptsRoot"), "a block's receipts root", length=32),
        base_fee=parse_quantity(raw.get("baseFeePerGas") or "0x0", "a block's base fee", bits=256),
    )
    if is_bound and (found := header_hash(raw)) != header.hash:
        raise FormatError(
            f"block {header.number} does not hash to what it says", expected=header.hash.hex(), found=found.hex()
        )
    return header


def header_hash(raw: dict[str, Any]) -> bytes:
    """The hash of a header's fields; raises FormatError."""
    present = [each for each in LATER_FIELDS if raw.get(each[0]) is not None]
    return keccak(encode([_field(raw, name, length) for name, length in (*FIELDS, *present)]))


def _field(raw: dict[str, Any], name: str, length: int | None) -> Item:
    if length is None:
        return encode_number(parse_quantity(raw.get(name), f"a block's {name}", bits=256))
    return parse_bytes(raw.get(name), f"a block's {name}", length=length or None)
