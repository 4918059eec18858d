"""The optimisers by name, their learning rates, and what each keeps from one step to the next.

AdamW: arXiv:1711.05101. 8-bit AdamW: arXiv:2110.02861. Prodigy: arXiv:2306.06101.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.config import TrainConfig
from training.errors import TrainingError

if TYPE_CHECKING:
    import torch

# One tensor of an optimiser: its shape and its dtype without "torch.". int64 () stands for a Python number.
Held = tuple[tuple[int, ...], str]
_QUANTISED_FROM, _QUANTISED_BLOCK = 4096, 256


@dataclass(frozen=True)
class Layout:
    """What an optimiser keeps: for a parameter of a shape, one of several sets of tensors; and numbers of each group.

    ``numbers`` are only those that a step changes; what the settings say is not among them.
    """

    alternatives: Callable[[tuple[int, ...]], tuple[Mapping[str, Held], ...]]
    numbers: Mapping[str, type] = field(default_factory=dict)


def build_optimiser(
    parameters: Mapping[str, torch.nn.Parameter], config: TrainConfig, device: str
) -> torch.optim.Optimizer:
    """The configured optimiser; text encoders, where they are trained at a rate of their own, are its second group.

    Raises TrainingError where the device or this environment has no such optimiser.
    """
    import torch

    groups = _groups(parameters, config)
    options: dict[str, Any] = {"lr": config.learning_rate, "betas": (config.beta1, config.beta2)}
    match config.optimiser:
        case "adamw-8bit":
            if device not in ("cpu", "cuda"):
                raise TrainingError(
                    f'`optimiser = "adamw-8bit"` does not run on {device}', expected="cuda or cpu", fix="take adamw"
                )
            optimiser: torch.optim.Optimizer = _bitsandbytes().optim.AdamW8bit(groups, **options)
        case "prodigy":
            # Its authors' advice for diffusion models; what warmup does to the estimate of d is undone.
            optimiser = _prodigy()(groups, **options, use_bias_correction=True, safeguard_warmup=True)
        case name:
            optimiser = torch.optim.AdamW(groups, **options, fused=True if name == "adamw-fused" else None)
    return optimiser


def set_learning_rates(optimiser: torch.optim.Optimizer, config: TrainConfig, step: int) -> None:
    """Every group takes the schedule of ``config``, times its own share of the learning rate."""
    rate = config.learning_rate_at(step)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]


def layout_of(optimiser: torch.optim.Optimizer) -> Layout:
    """What this optimiser keeps; raises TrainingError for one that is not known here."""
    name = type(optimiser).__name__
    if name not in _LAYOUTS:
        raise TrainingError("what this optimiser keeps is not known", expected=", ".join(_LAYOUTS), found=name)
    return _LAYOUTS[name]


def _groups(parameters: Mapping[str, torch.nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    own = config.text_encoder_learning_rate
    text = {name for name in parameters if own and name.startswith("text_encoder")}
    others = [parameter for name, parameter in parameters.items() if name not in text]
    # Not an option of the optimiser: Prodigy prints a line where it is given one.
    decay = {"weight_decay": config.weight_decay}
    groups: list[dict[str, Any]] = [{"params": others, "share": 1.0, **decay}]
    if text:
        share = own / config.learning_rate
        groups.append({"params": [parameters[name] for name in parameters if name in text], "share": share, **decay})
    return [group for group in groups if group["params"]]


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise _missing("adamw-8bit", "bitsandbytes", "quantised") from error
    return bitsandbytes


def _prodigy() -> Any:
    try:
        from prodigyopt import Prodigy
    except ImportError as error:
        raise _missing("prodigy", "prodigyopt", "prodigy") from error
    return Prodigy


def _missing(optimiser: str, package: str, extra: str) -> TrainingError:
    return TrainingError(
        f'`optimiser = "{optimiser}"` needs the package {package}, which is not installed',
        fix=f"pip install 'prov[{extra}]'",
    )


def _adamw(shape: tuple[int, ...]) -> tuple[Mapping[str, Held], ...]:
    return ({"exp_avg": (shape, "float32"), "exp_avg_sq": (shape, "float32"), "step": ((), "float32")},)


def _adamw_8bit(shape: tuple[int, ...]) -> tuple[Mapping[str, Held], ...]:
    count: Held = ((), "int64")
    if math.prod(shape) < _QUANTISED_FROM:
        return ({"state1": (shape, "float32"), "state2": (shape, "float32"), "step": count},)
    blocks = ((-(-math.prod(shape) // _QUANTISED_BLOCK),), "float32")
    code: Held = ((256,), "float32")
    values: Held = (shape, "uint8")
    return (
        {"absmax1": blocks, "absmax2": blocks, "qmap1": code, "qmap2": code, "state1": values, "state2": values}
        | {"step": count},
    )


def _prodigy_moments(shape: tuple[int, ...]) -> tuple[Mapping[str, Held], ...]:
    flat = ((math.prod(shape),), "float32")
    moment: Held = (shape, "float32")
    kept: dict[str, Held] = {"exp_avg": moment, "exp_avg_sq": moment, "s": flat, "step": ((), "int64")}
    # A parameter that began as zeros is remembered as one zero.
    return tuple(kept | {"p0": origin} for origin in (flat, ((), "float32")))


_LAYOUTS = {
    "AdamW": Layout(_adamw),
    "AdamW8bit": Layout(_adamw_8bit),
    "Prodigy": Layout(_prodigy_moments, {"d": float, "d_max": float, "d_numerator": float, "k": int}),
}
