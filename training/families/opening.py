"""From a base to its family: loaded from safetensors, frozen, and kept off the device until it is needed there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from typing import Any

from provenance.base import BaseModel
from training.config import TrainConfig
from training.errors import TrainingError
from training.families.components import require_latents_alone
from training.families.protocol import Family
from training.families.sd3 import SD3Family
from training.families.unet import UNetFamily

FAMILIES: dict[str, type[UNetFamily] | type[SD3Family]] = {
    "sd1": UNetFamily,
    "sd2": UNetFamily,
    "sdxl": UNetFamily,
    "sd3": SD3Family,
}


def open_family(base: BaseModel, device: str, config: TrainConfig) -> Family:
    """Loads a base for training, in float32: what encodes is on the device, the denoiser is not yet.

    Raises TrainingError for a family that cannot be trained, and ConfigError when settings do not fit the base.
    """
    _require_trainable(base)
    family = FAMILIES[base.family].of(load_pipeline(base), device, config)
    for part in _encoders(family):
        part.to(device)
    return family


def load_pipeline(base: BaseModel) -> Any:
    """Loads a base in float32 from its safetensors, frozen; never from the network, never from a pickle.

    Raises TrainingError when its files do not make a pipeline, or one that does not denoise latents alone.
    """
    import diffusers
    import torch
    import transformers

    _require_trainable(base)
    diffusers.utils.logging.disable_progress_bar()
    # It warns, wherever it is installed, of a kernel for 4 bits on CPUs that is an extra of its own.
    getLogger("bitsandbytes").setLevel(ERROR)
    transformers.utils.logging.disable_progress_bar()
    # Pictures are screened by our own content filter, when they are generated; and what the base's digest does not
    # count, such as an image encoder for picture prompts, is not loaded.
    without = {"image_encoder": None, "feature_extractor": None}
    options: dict[str, dict[str, Any]] = {
        "sd1": {"safety_checker": None, "requires_safety_checker": False, **without},
        "sd2": {"safety_checker": None, "requires_safety_checker": False, **without},
        "sdxl": {"add_watermarker": False, **without},
        "sd3": {**dict.fromkeys(base.absent), **without},
    }
    pipelines = {
        "sd1": diffusers.StableDiffusionPipeline,
        "sd2": diffusers.StableDiffusionPipeline,
        "sdxl": diffusers.StableDiffusionXLPipeline,
        "sd3": diffusers.StableDiffusion3Pipeline,
    }
    try:
        pipe = pipelines[base.family].from_pretrained(
            base.folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, **options[base.family]
        )
    except Exception as error:  # files that are broken make their readers raise whatever they stumble on
        raise TrainingError(
            f"the base model {base.id} cannot be loaded",
            found=f"{type(error).__name__}: {error}".replace("\n", " ")[:400],
            fix="get its files again, or free some memory",
        ) from error
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    pipe.set_progress_bar_config(disable=True)
    require_latents_alone(pipe)
    return pipe


def place_for_training(family: Family, *, embeds_text: bool) -> None:
    """Once all is encoded: the denoiser to the device; the autoencoder, and text encoders unless used, off it."""
    for part in [family.pipe.vae] if embeds_text else _encoders(family):
        part.to("cpu")
    family.denoiser.to(family.device)


@contextmanager
def at_work(family: Family, parts: Iterable[Any]) -> Iterator[None]:
    """Parts of a pipeline on the device and in evaluation mode; afterwards all is as it was before."""
    before = [(part, next(part.parameters()).device, part.training) for part in parts]
    try:
        for part, _, _ in before:
            part.to(family.device)
            part.eval()
        yield
    finally:
        for part, device, was_training in before:
            part.to(device)
            part.train(was_training)


def drop_encoders(family: Family) -> None:
    """Frees the autoencoder and the text encoders, which may be larger than all the rest; nothing is drawn after it."""
    for part in _encoders(family):
        part.to("meta")


@contextmanager
def whole_pipeline(family: Family) -> Iterator[Any]:
    """The pipeline of the base, with its own scheduler and every part at work."""
    with at_work(family, [*_encoders(family), family.denoiser]):
        yield family.pipe


@contextmanager
def drawing_pipeline(family: Family) -> Iterator[Any]:
    """The pipeline as it draws with what is trained, from prompts that are embedded already.

    T5 has nothing more to say then, and is left off the device: it is larger than the denoiser.
    """
    pipe, texts = family.pipe, family.text_encoders
    scheduler, largest = pipe.scheduler, texts.get("text_encoder_3")
    pipe.scheduler = family.noising.sampler(scheduler)
    if largest is not None:
        pipe.text_encoder_3 = None
    try:
        with at_work(family, [part for part in (*_encoders(family), family.denoiser) if part is not largest]):
            yield pipe
    finally:
        pipe.scheduler = scheduler
        if largest is not None:
            pipe.text_encoder_3 = largest


def _encoders(family: Family) -> list[Any]:
    return [family.pipe.vae, *family.text_encoders.values()]


def _require_trainable(base: BaseModel) -> None:
    if base.family not in FAMILIES:
        names = {"svd": "Stable Video Diffusion"}
        raise TrainingError(
            f"{base.id} cannot be trained: {names.get(base.family, base.family)} is for generation alone",
            expected="a base of Stable Diffusion 1.x, 2.x, XL or 3.x",
            found=base.family,
            fix="name another base with --base",
        )
