"""A base pipeline with at most one adapter, and pictures drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import SamplingFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from provenance.base import BaseModel

FAMILY_GUIDANCE = {"sd1": 7.5, "sdxl": 5.0}


@dataclass(frozen=True)
class Sampling:
    """How one batch is drawn: steps of DPM-Solver++ and the guidance scale."""

    steps: int
    guidance: float


def load_pipeline(base: BaseModel, adapter: bytes | None) -> Any:
    """Loads a Stable Diffusion pipeline from a local folder and puts an adapter on it.

    The adapter arrives as the very bytes that were verified. Raises SamplingFailed when it does not fit the base.
    """
    import safetensors.torch
    import torch
    from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler
    from diffusers.utils import logging

    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    unfiltered = {"safety_checker": None, "requires_safety_checker": False} if base.family == "sd1" else {}
    pipeline = DiffusionPipeline.from_pretrained(
        base.folder,
        dtype=torch.float16 if device == "cuda" else torch.float32,
        use_safetensors=True,
        local_files_only=True,
        **unfiltered,
    ).to(device)
    # The solver is ours whatever the base names; prediction type, betas and spacing stay the base's own.
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        try:
            pipeline.load_lora_weights(safetensors.torch.load(adapter), adapter_name="adapter")
            pipeline.fuse_lora()
        except (ValueError, KeyError, RuntimeError) as error:
            raise SamplingFailed(
                "the adapter does not fit the base model", expected=f"LoRA weights for {base.id}", found=str(error)
            ) from error
    return pipeline


def sample(
    pipeline: Any, prompts: Sequence[str], seeds: Sequence[int], how: Sampling, output_scale: int
) -> list[NDArray[np.uint8]]:
    """Draws one picture for each prompt, each from its own seed, as (H, W, 3) uint8 RGB.

    ``output_scale`` is the base's fixed Lanczos enlargement. Raises SamplingFailed if the model gives NaN.
    """
    import torch

    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    with torch.inference_mode():
        pictures = pipeline(
            prompt=list(prompts),
            num_inference_steps=how.steps,
            guidance_scale=how.guidance,
            generator=generators,
            output_type="np",
        ).images
    if not np.isfinite(pictures).all():
        raise SamplingFailed("the model gave values that are not numbers", fix="try full precision or another seed")
    return [_enlarged((np.clip(picture, 0, 1) * 255).round().astype(np.uint8), output_scale) for picture in pictures]


def _enlarged(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    from PIL import Image

    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    larger = Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.LANCZOS)
    return np.asarray(larger)
