"""The adapter as a file: diffusers' PEFT keys, and the metadata that other programs look for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from provenance.canonical import canonical_json, sha256_hex
from training.attestation import Run
from training.config import TrainConfig

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest

_ARCHITECTURES = {"sd1": "stable-diffusion-v1/lora", "sdxl": "stable-diffusion-xl-v1-base/lora"}
_KOHYA_VERSIONS = {"sd1": "sd_v1", "sdxl": "sdxl_base_v1-0"}


def adapter_bytes(weights: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]) -> bytes:
    """The adapter file: ``unet.<layer>.lora_A.weight`` and ``lora_B.weight``; the same input gives the same bytes.

    alpha / rank is multiplied into ``lora_B``, so the file's alpha is its rank: this layout has no place for alpha that
    every reader honours, and those that find none take the rank.
    """
    tensors = {
        f"unet.{name}": tensor * (config.alpha / config.rank if ".lora_B." in name else 1.0)
        for name, tensor in weights.items()
    }
    return _file(tensors, config, {**metadata, "ss_network_alpha": str(config.rank)})


def kohya_bytes(weights: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]) -> bytes:
    """The same weights as kohya's sd-scripts name them, with alpha beside each layer.

    A1111 and ComfyUI read this layout; of PEFT's keys for these UNets, ComfyUI loads none and only warns.
    """
    import torch

    tensors = {}
    for name, tensor in weights.items():
        layer, part, _ = name.rsplit(".", 2)
        key = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{key}.{'lora_down' if part == 'lora_A' else 'lora_up'}.weight"] = tensor
        tensors[f"{key}.alpha"] = torch.tensor(config.alpha)
    return _file(tensors, config, {**metadata, "ss_network_alpha": repr(config.alpha)})


def adapter_metadata(manifest: DatasetManifest, base: BaseModel, config: TrainConfig, run: Run) -> dict[str, str]:
    """``modelspec.*`` (Stability ModelSpec 1.0.0), ``ss_*`` (kohya's, read by A1111) and our digests; no times.

    Times are in the attestation alone, so that a repeated training gives the same file.
    """
    holders = sorted({record.rights_holder for record in manifest.records})
    values = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": _ARCHITECTURES[base.family],
        "modelspec.implementation": "diffusers",
        "modelspec.title": run.name,
        "modelspec.author": "; ".join(holders),
        "modelspec.license": " AND ".join(manifest.licences),
        "modelspec.resolution": f"{run.side}x{run.side}",
        "modelspec.prediction_type": "v" if run.prediction == "v_prediction" else run.prediction,
        "ss_base_model_version": _KOHYA_VERSIONS[base.family],
        "ss_batch_size_per_device": str(config.batch_size),
        "ss_gradient_accumulation_steps": str(config.accumulate),
        "ss_learning_rate": repr(config.learning_rate),
        "ss_lr_scheduler": "cosine",
        "ss_lr_warmup_steps": str(config.warmup_steps),
        "ss_max_train_steps": str(config.steps),
        "ss_network_dim": str(config.rank),
        "ss_network_module": "networks.lora",
        "ss_num_train_images": str(len(manifest.records)),
        "ss_optimizer": "torch.optim.AdamW",
        "ss_output_name": run.name,
        "ss_resolution": str((run.side, run.side)),
        "ss_sd_model_name": base.id,
        "ss_seed": str(config.seed),
        "ss_steps": str(config.steps),
        "ss_v2": "False",
        "prov.type": "urn:prov:adapter:v1",
        "prov.base": base.digest,
        "prov.base_id": base.id,
        "prov.config": config.digest,
        "prov.dataset": manifest.digest,
    }
    return {key: value for key, value in values.items() if value}


def _file(tensors: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]) -> bytes:
    import torch
    from safetensors.torch import save

    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[config.save_dtype]
    data: bytes = save({name: tensor.detach().cpu().float().to(dtype).contiguous() for name, tensor in tensors.items()})
    end = 8 + int.from_bytes(data[:8], "little")
    body = data[end:]
    hashes = {"modelspec.hash_sha256": f"0x{sha256_hex(body)}", "sshs_model_hash": sha256_hex(body)}
    # safetensors itself writes the metadata in an order that changes from run to run.
    header = canonical_json(json.loads(data[8:end]) | {"__metadata__": {**metadata, **hashes}})
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + body
