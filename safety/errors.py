"""Every error that `safety` raises, in one tree: SafetyError, PolicyError, FilterError, WatermarkError."""

from __future__ import annotations


class SafetyError(Exception):
    """A refusal: what went wrong, what was expected, what was found and what to do next."""

    exit_code = 1

    def __init__(
        self, what: str, *, expected: str | None = None, found: str | None = None, fix: str | None = None
    ) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        details = (("expected: ", self.expected), ("found:    ", self.found), ("do next:  ", self.fix))
        return "\n".join([self.what, *(f"  {name}{value}" for name, value in details if value is not None)])


class PolicyError(SafetyError):
    """A policy file that is wrong."""


class FilterError(SafetyError):
    """A filter that cannot run."""


class WatermarkError(SafetyError):
    """A watermark that cannot be embedded, or an image it cannot be read from."""
