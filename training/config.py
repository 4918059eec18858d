"""What a training does: a frozen configuration, read strictly from TOML, that is hashed into the attestation."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.files import read_file
from training.config_faults import VERSION, value_faults
from training.errors import ConfigError

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
MAX_CONFIG_BYTES = 1 << 20
# Names of sd-scripts and of the examples of diffusers for our settings.
ELSEWHERE = {
    "caption_dropout_rate": "caption_dropout",
    "enable_bucket": "buckets",
    "gradient_accumulation_steps": "accumulate",
    "ip_noise_gamma": "input_perturbation",
    "keep_tokens": "keep_tags",
    "lr": "learning_rate",
    "lr_warmup_steps": "warmup_steps",
    "max_grad_norm": "grad_clip",
    "max_train_epochs": "steps",
    "max_train_steps": "steps",
    "mixed_precision": "precision",
    "network_alpha": "alpha",
    "network_dim": "rank",
    "network_dropout": "lora_dropout",
    "num_train_epochs": "steps",
    "optimizer": "optimiser",
    "optimizer_type": "optimiser",
    "prior_loss_weight": "prior_weight",
    "resolution": "size",
    "save_precision": "save_dtype",
    "shuffle_caption": "shuffle_tags",
    "snr_gamma": "min_snr_gamma",
    "text_encoder_lr": "text_encoder_learning_rate",
    "train_batch_size": "batch_size",
    "unet_lr": "learning_rate",
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
        faults = tuple(value_faults(self))
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
        steps = values.get("steps", cls.steps)
        if "warmup_steps" not in values and 0 < steps <= cls.warmup_steps:
            values["warmup_steps"] = steps // 10
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

    if key in ELSEWHERE:
        return f" (what other trainers call {key} is `{ELSEWHERE[key]}`)"
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""
