"""Drawing by the noise that an adapter was trained under, where that is not its base's own.

An adapter trained to predict velocities, or on a schedule rescaled to end in pure noise (arXiv:2305.08891), draws
nothing but grey or glare by the schedule of a base that knows neither. Its file says so, in the metadata that training
wrote: ``modelspec.prediction_type`` and kohya's ``ss_zero_terminal_snr``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generation.errors import SamplingFailed
from provenance.adapter import WEIGHTS
from provenance.tensors import read_header

_PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}
_RESCALED = {"True": True, "False": False}


@dataclass(frozen=True)
class _Noise:
    """What the denoiser predicts, and whether the schedule ends in pure noise."""

    prediction: str
    rescaled: bool


def follow_training(pipeline: Any, adapters: Sequence[bytes]) -> None:
    """Gives a pipeline of diffusion the schedule that its adapters, files of weights, were trained on.

    Called before a scheduler is chosen by name, which keeps prediction and schedule. Files that say nothing change
    nothing. Raises FormatError for a damaged file, and SamplingFailed when adapters were trained on different ones.
    """
    from diffusers import DDIMScheduler

    config = pipeline.scheduler.config
    if "prediction_type" not in config:
        return
    own = _Noise(config["prediction_type"], bool(config.get("rescale_betas_zero_snr", False)))
    trained = {_noise_of(adapter, own) for adapter in adapters} or {own}
    if len(trained) > 1:
        raise SamplingFailed(
            "these adapters were trained on different noise, and cannot draw together",
            found="; ".join(sorted(map(str, trained))),
            fix="leave one of them out",
        )
    (noise,) = trained
    if noise != own:
        pipeline.scheduler = DDIMScheduler.from_config(
            config,
            prediction_type=noise.prediction,
            rescale_betas_zero_snr=noise.rescaled,
            timestep_spacing="trailing" if noise.rescaled else config.get("timestep_spacing", "leading"),
        )


def _noise_of(adapter: bytes, own: _Noise) -> _Noise:
    said = read_header(adapter, WEIGHTS).metadata
    # Others write these entries too, and not always rightly; ours are those of a training that was recorded.
    if "prov.type" not in said:
        return own
    return _Noise(
        _PREDICTIONS.get(said.get("modelspec.prediction_type", ""), own.prediction),
        _RESCALED.get(said.get("ss_zero_terminal_snr", ""), own.rescaled),
    )
