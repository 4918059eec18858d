"""The compiled contract: ABI, bytecode, selectors and event topics, so that a user needs neither Node nor keccak."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ARTIFACT = FOLDER / "artifacts" / "ProvLedger.json"


@dataclass(frozen=True)
class Parameter:
    """One argument of a function, event or error."""

    name: str
    type: str
    indexed: bool = False
    components: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A function, event or error: ``selector`` is its topic (32 bytes) or the first 4 bytes of a call or revert."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    selector: str


@dataclass(frozen=True)
class Place:
    """Where a variable is in the contract's storage: its slot, and how many bytes of the slot lie below it."""

    slot: int
    offset: int


@dataclass(frozen=True)
class Artifact:
    """What `python -m contracts.compile` wrote; all bytes are hexadecimal without ``0x``."""

    abi: tuple[dict[str, Any], ...]
    bytecode: str
    runtime: str
    code_digest: str
    functions: dict[str, Entry]
    events: dict[str, Entry]
    errors: dict[str, Entry]
    storage: dict[str, Place]
    immutables: tuple[tuple[int, int], ...]

    def digest_of(self, code: bytes) -> str:
        """The sha256 of deployed code without what its constructor wrote into it: ``code_digest``, if it is ours."""
        plain = bytearray(code)
        for start, length in self.immutables:
            plain[start : start + length] = bytes(len(plain[start : start + length]))
        return hashlib.sha256(plain).hexdigest()

    def immutables_of(self, code: bytes) -> frozenset[bytes]:
        """What its constructor wrote into deployed code."""
        return frozenset(code[start : start + length] for start, length in self.immutables)


def signature(item: dict[str, Any]) -> str:
    """``name(type,type)``, the text whose keccak gives a selector."""
    return f"{item['name']}({','.join(_type(each) for each in item['inputs'])})"


def _type(parameter: dict[str, Any]) -> str:
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(each) for each in parameter['components'])}){kind.removeprefix('tuple')}"


@cache
def load_artifact() -> Artifact:
    """Loads the committed artefact."""
    raw = json.loads(ARTIFACT.read_bytes())
    selectors: dict[str, dict[str, str]] = raw["selectors"]
    entries: dict[str, dict[str, Entry]] = {"function": {}, "event": {}, "error": {}}
    for item in raw["abi"]:
        if (kind := item["type"]) in entries:
            text = signature(item)
            # OpenZeppelin overloads safeTransferFrom; the first one listed keeps the plain name.
            name = item["name"] if item["name"] not in entries[kind] else text
            entries[kind][name] = Entry(
                item["name"], _parameters(item["inputs"]), _parameters(item.get("outputs", [])), selectors[kind][text]
            )
    return Artifact(
        abi=tuple(raw["abi"]),
        bytecode=raw["bytecode"],
        runtime=raw["runtime"],
        code_digest=raw["codeDigest"],
        functions=entries["function"],
        events=entries["event"],
        errors=entries["error"],
        immutables=tuple((start, length) for start, length in raw.get("immutables", [])),
        storage={each["label"]: Place(int(each["slot"]), each["offset"]) for each in raw["storageLayout"]},
    )


def _parameters(raw: list[dict[str, Any]]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(each["name"], each["type"], each.get("indexed", False), _parameters(each.get("components", [])))
        for each in raw
    )
