"""What a file of weights says of itself: Stability ModelSpec 1.0.0, kohya's ``ss_*``, and our digests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from provenance.canonical import canonical_json, parse_json
from provenance.files import read_file
from provenance.trigger import is_learned
from training.attestation import Run
from training.config import TrainConfig
from training.dataset.tags import with_trigger
from training.layers import trains_text

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest

MOST_TAGS = 200

_ARCHITECTURES = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-512",
    "sdxl": "stable-diffusion-xl-v1-base",
}
_KOHYA_VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
_OPTIMISERS = {
    "adamw": "torch.optim.AdamW",
    "adamw-fused": "torch.optim.AdamW(fused=True)",
    "adamw-8bit": "bitsandbytes.optim.AdamW8bit",
    "prodigy": "prodigyopt.Prodigy",
}
# LyCORIS' own names for what plain LoRA is not; sd-scripts takes these as arguments of its network module.
_NETWORK_ARGUMENTS = {
    "dora": {"algo": "lora", "dora_wd": "True", "wd_on_output": "True"},
    "loha": {"algo": "loha"},
    "lokr": {"algo": "lokr", "factor": "-1"},
}


def adapter_metadata(manifest: DatasetManifest, base: BaseModel, config: TrainConfig, run: Run) -> dict[str, str]:
    """``modelspec.*``, ``ss_*`` (read by A1111) and ``prov.*``; no times, and empty values are left out.

    Times are in the attestation alone, so that a repeated training gives the same file.
    """
    holders = sorted({record.rights_holder for record in manifest.records})
    velocity = run.prediction == "v_prediction"
    values = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{_architecture(base, velocity)}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": run.name,
        "modelspec.author": "; ".join(holders),
        "modelspec.resolution": f"{run.side}x{run.side}",
        # A type of prediction is known to the specification for denoising models alone.
        "modelspec.prediction_type": "" if base.family == "sd3" else "v" if velocity else run.prediction,
        "modelspec.trigger_phrase": config.trigger,
        "ss_base_model_version": _version(base, velocity),
        "ss_ip_noise_gamma": repr(config.input_perturbation) if config.input_perturbation else "",
        "ss_min_snr_gamma": repr(config.min_snr_gamma) if config.min_snr_gamma else "",
        "ss_noise_offset": repr(config.noise_offset) if config.noise_offset else "",
        "ss_zero_terminal_snr": str((run.noising or {}).get("zero_terminal_snr", "")),
        "ss_batch_size_per_device": str(config.batch_size),
        "ss_gradient_accumulation_steps": str(config.accumulate),
        "ss_caption_dropout_rate": repr(config.caption_dropout) if config.caption_dropout else "",
        "ss_learning_rate": repr(config.learning_rate),
        "ss_lr_scheduler": "cosine",
        "ss_lr_warmup_steps": str(config.warmup_steps),
        "ss_max_train_steps": str(config.steps),
        "ss_mixed_precision": "no" if config.precision == "fp32" else config.precision,
        "ss_network_dim": str(config.rank),
        "ss_network_dropout": repr(config.lora_dropout) if config.lora_dropout else "",
        "ss_network_module": "networks.lora" if config.kind == "lora" else "lycoris.kohya",
        "ss_network_args": _network_arguments(config),
        "ss_num_train_images": str(len(manifest.records)),
        "ss_optimizer": _OPTIMISERS[config.optimiser],
        "ss_output_name": run.name,
        "ss_resolution": str((run.side, run.side)),
        "ss_sd_model_name": base.id,
        "ss_seed": str(config.seed),
        "ss_steps": str(len(run.losses) or config.steps),
        "ss_text_encoder_lr": repr(config.text_encoder_learning_rate or config.learning_rate)
        if trains_text(config)
        else "",
        "ss_tag_frequency": _tag_frequency(manifest, config),
        "ss_unet_lr": repr(config.learning_rate),
        "ss_v2": str(base.family == "sd2"),
        "prov.type": "urn:prov:adapter:v1",
        "prov.base": base.digest,
        "prov.base_id": base.id,
        "prov.config": config.digest,
        "prov.dataset": manifest.digest,
        "prov.dataset_licences": " AND ".join(manifest.licences),
    }
    return {key: value for key, value in values.items() if value}


def _tag_frequency(manifest: DatasetManifest, config: TrainConfig) -> str:
    """How often each tag, or whole caption, was shown: A1111 lists them. None of a private training."""
    if config.dp_epsilon:
        return ""
    captions = (with_trigger(record.caption, config.trigger) for record in manifest.records)
    counts = Counter(tag.strip() for caption in captions for tag in caption.split(",") if tag.strip())
    return canonical_json({manifest.name or "dataset": dict(counts.most_common(MOST_TAGS))}).decode()


def embedding_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The same for the vectors of a trigger, which are another kind of model."""
    architecture = metadata.get("modelspec.architecture", "").replace("/lora", "/textual-inversion")
    kept = {key: value for key, value in metadata.items() if not key.startswith("ss_network")}
    return kept | {"modelspec.architecture": architecture, "modelspec.is_negative_embedding": "false"}


def _architecture(base: BaseModel, velocity: bool) -> str:
    if base.family == "sd3":
        return f"stable-diffusion-3-{_size(base)}"
    return "stable-diffusion-v2-768-v" if base.family == "sd2" and velocity else _ARCHITECTURES[base.family]


def _version(base: BaseModel, velocity: bool) -> str:
    if base.family == "sd3":
        return _size(base)
    return _KOHYA_VERSIONS[base.family] + ("_v" if velocity and base.family in ("sd1", "sd2") else "")


def _size(base: BaseModel) -> str:
    """Which Stable Diffusion 3 this is, as sd-scripts tells them apart: by its attention."""
    path = base.folder / "transformer" / "config.json"
    described = parse_json(read_file(path, limit=1 << 20), str(path))
    if described.get("dual_attention_layers"):
        return "5-medium"
    return "5-large" if described.get("qk_norm") else "medium"


def _network_arguments(config: TrainConfig) -> str:
    given: dict[str, str] = dict(_NETWORK_ARGUMENTS.get(config.kind, {}))
    if config.text_encoder_rank and config.text_encoder_rank != config.rank:
        given["text_encoder_dim"] = str(config.text_encoder_rank)
    if is_learned(config.trigger):
        given["trigger_vectors"] = str(config.trigger_vectors)
    return json.dumps(given, sort_keys=True) if given else ""
