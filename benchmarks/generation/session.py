"""`prov bench generate`: what a history costs. The same pictures by diffusers alone, and by `prov generate`.

Both draw with one scheduler, number of steps, guidance and batch size, in one process, in turn. What comes on top in
`prov generate`: licence, prompt filter, marked noise, watermark and its check, content filter, credentials, record.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bases import SHAPES, save_base
from benchmarks.lenient_policy import lenient_policy
from generation.loading import drawing_device, load_pipeline
from generation.means import Means
from generation.order import generate
from generation.request import GenerationRequest
from generation.sampling import Sampling, sample
from generation.schedulers import DEFAULT
from provenance.base import STARTER, BaseModel, resolve_base
from provenance.canonical import Json
from provenance.errors import UsageError
from provenance.setup import set_up
from training.replay.stack import processor, version

# Functions of `generation.finishing`, and what a table calls them.
STAGES = {"embed_verified": "mark", "screen_all_or_refuse": "screen", "finish_image": "sign", "deliver_image": "record"}
PROMPTS = ("a red fish in the desert", "a blue house at night", "a green tree by the sea", "a yellow star in a meadow")


@dataclass(frozen=True)
class Asked:
    """How many pictures of each base are drawn, and how."""

    pictures: int
    steps: int
    guidance: float
    batch_size: int
    rounds: int
    threads: int


def run(shape: str, work: Path, asked: Asked, progress: Callable[[int, int], None]) -> Json:
    """Draws with both sides in turn, ``rounds`` times; gives images a second, their ratio and what stages cost."""
    base = _base(shape, work)
    home = set_up(work / f"home-{os.getpid()}-{shape}").home
    policy = work / "policy.yaml"
    policy.write_bytes(lenient_policy())
    rates: dict[str, list[float]] = {"diffusers": [], "prov": []}
    stages: dict[str, float] = {}
    with _threads(asked.threads):
        for number in range(asked.rounds):
            out = work / f"images-{os.getpid()}-{shape}-{number}"
            rates["diffusers"].append(_plain(base, asked))
            rates["prov"].append(_whole(base, home, policy, out, asked, stages))
            progress(number + 1, asked.rounds)
    ratios = [whole / plain for whole, plain in zip(rates["prov"], rates["diffusers"], strict=True)]
    each = asked.pictures * asked.rounds
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "device": _device_name(),
        },
        "versions": {name: version(name) for name in ("prov", "torch", "diffusers", "open_clip_torch", "c2pa-python")},
        "base": shape,
        "pictures": asked.pictures,
        "steps": asked.steps,
        "guidance": asked.guidance,
        "batch_size": asked.batch_size,
        "threads": asked.threads,
        "images_per_second": {name: _spread(values) for name, values in rates.items()},
        "ratio": _spread(ratios),
        "stage_seconds_per_image": {name: seconds / each for name, seconds in sorted(stages.items())},
    }


def _base(shape: str, work: Path) -> BaseModel:
    if shape == STARTER:
        return resolve_base(STARTER)
    if shape not in SHAPES:
        raise UsageError(f"{shape} is no shape of base", expected=", ".join([*SHAPES, STARTER]))
    return resolve_base(str(save_base(work / f"base-{shape}", SHAPES[shape])))


def _prompts(asked: Asked) -> tuple[str, ...]:
    return tuple(PROMPTS[i % len(PROMPTS)] for i in range(asked.pictures))


def _plain(base: BaseModel, asked: Asked) -> float:
    """Images a second of the pipeline alone, after a first batch that pays for what is set up once."""
    pipeline, how = load_pipeline(base, None, DEFAULT), Sampling(asked.steps, asked.guidance)
    prompts = _prompts(asked)
    batches = [prompts[at : at + asked.batch_size] for at in range(0, len(prompts), asked.batch_size)]
    sample(pipeline, batches[0], range(len(batches[0])), how, base.output_scale)
    began = time.monotonic()
    for batch in batches:
        sample(pipeline, batch, range(len(batch)), how, base.output_scale)
    return len(prompts) / (time.monotonic() - began)


def _whole(base: BaseModel, home: Any, policy: Path, out: Path, asked: Asked, stages: dict[str, float]) -> float:
    """Images a second of `prov generate`, from the moment its first batch is drawn to the last file."""
    extra = asked.batch_size
    request = GenerationRequest(
        prompts=_prompts(asked) + PROMPTS[:1] * extra,
        base=str(base.folder),
        steps=asked.steps,
        guidance=asked.guidance,
        policy=None if base.id == STARTER else policy,
        seed=0,
        scheduler=DEFAULT,
    )
    done: list[float] = []
    with _timed(stages):
        made = generate(
            request,
            home=home,
            out=out,
            progress=lambda _done, _total: done.append(time.monotonic()),
            means=Means(batch_size=asked.batch_size),
        )
    if len(made.images) != len(request.prompts):
        raise UsageError("the benchmark's own pictures were blocked", found=made.blocked[0].reason)
    # The first batch is drawn before anything can overlap it; from its end on each batch has a whole turn.
    return (len(done) - extra) / (done[-1] - done[extra - 1])


@contextmanager
def _timed(stages: dict[str, float]) -> Iterator[None]:
    """Adds up the seconds that the stages after sampling take, on whichever thread they run."""
    from generation import finishing

    names = {
        "embed_verified": "mark",
        "screen_all_or_refuse": "screen",
        "finish_image": "sign",
        "deliver_image": "record",
    }
    before = {name: getattr(finishing, name) for name in names}

    def timing(name: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.monotonic()
            try:
                return before[name](*arguments, **options)
            finally:
                stages[STAGES[name]] = stages.get(STAGES[name], 0.0) + time.monotonic() - began

        return timed

    try:
        for name in STAGES:
            setattr(finishing, name, timing(name))
        yield
    finally:
        for name, function in before.items():
            setattr(finishing, name, function)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name() if drawing_device() == "cuda" else "cpu"


def _spread(values: list[float]) -> Json:
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}
