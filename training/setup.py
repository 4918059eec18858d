"""A training made ready: the same model, data, adapter and optimiser for a training and for its replay."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from provenance.base import BaseModel
from training.cache import Cache, build_cache
from training.config import TrainConfig
from training.errors import TrainingError
from training.layers import add_adapter
from training.pipeline import load_pipeline, noise_schedule, picture_side
from training.state import State

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest

# What cuBLAS needs to give the same bits again: two buffers of a fixed size (its documentation, "Results
# reproducibility"). It is read when a process first multiplies matrices on a GPU.
_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class Setup:
    """Everything a step needs; ``parameters`` and ``optimiser`` are what it changes, ``side`` is in px."""

    config: TrainConfig
    device: str
    pipe: Any
    side: int
    schedule: Any
    cache: Cache
    parameters: dict[str, torch.nn.Parameter]
    optimiser: torch.optim.Optimizer

    def state(self) -> State:
        """The state as it is now; the next step changes its tensors."""
        return State.of(self.parameters, self.optimiser)

    def restore(self, state: State) -> None:
        """Goes on from a state; raises CheckpointError when it is another adapter's."""
        state.restore(self.parameters, self.optimiser)


def set_up(
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    device: str,
    spill: Path,
    progress: Callable[[int, int], None],
) -> Setup:
    """Loads the base, reads and encodes the dataset, and adds an adapter in its initial state, drawn by the seed."""
    import torch

    pipe = load_pipeline(base, device)
    side = picture_side(pipe, config)
    schedule = noise_schedule(pipe, config)
    cache = build_cache(pipe, manifest, side, config, spill, progress)
    encoders = {name: part for name, part in pipe.components.items() if name.startswith("text_encoder")}
    parts = SimpleNamespace(pipe=pipe, denoiser=pipe.unet, denoiser_prefix="unet", text_encoders=encoders)
    parameters = add_adapter(parts, config)
    optimiser = torch.optim.AdamW(
        parameters.values(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
    )
    return Setup(config, device, pipe, side, schedule, cache, parameters, optimiser)


def is_present(device: str) -> bool:
    """Whether this machine has a device: cpu, cuda or mps."""
    import torch

    return device == "cpu" or (torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available())


def device_of(config: TrainConfig) -> str:
    """The device a training uses here; raises TrainingError when this machine lacks the one that is configured."""
    present = [device for device in ("cuda", "mps", "cpu") if is_present(device)]
    if config.device == "auto":
        return present[0]
    if config.device not in present:
        raise TrainingError(
            f"this machine has no {config.device} device", expected=" or ".join(present), fix='set `device = "auto"`'
        )
    return config.device


@contextmanager
def torch_settings(config: TrainConfig, device: str, threads: int = 0) -> Iterator[int]:
    """Gives the number of threads; switches and the random state are put back when the training ends.

    ``threads`` overrules the configured number. Deterministic mode is one CPU thread and deterministic algorithms only;
    raises TrainingError when a layer has none.
    """
    import torch

    before, cudnn = torch.get_num_threads(), torch.backends.cudnn
    deterministic, benchmark = cudnn.deterministic, cudnn.benchmark
    algorithms = torch.are_deterministic_algorithms_enabled()
    count = threads or config.threads or (1 if config.deterministic else before)
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.set_num_threads(count)
        cudnn.deterministic, cudnn.benchmark = True, False
        if config.deterministic:
            os.environ.setdefault(*_WORKSPACE)
            torch.use_deterministic_algorithms(True)
        try:
            yield count
        except RuntimeError as error:
            if config.deterministic and "deterministic" in str(error):
                raise TrainingError(
                    "a layer of this base cannot be trained in deterministic mode on this device",
                    found=str(error).partition(".")[0],
                    fix="set `deterministic = false`; the training then may not be repeatable bit for bit",
                ) from error
            raise
        finally:
            torch.set_num_threads(before)
            cudnn.deterministic, cudnn.benchmark = deterministic, benchmark
            torch.use_deterministic_algorithms(algorithms)
