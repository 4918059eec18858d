"""A base pipeline with at most one adapter, and pictures drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import SamplingFailed
from generation.schedulers import DEFAULT, put_scheduler
from provenance.canonical import parse_json
from provenance.files import read_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from provenance.base import BaseModel

FAMILY_GUIDANCE = {"sd1": 7.5, "sdxl": 5.0}
FACTS = "prov.json"


@dataclass(frozen=True)
class Sampling:
    """How one batch is drawn: steps of the pipeline's scheduler and the guidance scale."""

    steps: int
    guidance: float


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


def drawing_device() -> str:
    """Where pictures are drawn and screened: the accelerator if there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_pipeline(base: BaseModel, adapter: bytes | None, scheduler: str = DEFAULT, scale: float = 1.0) -> Any:
    """Loads a Stable Diffusion pipeline from a local folder, with a scheduler by name, and puts an adapter on it.

    The adapter arrives as the very bytes that were verified; ``scale`` is its weight. Raises SamplingFailed when the
    base cannot be loaded or the adapter does not fit it, and UsageError when the scheduler does not fit.
    """
    import safetensors.torch
    import torch
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    # What it warns of, keys that fit nothing, is refused below.
    logging.set_verbosity_error()
    device = drawing_device()
    # Filter and watermark are ours; SDXL would add a mark of its own under it.
    own = (
        {"safety_checker": None, "requires_safety_checker": False}
        if base.family == "sd1"
        else {"add_watermarker": False}
    )
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            base.folder,
            dtype=torch.float16 if device == "cuda" else torch.float32,
            use_safetensors=True,
            local_files_only=True,
            **own,
        ).to(device)
    except Exception as error:  # files that are broken make their readers raise whatever they stumble on
        raise SamplingFailed(
            f"the base model {base.id} cannot be loaded",
            found=_told(error),
            fix="get its files again, or free some memory",
        ) from error
    put_scheduler(pipeline, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        weights = safetensors.torch.load(adapter)
        try:
            pipeline.load_lora_weights(dict(weights), adapter_name="adapter")
        except (ValueError, LookupError, RuntimeError) as error:
            raise _does_not_fit(base, str(error)) from error
        expected = sum(not name.endswith(".alpha") for name in weights)
        loaded = sum(_loaded_matrices(part) for part in pipeline.components.values())
        if loaded != expected:
            raise _does_not_fit(base, f"{loaded} of {expected} matrices found a place")
        pipeline.fuse_lora(lora_scale=scale)
    return pipeline


def _loaded_matrices(part: Any) -> int:
    named = part.named_parameters() if hasattr(part, "named_parameters") else ()
    return sum(".lora_A." in name or ".lora_B." in name for name, _ in named)


def _does_not_fit(base: BaseModel, found: str) -> SamplingFailed:
    return SamplingFailed(
        "the adapter does not fit the base model", expected=f"LoRA weights for {base.id}", found=found[:400]
    )


def sample(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    how: Sampling,
    output_scale: int,
    noise: NDArray[np.float32] | None = None,
    negatives: Sequence[str] | None = None,
) -> list[NDArray[np.uint8]]:
    """Draws one picture for each prompt, each from its own seed, as (H, W, 3) uint8 RGB.

    ``noise`` is the initial noise, (B, C, h, w) standard normal; without it each seed draws its own. ``output_scale``
    is the base's fixed Lanczos enlargement. ``negatives`` are the negative prompts, one for each picture. Raises
    SamplingFailed if the model fails, takes no negative prompts, or gives anything but pictures.
    """
    import torch

    if negatives is not None and _embeds_guidance(pipeline):
        raise SamplingFailed(
            "this base takes its guidance as a number, without a second prompt", fix="leave out the negative prompt"
        )
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    try:
        with torch.inference_mode():
            pictures = pipeline(
                prompt=list(prompts),
                negative_prompt=None if negatives is None else list(negatives),
                num_inference_steps=how.steps,
                guidance_scale=how.guidance,
                generator=generators,
                latents=None if noise is None else torch.from_numpy(noise).to(pipeline.device, pipeline.dtype),
                output_type="np",
            ).images
    except Exception as error:  # layers, devices and memory fail in ways of their own
        raise SamplingFailed(
            "drawing failed", found=_told(error), fix="ask for fewer pictures at once, or free some memory"
        ) from error
    _require_pictures(pictures, len(prompts))
    if not np.isfinite(pictures).all():
        raise SamplingFailed("the model gave values that are not numbers", fix="try full precision or another seed")
    drawn = [(np.clip(picture, 0, 1) * 255).round().astype(np.uint8) for picture in pictures]
    # A mark would hide from the content filter that there is nothing below it.
    if not all(picture.any() for picture in drawn):
        raise SamplingFailed("the model drew black from edge to edge", fix="try full precision or another seed")
    return [_enlarged(picture, output_scale) for picture in drawn]


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


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:400]


def _enlarged(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    from PIL import Image

    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    larger = Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.LANCZOS)
    return np.asarray(larger)
