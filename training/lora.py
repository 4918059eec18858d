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
from training.checkpoint import Checkpoint
from training.config import TrainConfig
from training.errors import CheckpointError, LossNotFinite, TrainingError, TrainingInterrupted
from training.interruption import interruption
from training.loop import apply_gradients, compute_gradients
from training.release import write_release
from training.replay_chain import Binding, Trail
from training.replay_snapshots import SNAPSHOTS, save_snapshot
from training.replay_stack import stack_of
from training.samples import draw_samples, sample_prompts
from training.screening import KEPT, require_screened
from training.setup import Setup, device_of, set_up, torch_settings

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

    Checkpoints, TensorBoard logs and snapshots for replay lie beside the release, in ``<release>.work/``, from where
    ``resume`` goes on, to the same bits and the same replay chain on one thread or in deterministic mode. Raises
    TrainingError, DatasetBlocked, CheckpointError, LossNotFinite, TrainingInterrupted or ScreeningInterrupted.
    """
    started, clock, processor = format_moment(utc_now()), time.monotonic(), time.process_time()
    report = progress or (lambda _: None)
    work = release.with_name(f"{release.name}.work")
    binding = Binding(base=base.digest, config=config.digest, dataset=manifest.digest)
    check_choices(manifest)
    checkpoint = _starting_point(release, work, binding, resume)

    device = device_of(config)
    screened = require_screened(
        manifest,
        base.id,
        screening,
        device=device,
        work=work,
        progress=lambda done, total: report(Progress("screening", done, total)),
    )
    with torch_settings(config, device) as threads:
        setup = set_up(manifest, base, config, device, work, lambda d, n: report(Progress("reading", d, n)))
        prompts = sample_prompts(config, [record.caption for record in manifest.records])
        stack = stack_of(device, threads, config)
        losses: list[float] = []
        resumed_at: tuple[int, ...] = ()
        if checkpoint is None:
            shutil.rmtree(work / SNAPSHOTS, ignore_errors=True)
            trail = Trail.begin(binding, config.segment_steps, *setup.state().digests(), stack)
        else:
            setup.restore(checkpoint.state)
            trail = checkpoint.trail.goes_on(stack)
            started, losses = checkpoint.started, list(checkpoint.losses)
            resumed_at = (*checkpoint.resumed_at, checkpoint.step)

        def save(step: int) -> None:
            state = Checkpoint(binding, step, setup.state(), trail, tuple(losses), started, resumed_at)
            state.save(work / "checkpoints")

        first, loop_clock = len(losses), time.monotonic()
        with _logs(work / "tensorboard", first) as logs, interruption() as interrupted:
            for step in range(first, config.steps):
                taken = compute_gradients(setup, step)
                if not math.isfinite(taken.loss):
                    if step > 0:
                        save(step)
                    raise LossNotFinite(
                        f"the loss became {taken.loss} at step {step + 1}",
                        expected="a finite number",
                        found=f"learning_rate = {config.learning_rate:g}, precision = {config.precision}",
                        fix=f"lower `learning_rate` or use fp32; the last good step is kept in {work / 'checkpoints'}",
                    )
                apply_gradients(setup, step)

                losses.append(taken.loss)
                done = step + 1
                trail = trail.after(taken)
                if trail.is_due(config.steps):
                    trail = trail.linked(*setup.state().digests())
                    if config.replay_snapshots:
                        save_snapshot(work / SNAPSHOTS, done, setup.state())

                elapsed = time.monotonic() - loop_clock
                rate = (done - first) * config.batch_size * config.accumulate / elapsed
                left = elapsed / (done - first) * (config.steps - done)
                report(Progress("training", done, config.steps, taken.loss, rate, left))
                logs.add_scalar("loss", taken.loss, done)
                logs.add_scalar("learning rate", config.learning_rate_at(step), done)
                if config.sample_every and done % config.sample_every == 0 and done < config.steps:
                    _log_samples(logs, setup, prompts, done)
                if interrupted.is_set():
                    save(done)
                    raise TrainingInterrupted(
                        f"stopped after step {done} of {config.steps}",
                        fix="run the same command with --resume to go on",
                    )
                if done % config.checkpoint_every == 0 or done == config.steps:
                    save(done)

            report(Progress("sampling", 0, len(prompts)))
            pictures = _log_samples(logs, setup, prompts, config.steps)
        report(Progress("sampling", len(pictures), len(prompts)))

    report(Progress("signing", 0, 1))
    run = Run(
        name=name or release.name,
        started=started,
        finished=format_moment(utc_now()),
        seconds=time.monotonic() - clock,
        processor_seconds=time.process_time() - processor,
        device=device,
        threads=threads,
        side=setup.family.side,
        prediction=setup.family.noising.prediction,
        losses=tuple(losses),
        resumed_at=resumed_at,
        noising=setup.family.noising.facts(),
    )
    samples = tuple(zip(prompts, pictures, strict=True))
    signed = write_release(
        release, setup.state().released, samples, manifest, base, config, run, screened, trail, issuer
    )
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    (work / KEPT).unlink(missing_ok=True)
    report(Progress("signing", 1, 1))
    return signed


def check_choices(manifest: DatasetManifest) -> None:
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


@contextmanager
def _logs(folder: Path, first_step: int) -> Iterator[Any]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=first_step + 1 if first_step else None) as writer:
        yield writer


def _log_samples(logs: Any, setup: Setup, prompts: tuple[str, ...], step: int) -> list[Any]:
    import numpy as np

    with setup.as_released():
        pictures = draw_samples(setup, prompts)
    for index, (prompt, picture) in enumerate(zip(prompts, pictures, strict=True)):
        logs.add_image(f"samples/{index:02} {prompt}", np.asarray(picture), step, dataformats="HWC")
    return pictures
