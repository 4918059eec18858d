"""Every error that `training` raises, in one tree.

::

    TrainingError                  exit 1    a training that cannot start or go on
    ├── ConfigError                exit 2    a configuration with faults; all of them are listed
    ├── DatasetBlocked             exit 1    the safety policy blocks pictures or captions of the dataset
    ├── CheckpointError            exit 1    a checkpoint that is damaged or belongs to another training
    ├── LossNotFinite              exit 1    the loss became NaN or infinite; the last good step is kept
    ├── ReplayRefused              exit 1    a chain or a snapshot that contradicts what was signed
    ├── ReplayUnavailable          exit 3    a training that cannot be replayed here: never a verdict
    └── TrainingInterrupted        exit 130  stopped by Ctrl-C; the checkpoint is kept
"""

from __future__ import annotations

from provenance.errors import ProvenanceError


class TrainingError(ProvenanceError):
    """A training that cannot start or go on."""


class ConfigError(TrainingError):
    """A configuration with faults; all of them are listed."""

    exit_code = 2

    def __init__(self, source: str, faults: tuple[str, ...]) -> None:
        self.faults = faults
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        super().__init__(
            f"{source} has {count}",
            found="".join(f"\n    - {fault}" for fault in faults),
            fix="correct these settings; docs/formats.md lists them all",
        )


class DatasetBlocked(TrainingError):
    """The safety policy blocks pictures or captions of the dataset; all of them are named."""


class CheckpointError(TrainingError):
    """A checkpoint that is damaged or belongs to another training."""


class LossNotFinite(TrainingError):
    """The loss became NaN or infinite; the last good step is kept."""


class ReplayRefused(TrainingError):
    """A chain or a snapshot that contradicts what was signed."""


class ReplayUnavailable(TrainingError):
    """A training that cannot be replayed here: never a verdict."""

    exit_code = 3


class TrainingInterrupted(TrainingError):
    """Stopped by Ctrl-C; the checkpoint is kept."""

    exit_code = 130
