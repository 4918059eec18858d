"""A base's pipeline on the drawing device, with a scheduler by name and at most one adapter fused into it."""

from __future__ import annotations

import os
import shutil
from logging import ERROR, getLogger
from typing import TYPE_CHECKING, Any

from generation.adapters import Adapter, merge_adapters
from generation.errors import SamplingFailed, told
from generation.latent_mark import is_flow
from generation.means import PRECISIONS, Means
from generation.schedulers import put_scheduler, usual_scheduler
from generation.trained_schedule import follow_training
from provenance.errors import UsageError

if TYPE_CHECKING:
    from provenance.base import BaseModel


SLICED_ABOVE = 4


def drawing_device() -> str:
    """Where pictures are drawn and screened: the accelerator if there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_pipeline(
    base: BaseModel,
    adapter: Adapter | None,
    scheduler: str | None = None,
    scale: float = 1.0,
    means: Means = Means(),
) -> Any:
    """Loads the pipeline of a base from its local folder, with a scheduler by name, and puts an adapter on it.

    ``scheduler`` is by default the usual one of the base's family. The adapter arrives as the very bytes that were
    verified; ``scale`` is its weight, and it is part of the base's own matrices before these are compiled. Raises
    SamplingFailed when the base cannot be loaded, FormatError or AdapterError when the adapter is damaged or does not
    fit it, and UsageError when the scheduler does not fit or nothing can be compiled here.
    """
    import torch
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    logging.disable_progress_bar()
    # It warns, wherever it is installed, of a kernel for 4 bits on CPUs that is an extra of its own.
    getLogger("bitsandbytes").setLevel(ERROR)
    transformers_logging.disable_progress_bar()
    # What it warns of, keys that fit nothing, is refused below.
    logging.set_verbosity_error()
    device = drawing_device()
    kind = means.precision or ("fp16" if device == "cuda" else "fp32")
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            base.folder,
            dtype=getattr(torch, PRECISIONS[kind]),
            use_safetensors=True,
            local_files_only=True,
            **_own_components(base),
        ).to(device)
    except Exception as error:  # files that are broken make their readers raise whatever they stumble on
        raise SamplingFailed(
            f"the base model {base.id} cannot be loaded",
            found=told(error),
            fix="get its files again, or free some memory",
        ) from error
    follow_training(pipeline, [adapter.weights] if adapter is not None else [])
    put_scheduler(pipeline, scheduler or usual_scheduler(base.family))
    pipeline.set_progress_bar_config(disable=True)
    if adapter is not None:
        merge_adapters(pipeline, base, [(adapter, scale)])
    if means.batch_size > SLICED_ABOVE:
        # Decoding takes more memory than denoising, and no less time for many pictures at once.
        pipeline.vae.enable_slicing()
    if means.compiled:
        _compile(pipeline)
    return pipeline


def editing_pipeline(pipeline: Any, masked: bool) -> Any:
    """The pipeline that draws from pictures with the very components of one that draws from text alone."""
    from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

    kind = AutoPipelineForInpainting if masked else AutoPipelineForImage2Image
    own = {"add_watermarker": False} if getattr(pipeline, "text_encoder_2", None) and not is_flow(pipeline) else {}
    editing = kind.from_pipe(pipeline, **own)
    editing.set_progress_bar_config(disable=True)
    return editing


def _compile(pipeline: Any) -> None:
    require_compiler()
    denoiser = pipeline.transformer if is_flow(pipeline) else pipeline.unet
    denoiser.compile()


def require_compiler() -> None:
    """Raises UsageError when there is no C++ compiler, without which torch can compile nothing, on any device."""
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    if not any(map(shutil.which, wanted)):
        raise UsageError(
            "a model cannot be compiled here",
            expected=f"a C++ compiler: {' or '.join(wanted)}",
            found="none on the PATH",
            fix="install one (for example the package g++), or leave out --compile",
        )


def _own_components(base: BaseModel) -> dict[str, Any]:
    """What a pipeline is given instead of its own: filter and watermark are ours, and some text encoders are absent."""
    if base.family in ("sd1", "sd2"):
        return {"safety_checker": None, "requires_safety_checker": False}
    return {"add_watermarker": False} if base.family == "sdxl" else dict.fromkeys(base.absent)
