"""The latent layer: a payload in the signs of a picture's initial noise.

After Gaussian Shading (Yang et al. 2024) and T2SMark (2025): the absolute values come from the seed, and where they
exceed ``CENTRE`` the sign says a coded bit under a mask. To whoever does not know the key, the noise is exactly
independent standard normal. Nothing is carried that repeats under a fixed key: the reader tries every nonce and pays
for it in the p-value. NumPy only; whoever draws and inverts is elsewhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from safety.errors import WatermarkError
from safety.watermark.code import CODED_BITS, decode
from safety.watermark.detection import THRESHOLD, Detection
from safety.watermark.latent_keys import (
    NONCES,
    LatentLayout,
    checked_nonce,
    checked_shape,
    latent_layout,
    reveal,
)
from safety.watermark.payload import check_payload
from safety.watermark.significance import log_rademacher_tail, over_all_payloads

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATENT_BACKEND = "latent"
# One value in four lies within the centre and keeps the seed's own sign; together they hold 0.8 % of the energy.
CENTRE = 0.3186
CLIP = 5.0
LAGS = 2.0
TINY = 1e-12
DECODED_NONCES = 24
COPIES_COMPARED = 128
NONCES_AT_ONCE = 256


@dataclass(frozen=True)
class LatentDetection(Detection):
    """What was read from an estimate of the initial noise: the payload and nonce, or None when p is above 1e-9.

    ``score`` is Σ s·ẑ / ‖ẑ‖ for the likeliest reading, standard normal under a random key.
    """

    nonce: int | None = None
    score: float = 0.0


def initial_noise(
    payload: int, shape: tuple[int, int, int], key: bytes | None, nonce: int, seed: int | np.random.Generator
) -> NDArray[np.float32]:
    """Noise of shape (C, h, w) that carries a 64-bit payload; exactly standard normal under a random key.

    ``key`` None is the public key. ``nonce`` has 16 bits and should differ from image to image; absolute values and
    the signs near zero come from the seed. The same five give the same noise. Raises WatermarkError.
    """
    check_payload(payload)
    checked_shape(shape)
    signs = latent_layout(key, shape).signs(payload, checked_nonce(nonce)).reshape(shape)
    drawn = _generator(seed).standard_normal(shape, dtype=np.float32)
    return np.where(np.abs(drawn) > CENTRE, np.abs(drawn) * signs, drawn)


def read_noise(estimate: NDArray[np.floating], key: bytes | None = None, hypotheses: int = 1) -> LatentDetection:
    """Reads the payload from an estimate of the initial noise, (C, h, w), soft and with a rigorous p-value.

    Whatever the estimate is, under a random key the score of one payload and one nonce is a weighted sum of fair
    signs. Its tail is bounded (Bentkus and Dzindzalieta 2015) and multiplied by 2^64 payloads, 2^16 nonces and the
    caller's ``hypotheses``: how many estimates of one picture are tried in all. Raises WatermarkError for what is no
    such array, holds what is not finite, or is too small or too large.
    """
    started = time.perf_counter()
    checked = _checked_estimate(estimate)
    if type(hypotheses) is not int or hypotheses < 1:
        raise WatermarkError("the number of hypotheses is wrong", expected="1 or more", found=repr(hypotheses)[:100])
    layout = latent_layout(key, checked.shape)
    values = layout.gather(_evened(checked).ravel())
    payload, nonce, score = _best(values, layout)
    p_value = over_all_payloads(log_rademacher_tail(score), NONCES * hypotheses)
    found = p_value < THRESHOLD
    milliseconds = 1000 * (time.perf_counter() - started)
    return LatentDetection(
        payload=payload if found else None,
        p_value=p_value,
        backend=LATENT_BACKEND,
        milliseconds=milliseconds,
        nonce=nonce if found else None,
        score=score,
    )


def noise_score(estimate: NDArray[np.floating], payload: int, key: bytes | None, nonce: int) -> float:
    """How well an estimate agrees with a known payload and nonce: standard normal if they are not in it."""
    checked = _checked_estimate(estimate)
    values = _evened(checked).ravel()
    signs = latent_layout(key, checked.shape).signs(payload, checked_nonce(nonce))
    return float(values @ signs / max(float(np.linalg.norm(values)), 1e-30))


def _best(values: NDArray[np.float32], layout: LatentLayout) -> tuple[int | None, int | None, float]:
    norm = max(float(np.linalg.norm(values)), 1e-30)
    best: tuple[int | None, int | None, float] = (None, None, 0.0)
    for nonce in _likeliest_nonces(values, layout):
        masks = np.unpackbits(layout.masks(nonce, 1)[0], axis=1)
        soft = (values * (np.float32(1) - np.float32(2) * masks)).sum(axis=1, dtype=np.float64)
        number = decode(soft)
        if number is None:
            continue
        payload = reveal(number, layout.key, nonce)
        score = float(layout.gather(layout.signs(payload, nonce)).ravel() @ values.ravel()) / norm
        if score > best[2]:
            best = payload, nonce, score
    return best


def _likeliest_nonces(values: NDArray[np.float32], layout: LatentLayout) -> list[int]:
    """The nonces under which the first copies of each coded bit agree most, likeliest first."""
    compared = values[:, :COPIES_COMPARED]
    table = _byte_sums(compared)
    offsets = np.arange(len(table)).reshape(CODED_BITS, -1) * 256
    energies = np.empty(NONCES, dtype=np.float32)
    for first in range(0, NONCES, NONCES_AT_ONCE):
        masks = layout.masks(first, NONCES_AT_ONCE)[:, :, : compared.shape[1] // 8]
        # "clip" only spares NumPy the check of bounds, which bytes cannot leave.
        sums = np.einsum("nkb->nk", np.take(table.ravel(), masks + offsets, mode="clip"))
        energies[first : first + NONCES_AT_ONCE] = np.einsum("nk,nk->n", sums, sums)
    top = np.argpartition(-energies, DECODED_NONCES)[:DECODED_NONCES]
    return [int(nonce) for nonce in top[np.argsort(-energies[top], kind="stable")]]


def _byte_sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(bytes of a mask, 256): what eight copies of a coded bit add up to under each possible mask byte."""
    patterns = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * np.float32(-2) + np.float32(1)
    sums: NDArray[np.float32] = values.reshape(-1, 8) @ patterns.T
    return sums


