"""How strongly a caption pulls: the norm of the text-conditional less the unconditional noise prediction.

Wen, Liu, Chen, Lyu: Detecting, Explaining, and Mitigating Memorization in Diffusion Models (arXiv:2407.21720).
A caption whose picture was memorised pulls harder than one that was not trained on, from the first step on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import SamplingFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray


@contextmanager
def recorded_norms(pipeline: Any) -> Iterator[list[NDArray[np.float32]]]:
    """Collects, for every step a guided pipeline takes in the block, the pull of each of B prompts: (B,) float32.

    The pull is the root mean square, over channels and places, of the difference of the two noise predictions. A base
    that predicts velocity or the picture is converted. Raises SamplingFailed when a step was not guided.
    """
    norms: list[NDArray[np.float32]] = []

    def keep(_: Any, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        predicted = output[0] if isinstance(output, tuple) else output.sample
        time = arguments[1] if len(arguments) > 1 else named["timestep"]
        without, with_text = predicted.float().chunk(2)
        pull = (with_text - without).square().mean(dim=(1, 2, 3)).sqrt()
        norms.append((pull * _as_noise(pipeline.scheduler, int(time))).cpu().numpy())

    hook = pipeline.unet.register_forward_hook(keep, with_kwargs=True)
    try:
        yield norms
    finally:
        hook.remove()
    if any(not np.isfinite(each).all() for each in norms):
        raise SamplingFailed("the model's noise predictions are not numbers", fix="try full precision")


def _as_noise(scheduler: Any, time: int) -> float:
    """What a difference of predictions is multiplied by to be one of predicted noise, at the same noisy latents."""
    kept = float(scheduler.alphas_cumprod[time])
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return math.sqrt(kept)
    return math.sqrt(kept / (1 - kept)) if kind == "sample" else 1.0
