from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from provenance.base import BaseModel
from provenance.manifest import DatasetManifest
from training.batch import draw_batch
from training.config import TrainConfig
from training.errors import TrainingError
from training.loop import apply_gradients, compute_gradients
from training.setup import Setup, set_up
from training.validation import choose_held_out, held_out_paths, validation_loss

CONFIG = TrainConfig(
    steps=20, warmup_steps=1, batch_size=2, rank=2, learning_rate=0.01, lora_dropout=0.3, validation_share=0.4
)


def made(manifest: DatasetManifest, base: BaseModel, folder: Path, config: TrainConfig = CONFIG) -> Setup:
    return set_up(manifest, base, config, "cpu", folder, lambda *_: None)


def test_pictures_held_out_are_in_no_batch(manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path) -> None:
    cache = made(manifest, sd1_base, tmp_path).cache
    assert len(cache.held_out) == 2
    assert len(cache) == 3
    shown = {slot.item for step in range(12) for slot in cache.plan(step, 0)}
    assert shown == set(range(5)) - set(cache.held_out) == set(cache.trained)
    paths = held_out_paths(manifest, CONFIG)
    assert paths == tuple(manifest.records[item].path for item in cache.held_out)


def test_without_a_share_nothing_is_held_out(manifest: DatasetManifest) -> None:
    assert held_out_paths(manifest, TrainConfig()) == ()


def test_the_seed_chooses_who_is_held_out(manifest: DatasetManifest) -> None:
    chosen = {choose_held_out(manifest.records, replace(CONFIG, seed=seed)) for seed in range(8)}
    assert len(chosen) > 2


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.1, 1), (0.3, 3), (0.5, 5)])
def test_the_share_is_rounded_and_at_least_one(share: float, count: int) -> None:
    records = [SimpleNamespace(sha256=f"{n:064x}") for n in range(10)]
    assert len(choose_held_out(records, TrainConfig(validation_share=share))) == count  # type: ignore[arg-type]


def test_pictures_of_the_same_bytes_are_held_out_together() -> None:
    records = [SimpleNamespace(sha256=f"{n % 4:064x}") for n in range(12)]
    held_out = choose_held_out(records, TrainConfig(validation_share=0.25))  # type: ignore[arg-type]
    assert len(held_out) == 3
    assert len({records[item].sha256 for item in held_out}) == 1


def test_of_one_picture_none_can_be_held_out() -> None:
    with pytest.raises(TrainingError, match="no picture can be held out"):
        choose_held_out([SimpleNamespace(sha256="a")] * 3, CONFIG)  # type: ignore[list-item]


def test_the_loss_is_the_same_for_the_same_weights_and_leaves_no_trace(
    manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path
) -> None:
    setup, untouched = made(manifest, sd1_base, tmp_path), made(manifest, sd1_base, tmp_path)
    before = torch.get_rng_state()
    first = validation_loss(setup)
    assert torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in setup.parameters.values())
    taken = []
    for one, validated in ((setup, True), (untouched, False)):
        for step in range(3):
            loss = compute_gradients(one, step).loss
            apply_gradients(one, step)
            taken.append(loss)
            assert not validated or validation_loss(one) == validation_loss(one)
    assert taken[:3] == taken[3:]
    assert setup.state().digests() == untouched.state().digests()
    assert validation_loss(setup) != first


def test_noise_and_times_do_not_depend_on_the_step_or_on_what_makes_training_harder(
    manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path
) -> None:
    plain = made(manifest, sd1_base, tmp_path)
    harder = replace(CONFIG, noise_offset=0.1, input_perturbation=0.1, min_snr_gamma=5.0, caption_dropout=1.0)
    assert validation_loss(made(manifest, sd1_base, tmp_path, harder)) == pytest.approx(validation_loss(plain), abs=0)


def test_the_loss_falls_while_something_is_learned_that_holds_for_other_pictures(
    manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path
) -> None:
    setup = made(manifest, sd1_base, tmp_path)
    before = validation_loss(setup)
    for step in range(20):
        compute_gradients(setup, step)
        apply_gradients(setup, step)
    assert validation_loss(setup) < before


def test_nothing_held_out_is_said_so(manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path) -> None:
    setup = made(manifest, sd1_base, tmp_path, replace(CONFIG, validation_share=0.0))
    with pytest.raises(TrainingError, match="no pictures are held out"):
        validation_loss(setup)
    assert draw_batch(setup.family, setup.cache, setup.config, 0, 0).mask is None
