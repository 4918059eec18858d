"""What a training does: a frozen configuration, read strictly from TOML, that is hashed into the attestation."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.files import read_file
from provenance.trigger import is_learned
from training.errors import ConfigError

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
# Of this file's format and of what its settings mean; a file that names another one is refused.
VERSION = 2
MAX_CONFIG_BYTES = 1 << 20
MAX_SEGMENTS = 5000

_CHOICES: dict[str, tuple[str, ...]] = {
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


@dataclass(frozen=True)
class TrainConfig:
    """Every choice of one LoRA training; the defaults suit 10–100 pictures on a Stable Diffusion base."""

    version: int = VERSION
    steps: int = 500
    batch_size: int = 4
    accumulate: int = 1
    seed: int = 0

    kind: str = "lora"
    rank: int = 16
    alpha: float = 16.0
    lora_dropout: float = 0.0
    targets: tuple[str, ...] = ATTENTION
    text_encoder_rank: int = 0
    text_encoder_learning_rate: float = 0.0
    trigger: str = ""
    trigger_vectors: int = 1
    trigger_initial: str = ""

    optimiser: str = "adamw"
    learning_rate: float = 1e-4
    final_learning_rate: float = 0.0
    warmup_steps: int = 20
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    ema_decay: float = 0.0

    size: int = 0
    crop: str = "centre"
    flip: bool = False
    views: int = 1
    buckets: bool = False
    bucket_step: int = 64
    mask: str = "none"
    mask_floor: float = 0.0
    caption_dropout: float = 0.1
    shuffle_tags: bool = False
    keep_tags: int = 1
    caption_orders: int = 8

    prior_prompts: tuple[str, ...] = ()
    prior_count: int = 100
    prior_weight: float = 1.0

    prediction: str = "auto"
    min_snr_gamma: float = 0.0
    noise_offset: float = 0.0
    zero_terminal_snr: bool = False
    input_perturbation: float = 0.0
    adversarial_noise: float = 0.0

    validation_share: float = 0.0
    validate_every: int = 0
    patience: int = 0

    dp_epsilon: float = 0.0
    dp_delta: float = 0.0
    dp_clip: float = 0.1

    device: str = "auto"
    precision: str = "fp32"
    quantise: str = "none"
    threads: int = 0
    processes: int = 1
    deterministic: bool = False
    gradient_checkpointing: bool = False
    compile: bool = False

    checkpoint_every: int = 100
    replay_every: int = 0
    replay_snapshots: bool = False
    sample_every: int = 0
    sample_count: int = 4
    sample_prompts: tuple[str, ...] = ()
    sample_steps: int = 25
    sample_guidance: float = 4.0
    wandb: bool = False

    save_dtype: str = "fp32"
    kohya: bool = True

    def __post_init__(self) -> None:
        faults = tuple(_value_faults(self))
        if faults:
            raise ConfigError("the training configuration", faults)

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Reads a TOML file; unknown keys, wrong types and values out of range are all reported in one ConfigError."""
        return cls.from_dict(read_settings(path), str(path))

    @classmethod
    def from_dict(cls, raw: Json, source: str = "the training configuration") -> TrainConfig:
        """Builds a configuration from plain values; missing keys take their defaults."""
        kinds = get_type_hints(cls)
        faults = [f"`{key}` is not a setting{_suggestion(key, kinds)}" for key in raw if key not in kinds]
        values: Json = {}
        for key, value in raw.items():
            if key in kinds:
                try:
                    values[key] = _converted(value, kinds[key])
                except TypeError as error:
                    faults.append(f"`{key}` must be {error}, not {value!r}")
        try:
            config = cls(**values)
        except ConfigError as error:
            raise ConfigError(source, (*faults, *error.faults)) from error
        if faults:
            raise ConfigError(source, tuple(faults))
        return config

    def to_dict(self) -> Json:
        """Every setting as JSON values, defaults included."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON of every setting."""
        return sha256_hex(canonical_json(self.to_dict()))

    @property
    def segment_steps(self) -> int:
        """Steps from one link of the replay chain to the next; 0 stands for 25, and more in very long trainings."""
        return self.replay_every or max(25, math.ceil(self.steps / 1000))

    @property
    def validate_steps(self) -> int:
        """Steps from one validation to the next; 0 stands for about twenty in a training, at links of the chain."""
        if self.validate_every:
            return self.validate_every
        segment = self.segment_steps
        return segment * max(1, math.ceil(self.steps / (20 * segment)))

    def learning_rate_at(self, step: int) -> float:
        """Linear warmup, then a half cosine from ``learning_rate`` to ``final_learning_rate`` at the last step."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        span = max(self.steps - self.warmup_steps, 1)
        cosine = 0.5 * (1 + math.cos(math.pi * min(step - self.warmup_steps, span) / span))
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * cosine


def read_settings(path: Path) -> Json:
    """The settings that a TOML file names, unchecked; raises ConfigError when it is no TOML."""
    try:
        return tomllib.loads(read_file(path, limit=MAX_CONFIG_BYTES).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), (f"not valid TOML: {error}",)) from error


def _value_faults(config: TrainConfig) -> Iterator[str]:
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"`{field.name}` must be a finite number, not {value}"
            continue
        if field.name in _CHOICES and value not in _CHOICES[field.name]:
            yield f"`{field.name}` must be one of {', '.join(_CHOICES[field.name])}, not {value!r}"
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
            f"chain, not {config.validate_every}"
        )
    if config.accumulate % config.processes:
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


def _converted(value: Any, kind: Any) -> Any:
    """A plain value as the type of a field; raises TypeError saying what it must be."""
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise TypeError("true or false")
    if kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise TypeError("a whole number")
    if kind is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        raise TypeError("a number")
    if kind is str:
        if isinstance(value, str):
            return value
        raise TypeError("a string")
    assert get_args(kind) == (str, ...)
    if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise TypeError("a list of strings")


def _suggestion(key: str, known: Json) -> str:
    import difflib

    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
