"""Every error that `generation` raises: GenerationError and its kinds."""

from __future__ import annotations

from provenance.errors import ProvenanceError


class GenerationError(ProvenanceError):
    """A picture that is not made."""


class LicenceRefused(GenerationError):
    """The account holds no valid licence for the adapter."""


class PromptBlocked(GenerationError):
    """The safety policy blocks a prompt."""


class InputBlocked(GenerationError):
    """The safety policy blocks the picture that others were to be drawn from."""


class GenerationInterrupted(GenerationError):
    """Stopped by Ctrl-C; pictures on record are kept."""

    exit_code = 130


class SamplingFailed(GenerationError):
    """The model gave something that is not a picture."""


def told(error: Exception) -> str:
    """A foreign error in one line, for what is told of ours."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:400]