def _evened(estimate: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each channel centred, whitened against its neighbours, scaled to unit variance and clipped.

    Noise is white; what a picture leaves in its estimate is smooth, and would outshout the rest.
    """
    centred = estimate - estimate.mean(axis=(1, 2), keepdims=True)
    spectrum = np.fft.fft2(centred / np.maximum(_deviation(centred), TINY))
    lags = np.fft.ifft2(np.abs(spectrum) ** 2).real
    power = np.fft.fft2(lags * _lag_window(estimate.shape[1:])).real
    white = np.fft.ifft2(spectrum / np.sqrt(np.maximum(power, TINY))).real.astype(np.float32)
    evened: NDArray[np.float32] = np.clip(white / np.maximum(_deviation(white), TINY), -CLIP, CLIP)
    return evened


def _lag_window(size: tuple[int, int]) -> NDArray[np.float64]:
    """A Gaussian over the distances between two places of a torus, (h, w): which correlations are believed."""
    rows, columns = (np.minimum(np.arange(side), side - np.arange(side)) for side in size)
    window: NDArray[np.float64] = np.exp(-(rows[:, None] ** 2 + columns**2) / (2 * LAGS**2))
    return window


def _deviation(values: NDArray[np.float32]) -> NDArray[np.float32]:
    deviation: NDArray[np.float32] = np.sqrt((values**2).mean(axis=(1, 2), keepdims=True))
    return deviation


def _checked_estimate(estimate: NDArray[np.floating]) -> NDArray[np.float32]:
    real = isinstance(estimate, np.ndarray) and estimate.dtype.kind == "f" and estimate.ndim == 3
    if not real:
        raise WatermarkError(
            "this is not an estimate of initial noise",
            expected="a (channels, height, width) array of floats",
            found=f"shape {getattr(estimate, 'shape', None)}, {getattr(estimate, 'dtype', type(estimate).__name__)}",
        )
    checked_shape(estimate.shape)
    # Far above any noise, and far below what overflows when it is squared.
    if not (np.abs(estimate) < 1e15).all():
        raise WatermarkError("the estimate of the initial noise holds values that are not finite")
    return estimate.astype(np.float32)


def _generator(seed: int | np.random.Generator) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    if type(seed) is not int or seed < 0:
        raise WatermarkError("the seed is wrong", expected="a whole number of at least 0", found=repr(seed)[:100])
    return np.random.default_rng(seed)
