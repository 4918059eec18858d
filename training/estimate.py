"""What a training will take, before it starts: a few real steps on this machine, and what follows from them."""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from provenance.canonical import Json
from training.config import TrainConfig
from training.loop import apply_gradients, compute_gradients
from training.private.gradients import private_gradients
from training.samples import draw_samples, sample_prompts
from training.setup import device_of, set_up, torch_settings

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest

# The first step also pays for what is set up once; the fastest of the others is what the rest will be like.
PROBED_STEPS = 4
PROBED_PICTURES = 8
PROBED_PRIORS = 2


@dataclass(frozen=True)
class Estimate:
    """Seconds by stage, and memory in bytes: the peak of the process, the peak on the accelerator, what there is."""

    device: str
    steps: int
    samples: int
    reading_seconds: float
    training_seconds: float
    sampling_seconds: float
    images_per_second: float
    memory_bytes: int
    memory_there: int
    device_bytes: int | None
    device_there: int | None
    checkpoint_bytes: int

    @property
    def seconds(self) -> float:
        """The whole training, without the screening of the dataset."""
        return self.reading_seconds + self.training_seconds + self.sampling_seconds

    @property
    def fits(self) -> bool:
        """Whether memory suffices here."""
        fits_device = self.device_bytes is None or self.device_there is None or self.device_bytes < self.device_there
        return self.memory_bytes < self.memory_there and fits_device

    def to_json(self) -> Json:
        return {**asdict(self), "seconds": self.seconds, "fits": self.fits}


def estimate(
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Estimate:
    """Takes a few real steps on a few pictures of the dataset and gives what the whole training will take.

    Nothing is written and nothing is kept. Screening is not counted: it depends on the policy. Raises TrainingError.
    """
    device = device_of(config)
    few = replace(manifest, records=manifest.records[: max(PROBED_PICTURES, 2 * config.batch_size)])
    probe = replace(config, prior_count=min(config.prior_count, PROBED_PRIORS))
    stages = PROBED_STEPS + 2
    with tempfile.TemporaryDirectory() as spill, torch_settings(probe, device):
        loaded = time.monotonic()
        moments: list[float] = []
        setup = set_up(few, base, probe, device, Path(spill), lambda *_: moments.append(time.monotonic()))
        priors = len(setup.cache.places) - len(few.records)
        read = moments[-1 - priors]
        loading = moments[0] - loaded
        each = (read - moments[0]) / max(len(few.records) - 1, 1)
        each_prior = (moments[-1] - read) / max(priors, 1)
        progress(1, stages)
        take = private_gradients(setup) if config.dp_epsilon else partial(compute_gradients, setup)
        steps = []
        for step in range(PROBED_STEPS):
            began = time.monotonic()
            take(step)
            apply_gradients(setup, step)
            steps.append(time.monotonic() - began)
            progress(step + 2, stages)
        prompts = sample_prompts(probe, [record.caption for record in manifest.records])
        drawing = _drawing_seconds(setup, prompts, config)
        progress(stages, stages)
        on_device, device_there = _device_memory(device)
        parameters = sum(4 * parameter.numel() for parameter in setup.parameters.values())
    rounds = 1 + (config.steps - 1) // config.sample_every if config.sample_every else 1
    samples = config.steps * config.batch_size * config.accumulate
    training = steps[0] + min(steps[1:]) * (config.steps - 1)
    return Estimate(
        device=device,
        steps=config.steps,
        samples=samples,
        reading_seconds=loading + each * len(manifest.records) + (each_prior * config.prior_count if priors else 0),
        training_seconds=training,
        sampling_seconds=drawing * len(prompts) * rounds,
        images_per_second=samples / training,
        memory_bytes=_peak_bytes(),
        memory_there=_memory_there(),
        device_bytes=on_device,
        device_there=device_there,
        checkpoint_bytes=3 * parameters,
    )


def _drawing_seconds(setup: object, prompts: tuple[str, ...], config: TrainConfig) -> float:
    """Seconds for one sample picture, from one drawn in full."""
    if not prompts:
        return 0.0
    began = time.monotonic()
    draw_samples(setup, prompts[:1])  # type: ignore[arg-type]
    return time.monotonic() - began


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _memory_there() -> int:
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _device_memory(device: str) -> tuple[int | None, int | None]:
    import torch

    if device != "cuda":
        return None, None
    return torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory


def told(made: Estimate) -> str:
    """The estimate in a few lines for people."""
    lines = [
        f"time      about {_duration(made.seconds)}: reading {_duration(made.reading_seconds)}, "
        f"{made.steps} steps {_duration(made.training_seconds)} ({made.images_per_second:.1f} images/s on "
        f"{made.device}), samples {_duration(made.sampling_seconds)}; screening comes on top",
        f"memory    {_gibibytes(made.memory_bytes)} of {_gibibytes(made.memory_there)}",
    ]
    if made.device_bytes is not None and made.device_there is not None:
        lines.append(f"          {_gibibytes(made.device_bytes)} of {_gibibytes(made.device_there)} on the accelerator")
    lines.append(f"disk      {_gibibytes(2 * made.checkpoint_bytes)} for checkpoints")
    if not made.fits:
        lines.append("it does not fit: lower `batch_size`, raise `accumulate`, or set `gradient_checkpointing = true`")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
