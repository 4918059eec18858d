"""Refusals as problem details (RFC 9457): a kind that stays, its HTTP status, and the words of an error of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from provenance.canonical import Json
from provenance.errors import ProvenanceError
from safety.errors import SafetyError


class Problem(ProvenanceError):
    """A refusal with a kind out of ``statuses``; ``wait`` is after how many seconds to come again, if that helps."""

    statuses: ClassVar[Mapping[str, int]]

    def __init__(
        self,
        kind: str,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        fix: str | None = None,
        wait: float = 0,
    ) -> None:
        super().__init__(what, expected=expected, found=found, fix=fix)
        self.kind = kind
        self.status = self.statuses[kind]
        self.wait = wait

    @classmethod
    def of(cls, kind: str, error: ProvenanceError | SafetyError) -> Self:
        """Another error as a problem of this kind."""
        return cls(kind, error.what, expected=error.expected, found=error.found, fix=error.fix)

    def to_json(self) -> Json:
        """The problem details object."""
        rest = {"expected": self.expected, "found": self.found, "fix": self.fix}
        return {
            "type": f"urn:prov:problem:{self.kind}",
            "title": self.what,
            "status": self.status,
            **{name: text for name, text in rest.items() if text is not None},
        }
