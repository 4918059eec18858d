"""The adapter as kohya's sd-scripts and LyCORIS name and keep it: what A1111 and ComfyUI read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from training.config import TrainConfig
from training.weights import alpha_of, file_bytes, layer_weights

if TYPE_CHECKING:
    import torch

_MAGNITUDE = "lora_magnitude_vector.weight"
_PARTS = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight", _MAGNITUDE: "dora_scale"}
# ComfyUI's names for Stable Diffusion 3's transformer, by the layers of diffusers: the original keeps queries, keys and
# values in one matrix, for which LoHa and LoKr of the three have no form.
_PREFIXES = {"unet": "lora_unet", "transformer": "lora_transformer"}


def kohya_bytes(weights: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]) -> bytes:
    """The same weights with ``alpha`` beside each layer, named ``lora_unet_<layer with underscores>.<part>``.

    Of PEFT's keys for UNets, ComfyUI loads none and only warns.
    """
    tensors = {
        f"{layer_key(layer, weights)}.{_PARTS.get(part, part)}": tensor
        for layer, parts in layers_of(weights).items()
        for part, tensor in _as_lycoris(layer, parts, config).items()
    }
    return file_bytes(tensors, config, {**metadata, "ss_network_alpha": repr(config.alpha)})


def layers_of(weights: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """The weights by layer, and there by part, such as ``lora_A.weight`` or ``hada_w1_a``."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in layer_weights(weights).items():
        layer, part = name.removesuffix(".weight").rsplit(".", 1)
        layers.setdefault(layer, {})[part + (".weight" if name.endswith(".weight") else "")] = tensor
    return layers


def _as_lycoris(layer: str, parts: Mapping[str, torch.Tensor], config: TrainConfig) -> dict[str, torch.Tensor]:
    import torch

    component = layer.partition(".")[0]
    rank = config.text_encoder_rank if component.startswith("text_encoder") else config.rank
    alpha = alpha_of(component, config)
    written = dict(parts)
    if {"lokr_w1", "lokr_w2"} <= written.keys():
        # Readers take no alpha into account where neither factor has a rank.
        written["lokr_w1"] = written["lokr_w1"] * (alpha / rank)
        alpha = float(rank)
    if _MAGNITUDE in written:
        # LyCORIS keeps one value for each row of the matrix, in as many dimensions as that has.
        up = written["lora_B.weight"]
        written[_MAGNITUDE] = written[_MAGNITUDE].reshape(-1, *[1] * (up.ndim - 1))
    return written | {"alpha": torch.tensor(alpha)}


def layer_key(layer: str, weights: Mapping[str, torch.Tensor]) -> str:
    """A layer's name in such a file; ``weights``, by diffusers' names, tell whether there are two text encoders."""
    component, _, path = layer.partition(".")
    return f"{_prefix(component, weights)}_{path.replace('.', '_')}"


def _prefix(component: str, weights: Mapping[str, torch.Tensor]) -> str:
    if component in _PREFIXES:
        return _PREFIXES[component]
    several = any(name.startswith("text_encoder_2.") for name in weights)
    return {"text_encoder": "lora_te1" if several else "lora_te", "text_encoder_2": "lora_te2"}[component]
