"""`prov bench train`: our trainer and the example of diffusers in turn, on one base, one dataset and one plan."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bases import SHAPES, save_base
from benchmarks.training.data import TRAINED, write_pictures
from benchmarks.training.judging import validation_loss
from benchmarks.training.plan import Asked, Plan, Timing
from benchmarks.training.runs import EXAMPLE, example_in, run_example, run_ours
from provenance.base import STARTER, resolve_base
from provenance.canonical import Json
from provenance.errors import UsageError
from training.replay.stack import processor, version

if TYPE_CHECKING:
    from benchmarks.training.data import Pictures

OURS, THEIRS = "prov", "diffusers example"


def run(
    checkout: Path, shape: str, precision: str, work: Path, asked: Asked, progress: Callable[[int, int], None]
) -> Json:
    """Trains with both in turn, and gives rates, ratios, memory and validation losses."""
    script = example_in(checkout)
    base, side = _base(shape, work)
    pictures = write_pictures(work / f"pictures-{side}", side)
    plan = Plan(
        base=base.absolute(),
        pictures=pictures.folder.absolute(),
        side=side,
        steps=asked.steps,
        batch_size=asked.batch_size,
        precision=precision,
        threads=asked.threads,
        compiled=asked.compiled,
    )
    taken: dict[str, list[Timing]] = {OURS: [], THEIRS: []}
    with tempfile.TemporaryDirectory(dir=work) as rounds:
        for number in range(asked.rounds):
            # Each goes first in every other round, so that a machine that warms up or slows down favours neither.
            for name in (OURS, THEIRS) if number % 2 == 0 else (THEIRS, OURS):
                out = Path(rounds).absolute() / str(number) / name.split()[0]
                ours = name == OURS
                taken[name].append(run_ours(plan, out, asked) if ours else run_example(plan, out, asked, script))
                progress(sum(len(each) for each in taken.values()), 2 * asked.rounds)
        return _figures(plan, shape, asked.device, taken, pictures)


def _base(shape: str, work: Path) -> tuple[Path, int]:
    if shape == STARTER:
        return resolve_base(STARTER).folder, 128
    if shape not in SHAPES:
        raise UsageError(f"{shape} is no shape of base", expected=", ".join([*SHAPES, STARTER]))
    return save_base(work / f"base-{shape}", SHAPES[shape]), SHAPES[shape].side


def _figures(plan: Plan, shape: str, device: str, taken: dict[str, list[Timing]], pictures: Pictures) -> Json:
    rates = {name: [each.images_per_second for each in runs] for name, runs in taken.items()}
    ratios = [ours / theirs for ours, theirs in zip(rates[OURS], rates[THEIRS], strict=True)]
    losses = {name: validation_loss(plan.base, runs[0].adapter, pictures) for name, runs in taken.items()}
    return {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system(), "device": device},
        "versions": {name: version(name) for name in ("prov", "torch", "diffusers", "peft", "accelerate")},
        "example": str(EXAMPLE),
        "base": shape,
        "rounds": len(ratios),
        "plan": {k: v for k, v in plan.to_json().items() if k not in ("base", "pictures")} | {"pictures": TRAINED},
        "systems": {
            name: {
                "images_per_second": _spread(rates[name]),
                "whole_seconds": _spread([each.seconds for each in runs]),
                "peak_bytes": _spread([each.peak_bytes for each in runs]),
                "device_peak_bytes": runs[0].device_peak_bytes,
                "validation_loss": losses[name],
            }
            for name, runs in taken.items()
        },
        "base_validation_loss": validation_loss(plan.base, None, pictures),
        "ratio": _spread(ratios),
    }


def _spread(values: list[float] | list[int]) -> Json:
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}
