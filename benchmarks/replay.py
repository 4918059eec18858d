"""Cheats in every segment of a training, and kills trainings: `python -m benchmarks.replay`.

A dishonest trainer cheats once in each segment (see ``CHEATS``), and makes and signs a chain that holds together over
what came of it. Each segment is then replayed on its own, from its snapshot: how many are found, and how many of an
honest training's are found wrongly? Then trainings end by SIGKILL after random steps and are resumed: are adapter and
chain those of a training that was left alone? Last, what share of the loop the digests take. One CPU thread throughout.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from provenance.base import resolve_base
from provenance.canonical import Json
from provenance.dataset import sign_dataset, verify_dataset
from provenance.home import Home
from provenance.identity import create_issuer, load_issuer
from provenance.trust import TrustStore
from training import loop, lora
from training.batch import Batch, draw_batch
from training.config import TrainConfig
from training.lora import Progress, train
from training.replay.chain import NAME, Chain, Link, Taken
from training.replay.digests import batch_tensors, random_digest, tensors_digest
from training.replay.executing import Replayed, replay
from training.replay.record import Recorded, read_recorded
from training.replay.snapshots import SNAPSHOTS
from training.state import State

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest
    from training.setup import Setup

PICTURES = 4
# These change the state a segment ends in, so they are done in its last step: what follows could round them away.
AT_THE_END = ("weight", "moment")
CHEATS = ("batch", "noise", "learning rate", "weight decay", "skipped", "doubled", "loss", "link", *AT_THE_END)
SMALL = TrainConfig(
    batch_size=1, rank=2, alpha=2.0, learning_rate=1e-3, final_learning_rate=1e-4, warmup_steps=1, lora_dropout=0.1,
    size=64, threads=1, sample_count=0, kohya=False, replay_snapshots=True,
)  # fmt: skip


@contextmanager
def cheating(by_step: Mapping[int, str]) -> Iterator[None]:
    """A trainer that cheats in some steps; replay, which has its own names for these functions, does not."""
    compute, apply = loop.compute_gradients, loop.apply_gradients

    def draw(family: Any, cache: Any, config: TrainConfig, step: int, part: int) -> Batch:
        if by_step.get(step) == "batch":
            return draw_batch(family, cache, config, step + 1, part)
        batch = draw_batch(family, cache, config, step, part)
        return replace(batch, noisy=_nudged(batch.noisy)) if by_step.get(step) == "noise" else batch

    def gradients(setup: Setup, step: int) -> Taken:
        taken = compute(setup, step)
        return replace(taken, loss=taken.loss * 0.999) if by_step.get(step) == "loss" else taken

    def update(setup: Setup, step: int) -> None:
        match by_step.get(step):
            case "learning rate":
                rate = setup.config.learning_rate
                apply(replace(setup, config=replace(setup.config, learning_rate=rate * 1.01)), step)
            case "weight decay":
                (group,) = setup.optimiser.param_groups
                group["weight_decay"] *= 2
                apply(setup, step)
                group["weight_decay"] /= 2
            case "skipped":
                setup.optimiser.zero_grad(set_to_none=True)
            case "doubled":
                apply(setup, step)
                compute(setup, step)
                apply(setup, step)
            case "weight" | "moment" as which:
                apply(setup, step)
                last = next(reversed(setup.parameters.values()))
                target = last if which == "weight" else setup.optimiser.state[last]["exp_avg"]
                target.data.copy_(_nudged(target.data))
            case _:
                apply(setup, step)

    with (
        patch.object(loop, "draw_batch", draw),
        patch.object(lora, "compute_gradients", gradients),
        patch.object(lora, "apply_gradients", update),
    ):
        yield


def forged(recorded: Recorded, segment: int) -> Recorded:
    """The same training with another adapter named in one link, and every digest after it made anew, up to the head."""
    chain = recorded.chain
    links = list(chain.links[: segment + 1])
    for index, link in enumerate(chain.links[segment + 1 :], segment + 1):
        parts = replace(link.parts, adapter="ab" * 32) if index == segment + 1 else link.parts
        links.append(Link.after(links[-1].digest, link.step, parts))
    return replace(recorded, chain=Chain.over(chain.every, tuple(links), chain.sessions, chain.released))


def _nudged(tensor: Any) -> Any:
    """A copy whose first number is the next larger one that float32 can hold."""
    import torch

    changed = tensor.detach().clone()
    first = changed.reshape(-1)[:1]
    first.copy_(torch.nextafter(first, torch.full_like(first, torch.inf)))
    return changed


class Place:
    """Home, dataset and results of one measurement, found again by its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.dataset = folder, folder / "home", folder / "dataset"

    def set_up(self) -> None:
        """Makes an identity and signs a few drawings."""
        from generation.starter.demo_dataset import write_demo_dataset

        issuer = create_issuer(Home.create(self.home), "Replay benchmark")
        drawn = write_demo_dataset(self.folder / "drawings")
        for picture in drawn[PICTURES:]:
            picture.unlink()
            picture.with_suffix(".txt").unlink()
        sign_dataset(self.folder / "drawings", self.dataset, issuer=issuer, licence="CC0-1.0", holder="Nobody")

    def train(self, name: str, config: TrainConfig, **options: Any) -> AdapterManifest:
        """Trains on the embedded model."""
        issuer = load_issuer(Home.open(self.home))
        manifest = verify_dataset(self.dataset, TrustStore(frozenset({issuer.root_digest})))
        release, base = self.folder / name, resolve_base("starter")
        # One name in every file's metadata: equal trainings give equal files.
        return train(manifest, base, config, release, issuer=issuer, name="drawings", **options)

    def replay(self, recorded: Recorded, chosen: tuple[int, ...]) -> Replayed:
        """Replays some segments from the snapshots that a training left beside its release."""
        release = recorded.adapter.root
        assert release is not None
        manifest = verify_dataset(self.dataset, TrustStore(frozenset({recorded.adapter.issuer.root_digest})))
        kept = release.with_name(f"{release.name}.work") / SNAPSHOTS
        return replay(recorded, manifest, resolve_base("starter"), chosen, snapshots=kept)


