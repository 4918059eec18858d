"""Does a training give the bits again that were signed? Random segments of it, executed anew and compared.

The trainer signs a digest of every segment's end before anyone chooses which to repeat. What this shows is that the
segments that were repeated follow from the dataset, the base and the settings; it says nothing of the others.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.adapter_check import require_fitting
from provenance.base import BaseModel
from provenance.canonical import Json, sha256_hex
from provenance.errors import UsageError
from training.errors import ReplayRefused, ReplayUnavailable, TrainingInterrupted
from training.interruption import interruption
from training.loop import apply_gradients, compute_gradients
from training.lora import Progress
from training.release import adapter_files
from training.replay.chain import Chain, Parts, Taken, tensors_body
from training.replay.record import Recorded
from training.replay.snapshots import find_snapshots, load_snapshot
from training.replay.stack import Difference, differences, is_repeatable, stack_of
from training.setup import Setup, is_present, set_up, torch_settings
from training.validation import held_out_paths, validation_loss

if TYPE_CHECKING:
    from threading import Event

    from provenance.manifest import DatasetManifest
    from training.state import State

AGREES, DIFFERS, INCOMPARABLE = "agrees", "differs", "not comparable"
_EXIT_CODES = {AGREES: 0, DIFFERS: 1, INCOMPARABLE: 3}


@dataclass(frozen=True)
class Mismatch:
    """The first segment that came out otherwise: after ``first`` steps up to ``last``, and which parts differ.

    The state before the first step is called segment 0, from 0 to 0. ``certain`` is true when the same bits were to be
    expected: the segment ran on this very stack, and in a way that repeats.
    """

    segment: int
    first: int
    last: int
    parts: tuple[str, ...]
    certain: bool


@dataclass(frozen=True)
class Replayed:
    """What came of a replay. ``chosen`` are indices of segments, ``executed`` those that were run, in order.

    ``released_agrees`` says whether the released files are the last state; None when no replayed segment nor snapshot
    reaches it. ``stack`` is what differs between the stack of the last session and this one.
    """

    chosen: tuple[int, ...]
    executed: tuple[int, ...]
    segments: int
    steps: int
    stack: tuple[Difference, ...]
    repeatable: bool
    mismatch: Mismatch | None
    released_agrees: bool | None
    seconds: float

    @property
    def verdict(self) -> str:
        """``agrees``, ``differs`` (on the same stack), or ``not comparable`` (differs, on another stack)."""
        if self.released_agrees is False:
            return DIFFERS
        if self.mismatch is None:
            return AGREES
        return DIFFERS if self.mismatch.certain else INCOMPARABLE

    @property
    def exit_code(self) -> int:
        """0, 1 and 3 for the three verdicts."""
        return _EXIT_CODES[self.verdict]

    def to_json(self) -> Json:
        mismatch = self.mismatch
        return {
            "chosen": list(self.chosen),
            "executed": list(self.executed),
            "mismatch": None
            if mismatch is None
            else {
                "segment": mismatch.segment,
                "after_steps": [mismatch.first, mismatch.last],
                "parts": list(mismatch.parts),
                "certain": mismatch.certain,
            },
            "released_agrees": self.released_agrees,
            "repeatable": self.repeatable,
            "seconds": round(self.seconds, 1),
            "segments": self.segments,
            "stack": {each.name: {"recorded": each.recorded, "here": each.here} for each in self.stack},
            "steps": self.steps,
            "verdict": self.verdict,
        }


def choose_segments(total: int, wanted: str, draw: random.Random | None = None) -> tuple[int, ...]:
    """Picks ``wanted`` (``5%`` or a number, at least one) of ``total`` segments, rising; raises UsageError.

    Every segment is as likely as any other, whether or not its trainer kept a snapshot of it, and without ``draw`` the
    choice comes from the system's randomness: nobody can train so that a bad segment is passed over.
    """
    number, percent = wanted.removesuffix("%"), wanted.endswith("%")
    try:
        value = float(number) if percent else int(number)
    except ValueError:
        value = 0
    if not 0 < value <= (100 if percent else float("inf")):
        raise UsageError(
            "this is not a number of segments", expected="a share such as 5%, or a number from 1", found=wanted[:40]
        )
    count = max(1, round(total * value / 100)) if percent else min(int(value), total)
    return tuple(sorted((draw or random.SystemRandom()).sample(range(total), count)))


def plan_runs(chosen: Iterable[int], snapshots: Collection[int]) -> list[range]:
    """The segments to execute, in unbroken runs, each from the nearest state that is known before it: 0 always is."""
    runs: list[range] = []
    for segment in sorted(chosen):
        start = max(known for known in (0, *snapshots) if known <= segment)
        if runs and start <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, segment + 1)
        else:
            runs.append(range(start, segment + 1))
    return runs


def replay(
    recorded: Recorded,
    manifest: DatasetManifest,
    base: BaseModel,
    chosen: Sequence[int],
    *,
    snapshots: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Replayed:
    """Executes segments anew and compares each with its link, up to the first that differs.

    A segment begins at its snapshot, or, where there is none, is reached from the nearest one before or from the first
    step; every segment on the way is compared too. Raises UsageError when dataset or base are others,
    ReplayUnavailable when the device is not here, ReplayRefused for a wrong snapshot, or TrainingInterrupted.
    """
    started, report = time.monotonic(), progress or (lambda _: None)
    _require_same_inputs(recorded, manifest, base)
    require_fitting(recorded.adapter, base)
    if not is_present(recorded.device):
        raise ReplayUnavailable(
            f"the training ran on {recorded.device}, which this machine does not have",
            fix="replay it where there is one",
        )
    chain, config, device = recorded.chain, recorded.config, recorded.device
    files = find_snapshots(snapshots, chain)
    runs = plan_runs(chosen, files)
    executed: list[int] = []
    mismatch: Mismatch | None = None
    final: State | None = None

    with (
        torch_settings(config, device, recorded.threads) as threads,
        tempfile.TemporaryDirectory() as spill,
        interruption() as interrupted,
    ):
        here = stack_of(device, threads, config)
        setup = set_up(manifest, base, config, device, Path(spill), lambda d, n: report(Progress("reading", d, n)))
        counter = _Counter(sum(chain.links[run.stop].step - chain.links[run.start].step for run in runs), report)
        for index, parts in _states(setup, chain, runs, files, lambda step: _take(setup, step, counter, interrupted)):
            executed += [index - 1] if index > 0 else []
            differing = parts.differing(chain.links[index].parts) or _validated_otherwise(setup, recorded, index)
            if differing:
                segment = max(index - 1, 0)
                first, last = chain.links[segment].step, chain.links[index].step
                mismatch = Mismatch(segment, first, last, differing, _is_certain(recorded, segment, here))
                break
        if mismatch is None and executed[-1:] == [len(chain) - 1]:
            final = setup.state()
        elif len(chain) in files:
            final = load_snapshot(files[len(chain)], setup.parameters, chain, len(chain))
        released_agrees = None if final is None else _are_released(recorded, final)

    return Replayed(
        chosen=tuple(chosen),
        executed=tuple(executed),
        segments=len(chain),
        steps=counter.done,
        stack=differences(chain.sessions[-1].stack, here),
        repeatable=is_repeatable(device, recorded.threads, config),
        mismatch=mismatch,
        released_agrees=released_agrees,
        seconds=time.monotonic() - started,
    )


def _states(
    setup: Setup, chain: Chain, runs: Iterable[range], files: Mapping[int, Path], take: Callable[[int], Taken]
) -> Iterator[tuple[int, Parts]]:
    """What should be equal to links of the chain, with their indices: the initial state, and each segment's end."""
    yield 0, Parts.of((), *setup.state().digests())
    for run in runs:
        if run.start > 0:
            setup.restore(load_snapshot(files[run.start], setup.parameters, chain, run.start))
        for segment in run:
            taken = [take(step) for step in range(chain.links[segment].step, chain.links[segment + 1].step)]
            yield segment + 1, Parts.of(taken, *setup.state().digests())


