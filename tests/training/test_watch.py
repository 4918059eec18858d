from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.byproducts import byproducts
from provenance.dataset import verify_dataset
from provenance.errors import FormatError
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from training.checkpoint import forget_older
from training.config import TrainConfig
from training.errors import ConfigError, ReplayRefused, TrainingInterrupted
from training.lora import Progress, train
from training.replay.executing import replay
from training.replay.record import read_recorded
from training.replay.snapshots import SNAPSHOTS
from training.watch import NAME, Watch, overfitting_from

# Far too high a rate: what is held out gets worse at once.
DIVERGING = TrainConfig(
    steps=40, batch_size=2, rank=2, alpha=8.0, learning_rate=0.3, warmup_steps=0, threads=1, sample_count=0,
    checkpoint_every=2, replay_every=1, replay_snapshots=True, validation_share=0.4, validate_every=1, patience=3,
)  # fmt: skip

Train = Callable[..., AdapterManifest]


@pytest.fixture
def run(
    manifest: DatasetManifest, issuer: Issuer, sd1_base: BaseModel, lenient: ScreeningChoice, tmp_path: Path
) -> Train:
    def run(config: TrainConfig = DIVERGING, out: str = "squares", **options: Any) -> AdapterManifest:
        return train(manifest, sd1_base, config, tmp_path / out, issuer=issuer, screening=lenient, **options)

    return run


@pytest.fixture(scope="module")
def ended_early(
    dataset: Path,
    trust: TrustStore,
    issuer: Issuer,
    sd1_base: BaseModel,
    lenient: ScreeningChoice,
    tmp_path_factory: pytest.TempPathFactory,
) -> AdapterManifest:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("ended-early") / "squares"
    return train(verify_dataset(dataset, trust), sd1_base, DIVERGING, out, issuer=issuer, screening=lenient)


def stated(adapter: AdapterManifest) -> Any:
    return {entry["name"]: entry["annotations"] for entry in byproducts(adapter.predicate, NAME)}[NAME]


def test_the_least_loss_counts_and_of_equals_the_earliest() -> None:
    watch = Watch().after(5, 0.5).after(10, 0.2).after(15, 0.2).after(20, 0.9)
    assert watch.best == (10, 0.2)
    assert watch.since_best == 2
    assert [watch.is_out_of(patience) for patience in (0, 1, 2, 3)] == [False, True, True, False]
    assert watch.until(10).is_best
    assert not watch.is_best
    assert Watch().since_best == 0
    assert not Watch().is_out_of(1)


@pytest.mark.parametrize(
    "raw", [None, {}, [[1]], [[1, 2]], [[True, 0.5]], [[0, 0.5]], [[2, 0.5], [1, 0.5]], [[1, float("nan")]], [[1, "1"]]]
)
def test_malformed_validations_are_refused(raw: Any) -> None:
    with pytest.raises(FormatError, match="malformed validations"):
        Watch.from_json(raw, "a checkpoint")


def test_validations_survive_being_written_and_read() -> None:
    watch = Watch().after(5, 0.1).after(10, 1 / 3)
    assert Watch.from_json(json.loads(json.dumps(watch.to_json())), "a checkpoint") == watch


def test_overfitting_is_training_that_falls_while_what_is_held_out_rises() -> None:
    falling = [1 - step / 100 for step in range(60)]
    rising = Watch().after(20, 0.5).after(40, 0.6).after(60, 0.7)
    assert overfitting_from(rising, falling) == 20
    assert overfitting_from(rising, falling[::-1]) is None
    assert overfitting_from(Watch().after(20, 0.5).after(40, 0.4).after(60, 0.3), falling) is None
    assert overfitting_from(rising.until(40), falling) is None
    assert overfitting_from(Watch(), falling) is None
    assert overfitting_from(Watch().after(20, 0.5).after(40, 0.504).after(60, 0.509), falling) is None


def test_a_training_that_gets_worse_ends_early_and_releases_its_best_state(run: Train, tmp_path: Path) -> None:
    seen: list[Progress] = []
    adapter = run(progress=seen.append)
    facts = stated(adapter)
    losses = dict(facts["losses"])
    best = min(losses, key=lambda step: losses[step])
    assert facts["best_step"] == best
    assert facts["stopped_at"] == best + DIVERGING.patience < DIVERGING.steps
    assert len(facts["held_out"]) == 2
    assert seen[-1].stage == "signing"
    assert [p.validation for p in seen if p.stage == "training"] == list(losses.values())
    shorter = dataclasses.replace(DIVERGING, patience=0, steps=40, validation_share=0.4)
    recorded = read_recorded(adapter)
    assert recorded.chain.links[-1].step == best
    # The chain ends in the best state, and its last segment gives those very files again.
    whole = run(shorter, out="to-the-end")
    assert stated(whole)["stopped_at"] == 40
    assert read_recorded(whole).chain.links[best].parts.adapter == recorded.chain.links[-1].parts.adapter
    assert (tmp_path / "squares.work" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "squares.work" / "best").exists()


