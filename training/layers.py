"""The layers that are trained: LoRA beside the UNet's own, which stay as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from training.config import TrainConfig
from training.draws import generator
from training.errors import ConfigError

if TYPE_CHECKING:
    import torch


def add_adapter(unet: Any, config: TrainConfig) -> dict[str, torch.nn.Parameter]:
    """Adds LoRA layers and gives their parameters by name, in order of name: A drawn by the seed, B zero."""
    import torch
    from peft import LoraConfig

    fitting = {name for name, m in unet.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))}
    unknown = [t for t in config.targets if not any(name == t or name.endswith(f".{t}") for name in fitting)]
    if unknown:
        raise ConfigError("the training configuration", tuple(f"`targets`: no layer is called {t!r}" for t in unknown))
    unet.add_adapter(
        LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.lora_dropout,
            target_modules=list(config.targets),
        )
    )
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    unet.train()
    parameters = {
        name.replace(".default.", "."): parameter
        for name, parameter in unet.named_parameters()
        if parameter.requires_grad
    }
    for name, parameter in parameters.items():
        values = torch.zeros(parameter.shape)
        if ".lora_A." in name:
            bound = 1 / math.sqrt(math.prod(parameter.shape[1:]))
            values.uniform_(-bound, bound, generator=generator(config.seed, 0, 0, f"initial {name}"))
        parameter.data.copy_(values)
    return dict(sorted(parameters.items()))
