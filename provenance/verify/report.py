"""The verdict on one picture, and the evidence for it, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from provenance.canonical import Json

REPORT_TYPE = "urn:prov:report:v1"


class Verdict(StrEnum):
    """What is known of a picture's history, strongest first."""

    AUTHENTIC = "authentic"
    RECOVERED = "recovered"
    REVOKED = "revoked"
    COPIED = "copied"
    TAMPERED = "tampered"
    UNKNOWN = "unknown"

    @property
    def exit_code(self) -> int:
        """0 for a history that holds, 1 for one that does not, 4 for none."""
        return {"authentic": 0, "recovered": 0, "unknown": 4}.get(self.value, 1)


MEANINGS = {
    Verdict.AUTHENTIC: "Its credentials are intact and trusted, and its watermark, record and adapter agree.",
    Verdict.RECOVERED: "Its credentials are gone, but its watermark leads to an anchored record of this picture.",
    Verdict.REVOKED: "Its history is genuine, but a right it was made under has since been withdrawn.",
    Verdict.COPIED: "Its watermark was issued for another picture.",
    Verdict.TAMPERED: "Its layers contradict each other, or a signature or proof fails.",
    Verdict.UNKNOWN: "Nothing here proves where it comes from.",
}

LAYERS = (
    "file",
    "credentials",
    "watermark",
    "ledger",
    "record",
    "picture",
    "binding",
    "issuer",
    "safety",
    "adapter",
    "dataset",
    "rights",
)


TOLD_BY_LAYERS = ("safety", "rederived")
"""Facts for programs, of which a person reads in the layers."""


class Status(StrEnum):
    """How one layer came out."""

    OK = "ok"
    FAILED = "failed"
    ABSENT = "absent"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Layer:
    """One layer of evidence: what was found, and which checks led to it."""

    name: str
    status: Status
    detail: str
    checked: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """The layer as a JSON object."""
        return {"name": self.name, "status": self.status.value, "detail": self.detail, "checked": list(self.checked)}


@dataclass(frozen=True)
class Report:
    """The verdict on one file; ``facts`` hold only what was verified, or is named as a claim."""

    image: str
    verdict: Verdict
    layers: tuple[Layer, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """What `prov verify` exits with for this file alone."""
        return self.verdict.exit_code

    def layer(self, name: str) -> Layer:
        """One layer by name."""
        return next(layer for layer in self.layers if layer.name == name)

    def to_json(self) -> Json:
        """The report as a JSON object."""
        return {
            "type": REPORT_TYPE,
            "image": self.image,
            "verdict": self.verdict.value,
            "meaning": MEANINGS[self.verdict],
            "exit_code": self.exit_code,
            "layers": [layer.to_json() for layer in self.layers],
            "facts": dict(self.facts),
        }

    def to_text(self) -> str:
        """The report for a person: the verdict, then the layers, then the facts."""
        marks = {Status.OK: "✔", Status.FAILED: "✘", Status.ABSENT: "–", Status.SKIPPED: "·"}
        lines = [f"{self.image}: {self.verdict.value.upper()}", f"  {MEANINGS[self.verdict]}", ""]
        for layer in self.layers:
            lines.append(f"  {marks[layer.status]} {layer.name:<12}{_printable(layer.detail)}")
            lines += [f"      {_printable(check)}" for check in layer.checked]
        facts = {name: value for name, value in self.facts.items() if name not in TOLD_BY_LAYERS}
        shown = [(name, _show(value)) for name, value in facts.items() if value not in (None, "", [], {})]
        if shown:
            lines.append("")
            lines += [f"  {name.replace('_', ' '):<16}{value}" for name, value in shown]
        return "\n".join(lines)


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        shown = ((name, item) for name, item in value.items() if item not in (None, "", [], {}))
        return ", ".join(f"{_printable(str(name))} {_show(item)}" for name, item in shown)
    if isinstance(value, (list, tuple)):
        return "; ".join(_show(item) for item in value)
    return _printable(str(value))


def _printable(text: str) -> str:
    # Names and reasons are a stranger's words: nothing in them may move a terminal's cursor.
    return "".join(c if c.isprintable() else "?" for c in text)
