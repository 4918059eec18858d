"""Frames of Stable Video Diffusion: from one picture and no words, each frame a picture with a history of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.easel import Pictures, Plan
from generation.errors import SamplingFailed, told
from generation.request import GenerationRequest
from generation.sampling import checked_pictures, until
from generation.wanted import Wanted
from provenance.canonical import parse_json
from provenance.errors import UsageError
from provenance.files import read_file

if TYPE_CHECKING:
    from generation.source import Canvas
    from provenance.base import BaseModel

FAMILY, SCHEDULER = "svd", "euler"
MOST_FRAMES = 128
DECODED_AT_ONCE = 8


def require_words_or_none(request: GenerationRequest, base: BaseModel) -> None:
    """Raises UsageError for a prompt that a base would not read, and for none where one is needed."""
    if base.family != FAMILY:
        if request.wordless:
            raise UsageError("this base draws what a prompt says", expected="a prompt", fix="give one")
        return
    unread = [
        name
        for name, given in {
            "a prompt": not request.wordless,
            "--negative": request.negative is not None,
            "--mask": request.mask is not None,
            "--strength": request.strength is not None,
            f"another scheduler than {SCHEDULER}": request.scheduler not in (None, SCHEDULER),
        }.items()
        if given
    ]
    if unread or request.image is None:
        raise UsageError(
            "this base draws the frames of a video from a picture, and reads nothing else",
            expected="--image FILE, and no more than --seed, --steps, --guidance and -n",
            found=", ".join(unread) or "no picture",
            fix="prov generate --base FOLDER --image FILE",
        )


def frames_of(base: BaseModel) -> int:
    """How many frames a base draws at once, by its UNet's configuration; raises SamplingFailed."""
    path = base.folder / "unet" / "config.json"
    config = parse_json(read_file(path, limit=1 << 20), str(path))
    frames = config.get("num_frames") if isinstance(config, dict) else None
    if type(frames) is not int or not 1 <= frames <= MOST_FRAMES:
        raise SamplingFailed(
            f"{path} is wrong", expected=f"num_frames from 1 to {MOST_FRAMES}", found=repr(frames)[:100]
        )
    return frames


def frame_by_frame(request: GenerationRequest, frames: int) -> GenerationRequest:
    """The same request with every frame of its videos as a picture; the frames of a video have one seed."""
    seed = request.first_seed()
    wanted = [Wanted("", seed=seed + video) for video in range(len(request.prompts)) for _ in range(frames)]
    return replace(request, prompts=tuple(wanted), seed=seed)


@dataclass(frozen=True)
class VideoEasel:
    """Draws plans that are the frames of one video each, from a picture at the model's size."""

    pipeline: Any
    canvas: Canvas

    def draw(self, plan: Plan, stop: Event) -> Pictures:
        """The frames of one video; raises SamplingFailed, also once it is told to stop."""
        import torch

        first, (width, height) = plan.asks[0], self.canvas.picture.size
        try:
            with torch.inference_mode():
                (frames,) = self.pipeline(
                    self.canvas.picture,
                    height=height,
                    width=width,
                    num_frames=len(plan.asks),
                    num_inference_steps=first.steps,
                    max_guidance_scale=max(1.0, first.guidance),
                    decode_chunk_size=min(DECODED_AT_ONCE, len(plan.asks)),
                    generator=torch.Generator("cpu").manual_seed(first.seed),
                    output_type="np",
                    callback_on_step_end=until(stop),
                ).frames
        except Exception as error:  # layers, devices and memory fail in ways of their own
            raise SamplingFailed("drawing failed", found=told(error), fix="free some memory") from error
        return Pictures(tuple(checked_pictures(np.asarray(frames), len(plan.asks))), None)


def videos(asks: list[Any], frames: int) -> Iterator[list[Any]]:
    """Asks in their order, the frames of one video at a time."""
    return (asks[at : at + frames] for at in range(0, len(asks), frames))
