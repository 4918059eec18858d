from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.config import TrainConfig
from training.errors import TrainingError
from training.trackers import open_trackers

PICTURE = np.zeros((8, 8, 3), np.uint8)


def write(work: Path, config: TrainConfig, steps: range, first: int = 0) -> None:
    with open_trackers(work, config, "rockets", first) as trackers:
        for step in steps:
            trackers.scalars({"loss": 1 / step}, step)
        trackers.pictures({"samples/00 a rocket": PICTURE}, steps[-1])


def read(work: Path) -> EventAccumulator:
    events = EventAccumulator(str(work / "tensorboard"))
    events.Reload()
    return events


def test_tensorboard_has_every_number_and_picture(tmp_path: Path) -> None:
    write(tmp_path, TrainConfig(), range(1, 4))
    events = read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert len(events.Images("samples/00 a rocket")) == 1
    assert not (tmp_path / "wandb").exists()


def test_steps_that_are_taken_again_are_shown_once(tmp_path: Path) -> None:
    write(tmp_path, TrainConfig(), range(1, 6))
    write(tmp_path, TrainConfig(), range(3, 6), first=2)
    assert [e.step for e in read(tmp_path).Scalars("loss")] == [1, 2, 3, 4, 5]


def test_weights_and_biases_stays_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    write(tmp_path, TrainConfig(wandb=True), range(1, 4))
    runs = list((tmp_path / "wandb" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == 1
    written = b"".join(path.read_bytes() for path in (tmp_path / "wandb").rglob("*") if path.is_file())
    assert b"rockets" in runs[0].read_bytes()
    assert b"k" * 40 not in written


def test_weights_and_biases_that_is_not_installed_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "wandb":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(TrainingError, match=r"prov\[wandb\]"):
        write(tmp_path, TrainConfig(wandb=True), range(1, 2))
