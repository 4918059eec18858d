from __future__ import annotations

import numpy as np
import pytest

from benchmarks.watermark import attacks
from benchmarks.watermark.suite import COMBINED, GROUPS, NONE, STRONGEST, TARGETS, group_of, suite

RNG = np.random.default_rng(1)
PICTURE = RNG.integers(0, 256, (96, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", suite())
def test_every_attack_gives_the_same_bytes_for_the_same_seed(name: str) -> None:
    attack = suite()[name]
    before = PICTURE.copy()
    first, second = attack(PICTURE, "one"), attack(PICTURE, "one")
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(PICTURE, before)


@pytest.mark.parametrize("name", [name for name in suite() if name != NONE])
def test_every_attack_changes_the_picture(name: str) -> None:
    attacked = suite()[name](PICTURE, "one")
    assert attacked.shape != PICTURE.shape or not np.array_equal(attacked, PICTURE)


def test_another_seed_crops_elsewhere() -> None:
    crop = suite()["crop to 0.4"]
    assert not np.array_equal(crop(PICTURE, "one"), crop(PICTURE, "two"))


def test_the_targets_are_those_that_were_set() -> None:
    assert set(group_of(TARGETS)) == {
        "JPEG 30",
        "blur σ 2",
        "noise 0.05",
        "rotation 30°",
        "crop to 0.4",
        "scale 0.5",
        "scale 2",
        "contrast 0.5",
        "brightness 1.6",
    }


def test_the_strongest_are_the_ends_of_waves() -> None:
    strongest = {suite()[name].family: suite()[name].strength for name in group_of(STRONGEST)}
    assert strongest == {
        "rotation": 45,
        "resized crop": 0.5,
        "erase": 0.25,
        "brightness": 2.0,
        "contrast": 2.0,
        "blur": 3.35,
        "noise": 0.1,
        "JPEG": 10,
    }


def test_every_group_has_attacks() -> None:
    assert all(group_of(group) for group in GROUPS)
    assert all(len(suite()[name].steps) > 1 for name in group_of(COMBINED))


def test_a_crop_keeps_its_share_of_the_area() -> None:
    cropped = attacks.crop(PICTURE, RNG, area=0.25)
    assert cropped.shape == (48, 64, 3)


def test_an_erased_box_is_black_and_of_its_share() -> None:
    bright = np.full((100, 100, 3), 200, np.uint8)
    erased = attacks.erase(bright, RNG, area=0.25)
    assert np.count_nonzero(erased[..., 0] == 0) == 50 * 50


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)
    noisy = attacks.noise(grey, RNG, sigma=0.05).astype(float)
    assert abs(noisy.std() - 0.05 * 255) < 0.2


def test_a_rotation_by_90_degrees_on_a_grown_canvas_is_a_quarter_turn() -> None:
    turned = attacks.rotate(PICTURE, RNG, degrees=90, grow=True)
    np.testing.assert_array_equal(turned, attacks.quarter_turns(PICTURE, RNG, turns=1))


def test_a_shear_moves_rows_by_their_distance_from_the_middle() -> None:
    stripe = np.zeros((101, 101, 3), np.uint8)
    stripe[:, 50] = 255
    sheared = attacks.shear(stripe, RNG, x=0.1)
    assert sheared[0, :, 0].argmax() == 45
    assert sheared[100, :, 0].argmax() == 55


def test_contrast_keeps_the_mean_and_halves_the_deviation() -> None:
    soft = attacks.contrast(PICTURE, RNG, factor=0.5)
    assert abs(soft.mean() - PICTURE.mean()) < 1
    assert abs(soft.std() / PICTURE.std() - 0.5) < 0.02


def test_posterising_leaves_so_many_values() -> None:
    assert len(np.unique(attacks.posterise(PICTURE, RNG, bits=3))) == 8


def test_scaling_by_factors_gives_the_new_size() -> None:
    assert attacks.scale(PICTURE, RNG, x=0.75, y=1.25).shape == (120, 96, 3)
