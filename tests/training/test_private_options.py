from __future__ import annotations

from pathlib import Path

import pytest

from provenance.base import BaseModel
from provenance.errors import UsageError
from training.config import TrainConfig
from training.presets import PRESETS, preset_settings
from training.private.options import as_private, parse_dp


def test_epsilon_delta_and_clip_become_settings() -> None:
    assert parse_dp("epsilon=8,delta=1e-6,clip=0.5") == {"dp_epsilon": 8.0, "dp_delta": 1e-6, "dp_clip": 0.5}
    assert parse_dp(" clip = 2 , epsilon = 3 ") == {"dp_epsilon": 3.0, "dp_delta": 1e-5, "dp_clip": 2.0}


def test_delta_has_a_usual_value_and_clip_that_of_the_configuration() -> None:
    assert parse_dp("epsilon=8") == {"dp_epsilon": 8.0, "dp_delta": 1e-5}


@pytest.mark.parametrize(
    "text",
    ["", "8", "epsilon", "epsilon=", "epsilon=lots", "eps=8", "epsilon=8,", "epsilon=8,epsilon=9", "epsilon=8;clip=1"],
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_dp(text)
    assert "epsilon=8,delta=1e-5,clip=0.1" in str(refused.value)


@pytest.mark.parametrize("text", ["delta=1e-5", "epsilon=0", "epsilon=-1"])
def test_no_epsilon_is_no_privacy(text: str) -> None:
    with pytest.raises(UsageError, match="needs an epsilon above 0"):
        parse_dp(text)


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_private(preset: str, family: str) -> None:
    base = BaseModel("local:base", Path("base"), family, "0" * 64)
    captions = [f"a w0rd dog, number {number}" for number in range(40)]
    settings = preset_settings(preset, base, captions, trigger="w0rd")
    config = TrainConfig.from_dict(as_private(settings) | parse_dp("epsilon=8"))
    assert (config.rank, config.trigger) == (settings["rank"], "w0rd")
