from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import TrainConfig
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


@pytest.mark.parametrize("setting", [field.name for field in fields(TrainConfig)])
def test_every_setting_counts_in_the_digest(setting: str) -> None:
    other: dict[str, object] = {
        "accumulate": 2, "alpha": 8.0, "batch_size": 2, "beta1": 0.8, "beta2": 0.99, "caption_dropout": 0.2,
        "checkpoint_every": 7, "crop": "random", "deterministic": True, "device": "cpu",
        "final_learning_rate": 1e-6, "flip": True,
        "grad_clip": 2.0, "gradient_checkpointing": True, "kohya": False, "learning_rate": 1e-3, "lora_dropout": 0.1,
        "min_snr_gamma": 5.0, "noise_offset": 0.1, "precision": "bf16", "prediction": "sample", "rank": 8,
        "replay_every": 10, "replay_snapshots": True,
        "sample_count": 1, "sample_every": 5, "sample_guidance": 2.0, "sample_prompts": ("a",), "sample_steps": 5,
        "save_dtype": "fp16", "seed": 1, "size": 8, "steps": 700, "targets": ("to_q",), "threads": 1, "views": 2,
        "warmup_steps": 1, "weight_decay": 0.1,
    }  # fmt: skip
    base = TrainConfig(flip=True) if setting == "views" else TrainConfig()
    assert replace(base, **{setting: other[setting]}).digest != base.digest  # type: ignore[arg-type]


def test_the_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    config = TrainConfig(steps=110, warmup_steps=10, learning_rate=1e-3, final_learning_rate=1e-5)
    assert config.learning_rate_at(0) == pytest.approx(1e-4)
    assert config.learning_rate_at(9) == pytest.approx(1e-3)
    assert config.learning_rate_at(10) == pytest.approx(1e-3)
    assert config.learning_rate_at(60) == pytest.approx((1e-3 + 1e-5) / 2)
    assert config.learning_rate_at(110) == pytest.approx(1e-5)
