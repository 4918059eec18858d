"""How noise is mixed into latents, and what the denoiser should say to the mixture.

Diffusion as in DDPM (arXiv:2006.11239), where a schedule of a thousand times says how much of the picture is left; and
flow matching along straight lines (rectified flow, arXiv:2209.03003), as Stable Diffusion 3 learns (arXiv:2403.03206).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from provenance.canonical import Json
from training.config import TrainConfig
from training.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    import torch

PREDICTIONS = ("epsilon", "v_prediction", "sample")


class Noising(Protocol):
    """Noise as one family of bases knows it; ``clean`` and ``noise`` are ``(B, C, h, w)``, ``times`` is ``(B,)``."""

    @property
    def prediction(self) -> str:
        """What the denoiser predicts: ``epsilon``, ``v_prediction``, ``sample`` or ``flow``."""

    def draw_time(self, generator: torch.Generator) -> torch.Tensor:
        """One time as the denoiser takes it, a scalar: int64 for diffusion, float32 for flow matching."""

    def add_noise(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The mixture of latents and noise at each sample's time."""

    def target(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """What the denoiser should predict from the mixture."""

    def weights(self, times: torch.Tensor, gamma: float) -> torch.Tensor:
        """Min-SNR weights (arXiv:2303.09556) of each sample's loss, ``(B,)``; ones when gamma is 0."""

    def sampler(self, scheduler: Any) -> Any:
        """The scheduler to draw with what is trained: the base's own, unless training changed what that goes by."""

    def facts(self) -> Json:
        """What the attestation says of it."""


@dataclass(frozen=True)
class Diffusion:
    """Noise by a schedule: ``schedule`` is a DDPMScheduler, the base's own or one rescaled to end in pure noise."""

    schedule: Any

    @property
    def prediction(self) -> str:
        kind: str = self.schedule.config.prediction_type
        return kind

    @property
    def ends_in_noise(self) -> bool:
        """Whether the last time has a signal-to-noise ratio of zero (arXiv:2305.08891)."""
        return bool(self.schedule.config.rescale_betas_zero_snr)

    def draw_time(self, generator: torch.Generator) -> torch.Tensor:
        import torch

        return torch.randint(self.schedule.config.num_train_timesteps, (), generator=generator)

    def add_noise(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        noisy: torch.Tensor = self.schedule.add_noise(clean, noise, times)
        return noisy

    def target(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        if self.prediction == "v_prediction":
            velocity: torch.Tensor = self.schedule.get_velocity(clean, noise, times)
            return velocity
        return noise if self.prediction == "epsilon" else clean

    def weights(self, times: torch.Tensor, gamma: float) -> torch.Tensor:
        import torch

        if gamma == 0:
            return torch.ones(len(times), device=times.device)
        kept: torch.Tensor = self.schedule.alphas_cumprod.to(times.device)[times]
        ratio = kept / (1 - kept)
        capped = ratio.clamp(max=gamma)
        if self.prediction == "epsilon":
            return capped / ratio.clamp(min=1e-8)
        return capped / (ratio + 1) if self.prediction == "v_prediction" else capped

    def sampler(self, scheduler: Any) -> Any:
        """DDIM where training changed schedule or prediction.

        Of a schedule that ends in pure noise the last time must be the first one drawn from, hence ``trailing``
        (arXiv:2305.08891, section 3.3).
        """
        from diffusers import DDIMScheduler

        known = scheduler.config
        was_rescaled = bool(known.get("rescale_betas_zero_snr", False))
        if (known.get("prediction_type", "epsilon"), was_rescaled) == (self.prediction, self.ends_in_noise):
            return scheduler
        return DDIMScheduler.from_config(
            known,
            prediction_type=self.prediction,
            rescale_betas_zero_snr=self.ends_in_noise,
            timestep_spacing="trailing" if self.ends_in_noise else known.get("timestep_spacing", "leading"),
            clip_sample=False,
        )

    def facts(self) -> Json:
        return {"kind": "diffusion", "prediction": self.prediction, "zero_terminal_snr": self.ends_in_noise}


@dataclass(frozen=True)
class FlowMatching:
    """Straight lines from picture to noise: at ``sigma`` in 0…1 the mixture is ``(1 - sigma) clean + sigma noise``.

    ``shift`` moves times towards noise, as larger pictures need it (arXiv:2403.03206, section 5.3.2); the denoiser is
    told ``sigma * steps``.
    """

    shift: float
    steps: int
    prediction: ClassVar[str] = "flow"

    def draw_time(self, generator: torch.Generator) -> torch.Tensor:
        """Logit-normal with location 0 and scale 1 (section 3.1), then shifted."""
        import torch

        even = torch.sigmoid(torch.randn((), generator=generator))
        return self.steps * self.shift * even / (1 + (self.shift - 1) * even)

    def add_noise(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        sigma = (times / self.steps).reshape(-1, 1, 1, 1)
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return noise - clean

    def weights(self, times: torch.Tensor, gamma: float) -> torch.Tensor:
        import torch

        return torch.ones(len(times), device=times.device)

    def sampler(self, scheduler: Any) -> Any:
        return scheduler

    def facts(self) -> Json:
        return {"kind": "flow matching", "prediction": self.prediction, "shift": self.shift, "times": "logit-normal"}


def diffusion_of(scheduler: Any, config: TrainConfig) -> Diffusion:
    """The base's own noise schedule, as the configuration changes it; raises TrainingError or ConfigError."""
    from diffusers import DDPMScheduler

    known = scheduler.config
    prediction = known.get("prediction_type", "epsilon") if config.prediction == "auto" else config.prediction
    if prediction not in PREDICTIONS or type(scheduler).__name__.startswith("EDM"):
        raise TrainingError(
            "this base predicts something that cannot be trained",
            expected=", ".join(PREDICTIONS),
            found=f"{prediction}, by {type(scheduler).__name__}",
        )
    rescaled = config.zero_terminal_snr or bool(known.get("rescale_betas_zero_snr", False))
    if rescaled and prediction == "epsilon":
        raise ConfigError(
            "the training configuration",
            (
                "`prediction` must be v_prediction or sample with a zero terminal SNR: at the last time only noise is "
                "left, and to say which it is teaches nothing",
            ),
        )
    return Diffusion(DDPMScheduler.from_config(known, prediction_type=prediction, rescale_betas_zero_snr=rescaled))


def flow_matching_of(scheduler: Any, config: TrainConfig, *, tokens: int) -> FlowMatching:
    """Flow matching as the base's scheduler has it; ``tokens`` of a picture decide the shift where it is dynamic.

    Raises ConfigError for settings that are of diffusion alone.
    """
    faults = tuple(_diffusion_settings(config))
    if faults:
        raise ConfigError("the training configuration", faults)
    if not type(scheduler).__name__.startswith("FlowMatch"):
        raise TrainingError(
            "this base does not say how it was trained",
            expected="a scheduler of flow matching",
            found=type(scheduler).__name__,
        )
    known = scheduler.config
    shift = float(known.shift)
    if known.use_dynamic_shifting:
        slope = (known.max_shift - known.base_shift) / (known.max_image_seq_len - known.base_image_seq_len)
        shift = known.base_shift + slope * (tokens - known.base_image_seq_len)
        if known.time_shift_type == "exponential":
            shift = math.exp(shift)
    return FlowMatching(shift, known.num_train_timesteps)


def _diffusion_settings(config: TrainConfig) -> Iterator[str]:
    if config.prediction != "auto":
        yield f"`prediction` must be auto for a base that learns by flow matching, not {config.prediction}"
    if config.min_snr_gamma:
        yield f"`min_snr_gamma` must be 0 for a base that learns by flow matching, not {config.min_snr_gamma:g}"
    if config.zero_terminal_snr:
        yield "`zero_terminal_snr` must be false for a base that learns by flow matching: it ends in noise anyway"
