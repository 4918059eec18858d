"""A training made ready: the same model, data, adapter and optimiser for a training and for its replay."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from training.compiled import compile_denoiser
from training.config import TrainConfig
from training.dataset.cache import Cache, build_cache
from training.dataset.latent_store import Latents
from training.ema import Average
from training.errors import TrainingError
from training.families.opening import drop_encoders, open_family, place_for_training
from training.families.protocol import Family
from training.layers import add_adapter, trains_text
from training.optimisers import build_optimiser
from training.precision import hold_in_precision, loss_scaler, spare_conversions
from training.processes import ALONE, RESTORE, Ranks
from training.quantised import quantise
from training.replay.stack import code_digest
from training.state import State

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest

# What cuBLAS needs to give the same bits again: two buffers of a fixed size (its documentation, "Results
# reproducibility"). It is read when a process first multiplies matrices on a GPU.
_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class Setup:
    """Everything a step needs; a step changes ``parameters`` and what follows them, up to ``scaler``."""

    config: TrainConfig
    device: str
    family: Family
    cache: Cache
    parameters: dict[str, torch.nn.Parameter]
    optimiser: torch.optim.Optimizer
    average: Average | None = None
    scaler: torch.amp.GradScaler | None = None
    ranks: Ranks = ALONE

    def state(self) -> State:
        """The state as it is now; the next step changes its tensors."""
        return State.of(self.parameters, self.optimiser, self.average, self.scaler)

    def restore(self, state: State) -> None:
        """Goes on from a state; raises CheckpointError when it is another adapter's."""
        state.restore(self.parameters, self.optimiser, self.average, self.scaler)
        if self.ranks.count > 1:
            from safetensors.torch import save

            self.ranks.lead(RESTORE, save(state.to_tensors()))

    def as_released(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights that would be released now: the moving average, where there is one."""
        return nullcontext() if self.average is None else self.average.in_place_of(self.parameters)


def set_up(
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    device: str,
    spill: Path,
    progress: Callable[[int, int], None],
    ranks: Ranks = ALONE,
    kept: Latents | None = None,
) -> Setup:
    """Loads the base, reads and encodes the dataset, and adds an adapter in its initial state, drawn by the seed.

    ``ranks`` are the processes that do so at the same time; raises TrainingError when they do not come to the same.
    ``kept`` is what earlier trainings encoded.
    """
    family = open_family(base, device, config)
    cache = build_cache(family, manifest, config, spill, progress, kept)
    quantise(family.denoiser, config, device)
    hold_in_precision(family.denoiser, config, device)
    place_for_training(family, embeds_text=trains_text(config))
    draws = ranks.rank == 0 and (config.sample_count > 0 or bool(config.sample_prompts))
    if not draws and not trains_text(config):
        drop_encoders(family)
    parameters = add_adapter(family, config)
    spare_conversions(family.denoiser, config)
    compile_denoiser(family.denoiser, config, device)
    optimiser = build_optimiser(parameters, config, device)
    average = Average.of(parameters, config.ema_decay) if config.ema_decay else None
    scaler = loss_scaler(config, device)
    setup = Setup(config, device, family, cache, parameters, optimiser, average, scaler, ranks)
    if ranks.count > 1:
        ranks.require_same(
            {
                "base": base.digest,
                "code": code_digest(),
                "configuration": config.digest,
                "dataset": manifest.digest,
                "initial state": setup.state().digests()[0],
            }
        )
    return setup


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
    count = threads or config.threads or (1 if config.deterministic else max(1, before // config.processes))
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.set_num_threads(count)
        # Where bits need not come again, cuDNN may look for its fastest way.
        cudnn.deterministic, cudnn.benchmark = config.deterministic, not config.deterministic
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
