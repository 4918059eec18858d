"""All that draws the pictures of a request, described but not loaded: it can be taken to another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generation.adapters import Adapter
from generation.easel import Easel, canvas_for
from generation.loading import editing_pipeline
from generation.means import Means
from generation.source import Source
from generation.video import VideoEasel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from provenance.base import BaseModel


@dataclass(frozen=True)
class Recipe:
    """A base, what is put on it, and what pictures begin from.

    ``marks_noise`` puts payloads into the initial noise; ``wordless`` is for the frames of a video. The adapter holds
    weights in clear: a recipe is kept in memory, and sent nowhere but encrypted.
    """

    base: BaseModel
    adapter: Adapter | None
    scheduler: str
    adapter_scale: float
    means: Means
    marks_noise: bool
    source: Source | None = None
    strength: float | None = None
    wordless: bool = False

    def easel(self, load: Callable[..., Any], sample: Callable[..., list[NDArray[np.uint8]]]) -> Easel | VideoEasel:
        """Loads everything; ``load`` is ``load_pipeline``, ``sample`` is ``generation.sampling.sample``."""
        pipeline = load(self.base, self.adapter, self.scheduler, self.adapter_scale, self.means)
        scale, always = self.base.output_scale, self.means.batch_size if self.means.compiled else 1
        if self.source is None:
            return Easel(pipeline, sample, scale, marks_noise=self.marks_noise, always=always)
        canvas = canvas_for(pipeline, self.source, scale)
        if self.wordless:
            return VideoEasel(pipeline, canvas)
        editing = editing_pipeline(pipeline, self.source.mask is not None)
        return Easel(editing, sample, scale, canvas, self.strength, always=always)
