"""What an audit of the log of what was blocked found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

REPORT_TYPE = "urn:prov:log-report:v1"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what kind, in words, in which lines (from 1), and the first and last number (from 0).

    ``altered``: a line, or the head beside the log, is not as written. ``missing``: numbers are gone. ``inserted``: a
    line repeats a number. ``moved``: a line stands out of order. ``rewritten``: entries are whole, but not those that
    others name. ``cut``: entries are gone from the end.
    """

    kind: str
    detail: str
    lines: tuple[int, ...] = ()
    numbers: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fault as a JSON object."""
        numbers = None if self.numbers is None else list(self.numbers)
        return {"kind": self.kind, "detail": self.detail, "lines": list(self.lines), "numbers": numbers}


@dataclass(frozen=True)
class LogReport:
    """What a log holds, by stage and by rule, and what is wrong with it; ``notes`` are worth knowing and no faults.

    ``entries`` are those that are whole and in their place; ``head`` is the hash of the last, 64 zeros without any.
    """

    path: str
    entries: int
    head: str
    first: str | None
    last: str | None
    stages: dict[str, int]
    rules: dict[str, int]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "type": REPORT_TYPE,
            "log": self.path,
            "entries": self.entries,
            "head": self.head,
            "first": self.first,
            "last": self.last,
            "stages": self.stages,
            "rules": self.rules,
            "whole": not self.faults,
            "faults": [fault.to_json() for fault in self.faults],
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """The report for a person: whether the chain is whole, what is in it, then every fault."""
        faults = f"{len(self.faults)} fault{'s' if len(self.faults) > 1 else ''}" if self.faults else "whole"
        lines = [f"{self.path}: {faults}, {self.entries} entr{'y' if self.entries == 1 else 'ies'}"]
        if self.first:
            lines.append(f"  from {self.first} to {self.last}")
        lines += [f"  stage {name}: {count}" for name, count in self.stages.items()]
        lines += [f"  rule {name}: {count}" for name, count in self.rules.items()]
        lines.append(f"  head {self.head}")
        lines += [f"  ✘ {fault.detail}" for fault in self.faults]
        lines += [f"  · {note}" for note in self.notes]
        return "\n".join("".join(c if c.isprintable() or c == "\n" else "?" for c in line) for line in lines)
