"""Checkpoints of a stage: one safetensors file of tensors with its progress in the metadata; no pickle."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """How far a stage has come: steps taken, and seconds spent over all its runs."""

    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Budget:
    """When a stage ends: at so many steps or after so many minutes, whichever comes first."""

    steps: int
    minutes: float

    def spent(self, progress: Progress) -> float:
        """The part of the budget used so far, in [0, 1]."""
        if self.steps <= 0 or self.minutes <= 0:
            return 1.0
        return min(1.0, max(progress.step / self.steps, progress.seconds / 60 / self.minutes))


class Clock:
    """Counts a stage's seconds over interruptions."""

    def __init__(self, before: Progress):
        self._start = time.monotonic() - before.seconds

    def at(self, step: int) -> Progress:
        return Progress(step, time.monotonic() - self._start)


def save(path: Path, tensors: Mapping[str, Tensor], progress: Progress) -> None:
    """Writes a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    # Separate storage for each tensor: safetensors refuses tied ones.
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(plain, partial, metadata={"progress": json.dumps(asdict(progress))})
    os.replace(partial, path)


def load(path: Path) -> tuple[dict[str, Tensor], Progress]:
    """Reads what ``save`` wrote."""
    with safe_open(path, framework="pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
        return {name: file.get_tensor(name) for name in file.keys()}, progress  # noqa: SIM118


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Puts a prefix before every name."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}
