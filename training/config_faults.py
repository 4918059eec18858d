"""What values the settings of a training may have, alone and together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from provenance.trigger import is_learned

if TYPE_CHECKING:
    from training.config import TrainConfig

# Of this file's format and of what its settings mean; a file that names another one is refused.
VERSION = 2
MAX_SEGMENTS = 5000

CHOICES: dict[str, tuple[str, ...]] = {
    "crop": ("centre", "random"),
    "prediction": ("auto", "epsilon", "v_prediction", "sample"),
    "precision": ("fp32", "bf16", "fp16"),
    "quantise": ("none", "8bit", "4bit"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "save_dtype": ("fp32", "fp16", "bf16"),
    "kind": ("lora", "dora", "loha", "lokr"),
    "mask": ("none", "alpha"),
    "optimiser": ("adamw", "adamw-fused", "adamw-8bit", "prodigy"),
}

# Inclusive ranges, None for no bound.
_RANGES: dict[str, tuple[float | None, float | None]] = {
    "accumulate": (1, 4096),
    "adversarial_noise": (0, 1),
    "batch_size": (1, 4096),
    "bucket_step": (8, 1024),
    "caption_dropout": (0, 1),
    "caption_orders": (1, 256),
    "checkpoint_every": (1, None),
    "dp_clip": (0, None),
    "dp_delta": (0, 1),
    "dp_epsilon": (0, 1000),
    "ema_decay": (0, 0.999999),
    "grad_clip": (0, None),
    "input_perturbation": (0, 1),
    "keep_tags": (0, 1000),
    "learning_rate": (0, 100),
    "lora_dropout": (0, 0.99),
    "min_snr_gamma": (0, None),
    "mask_floor": (0, 1),
    "noise_offset": (0, 1),
    "patience": (0, 10_000),
    "prior_count": (1, 10_000),
    "prior_weight": (0, 100),
    "processes": (1, 64),
    "rank": (1, 1024),
    "replay_every": (0, None),
    "sample_count": (0, 64),
    "sample_every": (0, None),
    "sample_guidance": (0, 100),
    "sample_steps": (1, 1000),
    "seed": (0, 2**63 - 1),
    "size": (0, 8192),
    "steps": (1, 10_000_000),
    "text_encoder_learning_rate": (0, 100),
    "text_encoder_rank": (0, 1024),
    "threads": (0, 1024),
    "trigger_vectors": (1, 32),
    "validate_every": (0, None),
    "validation_share": (0, 0.5),
    "views": (1, 64),
    "warmup_steps": (0, None),
    "weight_decay": (0, 1),
}


def value_faults(config: TrainConfig) -> Iterator[str]:
    """Everything that is wrong with the values of a configuration, one sentence each."""
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"`{field.name}` must be a finite number, not {value}"
            continue
        if field.name in CHOICES and value not in CHOICES[field.name]:
            yield f"`{field.name}` must be one of {', '.join(CHOICES[field.name])}, not {value!r}"
        low, high = _RANGES.get(field.name, (None, None))
        if (low is not None and value < low) or (high is not None and value > high):
            yield f"`{field.name}` must be {_range(low, high)}, not {value}"
    if config.learning_rate == 0:
        yield "`learning_rate` must be above 0"
    if not 0 <= config.final_learning_rate <= config.learning_rate:
        yield f"`final_learning_rate` must be between 0 and `learning_rate`, not {config.final_learning_rate}"
    if not config.alpha > 0:
        yield f"`alpha` must be above 0, not {config.alpha}"
    if config.warmup_steps >= config.steps and config.warmup_steps > 0:
        yield f"`warmup_steps` must be less than `steps` ({config.steps}), not {config.warmup_steps}"
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(config, name) < 1:
            yield f"`{name}` must be at least 0 and below 1, not {getattr(config, name)}"
    if not config.targets or any(not target for target in config.targets):
        yield "`targets` must name at least one layer, such as to_q"
    if config.deterministic and config.threads > 1:
        yield f"`threads` must be 1, or 0 for that, when `deterministic` is true, not {config.threads}"
    if config.replay_every > 0 and config.steps / config.replay_every > MAX_SEGMENTS:
        yield f"`replay_every` must be at least {math.ceil(config.steps / MAX_SEGMENTS)} in {config.steps} steps"
    for name in ("size", "bucket_step"):
        if getattr(config, name) % 8:
            yield f"`{name}` must be a multiple of 8 px, not {getattr(config, name)}"
    yield from _joint_faults(config)
    if config.views > 1 and config.crop == "centre" and not config.flip:
        yield '`views` above 1 needs `crop = "random"` or `flip = true`, or all views are alike'


def _joint_faults(config: TrainConfig) -> Iterator[str]:
    """Settings that only make sense, or only exist, together."""
    if config.version != VERSION:
        yield f"`version` must be {VERSION}, not {config.version}: docs/formats.md tells what changed"
    if config.trigger.startswith("<") and not is_learned(config.trigger):
        yield f"`trigger`: a learned word is small letters, digits and - in angle brackets, not {config.trigger!r}"
    if (config.trigger_initial or config.trigger_vectors > 1) and not is_learned(config.trigger):
        yield "`trigger_initial` and `trigger_vectors` need a `trigger` that is learned, such as <dove>"
    if config.patience and not config.validation_share:
        yield "`patience` needs a `validation_share` above 0: without pictures held out nothing tells when to stop"
    if config.validate_every % config.segment_steps:
        yield (
            f"`validate_every` must be a multiple of {config.segment_steps}, the steps between links of the replay "
            f"chain, not {config.validate_every}: set `replay_every` as well, or leave `validate_every` out"
        )
    if config.processes > 0 and config.accumulate % config.processes:
        yield f"`accumulate` must be a multiple of `processes` ({config.processes}), not {config.accumulate}"
    if config.optimiser == "prodigy":
        if config.learning_rate < 0.1:
            yield f"`learning_rate` must be at least 0.1 with Prodigy, and usually 1, not {config.learning_rate:g}"
        if config.beta1 == 0:
            yield "`beta1` must be above 0 with Prodigy"
        if config.text_encoder_learning_rate not in (0, config.learning_rate):
            yield "`text_encoder_learning_rate` must be 0 (the same) with Prodigy, which finds one rate for all"
    if config.quantise == "4bit" and config.precision == "fp16":
        yield '`quantise = "4bit"` computes in bf16 or fp32: set `precision` to one of them'
    if config.dp_epsilon:
        if not 0 < config.dp_delta < 1:
            yield "`dp_delta` must be above 0 and below 1 with `dp_epsilon`; usual is less than 1 / number of pictures"
        if config.dp_clip <= 0:
            yield f"`dp_clip` must be above 0, not {config.dp_clip}"
        others = [name for name, on in _not_private(config).items() if on]
        if others:
            yield f"`dp_epsilon` cannot be kept with {', '.join(others)}"


def _not_private(config: TrainConfig) -> dict[str, bool]:
    """What would see pictures outside the accounted gradients, or what per-picture gradients do not exist for."""
    return {
        "`adversarial_noise`": config.adversarial_noise > 0,
        "`compile`": config.compile,
        "`ema_decay`": config.ema_decay > 0,
        "`gradient_checkpointing`": config.gradient_checkpointing,
        f'`kind = "{config.kind}"`': config.kind != "lora",
        '`precision = "fp16"`': config.precision == "fp16",
        "`prior_prompts`": bool(config.prior_prompts),
        "`processes`": config.processes > 1,
        "`quantise`": config.quantise != "none",
        "`replay_snapshots`": config.replay_snapshots,
        "`text_encoder_rank`": config.text_encoder_rank > 0,
        "a learned `trigger`": is_learned(config.trigger),
        "`validation_share`": config.validation_share > 0,
        "`wandb`": config.wandb,
    }


def _range(low: float | None, high: float | None) -> str:
    return f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
