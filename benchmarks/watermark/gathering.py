"""What an attacker gathers from many marked pictures of one issuer: means of residuals and of power spectra.

The attacker has read this repository, so the residuals are taken as the detector takes them: high-passed luma over its
local deviation, clipped. The key is all that is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

import safety.watermark
from benchmarks.watermark.drawn import scene
from benchmarks.watermark.pictures import CUTS, resized_to
from benchmarks.watermark.pool import performed
from benchmarks.watermark.systems import code_digest
from benchmarks.watermark.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECRET_KEY = b"an issuer's key that no attacker has"
STREAM = 0x5A_0BADCAF
FIRST_UNITS, LATER_UNIT = (1, 99, 900), 1000
SNAPSHOTS = (1, 100, 1000, 10_000)
HIGH_PASS, NEIGHBOURHOOD, FLOOR, MOST = 3.0, 5.0, 2.0, 3.0


@dataclass(frozen=True)
class Gathered:
    """Sums over ``count`` pictures: residuals (S, S), their power spectra (S, S/2+1) marked and unmarked."""

    count: int
    residual: NDArray[np.float64]
    power: NDArray[np.float64]
    unmarked_power: NDArray[np.float64]

    def __add__(self, other: Gathered) -> Gathered:
        return Gathered(
            self.count + other.count,
            self.residual + other.residual,
            self.power + other.power,
            self.unmarked_power + other.unmarked_power,
        )


@dataclass(frozen=True)
class Batch:
    """Marked pictures ``start`` to ``start + count``, all of one issuer, their serials counting up."""

    system: str
    side: int
    start: int
    count: int


def snapshots(
    name: str, side: int, most: int, jobs: int, folder: Path, progress: Callable[[int, int], None]
) -> Iterator[Gathered]:
    """What is known after 1, 100, 1,000 and 10,000 pictures; batches of an earlier run are read from ``folder``."""
    batches = list(_batches(name, side, most))
    progress(0, most)
    missing = [batch for batch in batches if not _path(folder, batch).exists()]
    done = most - sum(batch.count for batch in missing)
    for batch, gathered in performed(gather, missing, jobs):
        _keep(_path(folder, batch), gathered)
        done += batch.count
        progress(done, most)
    total: Gathered | None = None
    for batch in batches:
        gathered = _kept(_path(folder, batch))
        total = gathered if total is None else total + gathered
        if total.count in SNAPSHOTS or total.count == most:
            yield total


def gather(batch: Batch) -> tuple[Batch, Gathered]:
    """Marks the pictures of a batch and adds up what an attacker looks at."""
    shape = (batch.side, batch.side)
    half = (batch.side, batch.side // 2 + 1)
    residual, power, unmarked = np.zeros(shape), np.zeros(half), np.zeros(half)
    with one_thread():
        for number in range(batch.start, batch.start + batch.count):
            original = subject(number, batch.side)
            marked = safety.watermark.embed(original, serial(number), SECRET_KEY, backend=batch.system)
            seen = residual_of(marked)
            residual += seen
            power += np.abs(np.fft.rfft2(seen)) ** 2
            unmarked += np.abs(np.fft.rfft2(residual_of(original))) ** 2
    return batch, Gathered(batch.count, residual, power, unmarked)


def subject(number: int, side: int) -> NDArray[np.uint8]:
    """Picture no. ``number`` of an issuer, (side, side, 3): drawn scenes and cuts of photographs in turn."""
    if number % 2:
        return scene(number, side)
    rng = np.random.default_rng((3, number))
    whole = CUTS[number // 2 % len(CUTS)].load()
    part = round(len(whole) * rng.uniform(0.55, 1.0))
    top, left = rng.integers(len(whole) - part + 1, size=2)
    cut = np.ascontiguousarray(whole[top : top + part, left : left + part])
    return resized_to(cut if rng.random() < 0.5 else np.ascontiguousarray(cut[:, ::-1]), side)


def serial(number: int) -> int:
    """The payload of picture no. ``number``: one stream, serials counting up."""
    return STREAM << 28 | number


def residual_of(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W): high-passed luma over its local deviation, clipped to ±3."""
    luma = luma_of(pixels)
    high = luma - cv2.GaussianBlur(luma, (0, 0), HIGH_PASS)
    clipped: NDArray[np.float64] = np.clip(high / deviation_of(high), -MOST, MOST).astype(np.float64)
    return clipped


def luma_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) float32, 0 to 255."""
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2GRAY))


def deviation_of(high: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W): the local root mean square, never below 2 levels."""
    level = np.sqrt(cv2.GaussianBlur(high * high, (0, 0), NEIGHBOURHOOD))
    return np.asarray(np.maximum(level, np.float32(FLOOR)), dtype=np.float32)


def _batches(name: str, side: int, most: int) -> Iterator[Batch]:
    start = 0
    sizes = list(FIRST_UNITS)
    while start < most:
        count = min(sizes.pop(0) if sizes else LATER_UNIT, most - start)
        yield Batch(name, side, start, count)
        start += count


def _path(folder: Path, batch: Batch) -> Path:
    code = Path(__file__).read_bytes() + code_digest(batch.system).encode()
    digest = hashlib.sha256(code + repr(batch).encode()).hexdigest()[:16]
    return folder / f"gathered-{batch.system}-{batch.start}-{digest}.npz"


def _keep(path: Path, gathered: Gathered) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(
        unfinished,
        count=gathered.count,
        residual=gathered.residual.astype(np.float32),
        power=gathered.power.astype(np.float32),
        unmarked_power=gathered.unmarked_power.astype(np.float32),
    )
    unfinished.replace(path)


def _kept(path: Path) -> Gathered:
    with np.load(path, allow_pickle=False) as kept:
        arrays: Sequence[NDArray[np.float64]] = [
            kept[name].astype(np.float64) for name in ("residual", "power", "unmarked_power")
        ]
        return Gathered(int(kept["count"]), *arrays)
