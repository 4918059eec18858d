from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import ELSEWHERE, TrainConfig
from training.config_faults import CHOICES
from training.errors import ConfigError


def test_every_fault_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('step = 5\nrank = 0\nflip = "yes"\nprecision = "fp8"\nwarmup_steps = 900\ntargets = []\n')
    with pytest.raises(ConfigError) as refusal:
        TrainConfig.load(file)
    text = str(refusal.value)
    assert refusal.value.exit_code == 2
    assert len(refusal.value.faults) == 6
    for part in ("(did you mean `steps`?)", "`rank`", "`flip`", "`precision`", "`warmup_steps`", "`targets`"):
        assert part in text


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("alpha", 0.0),
        ("beta2", 1.0),
        ("size", 12),
        ("final_learning_rate", 1.0),
        ("seed", -1),
        ("views", 2),
        ("targets", ("to_q", "")),
    ],
)
def test_a_value_out_of_range_is_refused(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        TrainConfig(**{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, "8", 8.0])
def test_a_whole_number_must_be_written_as_one(value: object) -> None:
    with pytest.raises(ConfigError, match="`rank` must be a whole number"):
        TrainConfig.from_dict({"rank": value})


def test_toml_that_does_not_parse_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text("steps = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        TrainConfig.load(tmp_path / "train.toml")


@given(
    steps=st.integers(30, 10**6),
    rank=st.integers(1, 1024),
    alpha=st.floats(0.1, 1e4),
    seed=st.integers(0, 2**63 - 1),
    targets=st.lists(st.sampled_from(["to_q", "conv1", "ff.net.2"]), min_size=1),
)
def test_settings_survive_being_written_and_read(
    steps: int, rank: int, alpha: float, seed: int, targets: list[str]
) -> None:
    config = TrainConfig(steps=steps, rank=rank, alpha=alpha, seed=seed, targets=tuple(targets))
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert TrainConfig.from_dict(config.to_dict()).digest == config.digest


# What else a setting needs to have an effect at all.
NEEDED: dict[str, dict[str, object]] = {
    "dp_epsilon": {"dp_delta": 1e-3},
    "patience": {"validation_share": 0.1},
    "processes": {"accumulate": 2},
    "trigger_initial": {"trigger": "<rocket>"},
    "validate_every": {"replay_every": 1},
    "trigger_vectors": {"trigger": "<rocket>"},
    "views": {"flip": True},
}
SETTINGS = [field.name for field in fields(TrainConfig) if field.name != "version"]


def another_value(setting: str, value: object) -> object:
    """A permitted value of a setting that is not its default."""
    choices = {**CHOICES, "targets": (("to_q",),), "learning_rate": (1e-3,), "size": (8,), "bucket_step": (8,)}
    if setting in choices:
        return next(choice for choice in choices[setting] if choice != value)
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2 + 0.01 if setting != "final_learning_rate" else 1e-6
        case str():
            return value + "word"
        case _:
            return ("word",)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_counts_in_the_digest(setting: str) -> None:
    base = TrainConfig(**NEEDED.get(setting, {}))  # type: ignore[arg-type]
    other = replace(base, **{setting: another_value(setting, getattr(base, setting))})  # type: ignore[arg-type]
    assert other.digest != base.digest


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text("version = 1\nsteps = 100\n")
    with pytest.raises(ConfigError, match="`version` must be 2, not 1"):
        TrainConfig.load(tmp_path / "train.toml")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"trigger_initial": "rocket"}, "need a `trigger` that is learned"),
        ({"patience": 3}, "needs a `validation_share`"),
        ({"processes": 2}, "multiple of `processes`"),
        ({"processes": 0}, "`processes` must be between 1 and 64"),
        ({"replay_every": -1}, "`replay_every` must be at least 0"),
        ({"steps": 0}, "`steps` must be between 1"),
        ({"quantise": "4bit", "precision": "fp16"}, "bf16 or fp32"),
        ({"dp_epsilon": 8.0}, "`dp_delta` must be above 0"),
        ({"dp_epsilon": 8.0, "dp_delta": 1e-3, "dp_clip": 0.0}, "`dp_clip`"),
        ({"dp_epsilon": 8.0, "dp_delta": 1e-3, "ema_decay": 0.9}, "cannot be kept with `ema_decay`"),
    ],
)
def test_settings_that_only_go_together_are_refused_alone(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        TrainConfig(**settings)  # type: ignore[arg-type]


def test_the_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    config = TrainConfig(steps=110, warmup_steps=10, learning_rate=1e-3, final_learning_rate=1e-5)
    assert config.learning_rate_at(0) == pytest.approx(1e-4)
    assert config.learning_rate_at(9) == pytest.approx(1e-3)
    assert config.learning_rate_at(10) == pytest.approx(1e-3)
    assert config.learning_rate_at(60) == pytest.approx((1e-3 + 1e-5) / 2)
    assert config.learning_rate_at(110) == pytest.approx(1e-5)


def test_a_short_training_without_a_warmup_of_its_own_has_a_shorter_one() -> None:
    assert TrainConfig.from_dict({"steps": 10}).warmup_steps == 1
    assert TrainConfig.from_dict({"steps": 21}).warmup_steps == 20
    with pytest.raises(ConfigError, match="`warmup_steps` must be less than `steps`"):
        TrainConfig.from_dict({"steps": 10, "warmup_steps": 20})


@pytest.mark.parametrize(("theirs", "ours"), sorted(ELSEWHERE.items()))
def test_what_other_trainers_call_a_setting_is_named(theirs: str, ours: str) -> None:
    assert ours in SETTINGS
    with pytest.raises(ConfigError, match=f"other trainers call {theirs} is `{ours}`"):
        TrainConfig.from_dict({theirs: 1})