def tampering(place: Place, segments: int, every: int, draw: random.Random, say: Callable[[str], None]) -> Json:
    """Cheats once in each of ``segments`` segments and replays each; and as many of an honest training."""
    config = replace(SMALL, steps=segments * every, replay_every=every)
    honest = read_recorded(place.train("honest", config))
    say("honest training done")
    clean = place.replay(honest, tuple(range(segments)))
    kinds = [CHEATS[i % len(CHEATS)] for i in range(segments)]
    draw.shuffle(kinds)
    steps = [s * every + (every - 1 if kind in AT_THE_END else draw.randrange(every)) for s, kind in enumerate(kinds)]
    with cheating({step: kind for step, kind in zip(steps, kinds, strict=True) if kind != "link"}):
        dishonest = read_recorded(place.train("dishonest", config))
    say("dishonest training done")
    found: Counter[str] = Counter()
    parts: dict[str, set[str]] = {}
    missed = []
    for segment, kind in enumerate(kinds):
        made = place.replay(forged(dishonest, segment) if kind == "link" else dishonest, (segment,))
        if made.mismatch is not None and made.mismatch.segment == segment and made.exit_code == 1:
            found[kind] += 1
            parts.setdefault(kind, set()).update(made.mismatch.parts)
        else:
            missed.append({"segment": segment, "kind": kind})
        if segment % 10 == 9:
            say(f"{sum(found.values())} of {segment + 1} found")
    return {
        "tampered": segments,
        "found": sum(found.values()),
        "missed": missed,
        "by_kind": {kind: f"{found[kind]} of {kinds.count(kind)}" for kind in CHEATS},
        "parts_by_kind": {kind: sorted(each) for kind, each in sorted(parts.items())},
        "honest_segments": len(clean.executed),
        "honest_verdict": clean.verdict,
        "honest_release_agrees": clean.released_agrees,
    }


