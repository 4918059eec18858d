"""Half precision: in which type the base computes and is held, and the loss scale that float16 needs.

Mixed precision: arXiv:1710.03740. What is trained stays in float32 throughout.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from training.config import TrainConfig
from training.errors import LossNotFinite

if TYPE_CHECKING:
    import torch

FIRST_SCALE = 2.0**16
# Below this the gradients themselves, not their scale, are what overflows.
LEAST_SCALE = 2.0**-6


def computing(config: TrainConfig, device: str) -> AbstractContextManager[Any]:
    """Inside, matrices are multiplied in the configured precision."""
    import torch

    half = torch.float16 if config.precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype=half, enabled=config.precision != "fp32")


def drawing(config: TrainConfig, device: str) -> AbstractContextManager[Any]:
    """As `computing`, for whole pictures: bfloat16 for float16 too, in which SDXL's autoencoder overflows."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=config.precision != "fp32")


def hold_in_precision(denoiser: torch.nn.Module, config: TrainConfig, device: str) -> None:
    """Keeps the weights of a frozen denoiser's linear layers and convolutions in the type they are multiplied in.

    That is half the memory, and the same bits: `computing` would convert exactly these weights at every use. Everything
    else, such as normalisation, stays in float32. On CUDA convolutions get the layout that tensor cores take.
    """
    import torch

    if config.precision == "fp32":
        return
    half = torch.float16 if config.precision == "fp16" else torch.bfloat16
    for module in denoiser.modules():
        if type(module) in (torch.nn.Linear, torch.nn.Conv2d):
            module.to(half)
        if device == "cuda" and type(module) is torch.nn.Conv2d:
            module.to(memory_format=torch.channels_last)


def spare_conversions(denoiser: torch.nn.Module, config: TrainConfig) -> None:
    """Keeps PEFT from converting every input of a LoRA layer to float32, which `computing` then converts back."""
    from peft.tuners.lora import LoraLayer

    if config.precision != "fp32":
        for module in denoiser.modules():
            if isinstance(module, LoraLayer):
                module.cast_input_dtype_enabled = False


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
