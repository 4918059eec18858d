"""The adapter as a file: diffusers' PEFT keys. Its trigger's vectors as another, as programs look for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from provenance.canonical import canonical_json, sha256_hex
from training.config import TrainConfig
from training.inversion import ROWS
from training.layers import text_alpha

if TYPE_CHECKING:
    import torch

# The factor of each kind that takes alpha / rank into itself.
_SCALED = ("lora_B.weight", "hada_w1_a", "lokr_w1")
_ENCODERS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}


def adapter_bytes(weights: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]) -> bytes:
    """The adapter file: ``unet.<layer>.lora_A.weight`` and so on; the same input gives the same bytes.

    alpha / rank is multiplied into one factor, so the file's alpha is its rank: this layout has no place for alpha that
    every reader honours, and those that find none take the rank. PEFT keeps LoHa's and LoKr's factors by these names.
    """
    tensors = {
        name: tensor * (config.alpha / config.rank if name.endswith(_SCALED) else 1.0)
        for name, tensor in layer_weights(weights).items()
    }
    return file_bytes(tensors, config, {**metadata, "ss_network_alpha": str(config.rank)})


def embedding_bytes(weights: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]) -> bytes:
    """The trigger's vectors, each ``(V, D)``: by its name where there is one encoder, else as clip_l and clip_g.

    diffusers' ``load_textual_inversion`` reads a file of one tensor as it is and one of two by those keys; A1111 and
    ComfyUI know both by them.
    """
    rows = {name.rpartition(".")[0]: tensor for name, tensor in weights.items() if name.endswith(f".{ROWS}")}
    tensors = {config.trigger if len(rows) == 1 else _ENCODERS[name]: tensor for name, tensor in rows.items()}
    return file_bytes(tensors, config, {**metadata, "prov.trigger": config.trigger})


def layer_weights(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the layers, without a trigger's vectors."""
    return {name: tensor for name, tensor in weights.items() if not name.endswith(f".{ROWS}")}


def alpha_of(component: str, config: TrainConfig) -> float:
    """The alpha of one component's layers."""
    return text_alpha(config) if component.startswith("text_encoder") else config.alpha


def file_bytes(tensors: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]) -> bytes:
    """Tensors as a safetensors file whose bytes they determine, with the hashes that other programs look for.

    Scalars, which are alphas, stay float32: alpha / rank must not be rounded.
    """
    import torch
    from safetensors.torch import save

    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[config.save_dtype]
    data: bytes = save(
        {
            name: tensor.detach().cpu().float().to(dtype if tensor.ndim else torch.float32).contiguous()
            for name, tensor in tensors.items()
        }
    )
    end = 8 + int.from_bytes(data[:8], "little")
    body = data[end:]
    hashes = {"modelspec.hash_sha256": f"0x{sha256_hex(body)}", "sshs_model_hash": sha256_hex(body)}
    # safetensors itself writes the metadata in an order that changes from run to run.
    header = canonical_json(json.loads(data[8:end]) | {"__metadata__": {**metadata, **hashes}})
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + body
