"""Pictures drawn from a pipeline, and the guidance that its base asks for."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.ahead import Abandoned
from generation.errors import SamplingFailed, told
from provenance.canonical import parse_json
from provenance.files import read_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from generation.source import Canvas
    from provenance.base import BaseModel

FAMILY_GUIDANCE = {"sd1": 7.5, "sd2": 7.5, "sdxl": 5.0, "sd3": 5.0, "svd": 3.0}
FACTS = "prov.json"


@dataclass(frozen=True)
class Sampling:
    """How one batch is drawn: steps of the pipeline's scheduler, the guidance scale, and for an input its strength.

    ``strength``, from 0 to 1, is the share of the steps that are taken; None where there is no input picture.
    """

    steps: int
    guidance: float
    strength: float | None = None


def usual_guidance(base: BaseModel) -> float:
    """The guidance scale a base asks for in its ``prov.json``, or else the usual one of its family."""
    facts = base.folder / FACTS
    if not facts.exists():
        return FAMILY_GUIDANCE[base.family]
    value = parse_json(read_file(facts, limit=1 << 16), str(facts))
    guidance = value.get("guidance") if isinstance(value, dict) else None
    if isinstance(guidance, bool) or not isinstance(guidance, int | float) or not 0 <= guidance <= 100:
        raise SamplingFailed(f"{facts} is wrong", expected="guidance from 0 to 100", found=repr(guidance))
    return float(guidance)


def sample(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    how: Sampling,
    output_scale: int,
    noise: NDArray[np.float32] | None = None,
    negatives: Sequence[str] | None = None,
    canvas: Canvas | None = None,
    stop: Event | None = None,
) -> list[NDArray[np.uint8]]:
    """Draws one picture for each prompt, each from its own seed, as (H, W, 3) uint8 RGB.

    ``noise`` is the initial noise, (B, C, h, w) standard normal; without it each seed draws its own. ``output_scale``
    is the base's fixed Lanczos enlargement. ``negatives`` are the negative prompts, one for each picture. With a
    ``canvas`` the pipeline is an ``editing_pipeline``. Once ``stop`` is set, no further step is taken. Raises
    SamplingFailed if the model fails, takes no negative prompts, or gives anything but pictures.
    """
    import torch

    if negatives is not None and _embeds_guidance(pipeline):
        raise SamplingFailed(
            "this base takes its guidance as a number, without a second prompt", fix="leave out the negative prompt"
        )
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    start: dict[str, Any] = {}
    if noise is not None:
        start["latents"] = torch.from_numpy(noise).to(pipeline.device, pipeline.dtype)
    if canvas is not None:
        start |= _begun_from(pipeline, canvas, how, len(prompts))
    try:
        with torch.inference_mode():
            pictures = pipeline(
                prompt=list(prompts),
                negative_prompt=None if negatives is None else list(negatives),
                num_inference_steps=how.steps,
                guidance_scale=how.guidance,
                generator=generators,
                output_type="np",
                callback_on_step_end=until(stop),
                **start,
            ).images
    except Exception as error:  # layers, devices and memory fail in ways of their own
        raise SamplingFailed(
            "drawing failed", found=told(error), fix="ask for fewer pictures at once, or free some memory"
        ) from error
    enlarged = [_enlarged(picture, output_scale) for picture in checked_pictures(pictures, len(prompts))]
    return enlarged if canvas is None else [canvas.composed(picture) for picture in enlarged]


def checked_pictures(pictures: Any, count: int) -> list[NDArray[np.uint8]]:
    """What a model gave as ``count`` pictures (H, W, 3) uint8; raises SamplingFailed for what are none."""
    _require_pictures(pictures, count)
    if not np.isfinite(pictures).all():
        raise SamplingFailed("the model gave values that are not numbers", fix="try full precision or another seed")
    drawn = [(np.clip(picture, 0, 1) * 255).round().astype(np.uint8) for picture in pictures]
    # A mark would hide from the content filter that there is nothing below it.
    if not all(picture.any() for picture in drawn):
        raise SamplingFailed("the model drew black from edge to edge", fix="try full precision or another seed")
    return drawn


def _begun_from(pipeline: Any, canvas: Canvas, how: Sampling, count: int) -> dict[str, Any]:
    width, height = canvas.picture.size
    begun: dict[str, Any] = {"image": [canvas.picture] * count, "strength": how.strength}
    if canvas.mask is not None:
        # Without these, inpainting draws squares.
        begun |= {"mask_image": [canvas.mask] * count, "height": height, "width": width}
    elif "height" in inspect.signature(pipeline.__call__).parameters:
        begun |= {"height": height, "width": width}
    return begun


def until(stop: Event | None) -> Any:
    """What a pipeline calls after every step, to end it with ``Abandoned`` once ``stop`` is set."""
    if stop is None:
        return None

    def go_on(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if stop.is_set():
            raise Abandoned
        return tensors

    return go_on


def _embeds_guidance(pipeline: Any) -> bool:
    # Bases distilled from guided ones, LCM's among them; they would ignore a negative prompt without a word.
    denoiser = getattr(pipeline, "unet", None)
    return denoiser is not None and denoiser.config.get("time_cond_proj_dim") is not None


def _require_pictures(pictures: Any, count: int) -> None:
    found = f"{pictures.dtype} {pictures.shape}" if isinstance(pictures, np.ndarray) else type(pictures).__name__
    fits = isinstance(pictures, np.ndarray) and pictures.ndim == 4 and pictures.dtype.kind == "f" and pictures.size
    if not fits or (len(pictures), pictures.shape[-1]) != (count, 3):
        raise SamplingFailed(
            "the model gave something that is not a picture for each prompt",
            expected=f"({count}, H, W, 3) of fractions",
            found=found,
            fix="check the base's files",
        )


def _enlarged(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    from PIL import Image

    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    larger = Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.LANCZOS)
    return np.asarray(larger)
