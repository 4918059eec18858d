"""FID and KID against closed forms and against the formula written out pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from generation.errors import GenerationError
from generation.evaluation.distances import KID_SUBSETS, fid, kid, kid_subset


def sample_with(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows whose own mean and unbiased covariance are exactly the given ones."""
    rows = np.random.default_rng(seed).standard_normal((count, len(mean)))
    rows -= rows.mean(axis=0)
    own = np.cov(rows, rowvar=False)
    white = rows @ np.linalg.inv(np.linalg.cholesky(own)).T
    return (white @ np.linalg.cholesky(covariance).T + mean).astype(np.float32)


def spd(size: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).standard_normal((size, size))
    return root @ root.T / size + 0.2 * np.eye(size)


def directions(count: int, size: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_fid_of_axis_aligned_gaussians_is_the_closed_form() -> None:
    first, second = np.array([4.0, 1.0, 9.0]), np.array([1.0, 4.0, 2.25])
    means = np.array([0.0, 1.0, -2.0]), np.array([3.0, 1.0, 2.0])
    found = fid(sample_with(means[0], np.diag(first), 200, 1), sample_with(means[1], np.diag(second), 150, 2))
    expected = np.square(means[0] - means[1]).sum() + np.square(np.sqrt(first) - np.sqrt(second)).sum()
    assert found == pytest.approx(expected, rel=1e-5)


def test_fid_of_any_gaussians_is_the_closed_form_by_another_square_root() -> None:
    first, second = spd(6, 3), spd(6, 4)
    means = np.arange(6.0), np.arange(6.0)[::-1].copy()
    found = fid(sample_with(means[0], first, 300, 5), sample_with(means[1], second, 400, 6))
    root = sqrtm(first @ second).real
    expected = np.square(means[0] - means[1]).sum() + np.trace(first + second - 2 * root)
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_the_same_pictures_are_at_no_distance() -> None:
    rows = directions(80, 16, 7)
    assert abs(fid(rows, rows)) < 1e-6


def test_two_draws_of_one_distribution_are_at_no_distance_that_their_spread_does_not_explain() -> None:
    first, second = directions(600, 16, 18), directions(600, 16, 19)
    near, far = kid(first, second, 0), kid(first, second + np.float32(0.2), 0)
    assert abs(near.mean) < near.std < far.mean


def test_fid_with_fewer_rows_than_dimensions_is_finite_and_too_large() -> None:
    many, few = ([directions(count, 32, seed) for seed in (8, 9)] for count in (4000, 12))
    assert fid(*many) < 0.02
    assert fid(*few) > 10 * fid(*many)


def test_kid_is_the_mean_of_the_unbiased_estimate_written_out() -> None:
    reference, found = directions(14, 5, 10), directions(10, 5, 11) + np.float32(0.3)
    size = kid_subset(len(reference), len(found))
    assert size == 5
    torch.manual_seed(123)
    estimates = []
    for _ in range(KID_SUBSETS):
        real = reference[torch.randperm(len(reference))[:size].numpy()].astype(np.float64)
        fake = found[torch.randperm(len(found))[:size].numpy()].astype(np.float64)
        estimates.append(unbiased(real, fake))
    measured = kid(reference, found, 123)
    assert measured.mean == pytest.approx(float(np.mean(estimates)), rel=1e-9)
    assert measured.std == pytest.approx(float(np.std(estimates)), rel=1e-9)


def unbiased(real: np.ndarray, fake: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1.0) ** 3)

    m = len(real)
    own = sum(kernel(real[i], real[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    other = sum(kernel(fake[i], fake[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(kernel(a, b) for a in real for b in fake) / m**2


def test_kid_is_a_function_of_its_seed_and_leaves_the_global_generator_alone() -> None:
    reference, found = directions(20, 4, 12), directions(20, 4, 13)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = kid(reference, found, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert kid(reference, found, 1) == first
    assert kid(reference, found, 2) != first


def test_kid_subsets_never_are_the_whole_set() -> None:
    assert kid_subset(24, 128) == 12
    assert kid_subset(5000, 4000) == 1000
    assert kid_subset(2, 3) == 2


def test_features_that_are_no_numbers_are_refused() -> None:
    rows, broken = directions(8, 4, 16), directions(8, 4, 17)
    broken[3, 1] = np.nan
    for measure in (fid, lambda first, second: kid(first, second, 0)):
        with pytest.raises(GenerationError):
            measure(rows, broken)
