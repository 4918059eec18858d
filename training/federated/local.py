"""A contributor's own part of a training: some steps on its own pictures from the weights that all share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from provenance.base import BaseModel
from training.config import TrainConfig
from training.errors import LossNotFinite
from training.federated.settings import contributor_config
from training.federated.updates import shapes_of
from training.loop import apply_gradients, compute_gradients
from training.optimisers import build_optimiser
from training.private.gradients import private_gradients
from training.replay.chain import Taken
from training.setup import Setup, device_of, set_up, torch_settings

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest


class Trainer(Protocol):
    """Whatever trains one round."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The weights that are trained, by name."""

    def train(self, weights: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
        """What round ``number``, from 1, adds to these weights on this contributor's pictures: float32 on the CPU."""


@dataclass(frozen=True)
class LocalTraining:
    """Training with a new optimiser in each round; ``steps`` of the settings' steps belong to one round.

    ``take`` leaves the gradients of a step in the parameters.

    Draws, warmup and learning rate go on from round to round, as in one training.
    """

    setup: Setup
    steps: int
    take: Callable[[int], Taken]
    progress: Callable[[int, int, float], None]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See ``Trainer``."""
        return shapes_of(self.setup.parameters)

    def train(self, weights: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
        """See ``Trainer``; raises LossNotFinite."""
        import torch

        config, parameters = self.setup.config, self.setup.parameters
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])
        setup = replace(self.setup, optimiser=build_optimiser(parameters, config, self.setup.device))
        for step in range((number - 1) * self.steps, number * self.steps):
            taken = self.take(step)
            if not math.isfinite(taken.loss):
                raise LossNotFinite(
                    f"the loss became {taken.loss} at step {step + 1}",
                    expected="a finite number",
                    fix="the settings are the server's: ask for a lower `learning_rate` or fp32",
                )
            apply_gradients(setup, step)
            self.progress(step + 1, config.steps, taken.loss)
        return {name: parameter.detach().cpu() - weights[name] for name, parameter in parameters.items()}


@contextmanager
def local_training(
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    rounds: int,
    spill: Path,
    reading: Callable[[int, int], None],
    progress: Callable[[int, int, float], None],
) -> Iterator[LocalTraining]:
    """A contributor's training made ready; ``config`` is what all agreed on.

    Switches and the random state are put back afterwards. ``spill`` is where a cache that outgrows memory lies.
    """
    own = contributor_config(config, manifest.digest)
    device = device_of(own)
    with torch_settings(own, device):
        setup = set_up(manifest, base, own, device, spill, reading)
        # One secret for all rounds, of which none is trained twice: each step's noise is drawn once.
        take = private_gradients(setup) if own.dp_epsilon else partial(compute_gradients, setup)
        yield LocalTraining(setup, config.steps // rounds, take, progress)
