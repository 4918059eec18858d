"""Milliseconds: at 512 × 512 for every kind of reading, and against the number of pixels.

Of the processor, which on one thread is the time that passes on an idle machine; other work changes it less.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.watermark.journal import Journal, key_of
from benchmarks.watermark.pictures import CUTS, SIDE, Picture
from benchmarks.watermark.suite import AFTER_GEOMETRY, NONE, suite
from benchmarks.watermark.systems import DWT_DCT_SVD, code_digest, system
from benchmarks.watermark.threads import one_thread
from benchmarks.watermark.trials import payload_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMBED, ALIGNED, GEOMETRY, UNMARKED = "embed", "detect aligned", "detect after geometry", "detect unmarked"
TIMED = (EMBED, ALIGNED, GEOMETRY, UNMARKED)
AFTER = {ALIGNED: (NONE, "JPEG 50"), GEOMETRY: (AFTER_GEOMETRY, "crop to 0.4", "scale 0.5")}
ROUNDS, LONG = 5, 500.0
SIDES = (256, 512, 1024, 2048, 4096, 8192)
# What takes seconds at this size is not asked to take minutes.
SLOW_SIDE = 512
# A singular value decomposition for every 8 × 8 pixels: minutes for larger pictures.
LARGEST = {DWT_DCT_SVD: 2048}


def measure(
    systems: Sequence[str],
    pictures: Sequence[Picture],
    largest: int,
    journal: Journal,
    progress: Callable[[int, int], None],
) -> None:
    """Times what the journal does not have yet: one process, one thread, one thing at a time."""
    pending: list[tuple[dict[str, str], Callable[[], NDArray[np.uint8]], Sequence[str]]] = [
        (key, picture.load, TIMED)
        for picture in pictures
        for name in systems
        if key_of(key := _key(name, "timing", picture.name)) not in journal
    ]
    for side in (side for side in SIDES if side <= largest):
        for name in systems:
            key = _key(name, "cost", str(side))
            if (
                side <= min(system(name).largest_side, SLOW_SIDE if system(name).slow else LARGEST.get(name, side))
                and key_of(key) not in journal
            ):
                pending.append((key, partial(mosaic, side), (EMBED, ALIGNED, UNMARKED)))
    for done, (key, load, kinds) in enumerate(pending):
        progress(done, len(pending))
        with one_thread():
            journal.add([{**key, **timed(key["system"], load(), kinds)}])
    progress(len(pending), len(pending))


def timed(name: str, original: NDArray[np.uint8], kinds: Sequence[str]) -> dict[str, Any]:
    """Median milliseconds of each kind."""
    mark, number = system(name), payload_of(name)
    embedding, marked = _median(partial(mark.embed, original, number))
    figures = {EMBED: embedding}
    for kind in kinds[1:]:
        subjects = [original] if kind == UNMARKED else [suite()[attack](marked, kind) for attack in AFTER[kind]]
        figures[kind] = statistics.median(_median(partial(mark.read, subject, number))[0] for subject in subjects)
    return {kind: round(value, 2) for kind, value in figures.items()}


def mosaic(side: int) -> NDArray[np.uint8]:
    """(side, side, 3): photographs laid side by side, so that a large picture is as busy as a small one."""
    if side <= SIDE:
        return np.ascontiguousarray(CUTS[0].load()[:side, :side])
    across = side // SIDE
    parts = [cut.load() for cut in CUTS[:12]]
    rows = [
        np.concatenate([parts[(row * 5 + column) % len(parts)] for column in range(across)], axis=1)
        for row in range(across)
    ]
    return np.concatenate(rows, axis=0)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of cost against pixels, by least squares on logarithms; 1 is linear."""
    pixels, milliseconds = np.log(np.array(points)).T
    return float(np.polyfit(pixels, milliseconds, 1)[0])


def _median(action: Callable[[], Any]) -> tuple[float, Any]:
    # The first call makes patterns that later ones keep; where it takes long, what it makes does not matter.
    taken, result = _once(action)
    if taken > LONG:
        return taken, result
    return statistics.median(_once(action)[0] for _ in range(ROUNDS)), result


def _once(action: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = action()
    return 1000 * (time.process_time() - started), result


def _key(name: str, kind: str, picture: str) -> dict[str, str]:
    return {
        "kind": kind,
        "system": name,
        "digest": code_digest(name),
        "set": kind,
        "picture": picture,
        "pixels": "",
        "what": "processor milliseconds",
    }
