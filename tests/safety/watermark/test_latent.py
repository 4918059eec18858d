"""The latent layer: noise that is standard normal to whoever lacks the key, and says 64 bits to whoever has it."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from safety.errors import WatermarkError
from safety.watermark.code import CODED_BITS
from safety.watermark.latent import CENTRE, initial_noise, noise_score, read_noise
from safety.watermark.latent_keys import (
    NONCES,
    carries_mark,
    disguise,
    image_nonce,
    latent_layout,
    reveal,
)

SMALL = (4, 32, 32)
# The square of the mean of |z| over values whose sign is coded, counting the others as zero.
CODED_SHARE = 2 / math.pi * math.exp(-(CENTRE**2))
PAYLOAD = 0xA5_0000003_0000001
payloads = st.integers(0, 2**64 - 1)
nonces = st.integers(0, NONCES - 1)


def noisy(noise: np.ndarray, rho: float, seed: int = 0) -> np.ndarray:
    """An estimate that correlates with the noise by ``rho``."""
    other = np.random.default_rng(seed).standard_normal(noise.shape, dtype=np.float32)
    return rho * noise + math.sqrt(1 - rho * rho) * other


@pytest.mark.parametrize("shape", [(4, 32, 32), (16, 24, 20), (4, 64, 48), (16, 64, 64)])
def test_the_payload_is_read_exactly_from_a_poor_estimate(shape: tuple[int, int, int]) -> None:
    noise = initial_noise(PAYLOAD, shape, None, 40_001, 7)
    found = read_noise(noisy(noise, 21 / math.sqrt(noise.size)))
    assert (found.payload, found.nonce, found.backend) == (PAYLOAD, 40_001, "latent")
    assert found.p_value < 1e-9


@settings(max_examples=8, deadline=None)
@given(payload=payloads, nonce=nonces, seed=st.integers(0, 2**63 - 1), key=st.none() | st.binary(min_size=1))
def test_every_payload_nonce_seed_and_key_come_back(payload: int, nonce: int, seed: int, key: bytes | None) -> None:
    found = read_noise(noisy(initial_noise(payload, SMALL, key, nonce, seed), 0.5, seed), key)
    assert (found.payload, found.nonce) == (payload, nonce)


@settings(max_examples=60, deadline=None)
@given(payload=payloads, nonce=nonces, key=st.binary(min_size=1, max_size=40))
def test_the_disguise_of_a_payload_is_undone(payload: int, nonce: int, key: bytes) -> None:
    assert reveal(disguise(payload, key, nonce), key, nonce) == payload


def test_the_same_five_give_the_same_noise_and_any_other_gives_another() -> None:
    first = initial_noise(PAYLOAD, SMALL, b"k", 5, 9)
    assert np.array_equal(first, initial_noise(PAYLOAD, SMALL, b"k", 5, 9))
    others = [
        initial_noise(PAYLOAD + 1, SMALL, b"k", 5, 9),
        initial_noise(PAYLOAD, SMALL, b"l", 5, 9),
        initial_noise(PAYLOAD, SMALL, b"k", 6, 9),
    ]
    for other in others:
        # The seed is the same, so absolute values are; the signs are independent.
        assert np.array_equal(np.abs(first), np.abs(other))
        coded = np.abs(first) > CENTRE
        assert abs(float(np.mean(np.sign(first[coded]) * np.sign(other[coded])))) < 5 / math.sqrt(coded.sum())
    assert not np.array_equal(np.abs(first), np.abs(initial_noise(PAYLOAD, SMALL, b"k", 5, 10)))


def test_the_noise_is_standard_normal() -> None:
    noise = np.concatenate([initial_noise(PAYLOAD + i, SMALL, None, i, i).ravel() for i in range(40)])
    assert stats.kstest(noise, "norm").pvalue > 0.001
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(noise.var() - 1) < 5 * math.sqrt(2 / noise.size)


def test_no_place_of_the_noise_prefers_a_sign_and_no_two_places_agree() -> None:
    count = 400
    drawn = np.stack(
        [initial_noise(PAYLOAD + i, SMALL, b"k", image_nonce(PAYLOAD + i, i, b"k"), i) for i in range(count)]
    )
    flat = drawn.reshape(count, -1)
    means = flat.mean(axis=0) * math.sqrt(count)
    assert abs(means).max() < 5.5
    # Copies of one coded bit are the pairs that would agree if anything were repeated under a fixed key.
    slots = latent_layout(b"k", SMALL).slots
    first, second = slots[:, 0], slots[:, 1]
    products = (flat[:, first] * flat[:, second]).mean(axis=0) * math.sqrt(count)
    assert abs(products).max() < 5
    assert abs(float((products**2).mean()) - 1) < 6 * math.sqrt(2 / len(products))


def test_pictures_that_share_a_nonce_have_noise_that_agrees_as_often_as_it_disagrees() -> None:
    noises = np.stack([initial_noise(PAYLOAD + i, SMALL, b"k", 77, i).ravel() for i in range(40)])
    pairs = np.triu_indices(len(noises), 1)
    signed = (noises @ noises.T)[pairs] / math.sqrt(noises.shape[1])
    # Copies of a coded bit agree or disagree together, so the spread is above 1 and the mean is not.
    spread = math.sqrt(1 + CODED_SHARE**2 * (math.prod(SMALL) / CODED_BITS - 1))
    assert np.sqrt((signed**2).mean()) == pytest.approx(spread, rel=0.15)
    assert abs(signed.mean()) < 5 * spread / math.sqrt(len(signed))
    sizes = noises**2 - 1
    assert abs((sizes @ sizes.T)[pairs] / (2 * math.sqrt(sizes.shape[1]))).max() < 5.5


@pytest.mark.parametrize("seed", range(4))
def test_plain_noise_is_no_mark(seed: int) -> None:
    found = read_noise(np.random.default_rng(seed).standard_normal(SMALL, dtype=np.float32))
    assert found.payload is None
    assert not found
    assert found.p_value > 1e-3


def test_what_is_no_noise_at_all_is_no_mark() -> None:
    rows, columns = np.mgrid[:32, :32].astype(np.float64)
    structured = [
        np.zeros(SMALL),
        np.full(SMALL, 3.0),
        np.stack([rows, columns, rows * columns, np.sin(rows)]),
        np.sign(np.stack([np.sin(rows * k) for k in range(1, 5)])),
        np.where(np.arange(math.prod(SMALL)).reshape(SMALL) == 77, 1e6, 0.0),
    ]
    assert [read_noise(estimate).payload for estimate in structured] == [None] * len(structured)


def test_another_key_reads_nothing() -> None:
    noise = initial_noise(PAYLOAD, SMALL, b"the key", 1, 1)
    assert [read_noise(noise, key).payload for key in (None, b"the kez", b"the key\0")] == [None] * 3
    assert read_noise(noise, b"the key").payload == PAYLOAD


def test_noise_laid_out_for_another_shape_is_no_mark() -> None:
    noise = initial_noise(PAYLOAD, (4, 32, 48), None, 1, 1)
    assert read_noise(noise.swapaxes(1, 2)).payload is None
    assert read_noise(noise[:, :, ::-1].copy()).payload is None


def test_the_score_of_a_wrong_mark_is_standard_normal_whatever_the_estimate() -> None:
    rows, columns = np.mgrid[:32, :32].astype(np.float64)
    estimate = np.stack([np.sin(rows / k) + np.cos(columns * k) ** 3 for k in range(1, 5)])
    scores = [noise_score(estimate, PAYLOAD, key.to_bytes(4, "big"), 3) for key in range(400)]
    assert stats.kstest(scores, "norm").pvalue > 0.001


def test_every_further_hypothesis_costs_its_share() -> None:
    estimate = noisy(initial_noise(PAYLOAD, SMALL, None, 3, 3), 0.3)
    once, often = read_noise(estimate), read_noise(estimate, hypotheses=1000)
    assert once.payload == often.payload == PAYLOAD
    assert often.p_value == pytest.approx(1000 * once.p_value)


@pytest.mark.parametrize(
    "estimate",
    [
        None,
        "noise",
        [[1.0]],
        np.zeros((32, 32)),
        np.zeros((1, 4, 32, 32)),
        np.zeros((4, 8, 8)),
        np.zeros((4, 0, 32)),
        np.zeros((4, 2048, 2048), dtype=np.float16),
        np.zeros((4, 32, 32), dtype=np.uint8),
        np.zeros((4, 32, 32), dtype=np.complex64),
        np.full((4, 32, 32), np.nan),
        np.full((4, 32, 32), np.inf),
        np.full((4, 32, 32), -1e30),
    ],
    ids=lambda e: f"{getattr(e, 'shape', e)}-{getattr(e, 'dtype', '')}",
)
def test_hostile_estimates_are_refused(estimate: object) -> None:
    with pytest.raises(WatermarkError):
        read_noise(estimate)  # type: ignore[arg-type]


def test_one_bad_value_is_refused() -> None:
    estimate = np.zeros(SMALL, dtype=np.float32)
    estimate[3, 31, 31] = np.nan
    with pytest.raises(WatermarkError, match="not finite"):
        read_noise(estimate)


@pytest.mark.parametrize(
    ("payload", "shape", "key", "nonce", "seed"),
    [
        (-1, SMALL, None, 0, 0),
        (2**64, SMALL, None, 0, 0),
        (True, SMALL, None, 0, 0),
        (1, (4, 31, 31), None, 0, 0),
        (1, [4, 32, 32], None, 0, 0),
        (1, (4, 32.0, 32), None, 0, 0),
        (1, (4, 32, -32), None, 0, 0),
        (1, (1 << 20, 32, 32), None, 0, 0),
        (1, SMALL, b"", 0, 0),
        (1, SMALL, "key", 0, 0),
        (1, SMALL, None, -1, 0),
        (1, SMALL, None, NONCES, 0),
        (1, SMALL, None, 0.5, 0),
        (1, SMALL, None, 0, -1),
        (1, SMALL, None, 0, "seed"),
    ],
)
def test_what_cannot_be_written_is_refused(
    payload: int, shape: object, key: object, nonce: object, seed: object
) -> None:
    with pytest.raises(WatermarkError):
        initial_noise(payload, shape, key, nonce, seed)  # type: ignore[arg-type]


def test_a_wrong_number_of_hypotheses_is_refused() -> None:
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(WatermarkError, match="hypotheses"):
            read_noise(np.zeros(SMALL), hypotheses=wrong)  # type: ignore[arg-type]


def test_small_latents_are_said_to_carry_nothing() -> None:
    assert not carries_mark((4, 16, 16))
    assert carries_mark((4, 32, 32))
    assert not carries_mark((4, 4096, 4096))


def test_the_format_is_the_documented_one() -> None:
    # Changing these makes every picture drawn before unreadable.
    signs = latent_layout(None, SMALL).signs(PAYLOAD, 513)
    assert (
        hashlib.sha256((signs > 0).tobytes()).hexdigest()
        == "f4cf08588c988c05c6543582341001a75b11270ec13d3100078fbd77a8f231ee"
    )
    assert f"{disguise(PAYLOAD, b'key', 513):016x}" == "9a1811a04904bd38"
    assert image_nonce(PAYLOAD, 7) == 53108


def test_reading_noise_needs_no_torch() -> None:
    script = (
        "import sys, numpy as np; from safety.watermark.latent import read_noise;"
        "read_noise(np.zeros((4, 32, 32))); print([m for m in ('torch', 'scipy', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
