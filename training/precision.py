"""Half precision: in which type the base computes and is held, and the loss scale that float16 needs.

Mixed precision: arXiv:1710.03740. What is trained stays in float32 throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.config import TrainConfig
from training.errors import LossNotFinite

if TYPE_CHECKING:
    import torch

FIRST_SCALE = 2.0**16
# Below this the gradients themselves, not their scale, are what overflows.
LEAST_SCALE = 2.0**-6


def loss_scaler(config: TrainConfig, device: str) -> torch.amp.GradScaler | None:
    """The loss scale of a float16 training; None for every other precision."""
    import torch

    return torch.amp.GradScaler(device, init_scale=FIRST_SCALE) if config.precision == "fp16" else None


def take_scaled_step(scaler: torch.amp.GradScaler, optimiser: torch.optim.Optimizer, step: int) -> bool:
    """Lets the optimiser step unless a gradient overflowed, and adapts the scale; says whether the step was taken.

    Raises LossNotFinite when the scale has fallen so far that no scale can help.
    """
    before = scaler.get_scale()
    scaler.step(optimiser)
    scaler.update()
    if scaler.get_scale() < LEAST_SCALE:
        raise LossNotFinite(
            f"the gradients overflow float16 whatever the loss is scaled by, at step {step + 1}",
            expected=f"a loss scale of at least {LEAST_SCALE:g}",
            found=f"{scaler.get_scale():g}",
            fix='set `precision = "bf16"` or `"fp32"`; the checkpoints before this step are kept',
        )
    return scaler.get_scale() >= before
