"""Reads the latent mark of a picture: encode it, invert the sampler, decide. Slow, and loads the base: opt-in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.adapters import Adapter
from generation.latent_mark import latent_shape
from generation.latent_mark_inversion import STEPS, encode, invert
from generation.picture_size import side_multiple, usual_size
from provenance.adapter import verify_adapter
from provenance.base import STARTER, BaseModel, resolve_base
from provenance.errors import UsageError
from provenance.trust import TrustStore
from safety.errors import WatermarkError
from safety.watermark.latent import LatentDetection, read_noise
from safety.watermark.latent_keys import FEWEST, carries_mark

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What is larger is tried at the model's own size alone: encoding it would take all memory.
LARGEST_PIXELS = 2048 * 2048


@dataclass(frozen=True)
class DeepReader:
    """Reads pictures with one base, and an adapter's verified bytes if there is one; nothing is loaded until then."""

    base: BaseModel
    adapter: Adapter | None = None
    key: bytes | None = None
    steps: int = STEPS

    def __call__(self, picture: NDArray[np.uint8]) -> LatentDetection:
        """The latent mark of an (H, W, 3) picture; see ``read_picture``."""
        return read_picture(
            self._pipeline, picture, key=self.key, output_scale=self.base.output_scale, steps=self.steps
        )

    @cached_property
    def _pipeline(self) -> Any:
        from generation.loading import load_pipeline

        return load_pipeline(self.base, self.adapter)


def deep_reader(base: str | None, adapter: Path | None, trust: TrustStore) -> DeepReader:
    """A reader with the base of a name (None: the adapter's, or else the starter) and the weights of a release.

    Everything is verified here and nothing is loaded. Raises BaseRefused, BaseUnavailable or AdapterError.
    """
    if adapter is None:
        return DeepReader(resolve_base(base or STARTER))
    manifest = verify_adapter(adapter, trust)
    if manifest.sealed is not None:
        raise UsageError("the adapter's weights are sealed", fix="name the folder it was trained in, or only --base")
    return DeepReader(resolve_base(base or manifest.base_id), Adapter.of(manifest))


def read_picture(
    pipeline: Any,
    picture: NDArray[np.uint8],
    *,
    key: bytes | None = None,
    output_scale: int = 1,
    steps: int = STEPS,
) -> LatentDetection:
    """Reads the latent mark of an (H, W, 3) uint8 picture, upright and uncropped, with the pipeline that drew it.

    A rotated or cropped picture must be straightened first: the pixel layer knows how. The picture is tried at its own
    size (over ``output_scale``, the base's fixed enlargement) and at the model's own, and both count as hypotheses.
    Raises WatermarkError for what is no such picture or is too small, and SamplingFailed.
    """
    sizes = _model_sizes(pipeline, _checked(picture).shape[:2], output_scale)
    readings = []
    for height, width in sizes:
        latents = encode(pipeline, _resized(picture, height, width)[None])
        readings.append(read_noise(invert(pipeline, latents, steps=steps)[0], key, hypotheses=len(sizes)))
        if readings[-1]:
            break
    return min(readings, key=lambda reading: reading.p_value)


def _model_sizes(pipeline: Any, size: tuple[int, ...], output_scale: int) -> list[tuple[int, int]]:
    """(height, width) in the model's pixels that a picture may have been drawn at and whose latents carry a mark."""
    channels, *_ = latent_shape(pipeline)
    factor, multiple = pipeline.vae_scale_factor, side_multiple(pipeline)
    own = tuple(max(1, round(side / output_scale / multiple)) * multiple for side in size)
    fitting = [
        (height, width)
        for height, width in dict.fromkeys((own, usual_size(pipeline, size)))
        if height * width <= LARGEST_PIXELS and carries_mark((channels, height // factor, width // factor))
    ]
    if not fitting:
        raise WatermarkError(
            "pictures of this size carry no latent mark",
            expected=f"latents of at least {FEWEST} values",
            found=f"{size[1]} × {size[0]} pixels",
        )
    return fitting


def _resized(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    from PIL import Image

    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _checked(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if (
        not isinstance(picture, np.ndarray)
        or picture.ndim != 3
        or picture.shape[2] != 3
        or picture.dtype != np.uint8
        or min(picture.shape) == 0
    ):
        raise WatermarkError(
            "this is not an RGB picture",
            expected="an (H, W, 3) array of uint8",
            found=f"shape {getattr(picture, 'shape', None)}, {getattr(picture, 'dtype', type(picture).__name__)}",
        )
    return picture
