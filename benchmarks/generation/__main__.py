"""What a picture's history costs beside drawing it: ``python -m benchmarks.generation --base FOLDER``."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generation.stages import Desk
from generation.loading import drawing_device, load_pipeline
from generation.means import Means
from generation.order import generate
from generation.request import GenerationRequest
from generation.sampling import Sampling, sample, usual_guidance
from provenance.base import BaseModel, resolve_base
from provenance.journal import Journal
from provenance.setup import set_up
from safety.content import open_content_filter
from safety.policy import open_policy

PROMPT = "a red fish in the desert"


def measure(base: BaseModel, steps: int, pictures: int, batch: int, sides: list[int]) -> dict[str, Any]:
    """Sampling and each stage alone in processor time, whole runs by the clock: milliseconds a picture."""
    pipeline, how = load_pipeline(base, None, means=Means(batch)), Sampling(steps, usual_guidance(base))
    drawn: list[Any] = []

    def draw(count: int) -> None:
        drawn[:] = sample(pipeline, [PROMPT] * count, list(range(count)), how, base.output_scale)

    draw(batch)
    rounds = max(3, pictures // batch)
    sampling = statistics.median(_taken(lambda: draw(batch), time.process_time) for _ in range(rounds)) / batch
    with tempfile.TemporaryDirectory() as folder:
        home = set_up(Path(folder) / "home", name="Bench").home
        content_filter = open_content_filter(open_policy(None, base.id), base.id, drawing_device())
        with closing(Journal.of_home(home)) as journal:
            desk = Desk.of(home, journal, content_filter, base.digest)
            stages = {
                side: desk.timed([_enlarged(drawn[n % batch], side) for n in range(pictures + 1)], Path(folder))
                for side in sides
            }
        request = GenerationRequest((PROMPT,) * pictures, base=base.id, seed=1, steps=steps)
        means = Means(batch)
        generate(request, home=home, out=Path(folder) / "warm", means=means)
        whole = _taken(lambda: generate(request, home=home, out=Path(folder) / "out", means=means)) / pictures
    return {
        "device": drawing_device(),
        "base": base.id,
        "steps": steps,
        "batch": batch,
        "side": drawn[0].shape[0],
        "sampling_ms": sampling,
        "stages_ms": {side: {**asdict(found), "total": found.total} for side, found in stages.items()},
        "whole_run_ms": whole,
    }


def _taken(task: Callable[[], object], now: Callable[[], float] = time.perf_counter) -> float:
    began = now()
    task()
    return 1000 * (now() - began)


def _enlarged(picture: Any, side: int) -> Any:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def main() -> None:
    """Reads the flags, measures and prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    parser.add_argument("--base", default="starter", help="a base as for prov generate")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("-n", "--pictures", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024])
    flags = parser.parse_args()
    found = measure(resolve_base(flags.base), flags.steps, flags.pictures, flags.batch_size, flags.sides)
    json.dump(found, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