def _die_at(step: int) -> Callable[[Progress], None]:
    def end(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return end


def _child(folder: Path, name: str, config: TrainConfig, die_at: int, resume: bool) -> None:
    Place(folder).train(name, config, resume=resume, progress=_die_at(die_at))


def kills(place: Place, count: int, draw: random.Random, say: Callable[[str], None]) -> Json:
    """Ends trainings by SIGKILL after random steps and resumes them; compares weights and chains with a whole one."""
    config = replace(SMALL, steps=24, replay_every=5, checkpoint_every=4)
    whole = place.train("whole", config)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "diffusers", "peft", "training.lora"])
    same_weights, same_chain, points = 0, 0, []
    for index in range(count):
        name, step = f"killed-{index:02}", draw.randrange(config.checkpoint_every + 1, config.steps + 1)
        child = context.Process(target=_child, args=(place.folder, name, config, step, False))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL, f"the training was not killed but ended with {child.exitcode}"
        resumed = place.train(name, config, resume=True)
        same_weights += resumed.weights_digest == whole.weights_digest
        same_chain += _chain(resumed) == _chain(whole)
        points.append(step)
        if index % 5 == 4:
            say(f"{same_weights} of {index + 1} resumed to the same bits")
    return {"kills": count, "same_weights": same_weights, "same_chain": same_chain, "killed_after_steps": points}


def _chain(adapter: AdapterManifest) -> Any:
    return next(b["annotations"] for b in adapter.predicate["runDetails"]["byproducts"] if b["name"] == NAME)


def overhead(place: Place, steps: int) -> Json:
    """The share of the training loop that digests take, with the settings of `prov train` on the embedded model."""
    demo = TrainConfig.load(resolve_base("starter").folder.parent / "demo_train.toml")
    spent = {"batch": 0.0, "random": 0.0, "state": 0.0}

    def timed(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent[what] += time.perf_counter() - started

        return run

    moments: list[float] = []
    with (
        patch.object(loop, "batch_tensors", timed("batch", batch_tensors)),
        patch.object(loop, "tensors_digest", timed("batch", tensors_digest)),
        patch.object(loop, "random_digest", timed("random", random_digest)),
        patch.object(State, "digests", timed("state", State.digests)),
    ):
        place.train(
            "overhead",
            replace(demo, steps=steps, warmup_steps=2, sample_every=0, sample_count=0, checkpoint_every=steps),
            progress=lambda p: moments.append(time.perf_counter()) if p.stage == "training" else None,
        )
    loop_seconds = (moments[-1] - moments[0]) * steps / (steps - 1)
    return {
        "steps": steps,
        "every": demo.segment_steps,
        "seconds_per_step": round(loop_seconds / steps, 4),
        "milliseconds_per_step": {what: round(1000 * seconds / steps, 3) for what, seconds in spent.items()},
        "share": round(sum(spent.values()) / loop_seconds, 4),
    }


def main() -> None:
    """Runs the three measurements and prints them as JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--segments", type=int, default=100)
    options.add_argument("--every", type=int, default=2, help="steps in a segment")
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--steps", type=int, default=100, help="steps of the training whose digests are timed")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path)
    chosen = options.parse_args()
    draw, started = random.Random(chosen.seed), time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.set_up()
        result = {
            "tampering": tampering(place, chosen.segments, chosen.every, draw, say),
            "kills": kills(place, chosen.kills, draw, say),
            "overhead": overhead(place, chosen.steps),
            "machine": f"{platform.machine()}, one thread",
            "seed": chosen.seed,
            "seconds": round(time.monotonic() - started),
        }
    text = json.dumps(result, indent=2)
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
