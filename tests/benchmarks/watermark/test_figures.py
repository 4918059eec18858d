from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.watermark.cost import slope
from benchmarks.watermark.figures import Rate, rate, upper_bound
from benchmarks.watermark.quality import psnr, ssim


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (81, 263, 0.25529, 0.36620)]
)
def test_wilsons_interval_is_that_of_the_books(hits: int, n: int, low: float, high: float) -> None:
    assert Rate(hits, n).interval == pytest.approx((low, high), abs=1e-4)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        rate([])


def test_no_hit_in_a_million_bounds_the_rate_by_three_in_a_million() -> None:
    assert upper_bound(0, 10**6) == pytest.approx(-math.log(0.05) / 1e6, rel=1e-4)
    assert upper_bound(5, 5) == 1.0


def test_psnr_of_one_level_everywhere_is_48_decibels() -> None:
    grey = np.full((64, 64, 3), 100, np.uint8)
    assert psnr(grey, grey + 1) == pytest.approx(48.13, abs=0.01)
    assert psnr(grey, grey) == 100.0


def test_ssim_is_one_for_the_same_picture_and_less_with_noise() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert ssim(picture, picture) == pytest.approx(1.0)
    assert ssim(picture, np.roll(picture, 3, axis=0)) < 0.5


def test_cost_that_grows_as_the_square_has_exponent_2() -> None:
    assert slope([(n, 3.0 * n**2) for n in (1.0, 4.0, 16.0)]) == pytest.approx(2.0)
