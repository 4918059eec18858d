"""A whole training that uses everything that decides what is seen, stopped, resumed, and replayed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.base import BaseModel
from provenance.dataset import sign_dataset
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from training.config import TrainConfig
from training.errors import TrainingInterrupted
from training.lora import Progress, train
from training.replay.executing import replay
from training.replay.record import Recorded, read_recorded

CONFIG = TrainConfig(
    steps=6,
    warmup_steps=0,
    batch_size=2,
    rank=2,
    targets=("to_q",),
    sample_count=0,
    sample_steps=1,
    threads=1,
    kohya=False,
    replay_every=2,
    buckets=True,
    bucket_step=8,
    crop="random",
    flip=True,
    views=2,
    mask="alpha",
    mask_floor=0.1,
    shuffle_tags=True,
    trigger="sks",
    prior_prompts=("a square", "a dot"),
    prior_count=3,
    validation_share=0.2,
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> DatasetManifest:
    """Pictures of three shapes, some of them with transparency, under tags."""
    source, draw = tmp_path_factory.mktemp("mixed"), np.random.default_rng(1)
    for index, (height, width, depth) in enumerate([(40, 48, 3), (40, 48, 4), (20, 60, 3), (24, 70, 4), (60, 30, 3)]):
        Image.fromarray(draw.integers(0, 255, (height, width, depth), dtype=np.uint8)).save(source / f"{index}.png")
        (source / f"{index}.txt").write_text(f"square, red {index}, small, night")
    release = tmp_path_factory.mktemp("release") / "mixed"
    return sign_dataset(source, release, issuer=issuer, licence="CC0-1.0", holder="Test Studio")


def test_everything_that_is_seen_is_seen_again_after_a_stop_and_in_a_replay(
    mixed: DatasetManifest, sdxl_base: BaseModel, issuer: Issuer, lenient: ScreeningChoice, tmp_path: Path
) -> None:
    def press(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    def run(name: str, **options: object) -> Recorded:
        given = {"issuer": issuer, "name": "x", "screening": lenient, **options}
        return read_recorded(train(mixed, sdxl_base, CONFIG, tmp_path / name, **given))  # type: ignore[arg-type]

    whole = run("whole")
    with pytest.raises(TrainingInterrupted):
        run("stopped", progress=press)
    stopped = run("stopped", resume=True)
    assert stopped.chain.links == whole.chain.links
    assert stopped.chain.released == whole.chain.released
    made = replay(stopped, mixed, sdxl_base, (0, 2))
    assert (made.verdict, made.released_agrees) == ("agrees", True)
