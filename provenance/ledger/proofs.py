"""What a contract's storage holds at a block, proved against the state root of the block's header (EIP-1186)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from provenance.errors import FormatError, LedgerContradiction, LedgerUnavailable
from provenance.ledger.header import Header
from provenance.ledger.hexadecimal import parse_bytes, parse_quantity
from provenance.ledger.jsonrpc import Call, RpcError
from provenance.ledger.keccak import keccak
from provenance.ledger.node import Node
from provenance.ledger.rlp import decode, decode_number
from provenance.ledger.trie import prove

SLOTS_AT_ONCE = 100
PAUSES = (0.05, 0.2)


@dataclass(frozen=True)
class AccountState:
    """An account in the state trie."""

    nonce: int
    balance: int
    storage_root: bytes
    code_hash: bytes


class StorageReader(Protocol):
    """Reads storage slots of a contract at a block."""

    def read(self, header: Header, slots: Sequence[int]) -> Mapping[int, int]:
        """The values of the slots; raises LedgerUnavailable."""


class ToldStorage:
    """Storage as a node tells it, without proof, at the block of that hash (EIP-1898)."""

    def __init__(self, node: Node, contract: str) -> None:
        self._node = node
        self._contract = contract

    def read(self, header: Header, slots: Sequence[int]) -> Mapping[int, int]:
        """The values of the slots; raises LedgerUnavailable."""
        block = {"blockHash": f"0x{header.hash.hex()}"}
        raw = self._node.ask_all([("eth_getStorageAt", (self._contract, f"0x{slot:064x}", block)) for slot in slots])
        try:
            # Padded to 32 bytes by some nodes and not by others.
            return {
                slot: int.from_bytes(
                    parse_bytes(each if len(str(each)) % 2 == 0 else f"0x0{each[2:]}", "a slot"), "big"
                )
                for slot, each in zip(slots, raw, strict=True)
            }
        except FormatError as error:
            raise self._node.malformed(error) from error


class StateProofs:
    """Asks a node for proofs about one contract, whose code is pinned by its Keccak."""

    def __init__(self, node: Node, contract: str, code_hash: bytes) -> None:
        self._node = node
        self._contract = contract
        self._code_hash = code_hash

    def read(self, header: Header, slots: Sequence[int]) -> dict[int, int]:
        """The values of storage slots at a block; raises LedgerContradiction for a proof that does not hold."""
        calls = [
            proof_call(self._contract, slots[start : start + SLOTS_AT_ONCE], header.number)
            for start in range(0, len(slots), SLOTS_AT_ONCE)
        ]
        for pause in PAUSES:
            try:
                return self._read(header, slots, calls)
            except LedgerContradiction:
                # A node that is at work on the next block may prove from the state it is writing; one that lies will
                # not have a better proof next time.
                time.sleep(pause)
        return self._read(header, slots, calls)

    def _read(self, header: Header, slots: Sequence[int], calls: Sequence[Call]) -> dict[int, int]:
        values: dict[int, int] = {}
        for place, raw in enumerate(self._ask(calls)):
            part = slots[place * SLOTS_AT_ONCE : (place + 1) * SLOTS_AT_ONCE]
            values |= self.check(header, part, raw)
        return values

    def check(self, header: Header, slots: Sequence[int], raw: Any) -> dict[int, int]:
        """As ``read``, of an answer that is here already."""
        try:
            account = check_account(header, self._contract, raw)
            if account is None:
                raise LedgerUnavailable(
                    f"there is no contract at {self._contract} in block {header.number}",
                    expected="the contract of this home in the last final block",
                    fix="if it was deployed just now, wait until its block is final",
                )
            if account.code_hash != self._code_hash:
                raise self._node.contradiction(
                    f"proves another contract at {self._contract}",
                    expected=f"code with Keccak {self._code_hash.hex()}",
                    found=f"code with Keccak {account.code_hash.hex()}",
                )
            return check_storage(account, slots, raw)
        except FormatError as error:
            raise self._node.contradiction(
                f"does not prove what it says about block {header.number}",
                expected=error.expected or "an EIP-1186 proof",
                found=error.what if error.found is None else f"{error.what}: {error.found}",
            ) from error

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return self._node.rpc.batch(calls)
        except RpcError as error:
            raise LedgerContradiction(
                f"the node {self._node.name} served proofs when it was pinned and refuses one now",
                expected="an answer to eth_getProof",
                found=str(error),
                fix="ask again later, or pin a node that proves what it says with `prov chain use`",
            ) from error


def proof_call(address: str, slots: Sequence[int], block: int) -> Call:
    """The question for a proof."""
    return "eth_getProof", (address, [f"0x{slot:064x}" for slot in slots], hex(block))


def check_account(header: Header, address: str, raw: Any) -> AccountState | None:
    """The account that a proof shows under an address, or None if it shows that there is none; raises FormatError."""
    key = keccak(bytes.fromhex(address.removeprefix("0x")))
    found = prove(header.state_root, key, _nodes(raw, "accountProof"))
    if found is None:
        return None
    fields = decode(found)
    if not isinstance(fields, list) or len(fields) != 4:
        raise FormatError("a proof ends in something that is not an account")
    nonce, balance, storage_root, code_hash = fields
    if not isinstance(storage_root, bytes) or not isinstance(code_hash, bytes):
        raise FormatError("a proof ends in something that is not an account")
    return AccountState(decode_number(nonce), decode_number(balance), storage_root, code_hash)


def check_storage(account: AccountState, slots: Sequence[int], raw: Any) -> dict[int, int]:
    """The values that a proof shows for the slots asked for; raises FormatError."""
    every = raw.get("storageProof")
    if not isinstance(every, list) or len(every) != len(slots):
        raise FormatError("a proof is not about the slots asked for", found=repr(every)[:100])
    values: dict[int, int] = {}
    for slot, each in zip(slots, every, strict=True):
        if not isinstance(each, dict):
            raise FormatError("a proof is not about the slots asked for", found=repr(each)[:100])
        found = prove(account.storage_root, keccak(slot.to_bytes(32, "big")), _nodes(each, "proof"))
        values[slot] = 0 if found is None else decode_number(decode(found))
        if parse_quantity(each.get("value"), "a slot's value", bits=256) != values[slot]:
            raise FormatError(
                "a proof shows another value than the node says", expected=hex(values[slot]), found=str(each["value"])
            )
    return values


def _nodes(raw: Any, name: str) -> list[bytes]:
    nodes = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(nodes, list):
        raise FormatError(f"a proof has no {name}", found=repr(raw)[:100])
    return [parse_bytes(each, "a trie node") for each in nodes]
