"""One line of the log of what was blocked: its canonical JSON, its hash, and the link to the line before."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from safety.decision import Decision
from safety.errors import SafetyError

TYPE = "urn:prov:blocked:v1"
FIRST = "0" * 64
MAX_LINE = 1 << 20
MAX_BRACKETS = 500
FIELDS = {"type", "sequence", "time", "hmac", "decision", "previous", "hash"}
HASH = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class LogEntry:
    """One blocked decision at its place in the chain; ``sequence`` counts from 0, ``previous`` is 64 zeros there."""

    sequence: int
    time: str
    hmac: str
    decision: Decision
    previous: str
    hash: str

    @classmethod
    def parse(cls, line: bytes) -> LogEntry:
        """Reads one whole line strictly; raises SafetyError that says what is wrong with it."""
        value = stated(line)
        if value is None:
            raise SafetyError("it is no entry of this log", expected=TYPE)
        rest = {key: item for key, item in value.items() if key != "hash"}
        try:
            whole = value["hash"] == entry_hash(rest) and line == canonical(value) + b"\n"
        except ValueError:
            # Infinities and lone surrogates are JSON to Python's parser, and cannot have been written here.
            whole = False
        if not whole:
            raise SafetyError("its hash is not that of its content", expected="the line as it was written")
        texts = all(isinstance(value[name], str) for name in ("time", "hmac", "previous"))
        fits = texts and _TIME.fullmatch(value["time"]) and all(HASH.fullmatch(value[n]) for n in ("hmac", "previous"))
        number = value["sequence"]
        if value["type"] != TYPE or type(number) is not int or number < 0 or not fits:
            raise SafetyError("it is no entry of this log", expected=TYPE)
        decision = Decision.from_json(value["decision"])
        if decision.allowed:
            raise SafetyError("it logs a decision that allowed something")
        return cls(number, value["time"], value["hmac"], decision, value["previous"], value["hash"])


def entry_line(sequence: int, time: str, hmac: str, decision: Decision, previous: str) -> tuple[bytes, str]:
    """The line of a new entry, and its hash."""
    entry = {
        "type": TYPE,
        "sequence": sequence,
        "time": time,
        "hmac": hmac,
        "decision": decision.to_json(),
        "previous": previous,
    }
    digest = entry_hash(entry)
    return canonical({**entry, "hash": digest}) + b"\n", digest


def stated(line: bytes) -> dict[str, Any] | None:
    """What a line says, true or not; None for what has not even an entry's fields."""
    # Some libraries raise the recursion limit so far that deep nesting would end the process.
    if line.count(b"[") + line.count(b"{") > MAX_BRACKETS:
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and set(value) == FIELDS else None


def canonical(value: Any) -> bytes:
    """The one spelling of a value; raises ValueError for what has none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def entry_hash(entry: dict[str, Any]) -> str:
    """SHA-256 of an entry without its hash."""
    return hashlib.sha256(canonical(entry)).hexdigest()