def _validated_otherwise(setup: Setup, recorded: Recorded, index: int) -> tuple[str, ...]:
    """``("validation",)`` where the loss over the pictures held out is not the one that was signed for this link."""
    points = dict(recorded.watched.watch.points) if recorded.watched is not None else {}
    signed = points.get(recorded.chain.links[index].step)
    if signed is None:
        return ()
    with setup.as_released():
        return () if validation_loss(setup) == signed else ("validation",)


@dataclass
class _Counter:
    """How many of the steps to execute are done."""

    total: int
    report: Callable[[Progress], None]
    done: int = 0

    def count(self) -> None:
        self.done += 1
        self.report(Progress("replaying", self.done, self.total))


def _take(setup: Setup, step: int, counter: _Counter, interrupted: Event) -> Taken:
    taken = compute_gradients(setup, step)
    apply_gradients(setup, step)
    counter.count()
    if interrupted.is_set():
        raise TrainingInterrupted(
            f"the replay was stopped after {counter.done} of {counter.total} steps",
            fix="run it again; nothing is kept of it",
        )
    return taken


def _is_certain(recorded: Recorded, segment: int, here: dict[str, str]) -> bool:
    same = all(session.stack == here for session in recorded.chain.on_which(segment))
    return same and is_repeatable(recorded.device, recorded.threads, recorded.config)


def _are_released(recorded: Recorded, final: State) -> bool:
    files = adapter_files(final.released, recorded.config, {})
    return {name: sha256_hex(tensors_body(data)) for name, data in files.items()} == recorded.chain.released


def _require_same_inputs(recorded: Recorded, manifest: DatasetManifest, base: BaseModel) -> None:
    adapter = recorded.adapter
    for what, wanted, found in (
        ("dataset", adapter.dataset_digest, manifest.digest),
        ("base", adapter.base_digest, base.digest),
    ):
        if wanted != found:
            raise UsageError(f"this is not the {what} that the adapter was trained on", expected=wanted, found=found)
    held_out = held_out_paths(manifest, recorded.config)
    if recorded.watched is not None and recorded.watched.held_out != held_out:
        raise ReplayRefused(
            "other pictures were held out than dataset and settings lead to",
            expected=", ".join(held_out[:5]),
            found=", ".join(recorded.watched.held_out[:5]),
        )
