"""Several real processes train one adapter: the bits of one process, and no process that outlives the training."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from provenance.base import BaseModel
from provenance.dataset import verify_dataset
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from training import launching
from training.config import TrainConfig
from training.errors import ConfigError, TrainingError, TrainingInterrupted
from training.launching import launched_rank, require_number
from training.lora import Progress, train
from training.processes import ALONE, Ranks
from training.replay.executing import replay
from training.replay.record import Recorded, read_recorded

# Text encoders get no gradients from a part whose captions are all dropped.
CONFIG = TrainConfig(
    steps=4,
    warmup_steps=1,
    batch_size=1,
    accumulate=4,
    processes=2,
    rank=2,
    text_encoder_rank=2,
    learning_rate=0.02,
    lora_dropout=0.2,
    caption_dropout=0.5,
    targets=("to_q", "to_v"),
    ema_decay=0.9,
    sample_count=0,
    kohya=False,
    threads=1,
    replay_every=1,
)

Train = Callable[..., Recorded]


@pytest.fixture(scope="module")
def trained(dataset: Path, trust: TrustStore, issuer: Issuer, sd1_base: BaseModel, lenient: ScreeningChoice) -> Train:
    def run(release: Path, config: TrainConfig = CONFIG, **options: Any) -> Recorded:
        torch.set_num_threads(1)
        manifest = verify_dataset(dataset, trust)
        return read_recorded(
            train(manifest, sd1_base, config, release, issuer=issuer, name="x", screening=lenient, **options)
        )

    return run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process ids of the followers that a training starts."""
    ids: list[int] = []
    usual = launching._Follower.start

    def start(cls: Any, *arguments: Any) -> Any:
        follower = usual(*arguments)
        ids.append(follower.process.pid)
        return follower

    monkeypatch.setattr(launching._Follower, "start", classmethod(start))
    return ids


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def at(step: int, do: Callable[[], Any]) -> Callable[[Progress], None]:
    def act(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            do()

    return act


def test_two_processes_stopped_and_resumed_give_the_bits_of_one(
    trained: Train, started: list[int], tmp_path: Path, manifest: DatasetManifest, sd1_base: BaseModel
) -> None:
    environment = dict(os.environ)
    alone = trained(tmp_path / "alone", replace(CONFIG, processes=1))
    with pytest.raises(TrainingInterrupted, match="after step 2 of 4"):
        trained(tmp_path / "two", progress=at(2, lambda: os.kill(os.getpid(), signal.SIGINT)))
    together = trained(tmp_path / "two", resume=True)
    # The number of processes is a setting, so the first link's origin differs; nothing that was computed does.
    assert [link.parts for link in together.chain.links] == [link.parts for link in alone.chain.links]
    assert together.chain.released == alone.chain.released
    # One process replays what several have trained.
    made = replay(together, manifest, sd1_base, (1,))
    assert (made.verdict, made.executed, made.stack) == ("agrees", (0, 1), ())
    assert len({link.parts.adapter for link in alone.chain.links}) == 5
    assert len(started) == 2
    assert not any(is_running(process) for process in started)
    assert dict(os.environ) == environment
    assert not torch.distributed.is_initialized()


def test_a_process_that_dies_ends_the_training_and_says_how_to_go_on(
    trained: Train, started: list[int], tmp_path: Path
) -> None:
    config = replace(CONFIG, checkpoint_every=1)
    with pytest.raises(TrainingError, match="no longer answers") as refusal:
        trained(tmp_path / "x", config, progress=at(2, lambda: os.kill(started[0], signal.SIGKILL)))
    assert "process 1" in str(refusal.value.found)
    assert "--resume" in str(refusal.value.fix)
    assert not is_running(started[0])
    assert [path.name for path in (tmp_path / "x.work" / "checkpoints").iterdir()] == [
        "step-00000001.safetensors", "step-00000002.safetensors"
    ]  # fmt: skip


def test_a_process_that_cannot_start_says_why(
    trained: Train, started: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = launching._Follower.start

    def elsewhere(cls: Any, rank: int, count: int, order: dict[str, Any], folder: Path) -> Any:
        return usual(rank, count, {**order, "dataset": str(tmp_path / "nowhere")}, folder)

    monkeypatch.setattr(launching._Follower, "start", classmethod(elsewhere))
    with pytest.raises(TrainingError, match="process 1 of this training did not start") as refusal:
        trained(tmp_path / "x")
    assert "nowhere" in str(refusal.value.found)
    assert not any(is_running(process) for process in started)


def test_a_folder_named_like_ours_where_the_command_runs_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").touch()
    thief = 'import os\nopen("stolen", "w").write(os.environ.get("PROV_PASSPHRASE", ""))\n'
    (tmp_path / "training" / "worker.py").write_text(thief)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROV_PASSPHRASE", "a secret")
    follower = launching._Follower.start(1, 2, {"dataset": "none"}, tmp_path)
    try:
        with pytest.raises(TrainingError):
            follower.wait_until_ready()
    finally:
        follower.end()
    assert not (tmp_path / "stolen").exists()


def test_parts_are_shared_out_evenly_or_the_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`accumulate` must be a multiple of `processes` \(2\), not 3"):
        replace(CONFIG, accumulate=3)


def test_processes_that_differ_refuse_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    ALONE.require_same({"dataset": "a"})
    pair = Ranks(2, 0)
    monkeypatch.setattr(Ranks, "gathered", lambda self, value: [value, {"base": "b", "dataset": "c"}])
    with pytest.raises(TrainingError, match="process 1 of this training has another dataset than process 0"):
        pair.require_same({"base": "b", "dataset": "a"})


def test_a_launcher_is_noticed_and_must_start_as_many_as_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert launched_rank() is None
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launched_rank() == 3
    with pytest.raises(TrainingError, match="another number of processes") as refusal:
        require_number(CONFIG)
    assert (refusal.value.expected, refusal.value.found) == ("`processes` = 2", "4")


def test_more_processes_than_gpus_or_on_another_device_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(TrainingError, match="fewer GPUs here than processes") as refusal:
        launching._require_devices(CONFIG, "cuda")
    assert (refusal.value.expected, refusal.value.found) == ("`processes` = 2", "1")
    with pytest.raises(TrainingError, match="does not work on mps"):
        launching._require_devices(CONFIG, "mps")
    launching._require_devices(CONFIG, "cpu")
