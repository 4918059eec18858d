from __future__ import annotations

import pytest

from provenance.base import BaseModel, resolve_base
from training.config import TrainConfig
from training.errors import ConfigError
from training.presets import PRESETS, preset_settings, prior_prompts, told

CAPTIONS = [f"a zork rocket, picture {i}" for i in range(20)]


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("base", ["starter", "sd1_base", "sdxl_base", "sd3_base"])
def test_every_preset_is_a_valid_configuration_of_every_base(
    name: str, base: str, request: pytest.FixtureRequest
) -> None:
    model: BaseModel = resolve_base("starter") if base == "starter" else request.getfixturevalue(base)
    config = TrainConfig.from_dict(preset_settings(name, model, CAPTIONS))
    samples = config.steps * config.batch_size * config.accumulate
    assert PRESETS[name].least <= samples <= PRESETS[name].most + config.batch_size * config.accumulate
    assert (config.min_snr_gamma == 0) == (model.family == "sd3")
    assert config.patience
    assert "held out" in told(name, config, 20)


def test_few_pictures_are_all_learned_from(sd1_base: BaseModel) -> None:
    assert TrainConfig.from_dict(preset_settings("style", sd1_base, CAPTIONS[:8])).validation_share == 0


def test_a_subject_with_a_trigger_keeps_its_kind_by_the_captions_without_it(sd1_base: BaseModel) -> None:
    settings = preset_settings("subject", sd1_base, CAPTIONS, trigger="zork")
    assert settings["prior_prompts"] == sorted(f"a rocket, picture {i}" for i in range(20))
    assert TrainConfig.from_dict(settings).trigger == "zork"
    assert "prior_prompts" not in preset_settings("style", sd1_base, CAPTIONS, trigger="zork")


def test_the_trigger_is_taken_out_beside_punctuation_and_alone_asks_for_nothing() -> None:
    assert prior_prompts(["zork", "zork, red", "red zork."], "zork") == ["red"]


@pytest.mark.parametrize(
    ("trigger", "caption", "asked"),
    [
        ("zork rocket", "a zork rocket, red", "a red"),
        ("zork", "A Zork rocket", "A rocket"),
        ("zork", "Zork's red rocket", "red rocket"),
        ("<dove>", "a <dove> rocket", "a rocket"),
        ("zork", "a zorkish rocket", "a zorkish rocket"),
    ],
)
def test_whatever_counts_as_the_trigger_in_a_caption_is_not_asked_of_the_base(
    trigger: str, caption: str, asked: str
) -> None:
    assert prior_prompts([caption], trigger) == [asked]


def test_an_unknown_preset_names_the_known_ones(sd1_base: BaseModel) -> None:
    with pytest.raises(ConfigError, match="style, subject, concept"):
        preset_settings("person", sd1_base, CAPTIONS)
