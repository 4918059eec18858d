"""Refusals of the resolution service, each with its HTTP status and a name that stays (RFC 9457)."""

from __future__ import annotations

from provenance.canonical import Json
from provenance.errors import ProvenanceError
from safety.errors import SafetyError

STATUS = {
    "malformed-request": 400,
    "image-refused": 400,
    "not-found": 404,
    "manifest-unknown": 404,
    "method-not-allowed": 405,
    "request-timeout": 408,
    "too-large": 413,
    "query-too-long": 414,
    "media-type-unsupported": 415,
    "rate-limited": 429,
    "internal": 500,
    "record-damaged": 500,
    "busy": 503,
    "records-unavailable": 503,
}
"""400, 404, 414, 415 and 500 as the API names them (Soft Binding API 2.2, 1.4); the others are HTTP's own."""


class Problem(ProvenanceError):
    """A refusal with a kind out of ``STATUS``; ``wait`` is after how many seconds to come again, if that helps."""

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
        self.status = STATUS[kind]
        self.wait = wait

    @classmethod
    def of(cls, kind: str, error: ProvenanceError | SafetyError) -> Problem:
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
