"""Which transaction stands where in a block, bound to the block: all of them are hashed into its transactions root.

Transactions of the types of Ethereum's Prague fork (EIP-2718, 2930, 1559, 4844 and 7702).
"""

from __future__ import annotations

from typing import Any

from provenance.errors import FormatError
from provenance.ledger.header import Header
from provenance.ledger.hexadecimal import parse_bytes, parse_quantity
from provenance.ledger.keccak import keccak
from provenance.ledger.node import Node
from provenance.ledger.rlp import Item, encode, encode_number
from provenance.ledger.trie import root_of

FEES = ("maxPriorityFeePerGas", "maxFeePerGas")
MAX_TYPE = 4


def check_transaction(node: Node, header: Header, index: int, transaction: bytes) -> None:
    """Raises LedgerContradiction unless a block holds a transaction (by its hash) at this place."""
    raw = node.ask("eth_getBlockByNumber", hex(header.number), True)
    try:
        hashes = transaction_hashes(header, raw)
    except FormatError as error:
        raise node.contradiction(
            f"tells of other transactions than block {header.number} holds",
            expected=error.expected or "transactions that hash to the block's root",
            found=error.found or error.what,
        ) from error
    if index >= len(hashes) or hashes[index] != transaction:
        raise node.contradiction(
            f"says that a transaction is in block {header.number}, which does not hold it there",
            expected=transaction.hex(),
            found=hashes[index].hex() if index < len(hashes) else f"{len(hashes)} transactions",
        )


def transaction_hashes(header: Header, raw: Any) -> list[bytes]:
    """The hashes of a block's transactions, from a block with all of them; raises FormatError unless they hash to the
    header's root."""
    every = raw.get("transactions") if isinstance(raw, dict) else None
    if not isinstance(every, list):
        raise FormatError(f"block {header.number} has no transactions", found=repr(raw)[:100])
    encoded = [_encode(each) for each in every]
    root = root_of({encode(encode_number(place)): each for place, each in enumerate(encoded)})
    if root != header.transactions_root:
        raise FormatError(
            f"the transactions of block {header.number} are not those of the block",
            expected=f"root {header.transactions_root.hex()}",
            found=f"root {root.hex()}",
        )
    return [keccak(each) for each in encoded]


def _encode(raw: Any) -> bytes:
    if not isinstance(raw, dict):
        raise FormatError("this is not a transaction", found=repr(raw)[:100])
    kind = parse_quantity(raw.get("type", "0x0"), "a transaction's type")
    if kind > MAX_TYPE:
        raise FormatError("a transaction has an unknown type", expected=f"at most {MAX_TYPE}", found=str(kind))
    chain = [] if kind == 0 else ["chainId"]
    names = [*chain, "nonce", *(("gasPrice",) if kind < 2 else FEES), "gas"]
    fields: list[Item] = [_number(raw, each) for each in names]
    fields += [_address(raw.get("to")), _number(raw, "value"), parse_bytes(raw.get("input"), "a transaction's data")]
    if kind:
        fields.append([_access(each) for each in _list(raw, "accessList")])
    if kind == 3:
        hashes: list[Item] = [parse_bytes(each, "a blob", length=32) for each in _list(raw, "blobVersionedHashes")]
        fields += [_number(raw, "maxFeePerBlobGas"), hashes]
    if kind == 4:
        fields.append([_authorization(each) for each in _list(raw, "authorizationList")])
    fields += [_number(raw, "yParity" if kind and "yParity" in raw else "v"), _number(raw, "r"), _number(raw, "s")]
    return (bytes([kind]) if kind else b"") + encode(fields)


def _number(raw: Any, name: str) -> bytes:
    return encode_number(parse_quantity(raw.get(name), f"a transaction's {name}", bits=256))


def _address(value: Any) -> bytes:
    return b"" if value is None else parse_bytes(value, "a transaction's address", length=20)


def _list(raw: Any, name: str) -> list[Any]:
    value = raw.get(name)
    if not isinstance(value, list):
        raise FormatError(f"a transaction's {name} is not a list", found=repr(value)[:100])
    return value


def _access(raw: Any) -> Item:
    if not isinstance(raw, dict):
        raise FormatError("a transaction has a malformed access list", found=repr(raw)[:100])
    keys: list[Item] = [parse_bytes(each, "a storage key", length=32) for each in _list(raw, "storageKeys")]
    return [_address(raw.get("address")), keys]


def _authorization(raw: Any) -> Item:
    if not isinstance(raw, dict):
        raise FormatError("a transaction has a malformed authorization", found=repr(raw)[:100])
    first, rest = ("chainId",), ("nonce", "yParity", "r", "s")
    return [
        *(_number(raw, each) for each in first),
        _address(raw.get("address")),
        *(_number(raw, each) for each in rest),
    ]
