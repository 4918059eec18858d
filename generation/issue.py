"""What a request gave: pictures with a history, and what was drawn and never written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from provenance.canonical import Json
from provenance.record import ImageRecord
from safety.decision import ERROR_RULE, Decision


@dataclass(frozen=True)
class Issued:
    """One picture with a history: its file and its record."""

    path: Path
    record: ImageRecord

    def to_json(self) -> Json:
        """What a program wants to know of it."""
        return {
            "path": str(self.path),
            "stream": self.record.stream,
            "serial": self.record.serial,
            "record": self.record.id,
        }


@dataclass(frozen=True)
class Blocked:
    """One picture that was drawn and never written: which prompt of the request, why, and what to do next."""

    index: int
    reason: str
    fix: str

    def to_json(self) -> Json:
        """What a program wants to know of it."""
        return {"index": self.index, "reason": self.reason, "fix": self.fix}

    @classmethod
    def by(cls, decision: Decision, index: int) -> Blocked:
        """What a decision that blocks says to whoever asked."""
        failed = decision.rule == ERROR_RULE
        fix = "check the filter: prov policy check --image FILE" if failed else "ask for something else"
        return cls(index, decision.reason, fix)


@dataclass(frozen=True)
class Issue:
    """What one request gave. ``missing`` are on record since before a run stopped, without a file where it belongs.

    ``left`` is how many pictures there were to draw, ``recorded`` how many were; others are of before a run stopped.
    """

    images: tuple[Issued, ...]
    blocked: tuple[Blocked, ...]
    missing: tuple[Path, ...] = ()
    left: int = field(default=0, compare=False)
    recorded: int = field(default=0, compare=False)

    @property
    def input_marks(self) -> tuple[str, ...]:
        """The payloads, 16 hexadecimal digits each, of the marks that inputs of its pictures carried."""
        inputs = (image.record.parameters.get("input", {}) for image in self.images)
        return tuple(sorted({given["payload"] for given in inputs if "payload" in given}))


def picture_path(out: Path, stream: int, serial: int) -> Path:
    """Where the picture of a serial is written."""
    return out / f"prov-{stream}-{serial}.png"
