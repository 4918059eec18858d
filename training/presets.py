"""Settings by what is to be taught, a style, a subject or a concept: from the base and the captions of the dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from provenance.base import STARTER, BaseModel
from provenance.canonical import Json
from training.config import TrainConfig
from training.dataset.tags import without_trigger
from training.errors import ConfigError

# Fewer pictures than this are all needed to learn from: none is held out to tell when to stop.
HELD_OUT_FROM = 15


@dataclass(frozen=True)
class Preset:
    """How often each picture is seen, within bounds on all samples of a training, and what the adapter is like."""

    looks: int
    least: int
    most: int
    rank: int
    settings: Json = field(default_factory=dict)


PRESETS = {
    # Colour and stroke lie everywhere in a picture: crops and mirrored views show more of them, and dark and bright
    # pictures need the offset that plain noise does not teach.
    "style": Preset(80, 2000, 12_000, 32, {"caption_dropout": 0.15, "noise_offset": 0.03, "views": 4, "flip": True}),
    # One thing, to be told from others of its kind: captions nearly always, no mirroring (a subject has two sides).
    "subject": Preset(120, 1600, 8000, 16, {"caption_dropout": 0.05}),
    # Something that captions name by several words: their order must not matter.
    "concept": Preset(100, 1600, 10_000, 16, {"caption_dropout": 0.1, "shuffle_tags": True, "flip": True}),
}

# Batches of about four samples a step, in parts that fit 12 GB (SD 1.x, 2.x) or 24 GB.
_BY_FAMILY: dict[str, Json] = {
    "sd1": {"batch_size": 4, "accumulate": 1},
    "sd2": {"batch_size": 2, "accumulate": 2},
    "sdxl": {"batch_size": 1, "accumulate": 4, "gradient_checkpointing": True},
    "sd3": {"batch_size": 1, "accumulate": 4, "gradient_checkpointing": True},
}
_FLOWS = ("sd3",)


def preset_settings(
    name: str, base: BaseModel, captions: Sequence[str], *, trigger: str = "", device: str = "cpu"
) -> Json:
    """The settings of a preset for a base and a dataset, as a configuration file would give them.

    With a ``trigger``, a subject is told from its kind by prior preservation (arXiv:2208.12242): the base's own
    pictures for the captions without that word. Raises ConfigError for an unknown name.
    """
    if name not in PRESETS:
        raise ConfigError("the preset", (f"must be one of {', '.join(PRESETS)}, not {name!r}",))
    preset = PRESETS[name]
    settings = _usual_settings(base, device) | {"rank": preset.rank, "alpha": float(preset.rank)} | preset.settings
    if settings.get("views", 1) > 1:
        settings["crop"] = "random"
    if base.family not in _FLOWS:
        settings["min_snr_gamma"] = 5.0
    samples = min(max(preset.looks * len(captions), preset.least), preset.most)
    settings["steps"] = math.ceil(samples / (settings["batch_size"] * settings.get("accumulate", 1)))
    if len(captions) >= HELD_OUT_FROM:
        settings |= {"validation_share": 0.1, "patience": 5}
    if trigger:
        settings["trigger"] = trigger
        if name == "subject":
            settings |= {"prior_prompts": prior_prompts(captions, trigger), "prior_count": 4 * len(captions)}
    return settings


def prior_prompts(captions: Sequence[str], trigger: str) -> list[str]:
    """What the base is asked for to keep what it knows: every distinct caption, without the trigger."""
    return sorted({without for caption in captions if (without := without_trigger(caption, trigger))})


def told(name: str, config: TrainConfig, pictures: int) -> str:
    """One line that says what a preset chose, in plain words."""
    batch = config.batch_size * config.accumulate
    line = (
        f"preset {name}: {config.steps} steps of {batch} samples, so each of {pictures} pictures is seen about "
        f"{config.steps * batch / pictures:.0f} times; {config.kind} of rank {config.rank}"
    )
    if config.patience:
        line += f"; ends early when {config.validation_share:.0%} held out of the training stop getting better"
    if config.prior_prompts:
        line += f"; {config.prior_count} pictures of the base's own keep what it knew"
    return line


def _usual_settings(base: BaseModel, device: str) -> Json:
    if base.id == STARTER:
        return {key: value for key, value in starter_config(base).to_dict().items() if key != "steps"}
    if base.family not in _BY_FAMILY:
        raise ConfigError("the preset", (f"is not for bases of the family {base.family}, which cannot be trained",))
    return {"precision": "fp32" if device == "cpu" else "bf16", **_BY_FAMILY[base.family]}


def starter_config(base: BaseModel) -> TrainConfig:
    """The settings that suit the small embedded model, which lie beside it."""
    return TrainConfig.load(base.folder.parent / "demo_train.toml")
