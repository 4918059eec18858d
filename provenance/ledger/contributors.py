"""Who contributed to a dataset and for which part: a file people write, and the Merkle tree that the ledger pays by.

The tree is OpenZeppelin's StandardMerkleTree over ``(address, uint32)``: leaves are hashed twice and sorted, pairs are
hashed in ascending order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError, LedgerLookupError
from provenance.ledger.keccak import keccak
from provenance.ledger.licences import MILLION

TYPE = "urn:prov:contributors:v1"
MAX_BYTES = 16 * 1024 * 1024
MAX_FAULTS_SHOWN = 20
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
NOBODY = "0x" + "00" * 20


@dataclass(frozen=True)
class ContributorsTree:
    """Accounts and their parts, in millionths of what contributors get; the parts add up to a million."""

    parts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, parts: Mapping[str, int]) -> ContributorsTree:
        """A tree of parts by lower-case address; raises FormatError with every fault."""
        return cls._checked(list(parts.items()))

    @classmethod
    def parse(cls, data: bytes) -> ContributorsTree:
        """Reads ``{"type", "contributors": [{"address", "millionths"}]}`` strictly; raises FormatError with every
        fault."""
        raw = parse_json(data, "the list of contributors", limit=MAX_BYTES)
        if not isinstance(raw, dict) or raw.get("type") != TYPE or set(raw) != {"type", "contributors"}:
            raise FormatError("this is not a list of contributors", expected=f'type "{TYPE}" with contributors')
        if not isinstance(raw["contributors"], list):
            raise FormatError("the contributors are not a list")
        return cls._checked([_entry(each) for each in raw["contributors"]])

    @property
    def root(self) -> str:
        """The root that the adapter is minted with, in hexadecimal."""
        return self._nodes[0].hex()

    def part(self, address: str) -> int:
        """An account's millionths; raises LedgerLookupError."""
        for account, millionths in self.parts:
            if account == address.lower():
                return millionths
        raise LedgerLookupError(
            f"{address} is not among the contributors", expected=f"one of {len(self.parts)} accounts of the list"
        )

    def proof(self, address: str) -> tuple[str, ...]:
        """The hashes that lead from an account's leaf to the root, in hexadecimal; raises LedgerLookupError."""
        nodes = self._nodes
        place = nodes.index(leaf_hash(address.lower(), self.part(address)), len(self.parts) - 1)
        path = []
        while place:
            path.append(nodes[place + 1 if place % 2 else place - 1].hex())
            place = (place - 1) // 2
        return tuple(path)

    def to_bytes(self) -> bytes:
        """Canonical JSON, by address."""
        entries = [{"address": address, "millionths": part} for address, part in self.parts]
        return canonical_json({"type": TYPE, "contributors": entries})

    @classmethod
    def _checked(cls, entries: list[tuple[Any, Any]]) -> ContributorsTree:
        if faults := _faults(entries):
            more = [f"and {len(faults) - MAX_FAULTS_SHOWN} more"] if len(faults) > MAX_FAULTS_SHOWN else []
            raise FormatError(
                "the list of contributors cannot be used",
                expected=f"each account once, with a whole number of millionths that add up to {MILLION}",
                found="; ".join([*faults[:MAX_FAULTS_SHOWN], *more]),
            )
        return cls(tuple(sorted(entries)))

    @cached_property
    def _nodes(self) -> list[bytes]:
        """The tree from its root: the children of node n are 2n + 1 and 2n + 2, the leaves are last."""
        leaves = sorted((leaf_hash(*each) for each in self.parts), reverse=True)
        nodes = [b""] * (len(leaves) - 1) + leaves
        for place in reversed(range(len(leaves) - 1)):
            nodes[place] = keccak(b"".join(sorted(nodes[2 * place + 1 : 2 * place + 3])))
        return nodes


def leaf_hash(address: str, millionths: int) -> bytes:
    """``keccak256(bytes.concat(keccak256(abi.encode(account, millionths))))``."""
    return keccak(keccak(bytes.fromhex(address[2:]).rjust(32, b"\0") + millionths.to_bytes(32, "big")))


def _entry(raw: Any) -> tuple[Any, Any]:
    if not isinstance(raw, dict) or set(raw) != {"address", "millionths"}:
        return raw, None
    return raw["address"], raw["millionths"]


def _faults(entries: list[tuple[Any, Any]]) -> list[str]:
    faults = [] if entries else ["nobody is named"]
    seen: set[str] = set()
    total = 0
    for number, (address, millionths) in enumerate(entries, 1):
        where = f"entry {number}"
        if not isinstance(address, str) or not ADDRESS.fullmatch(address) or address == NOBODY:
            faults.append(f"{where}: {repr(address)[:80]} is not a lower-case address")
        elif address in seen:
            faults.append(f"{where}: {address} is named before")
        else:
            seen.add(address)
        if type(millionths) is not int or not 1 <= millionths <= MILLION:
            faults.append(f"{where}: {repr(millionths)[:40]} is not a part from 1 to {MILLION}")
        else:
            total += millionths
    if not faults and total != MILLION:
        faults.append(f"the parts add up to {total}")
    return faults
