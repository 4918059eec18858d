"""Batches as they are planned, and the easel that draws them: a pipeline, its noise, and what pictures begin from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.latent_mark import marked_noise
from generation.picture_size import usual_size
from generation.sampling import Sampling
from generation.serials import Serials
from generation.source import Canvas, Source, stretched
from generation.wanted import Ask
from provenance.errors import UsageError
from provenance.record import Origin
from safety.watermark.pixel.backend import SMALLEST_SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 4


@dataclass(frozen=True)
class Plan:
    """One batch: what is asked for, and under which serials and payloads."""

    asks: tuple[Ask, ...]
    serials: tuple[int, ...]
    payloads: tuple[int, ...]


@dataclass(frozen=True)
class Pictures:
    """What was drawn for one plan, (H, W, 3) each, unmarked; ``nonces`` of the noise where that is marked."""

    pictures: tuple[NDArray[np.uint8], ...]
    nonces: tuple[int, ...] | None


def planned(batches: Iterable[list[Ask]], serials: Serials, origin: Origin) -> Iterator[Plan]:
    """Every batch with serials of its own, taken when it is its turn."""
    for asks in batches:
        numbers = serials.take(len(asks))
        yield Plan(tuple(asks), tuple(numbers), tuple(origin.payload(number) for number in numbers))


@dataclass(frozen=True)
class Easel:
    """Draws plans with one pipeline; ``sample`` is ``generation.sampling.sample``.

    ``marks_noise`` puts payloads into the initial noise of pictures that begin from nothing else. ``always`` is how
    many pictures are drawn even when fewer are asked for: what is compiled is compiled for a number of them.
    """

    pipeline: Any
    sample: Callable[..., list[NDArray[np.uint8]]]
    output_scale: int
    canvas: Canvas | None = None
    strength: float | None = None
    marks_noise: bool = False
    always: int = 1

    def draw(self, plan: Plan, stop: Event) -> Pictures:
        """The pictures of a plan; raises SamplingFailed, also once it is told to stop."""
        asks = plan.asks + plan.asks[-1:] * (self.always - len(plan.asks))
        payloads = plan.payloads + plan.payloads[-1:] * (len(asks) - len(plan.asks))
        seeds = [ask.seed for ask in asks]
        noise = marked_noise(self.pipeline, payloads, seeds) if self.marks_noise else None
        pictures = self.sample(
            self.pipeline,
            [ask.prompt for ask in asks],
            seeds,
            Sampling(asks[0].steps, asks[0].guidance, self.strength),
            self.output_scale,
            None if noise is None else noise.latents,
            [ask.negative for ask in asks if ask.negative is not None] or None,
            canvas=self.canvas,
            stop=stop,
        )
        return Pictures(tuple(pictures[: len(plan.asks)]), None if noise is None else noise.nonces[: len(plan.asks)])


def canvas_for(pipeline: Any, source: Source, output_scale: int) -> Canvas:
    """An input at the size that a pipeline draws at; raises UsageError for one that is far longer than wide."""
    size = source.picture.shape[:2]
    if max(size) > LONGEST * min(size):
        raise UsageError(
            "the input picture is too long for its width",
            expected=f"sides of at most {LONGEST} to 1",
            found=f"{size[1]} × {size[0]} px",
            fix="crop it",
        )
    # Smaller pictures carry no mark.
    shortest = math.ceil(SMALLEST_SIDE / output_scale)
    return stretched(source, usual_size(pipeline, size, shortest), output_scale)
