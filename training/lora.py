"""Signed dataset in, signed LoRA adapter out: the one training loop, from top to bottom.

LoRA: arXiv:2106.09685. Latent diffusion: arXiv:2112.10752. The adapter lies on the UNet; everything else is frozen.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.base import BaseModel
from provenance.errors import UsageError
from provenance.moments import format_moment, utc_now
from provenance.screening.screens import ScreeningChoice
from training.attestation import Run
from training.cache import build_cache
from training.checkpoint import Binding, Checkpoint, moments_of, restore_moments, restore_weights
from training.config import TrainConfig
from training.draws import draw_seed
from training.errors import CheckpointError, LossNotFinite, TrainingError, TrainingInterrupted
from training.interruption import interruption
from training.layers import add_adapter
from training.loop import batch_loss, draw_batch
from training.pipeline import load_pipeline, noise_schedule, picture_side
from training.release import write_release
from training.samples import draw_samples, sample_prompts
from training.screening import KEPT, require_screened

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest
    from provenance.identity import Issuer
    from provenance.manifest import DatasetManifest


@dataclass(frozen=True)
class Progress:
    """How far a training is: the stage (screening, reading, training, sampling, signing), and in training the loss."""

    stage: str
    done: int
    total: int
    loss: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None


def train(
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    release: Path,
    *,
    issuer: Issuer,
    name: str | None = None,
    resume: bool = False,
    screening: ScreeningChoice = ScreeningChoice(),
    progress: Callable[[Progress], None] | None = None,
) -> AdapterManifest:
    """Screens a verified dataset, trains a LoRA adapter on it and writes a signed adapter release.

    Checkpoints and TensorBoard logs lie beside the release, in ``<release>.work/``, from where ``resume`` goes on, to
    the same bits on one thread. Raises TrainingError, DatasetBlocked, CheckpointError, LossNotFinite,
    TrainingInterrupted or ScreeningInterrupted.
    """
    import torch

    started, clock, processor = format_moment(utc_now()), time.monotonic(), time.process_time()
    report = progress or (lambda _: None)
    work = release.with_name(f"{release.name}.work")
    binding = Binding(base=base.digest, config=config.digest, dataset=manifest.digest)
    _check_choices(manifest)
    checkpoint = _starting_point(release, work, binding, resume)

    device = _device(config)
    screened = require_screened(
        manifest,
        base.id,
        screening,
        device=device,
        work=work,
        progress=lambda done, total: report(Progress("screening", done, total)),
    )
    with _torch_settings(config, device):
        pipe = load_pipeline(base, device)
        side = picture_side(pipe, config)
        schedule = noise_schedule(pipe, config)
        cache = build_cache(pipe, manifest, side, config, work, lambda d, n: report(Progress("reading", d, n)))
        prompts = sample_prompts(config, [record.caption for record in manifest.records])

        parameters = add_adapter(pipe.unet, config)
        names = list(parameters)
        optimiser = torch.optim.AdamW(
            parameters.values(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        losses: list[float] = []
        resumed_at: tuple[int, ...] = ()
        if checkpoint is not None:
            restore_weights(parameters, checkpoint)
            restore_moments(optimiser, names, checkpoint.moments)
            started, losses = checkpoint.started, list(checkpoint.losses)
            resumed_at = (*checkpoint.resumed_at, checkpoint.step)

        def save(step: int) -> None:
            state = Checkpoint(
                binding, step, parameters, moments_of(optimiser, names), tuple(losses), started, resumed_at
            )
            state.save(work / "checkpoints")

        first, loop_clock = len(losses), time.monotonic()
        with _logs(work / "tensorboard", first) as logs, interruption() as interrupted:
            for step in range(first, config.steps):
                # Dropout inside PEFT draws from the global generator; this makes it a function of the step.
                torch.manual_seed(draw_seed(config.seed, step, 0, "dropout"))
                for group in optimiser.param_groups:
                    group["lr"] = config.learning_rate_at(step)

                loss = 0.0
                for part in range(config.accumulate):
                    batch = draw_batch(pipe, schedule, cache, config, step, part)
                    share = batch_loss(pipe, batch, config) / config.accumulate
                    share.backward()  # type: ignore[no-untyped-call]
                    loss += float(share.detach())
                if not math.isfinite(loss):
                    if step > 0:
                        save(step)
                    raise LossNotFinite(
                        f"the loss became {loss} at step {step + 1}",
                        expected="a finite number",
                        found=f"learning_rate = {config.learning_rate:g}, precision = {config.precision}",
                        fix=f"lower `learning_rate` or use fp32; the last good step is kept in {work / 'checkpoints'}",
                    )
                if config.grad_clip:
                    torch.nn.utils.clip_grad_norm_(parameters.values(), config.grad_clip)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)

                losses.append(loss)
                done = step + 1
                elapsed = time.monotonic() - loop_clock
                rate = (done - first) * config.batch_size * config.accumulate / elapsed
                left = elapsed / (done - first) * (config.steps - done)
                report(Progress("training", done, config.steps, loss, rate, left))
                logs.add_scalar("loss", loss, done)
                logs.add_scalar("learning rate", config.learning_rate_at(step), done)
                if config.sample_every and done % config.sample_every == 0 and done < config.steps:
                    _log_samples(logs, pipe, prompts, side, config, done)
                if interrupted.is_set():
                    save(done)
                    raise TrainingInterrupted(
                        f"stopped after step {done} of {config.steps}",
                        fix="run the same command with --resume to go on",
                    )
                if done % config.checkpoint_every == 0 or done == config.steps:
                    save(done)

            report(Progress("sampling", 0, len(prompts)))
            pictures = _log_samples(logs, pipe, prompts, side, config, config.steps)
        report(Progress("sampling", len(pictures), len(prompts)))
        threads = torch.get_num_threads()

    report(Progress("signing", 0, 1))
    run = Run(
        name=name or release.name,
        started=started,
        finished=format_moment(utc_now()),
        seconds=time.monotonic() - clock,
        processor_seconds=time.process_time() - processor,
        device=device,
        threads=threads,
        side=side,
        prediction=schedule.config.prediction_type,
        losses=tuple(losses),
        resumed_at=resumed_at,
    )
    samples = tuple(zip(prompts, pictures, strict=True))
    signed = write_release(release, parameters, samples, manifest, base, config, run, screened, issuer)
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    (work / KEPT).unlink(missing_ok=True)
    report(Progress("signing", 1, 1))
    return signed


def _check_choices(manifest: DatasetManifest) -> None:
    """Refuses pictures whose rights holders said no to training, or yes under terms that nobody wrote down."""
    refused = [
        record.path
        for record in manifest.records
        if record.training_mining == "notAllowed" or (record.training_mining == "constrained" and not record.consent)
    ]
    if refused:
        raise TrainingError(
            "the dataset holds pictures that may not be trained on",
            expected="training_mining `allowed`, or `constrained` with the consent that allows this use",
            found=", ".join(refused[:5]) + (f" and {len(refused) - 5} more" if len(refused) > 5 else ""),
            fix="ask their rights holders, or sign the dataset without them",
        )


def _starting_point(release: Path, work: Path, binding: Binding, resume: bool) -> Checkpoint | None:
    if release.exists():
        raise UsageError(f"{release} is already there", fix="give another folder with --out")
    checkpoint = Checkpoint.latest(work / "checkpoints", binding) if resume else None
    if resume and checkpoint is None:
        raise CheckpointError(f"there is nothing to resume in {work / 'checkpoints'}", fix="run again without --resume")
    if not resume and any((work / "checkpoints").glob("step-*.safetensors")):
        raise UsageError(
            f"an unfinished training lies in {work}",
            fix="go on with it by --resume, or delete that folder to begin anew",
        )
    return checkpoint


def _device(config: TrainConfig) -> str:
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if config.device == "auto":
        return next(name for name, here in present.items() if here)
    if not present[config.device]:
        raise TrainingError(
            f"this machine has no {config.device} device",
            expected=" or ".join(name for name, here in present.items() if here),
            fix='set `device = "auto"`',
        )
    return config.device


@contextmanager
def _torch_settings(config: TrainConfig, device: str) -> Iterator[None]:
    """Threads as configured, and a random state and switches that are put back when the training ends."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.backends.cudnn.deterministic = True
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.backends.cudnn.deterministic = deterministic


@contextmanager
def _logs(folder: Path, first_step: int) -> Iterator[Any]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=first_step + 1 if first_step else None) as writer:
        yield writer


def _log_samples(
    logs: Any, pipe: Any, prompts: tuple[str, ...], side: int, config: TrainConfig, step: int
) -> list[Any]:
    import numpy as np

    pictures = draw_samples(pipe, prompts, side, config)
    for index, (prompt, picture) in enumerate(zip(prompts, pictures, strict=True)):
        logs.add_image(f"samples/{index:02} {prompt}", np.asarray(picture), step, dataformats="HWC")
    return pictures
