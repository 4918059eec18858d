"""The frozen denoiser in 8 or 4 bits, through bitsandbytes.

8 bits: one scale for each row (arXiv:2208.07339, without its outlier columns). 4 bits: NF4 in blocks of 64 numbers,
whose scales are quantised again (arXiv:2305.14314). What is trained beside these layers stays in float32.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from training.config import TrainConfig
from training.errors import TrainingError

if TYPE_CHECKING:
    import torch

# The layers between pictures and text; what embeds times and sizes, and the last projection, are small and delicate.
BLOCKS = ("attentions", "transformer_blocks")


def quantise(denoiser: Any, config: TrainConfig, device: str) -> None:
    """Replaces the linear layers of the denoiser's blocks by quantised ones on the device; nothing when not configured.

    Raises TrainingError where the device, or this environment, cannot.
    """
    # PEFT imports bitsandbytes wherever it is installed, which warns of an optional package that is never used here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if config.quantise == "none":
        return
    if device not in ("cpu", "cuda"):
        raise TrainingError(
            f'`quantise = "{config.quantise}"` does not run on {device}',
            expected="cuda or cpu",
            fix='set `quantise = "none"`',
        )
    layers = _bitsandbytes()
    for parent, name, linear in [*_linear_layers(denoiser)]:
        new = _eight_bits(layers, linear) if config.quantise == "8bit" else _four_bits(layers, linear, config)
        setattr(parent, name, new.to(device))
    # PEFT chooses its layers by these.
    setattr(denoiser, f"is_loaded_in_{config.quantise}", True)


def _linear_layers(denoiser: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, torch.nn.Linear]]:
    import torch

    for path, parent in denoiser.named_modules():
        for name, module in parent.named_children():
            if type(module) is torch.nn.Linear and any(part in BLOCKS for part in (*path.split("."), name)):
                yield parent, name, module


def _eight_bits(layers: Any, linear: torch.nn.Linear) -> Any:
    new = layers.Linear8bitLt(
        linear.in_features, linear.out_features, bias=linear.bias is not None, has_fp16_weights=False
    )
    new.weight = layers.Int8Params(linear.weight.data, requires_grad=False, has_fp16_weights=False)
    new.bias = linear.bias
    return new


def _four_bits(layers: Any, linear: torch.nn.Linear, config: TrainConfig) -> Any:
    import torch

    new = layers.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=torch.bfloat16 if config.precision == "bf16" else torch.float32,
        quant_type="nf4",
    )
    new.weight = layers.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
    new.bias = linear.bias
    # Else a CPU that has bfloat16 packs the weights anew for every picture, and refuses sides that 32 does not divide.
    new.support_avx512bf16_for_cpu = False
    return new


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise TrainingError(
            "`quantise` needs the package bitsandbytes, which is not installed", fix="pip install 'prov[quantised]'"
        ) from error
    return bitsandbytes.nn