def test_an_early_end_is_replayed_to_the_released_files(
    run: Train, manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path
) -> None:
    recorded = read_recorded(run())
    last = len(recorded.chain) - 1
    made = replay(recorded, manifest, sd1_base, (last,), snapshots=tmp_path / "squares.work" / SNAPSHOTS)
    assert made.verdict == "agrees"
    assert made.released_agrees is True


def test_an_interrupted_training_ends_early_at_the_same_step(run: Train) -> None:
    left_alone = run()

    def stop(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted):
        run(out="stopped", progress=stop)
    resumed = run(out="stopped", resume=True)
    assert stated(resumed) == stated(left_alone)
    assert read_recorded(resumed).chain.released == read_recorded(left_alone).chain.released


def test_validation_changes_no_bit_of_a_training(run: Train) -> None:
    config = dataclasses.replace(DIVERGING, steps=4, patience=0, learning_rate=0.01)
    often, once = run(config), run(dataclasses.replace(config, validate_every=4), out="once")
    digests = [[link.parts.adapter for link in read_recorded(a).chain.links] for a in (often, once)]
    assert digests[0] == digests[1]


def test_validations_must_fall_on_links_of_the_chain() -> None:
    with pytest.raises(ConfigError, match="`validate_every` must be a multiple of 25"):
        TrainConfig(validate_every=30)
    assert TrainConfig(steps=5000).validate_steps == 250
    assert TrainConfig(steps=100).validate_steps == 25


def signed_as(adapter: AdapterManifest, change: Callable[[Any], None]) -> AdapterManifest:
    """The adapter as if its maker had signed something else about its validation."""
    predicate = json.loads(json.dumps(adapter.predicate))
    change(predicate)
    return dataclasses.replace(adapter, predicate=predicate)


def byproduct(predicate: Any) -> Any:
    return next(e for e in predicate["runDetails"]["byproducts"] if e["name"] == NAME)["annotations"]


def sell_fewer_steps(predicate: Any) -> None:
    predicate["buildDefinition"]["internalParameters"]["steps"] -= 1


def hide_a_rise(predicate: Any) -> None:
    byproduct(predicate)["stopped_at"] -= 1
    byproduct(predicate)["losses"].pop()


def name_another_best(predicate: Any) -> None:
    byproduct(predicate)["best_step"] += 1


def leave_it_out(predicate: Any) -> None:
    products = predicate["runDetails"]["byproducts"]
    products.remove(next(e for e in products if e["name"] == NAME))


@pytest.mark.parametrize("lie", [sell_fewer_steps, hide_a_rise, name_another_best, leave_it_out])
def test_a_chain_whose_validation_was_signed_otherwise_is_not_replayed(
    lie: Callable[[Any], None], ended_early: AdapterManifest
) -> None:
    with pytest.raises(FormatError):
        read_recorded(signed_as(ended_early, lie))


def test_a_replay_computes_validation_losses_again(
    ended_early: AdapterManifest, manifest: DatasetManifest, sd1_base: BaseModel
) -> None:
    def better(predicate: Any) -> None:
        points = byproduct(predicate)["losses"]
        points[0][1] = byproduct(predicate)["losses"][0][1] * (1 + 1e-9)

    honest, lied = read_recorded(ended_early), read_recorded(signed_as(ended_early, better))
    assert replay(honest, manifest, sd1_base, (0,)).verdict == "agrees"
    found = replay(lied, manifest, sd1_base, (0,))
    assert found.verdict == "differs"
    assert found.mismatch is not None
    assert found.mismatch.parts == ("validation",)


def test_other_pictures_held_out_are_refused(
    ended_early: AdapterManifest, manifest: DatasetManifest, sd1_base: BaseModel
) -> None:
    def others(predicate: Any) -> None:
        byproduct(predicate)["held_out"] = ["data/9.png"]

    with pytest.raises(ReplayRefused, match="other pictures were held out"):
        replay(read_recorded(signed_as(ended_early, others)), manifest, sd1_base, (0,))


def test_best_states_are_kept_for_every_checkpoint_that_may_go_on(tmp_path: Path) -> None:
    for folder, steps in (("kept", (100, 200)), ("best", (50, 75, 125, 150))):
        (tmp_path / folder).mkdir()
        for step in steps:
            (tmp_path / folder / f"step-{step:08}.safetensors").touch()
    forget_older(tmp_path / "best", tmp_path / "kept")
    assert sorted(int(path.stem[5:]) for path in (tmp_path / "best").iterdir()) == [75, 125, 150]
