"""Transaction receipts, bound to a block: every receipt of the block is hashed into its header's receipts root.

Receipts of the types of Ethereum's Prague fork (EIP-2718, 2930, 1559, 4844 and 7702); rollups that add fields of their
own do not hash to the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provenance.errors import FormatError
from provenance.ledger.header import Header
from provenance.ledger.hexadecimal import parse_bytes, parse_quantity
from provenance.ledger.protocol import Log
from provenance.ledger.rlp import Item, encode, encode_number
from provenance.ledger.trie import root_of

MAX_TYPE = 4


@dataclass(frozen=True)
class RawLog:
    """A log with the address that wrote it and the hash of the block it is said to be in."""

    address: str
    block_hash: bytes
    log: Log


@dataclass(frozen=True)
class NodeReceipt:
    """A receipt as a node tells it."""

    transaction: str
    block: int
    block_hash: bytes
    index: int
    status: int
    gas_used: int
    contract: str | None
    logs: tuple[RawLog, ...]


def parse_receipt(raw: Any, timestamp: int = 0) -> NodeReceipt:
    """A receipt as ``eth_getTransactionReceipt`` gives it; raises FormatError."""
    if not isinstance(raw, dict) or not isinstance(raw.get("logs"), list):
        raise FormatError("this is not a receipt", found=repr(raw)[:100])
    created = raw.get("contractAddress")
    return NodeReceipt(
        transaction=parse_bytes(raw.get("transactionHash"), "a transaction's hash", length=32).hex(),
        block=parse_quantity(raw.get("blockNumber"), "a receipt's block"),
        block_hash=parse_bytes(raw.get("blockHash"), "a receipt's block", length=32),
        index=parse_quantity(raw.get("transactionIndex"), "a receipt's place"),
        status=parse_quantity(raw.get("status"), "a receipt's status"),
        gas_used=parse_quantity(raw.get("gasUsed"), "a receipt's gas"),
        contract=None if created is None else "0x" + parse_bytes(created, "a contract's address", length=20).hex(),
        logs=tuple(parse_log(each, timestamp) for each in raw["logs"]),
    )


def parse_log(raw: Any, timestamp: int = 0) -> RawLog:
    """A log as ``eth_getLogs`` gives it; raises FormatError. ``timestamp`` is its block's, which nodes may not tell."""
    if not isinstance(raw, dict) or raw.get("removed"):
        raise FormatError("this is not a log of the chain", found=repr(raw)[:100])
    topics = raw.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise FormatError("a log has malformed topics", found=repr(topics)[:100])
    log = Log(
        block=parse_quantity(raw.get("blockNumber"), "a log's block"),
        timestamp=timestamp,
        transaction=parse_bytes(raw.get("transactionHash"), "a transaction's hash", length=32).hex(),
        index=parse_quantity(raw.get("logIndex"), "a log's place"),
        topics=tuple(parse_bytes(each, "a log's topic", length=32).hex() for each in topics),
        data=parse_bytes(raw.get("data"), "a log's data").hex(),
    )
    address = "0x" + parse_bytes(raw.get("address"), "a log's address", length=20).hex()
    return RawLog(address, parse_bytes(raw.get("blockHash"), "a log's block", length=32), log)


def check_receipts(header: Header, raw: Any) -> tuple[NodeReceipt, ...]:
    """All receipts of a block from ``eth_getBlockReceipts``; raises FormatError unless they hash to the header's root.

    Statuses and logs are then the block's. The hash of a transaction is no part of its receipt: it stays the node's
    word.
    """
    if not isinstance(raw, list):
        raise FormatError(f"the receipts of block {header.number} are not a list", found=repr(raw)[:100])
    encoded = {encode(encode_number(place)): _encode(each) for place, each in enumerate(raw)}
    if (found := root_of(encoded)) != header.receipts_root:
        raise FormatError(
            f"the receipts of block {header.number} are not those of the block",
            expected=f"root {header.receipts_root.hex()}",
            found=f"root {found.hex()}",
        )
    receipts = tuple(parse_receipt(each, header.timestamp) for each in raw)
    if any(each.index != place or each.block_hash != header.hash for place, each in enumerate(receipts)):
        raise FormatError(f"the receipts of block {header.number} are out of order")
    return receipts


def logs_of(receipts: Sequence[NodeReceipt], contract: str) -> tuple[Log, ...]:
    """The logs of one contract in a block, numbered as the block numbers them."""
    every = [(receipt, raw) for receipt in receipts for raw in receipt.logs]
    return tuple(
        Log(receipt.block, raw.log.timestamp, receipt.transaction, place, raw.log.topics, raw.log.data)
        for place, (receipt, raw) in enumerate(every)
        if raw.address == contract
    )


def _encode(raw: Any) -> bytes:
    receipt = parse_receipt(raw)
    kind = parse_quantity(raw.get("type", "0x0"), "a receipt's type")
    if kind > MAX_TYPE:
        raise FormatError("a receipt has an unknown type", expected=f"at most {MAX_TYPE}", found=str(kind))
    logs: list[Item] = [
        [
            bytes.fromhex(each.address[2:]),
            [bytes.fromhex(topic) for topic in each.log.topics],
            bytes.fromhex(each.log.data),
        ]
        for each in receipt.logs
    ]
    fields: list[Item] = [
        encode_number(receipt.status),
        encode_number(parse_quantity(raw.get("cumulativeGasUsed"), "a receipt's gas")),
        parse_bytes(raw.get("logsBloom"), "a receipt's bloom", length=256),
        logs,
    ]
    return (bytes([kind]) if kind else b"") + encode(fields)
