"""The `dwtDctSvd` mark of invisible-watermark, in luma: one raw bit in every 8×8 pixels.

The picture's luma goes through one Haar step; each 4×4 block of its low band carries one bit in the
largest singular value ``s`` of the block: ``s mod step`` is at ``step/4`` for 0 and ``3·step/4`` for 1.
The package writes the blocks. What its ``encode`` does around them is replaced, because it

- swaps the horizontal and vertical details on the way back (`idwt2` with ``(v, h, d)``),
- stores luma in bytes without rounding, so that 256 becomes 0,
- always moves up or down within a cell of ``step``, though the next cell's point may be nearer.

A block of ``s`` is a JPEG block: for flat ones ``s`` is its DC coefficient, so a step of twice JPEG's own
quantiser, and a little more, is read back without error. The DCT is orthogonal and does not change
singular values, so reading needs none.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from safety.errors import WatermarkError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_PIXELS = 8
LUMA = np.array([0.299, 0.587, 0.114])
ROUNDS = 3
SMALLEST_STEP, LARGEST_STEP = 12.0, 110.0
BIN = 0.25
SPECTRUM = 1 << 16
PEAKS = 5
WHITE = 2036.0


class DwtDctSvd:
    """The grid of raw bits; ``strength`` is the quantiser's step, in units of eight luma levels' mean.

    ``strengths`` are read without being told; ``hypotheses`` is the most readings that one picture gives.
    """

    name = "dwtDctSvd"
    strengths: tuple[float, ...] = (40.0, 52.0, 68.0)
    hypotheses = len(strengths) + 2 * PEAKS

    def positions(self, height: int, width: int) -> int:
        """One for each whole 8×8 block."""
        return (height // BLOCK_PIXELS) * (width // BLOCK_PIXELS)

    def write(self, image: NDArray[np.uint8], bits: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
        """Moves every block's value to the nearest point that says its bit: (positions,) of 0 and 1."""
        if not SMALLEST_STEP <= strength <= LARGEST_STEP:
            raise WatermarkError(
                "the watermark's strength is out of range",
                expected=f"a step from {SMALLEST_STEP:g} to {LARGEST_STEP:g}",
                found=repr(strength),
            )
        writer = _package().EmbedDwtDctSvd(bits.tolist(), len(bits), [strength, 0, 0])
        marked = image
        for _ in range(ROUNDS):
            before = _low_band(marked)
            wrong = _distances(largest_singular_values(before), bits, strength) > strength / 10
            if not wrong.any():
                break
            after = _steered(before, bits, strength, marked)
            writer.encode_frame(after, strength)
            marked = _raised(marked, np.where(_per_coefficient(wrong, before), after - before, 0.0) / 2)
        return marked

    def readings(self, image: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
        """Soft values (positions,) in [-1, 1], positive for 1, one array for each hypothesis, likeliest first.

        First every known step as written; then steps and offsets that brightness and contrast changed.
        """
        values = largest_singular_values(_low_band(image))
        heard = values < WHITE
        for step in self.strengths:
            yield -np.sin(2 * np.pi * values / step) * heard
        for step, offset in _lattices(values[heard]):
            soft = -np.sin(2 * np.pi * (values / step - offset)) * heard
            yield soft
            yield -soft


def largest_singular_values(low_band: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) spectral norms of the 4×4 blocks, row by row."""
    norms: NDArray[np.float64] = np.linalg.norm(_blocks(low_band), ord=2, axis=(1, 2))
    return norms


def _low_band(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    height, width = (side // 4 * 4 for side in image.shape[:2])
    luma: NDArray[np.float64] = image[:height, :width] @ LUMA
    band: NDArray[np.float64] = (luma[::2, ::2] + luma[1::2, ::2] + luma[::2, 1::2] + luma[1::2, 1::2]) / 2
    return band


def _blocks(band: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = band.shape[0] // 4, band.shape[1] // 4
    whole = band[: rows * 4, : columns * 4]
    return whole.reshape(rows, 4, columns, 4).swapaxes(1, 2).reshape(-1, 4, 4)


def _per_coefficient(per_block: NDArray[Any], band: NDArray[np.float64]) -> NDArray[Any]:
    """Repeats (n,) block values over the band; what no block covers gets zero."""
    rows, columns = band.shape[0] // 4, band.shape[1] // 4
    spread = np.zeros(band.shape, dtype=per_block.dtype)
    spread[: rows * 4, : columns * 4] = per_block.reshape(rows, columns).repeat(4, axis=0).repeat(4, axis=1)
    return spread


def _distances(values: NDArray[np.float64], bits: NDArray[np.uint8], step: float) -> NDArray[np.float64]:
    cells = values / step - (0.25 + 0.5 * bits)
    return step * np.abs(cells - np.round(cells))


def _steered(
    band: NDArray[np.float64], bits: NDArray[np.uint8], step: float, image: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """A copy of the band with each block scaled into the cell whose point is nearest, counting what would clip."""
    values = largest_singular_values(band)
    phase = 0.25 + 0.5 * bits
    below = (np.floor(values / step - phase) + phase) * step
    above = below + step
    cost_below = values - below + 2 * _clipped(image, below - values) + 4 * step * (below < 0)
    cost_above = above - values + 2 * _clipped(image, above - values)
    target = np.where(cost_below <= cost_above, below, above)
    moved = (target // step != values // step) & (values > 0)
    factor = np.where(moved, target / np.where(values > 0, values, 1.0), 1.0)
    return np.where(_per_coefficient(moved, band), band * _per_coefficient(factor, band), band)


def _clipped(image: NDArray[np.uint8], change: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each block's change would be lost below 0 or above 255, (n,)."""
    rows, columns = image.shape[0] // BLOCK_PIXELS, image.shape[1] // BLOCK_PIXELS
    whole = image[: rows * BLOCK_PIXELS, : columns * BLOCK_PIXELS]
    tiles = whole.reshape(rows, BLOCK_PIXELS, columns, BLOCK_PIXELS, 3).swapaxes(1, 2).reshape(-1, BLOCK_PIXELS**2, 3)
    moved = tiles + (change / BLOCK_PIXELS)[:, None, None]
    lost: NDArray[np.float64] = BLOCK_PIXELS * (np.abs(moved - np.clip(moved, 0, 255)).mean(axis=1) @ LUMA)
    return lost


def _raised(image: NDArray[np.uint8], change: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Adds a change of luma at half resolution, rounding the three channels so that luma comes out nearest."""
    lift = np.repeat(np.repeat(change, 2, axis=0), 2, axis=1)
    height, width = lift.shape
    whole = np.floor(lift)
    ups, weights = _roundings()
    nearest = np.searchsorted((weights[1:] + weights[:-1]) / 2, lift - whole)
    raised = image.astype(np.int16)
    raised[:height, :width] += whole.astype(np.int16)[..., None] + ups[nearest]
    return np.clip(raised, 0, 255).astype(np.uint8)


@cache
def _roundings() -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    ups = np.array(list(product((0, 1), repeat=3)), dtype=np.int16)
    weights = ups @ LUMA
    order = np.argsort(weights)
    return ups[order], weights[order]


def _lattices(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    """The (step, offset) of the strongest combs in the values' histogram, from its Fourier transform."""
    # The root keeps one flat sky from drowning the rest of the picture.
    histogram = np.sqrt(np.bincount((values / BIN).astype(np.int64), minlength=1))
    spectrum = np.fft.rfft(histogram - histogram.mean(), SPECTRUM)
    frequencies = np.fft.rfftfreq(SPECTRUM, BIN)
    size = np.abs(spectrum)
    inside = (frequencies > 2 / LARGEST_STEP) & (frequencies < 2 / SMALLEST_STEP)
    peak = inside[1:-1] & (size[1:-1] >= size[:-2]) & (size[1:-1] > size[2:])
    found = np.flatnonzero(peak) + 1
    best = found[np.argsort(-size[found])[:PEAKS]]
    lattices = []
    for index in best:
        # Points lie half a step apart, a quarter from the origin; rfft turns positions into negative phases.
        phase = -np.angle(spectrum[index]) + 2 * np.pi * frequencies[index] * BIN / 2
        lattices.append((2 / float(frequencies[index]), float(phase / (4 * np.pi) - 0.25)))
    return lattices


@cache
def _package() -> Any:
    # The package's own __init__ imports torch; this one file needs only OpenCV and PyWavelets.
    parent = importlib.util.find_spec("imwatermark")
    folders = parent.submodule_search_locations if parent else None
    if not folders:
        raise WatermarkError("invisible-watermark is not installed", fix="pip install invisible-watermark")
    spec = importlib.util.spec_from_file_location("safety.watermark._dwt_dct_svd", f"{folders[0]}/dwtDctSvd.py")
    if spec is None or spec.loader is None:
        raise WatermarkError("invisible-watermark has no dwtDctSvd", fix="pip install invisible-watermark==0.2.0")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
