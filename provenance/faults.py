"""Faults found across many files, reported together."""

from __future__ import annotations

from provenance.errors import ProvenanceError

SHOWN = 20


class Faults:
    """Collects what is wrong with each file, so that one run names everything there is to mend."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, name: str, what: str | ProvenanceError) -> None:
        """Notes one fault of one file; control characters in its name are shown escaped."""
        if isinstance(what, ProvenanceError):
            details = [what.what, what.expected and f"expected {what.expected}", what.found and f"found {what.found}"]
            what = "; ".join(part for part in details if part)
        self._lines.append(f"{printable(name)}: {what}")

    def refuse(self, kind: type[ProvenanceError], headline: str, *, fix: str | None = None) -> None:
        """Raises ``kind`` with at most 20 faults listed, when there are any."""
        if not self._lines:
            return
        shown = self._lines[:SHOWN]
        if len(self._lines) > SHOWN:
            shown.append(f"… and {len(self._lines) - SHOWN} more")
        count = len(self._lines)
        found = f"{count} fault{'s' if count > 1 else ''}" + "".join(f"\n    - {line}" for line in shown)
        raise kind(headline, found=found, fix=fix)


def printable(name: str) -> str:
    """A name fit for a terminal: whatever does not print (controls, bidi marks, lone surrogates) is escaped."""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return "".join(escaped)
