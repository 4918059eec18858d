"""The layers that are trained, beside the base's own, which stay as they are.

LoRA: arXiv:2106.09685. DoRA: arXiv:2402.09353. LoHa: arXiv:2108.06098. LoKr: arXiv:2212.10650, 2309.14859.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance.trigger import is_learned
from training.config import TrainConfig
from training.draws import generator
from training.errors import ConfigError
from training.inversion import add_trigger

if TYPE_CHECKING:
    import torch

TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")
# What begins as zero, so that a new adapter changes nothing; a magnitude of DoRA begins as the base's own.
_ZERO = ("lora_B.weight", "hada_w2_b", "lokr_w2", "lokr_w2_b")
_KEPT = "lora_magnitude_vector.weight"
# Where a kind drops whole rows of its change, chances of dropping all of them are kept below this.
_MOST_DROPPED = 1e-9


@dataclass(frozen=True)
class Adapted:
    """One model that gets layers: its component's name, which of its own they lie beside, and their rank and alpha."""

    component: str
    module: Any
    layers: dict[str, Any]
    rank: int
    alpha: float


def trains_text(config: TrainConfig) -> bool:
    """Whether steps change what captions are embedded as: then they are embedded at every step."""
    return config.text_encoder_rank > 0 or is_learned(config.trigger)


def add_adapter(family: Any, config: TrainConfig) -> dict[str, torch.nn.Parameter]:
    """Adds the layers to a base and gives their parameters by name, in order of name; they begin without effect.

    Names begin with the component: ``unet.….to_q.lora_A.weight``. Initial values are drawn by the seed. Raises
    ConfigError when the base has no such layers.
    """
    parts = [*_adapted(family, config)]
    _check(parts, config)
    parameters: dict[str, torch.nn.Parameter] = {}
    for part in parts:
        parameters |= _inject(part, config)
    for name, parameter in parameters.items():
        _begin(name, parameter, config.seed)
    if is_learned(config.trigger):
        parameters |= add_trigger(family.pipe, clip_encoders(family), config)
    if config.gradient_checkpointing:
        family.denoiser.enable_gradient_checkpointing()
    family.denoiser.train()
    if trains_text(config):
        for encoder in clip_encoders(family).values():
            if config.gradient_checkpointing:
                encoder.activation_checkpointing_enable()
            encoder.train()
    return dict(sorted(parameters.items()))


def clip_encoders(family: Any) -> dict[str, Any]:
    """The CLIP text encoders of a base, by component; T5 is not among them."""
    return {n: e for n, e in family.text_encoders.items() if e is not None and e.config.model_type.startswith("clip")}


def _adapted(family: Any, config: TrainConfig) -> Iterator[Adapted]:
    layers = _layers(family.denoiser, config.targets)
    yield Adapted(family.denoiser_prefix, family.denoiser, layers, config.rank, config.alpha)
    rank = config.text_encoder_rank
    for component, encoder in clip_encoders(family).items() if rank else ():
        yield Adapted(component, encoder, _heard_layers(family, component), rank, text_alpha(config))


def _heard_layers(family: Any, component: str) -> dict[str, Any]:
    """A text encoder's layers but those that no denoiser ever hears: the last of SDXL's first encoder."""
    encoder = clip_encoders(family)[component]
    layers = _layers(encoder, TEXT_TARGETS)
    if component == "text_encoder" and family.denoiser_prefix == "unet" and "text_encoder_2" in family.text_encoders:
        last = f"encoder.layers.{encoder.config.num_hidden_layers - 1}."
        return {name: layer for name, layer in layers.items() if last not in name}
    return layers


def _layers(module: Any, targets: Sequence[str]) -> dict[str, Any]:
    """The matrices and convolutions that targets mean, by name; raises ConfigError for one that means none."""
    import torch

    fitting = {name: m for name, m in module.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))}
    meant = {target: [name for name in fitting if f".{name}".endswith(f".{target}")] for target in targets}
    unknown = tuple(f"`targets`: no layer is called {target!r}" for target, names in meant.items() if not names)
    if unknown:
        raise ConfigError("the training configuration", unknown)
    return {name: fitting[name] for names in meant.values() for name in names}


def text_alpha(config: TrainConfig) -> float:
    """The alpha of text encoders: as large beside their rank as the denoiser's beside its own."""
    return config.alpha * config.text_encoder_rank / config.rank


def _check(parts: list[Adapted], config: TrainConfig) -> None:
    """Refuses what a kind cannot do: lie beside layers that are quantised, or drop every row of a small layer."""
    faults = []
    changes_weights = config.kind in ("loha", "lokr")
    if changes_weights and config.quantise != "none":
        faults.append(f'`quantise` needs `kind = "lora"` or "dora": {config.kind} needs the layers as they are')
    # PEFT asks bitsandbytes for the layers as they were, and on a CPU these lose their scales by that.
    if config.kind == "dora" and config.quantise == "8bit" and parts[0].module.device.type == "cpu":
        faults.append('`kind = "dora"` with `quantise = "8bit"` needs a GPU: take "4bit"')
    name, rows = min(
        ((name, layer.weight.shape[0]) for part in parts for name, layer in part.layers.items()),
        key=lambda each: each[1],
    )
    if changes_weights and config.lora_dropout and config.lora_dropout**rows > _MOST_DROPPED:
        most = _MOST_DROPPED ** (1 / rows)
        faults.append(f"`lora_dropout` must be at most {most:.2f}, because {name} has {rows} rows alone")
    if faults:
        raise ConfigError("the training configuration", tuple(faults))


def _inject(part: Adapted, config: TrainConfig) -> dict[str, torch.nn.Parameter]:
    from peft import inject_adapter_in_model

    inject_adapter_in_model(_peft_config(part, config), part.module)
    parameters = {}
    for name, parameter in part.module.named_parameters():
        if parameter.requires_grad:
            # Trained in full precision, whatever the base is kept in.
            parameter.data = parameter.data.float()
            parameters[f"{part.component}.{_plain(part, name)}"] = parameter
    return parameters


def _peft_config(part: Adapted, config: TrainConfig) -> Any:
    from peft import LoHaConfig, LoKrConfig, LoraConfig

    targets, dropout = list(part.layers), config.lora_dropout
    match config.kind:
        case "loha":
            return LoHaConfig(r=part.rank, alpha=part.alpha, rank_dropout=dropout, target_modules=targets)
        case "lokr":
            return LoKrConfig(
                r=part.rank, alpha=part.alpha, rank_dropout=dropout, rank_dropout_scale=True, target_modules=targets
            )
        case kind:
            return LoraConfig(
                r=part.rank,
                lora_alpha=part.alpha,
                lora_dropout=dropout,
                target_modules=targets,
                use_dora=kind == "dora",
            )


def _plain(part: Adapted, name: str) -> str:
    """A parameter's name without PEFT's name of the adapter, and the same in all versions of transformers."""
    name = name.replace(".default", "")
    bare = part.component.startswith("text_encoder") and not name.startswith("text_model.")
    return f"text_model.{name}" if bare else name


def _begin(name: str, parameter: torch.nn.Parameter, seed: int) -> None:
    import torch

    if name.endswith(_KEPT):
        return
    values = torch.zeros(parameter.shape)
    if not name.endswith(_ZERO):
        bound = 1 / math.sqrt(math.prod(parameter.shape[1:]))
        values.uniform_(-bound, bound, generator=generator(seed, 0, 0, f"initial {name}"))
    parameter.data.copy_(values)
