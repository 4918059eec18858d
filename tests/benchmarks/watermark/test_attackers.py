from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.watermark import attackers, gathering
from benchmarks.watermark.gathering import Batch, Gathered

SIDE = 256
RNG = np.random.default_rng(8)


def gathered_from(pattern: np.ndarray, pictures: int) -> Gathered:
    """Residuals of noise as pictures, each carrying the same pattern a tenth as strong."""
    shape = (SIDE, SIDE // 2 + 1)
    found = Gathered(0, np.zeros((SIDE, SIDE)), np.zeros(shape), np.zeros(shape))
    for _ in range(pictures):
        picture = RNG.standard_normal((SIDE, SIDE))
        power, unmarked = (np.abs(np.fft.rfft2(seen)) ** 2 for seen in (picture + 0.3 * pattern, picture))
        found += Gathered(1, picture + 0.3 * pattern, power, unmarked)
    return found


def tiled(period: int) -> np.ndarray:
    return np.tile(RNG.standard_normal((period, period)), (SIDE // period, SIDE // period))


def test_a_pattern_that_repeats_is_found_at_its_period() -> None:
    lag, clearness = attackers.strongest_lag(gathered_from(tiled(64), 10))
    assert lag % 64 == 0
    assert clearness > attackers.CLEAR


def test_a_pattern_that_does_not_repeat_shows_no_period() -> None:
    _, clearness = attackers.strongest_lag(gathered_from(tiled(SIDE), 10))
    assert clearness < attackers.CLEAR


def test_folding_at_the_period_finds_more_of_the_pattern_than_the_mean() -> None:
    pattern = tiled(64)
    found = gathered_from(pattern, 2)
    mean = attackers._correlation(found.residual, pattern, shifts=False)
    folded = attackers._correlation(attackers.folded(found.residual, 64), pattern, shifts=False)
    assert 0.2 < mean < folded


def test_frequencies_that_carry_the_pattern_stand_out() -> None:
    rows = np.sin(2 * np.pi * 32 * np.arange(SIDE) / SIDE)
    shares = attackers.standing_out(gathered_from(3 * np.tile(rows, (SIDE, 1)), 20))
    assert np.unravel_index(int(np.argmax(shares)), shares.shape) == (0, 32)
    assert shares.max() > 0.9


def test_the_band_alone_knows_no_direction() -> None:
    rows = np.sin(2 * np.pi * 32 * np.arange(SIDE) / SIDE)
    shares = attackers.over_rings(attackers.standing_out(gathered_from(3 * np.tile(rows, (SIDE, 1)), 20)))
    assert shares[0, 32] == shares[32, 0] < 0.5


def test_a_change_has_the_psnr_it_was_asked_for() -> None:
    picture = RNG.integers(80, 176, (SIDE, SIDE, 3), dtype=np.uint8)
    changed = attackers._added(picture, RNG.standard_normal((SIDE, SIDE)), 40.0)
    assert attackers.psnr(picture, changed) == pytest.approx(40.0, abs=0.2)


def test_gathering_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    snaps = list(gathering.snapshots("dwtDctSvd", SIDE, 3, 1, tmp_path, lambda done, total: seen.append((done, total))))
    assert [one.count for one in snaps] == [1, 3]
    files = sorted(tmp_path.iterdir())
    files[-1].unlink()
    again = list(gathering.snapshots("dwtDctSvd", SIDE, 3, 1, tmp_path, lambda done, total: None))
    np.testing.assert_array_equal(snaps[-1].residual, again[-1].residual)
    assert sorted(tmp_path.iterdir()) == files


def test_each_picture_of_the_issuer_has_its_own_serial() -> None:
    assert len({gathering.serial(number) for number in range(100)}) == 100
    assert {gathering.serial(number) >> 28 for number in range(100)} == {gathering.STREAM}


def test_what_an_estimate_is_worth_is_told_for_each_method() -> None:
    _, gathered = gathering.gather(Batch("dwtDctSvd", SIDE, 0, 2))
    new = attackers.victims("dwtDctSvd", SIDE, 2, after=100)
    assert attackers.read_exactly("dwtDctSvd", new) == 2
    rows = list(attackers.tried("dwtDctSvd", gathered, new))
    assert [row["estimate"] for row in rows] == ["mean residual", "power spectrum", "folded", "band only"]
    for row in rows:
        assert 0 <= row["42 dB"]["exact after"] <= 2
        assert row["42 dB"]["psnr"] > 41
        assert abs(row["correlation"]) <= 1
