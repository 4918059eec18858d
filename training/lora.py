"""Signed dataset in, signed LoRA adapter out: the one training loop, from top to bottom.

LoRA: arXiv:2106.09685. Latent diffusion: arXiv:2112.10752. The adapter lies on the UNet; everything else is frozen.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.base import BaseModel
from provenance.errors import UsageError
from provenance.moments import format_moment, utc_now
from provenance.screening.screens import ScreeningChoice
from training.attestation import Run
from training.checkpoint import Checkpoint, forget_after, forget_older
from training.config import TrainConfig
from training.curve import write_curve
from training.dataset.latent_store import LatentStore
from training.errors import CheckpointError, LossNotFinite, TrainingError, TrainingInterrupted
from training.interruption import interruption
from training.launching import joined
from training.loop import apply_gradients, compute_gradients
from training.private.gradients import private_gradients
from training.release import write_release
from training.replay.chain import Binding, Taken, Trail
from training.replay.snapshots import SNAPSHOTS, save_snapshot
from training.replay.stack import stack_of
from training.samples import draw_samples, sample_prompts
from training.screening import KEPT, require_screened
from training.setup import Setup, device_of, set_up, torch_settings
from training.trackers import Trackers, open_trackers
from training.validation import held_out_paths, validation_loss
from training.watch import Watch, Watched, overfitting_from

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest
    from provenance.identity import Issuer
    from provenance.manifest import DatasetManifest

CHECKPOINTS, BEST = "checkpoints", "best"


@dataclass(frozen=True)
class Progress:
    """How far a training is: the stage (screening, reading, training, sampling, signing), and in training the loss.

    ``validation`` is the last loss over the pictures held out, where there are any.
    """

    stage: str
    done: int
    total: int
    loss: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    validation: float | None = None


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
    store: LatentStore | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> AdapterManifest:
    """Screens a verified dataset, trains a LoRA adapter on it and writes a signed adapter release.

    Checkpoints, logs, the loss curve and snapshots for replay lie beside the release, in ``<release>.work/``, from
    where ``resume`` goes on, to the same bits and the same replay chain on one thread or in deterministic mode. With
    ``patience``, the weights of the least validation loss are released and the chain ends there. Raises
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
        prompts=config.prior_prompts,
    )
    with torch_settings(config, device) as threads, joined(manifest, base, config, device, threads) as ranks:
        stack = stack_of(device, threads, config)
        kept = None if store is None or config.deterministic else store.for_run(base.digest, stack)
        setup = set_up(
            manifest, base, config, device, work, lambda d, n: report(Progress("reading", d, n)), ranks, kept
        )
        prompts = sample_prompts(config, [record.caption for record in manifest.records])
        losses: list[float] = []
        watch = Watch()
        resumed_at: tuple[int, ...] = ()
        if checkpoint is None:
            shutil.rmtree(work / SNAPSHOTS, ignore_errors=True)
            shutil.rmtree(work / BEST, ignore_errors=True)
            trail = Trail.begin(binding, config.segment_steps, *setup.state().digests(), stack)
        else:
            setup.restore(checkpoint.state)
            trail = checkpoint.trail.goes_on(stack)
            started, losses, watch = checkpoint.started, list(checkpoint.losses), checkpoint.watch
            forget_after(work / BEST, checkpoint.step)
            resumed_at = (*checkpoint.resumed_at, checkpoint.step)

        take: Callable[[int], Taken] = partial(compute_gradients, setup)
        if config.dp_epsilon:
            take = private_gradients(setup, work / CHECKPOINTS, resumed=checkpoint is not None)

        def checkpoint_of(step: int) -> Checkpoint:
            return Checkpoint(binding, step, setup.state(), trail, tuple(losses), started, resumed_at, watch)

        def save(step: int) -> None:
            checkpoint_of(step).save(work / CHECKPOINTS)
            forget_older(work / BEST, work / CHECKPOINTS)

        first, loop_clock = len(losses), time.monotonic()
        with open_trackers(work, config, name or release.name, first) as trackers, interruption() as interrupted:
            for step in range(first, config.steps):
                if watch.is_out_of(config.patience):
                    break
                taken = take(step)
                if not math.isfinite(taken.loss):
                    if step > 0:
                        save(step)
                    raise LossNotFinite(
                        f"the loss became {taken.loss} at step {step + 1}",
                        expected="a finite number",
                        found=f"learning_rate = {config.learning_rate:g}, precision = {config.precision}",
                        fix=f"lower `learning_rate` or use fp32; the last good step is kept in {work / CHECKPOINTS}",
                    )
                apply_gradients(setup, step)

                losses.append(taken.loss)
                done = step + 1
                trail = trail.after(taken)
                if trail.is_due(config.steps):
                    trail = trail.linked(*setup.state().digests())
                    if config.replay_snapshots:
                        save_snapshot(work / SNAPSHOTS, done, setup.state())

                if setup.cache.held_out and (done % config.validate_steps == 0 or done == config.steps):
                    watch = watch.after(done, _validation(setup, done))
                    trackers.scalars({"validation loss": watch.points[-1][1]}, done)
                    if config.patience and watch.is_best:
                        checkpoint_of(done).save(work / BEST, keep=None)

                elapsed = time.monotonic() - loop_clock
                rate = (done - first) * config.batch_size * config.accumulate / elapsed
                left = elapsed / (done - first) * (config.steps - done)
                validated = watch.points[-1][1] if watch.points else None
                report(Progress("training", done, config.steps, taken.loss, rate, left, validated))
                trackers.scalars({"loss": taken.loss, "learning rate": config.learning_rate_at(step)}, done)
                if config.sample_every and done % config.sample_every == 0 and done < config.steps:
                    _draw_samples(trackers, setup, prompts, done)
                if interrupted.is_set():
                    save(done)
                    raise TrainingInterrupted(
                        f"stopped after step {done} of {config.steps}",
                        fix="run the same command with --resume to go on",
                    )
                if done % config.checkpoint_every == 0 or done == config.steps:
                    save(done)

            stopped_at, all_losses = len(losses), tuple(losses)
            if config.patience:
                best = _restore_best(setup, work / BEST, binding)
                trail, losses = best.trail, list(best.losses)
            write_curve(work / "curve.png", all_losses, watch, len(losses))
            report(Progress("sampling", 0, len(prompts)))
            pictures = _draw_samples(trackers, setup, prompts, stopped_at)
        report(Progress("sampling", len(pictures), len(prompts)))

    report(Progress("signing", 0, 1))
    overfits = overfitting_from(watch, all_losses)
    watched = Watched(watch, held_out_paths(manifest, config), overfits, stopped_at) if watch.points else None
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
        watched=watched,
    )
    samples = tuple(zip(prompts, pictures, strict=True))
    signed = write_release(
        release, setup.state().released, samples, manifest, base, config, run, screened, trail, issuer
    )
    shutil.rmtree(work / CHECKPOINTS, ignore_errors=True)
    shutil.rmtree(work / BEST, ignore_errors=True)
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
    checkpoint = Checkpoint.latest(work / CHECKPOINTS, binding) if resume else None
    if resume and checkpoint is None:
        raise CheckpointError(f"there is nothing to resume in {work / 'checkpoints'}", fix="run again without --resume")
    if not resume and any((work / CHECKPOINTS).glob("step-*.safetensors")):
        raise UsageError(
            f"an unfinished training lies in {work}",
            fix="go on with it by --resume, or delete that folder to begin anew",
        )
    return checkpoint


def _validation(setup: Setup, step: int) -> float:
    with setup.as_released():
        loss = validation_loss(setup)
    if not math.isfinite(loss):
        raise LossNotFinite(
            f"the validation loss became {loss} after step {step}",
            expected="a finite number",
            fix="lower `learning_rate` or use fp32",
        )
    return loss


def _restore_best(setup: Setup, folder: Path, binding: Binding) -> Checkpoint:
    """Goes back to the state of the least validation loss."""
    best = Checkpoint.latest(folder, binding)
    if best is None:
        raise CheckpointError(f"the best state of this training is missing from {folder}", fix="train it again")
    setup.restore(best.state)
    return best


def _draw_samples(trackers: Trackers, setup: Setup, prompts: tuple[str, ...], step: int) -> list[Any]:
    import numpy as np

    with setup.as_released():
        pictures = draw_samples(setup, prompts)
    named = zip(prompts, pictures, strict=True)
    trackers.pictures(
        {f"samples/{i:02} {prompt}": np.asarray(picture) for i, (prompt, picture) in enumerate(named)}, step
    )
    return pictures
