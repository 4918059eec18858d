"""Every picture, marked by every system, through every attack, and read."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks.watermark.journal import Journal, key_of
from benchmarks.watermark.pictures import Picture
from benchmarks.watermark.pool import performed
from benchmarks.watermark.quality import psnr, ssim
from benchmarks.watermark.suite import suite
from benchmarks.watermark.systems import code_digest, system
from benchmarks.watermark.threads import one_thread
from safety.errors import WatermarkError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUALITY = "quality"
ATTACKS_A_UNIT = 12


@dataclass(frozen=True)
class Unit:
    """One picture, one system and some of the attacks: what a process does in one go."""

    system: str
    digest: str
    picture: Picture
    pixels: str
    attacks: tuple[str, ...]

    def key(self, what: str) -> dict[str, str]:
        """The names by which a result of this unit is found again."""
        return {
            "kind": "trial",
            "system": self.system,
            "digest": self.digest,
            "set": self.picture.set,
            "picture": self.picture.name,
            "pixels": self.pixels,
            "what": what,
        }


def plan(systems: Sequence[str], pictures: Iterable[Picture], attacks: Sequence[str], journal: Journal) -> list[Unit]:
    """What is still to be done, in units of a dozen attacks; what the journal has is left out."""
    units = []
    digests = {name: code_digest(name) for name in systems}
    for picture in pictures:
        pixels = _pixels_digest(picture)
        for name in systems:
            whole = Unit(name, digests[name], picture, pixels, (QUALITY, *attacks))
            missing = [what for what in whole.attacks if key_of(whole.key(what)) not in journal]
            for start in range(0, len(missing), ATTACKS_A_UNIT):
                units.append(Unit(name, digests[name], picture, pixels, tuple(missing[start : start + ATTACKS_A_UNIT])))
    return units


def run(units: Sequence[Unit], journal: Journal, jobs: int, progress: Callable[[int, int], None]) -> None:
    """Does the units, on ``jobs`` processes, and writes each one's results to the journal as it ends."""
    total, done = sum(len(unit.attacks) for unit in units), 0
    for results in performed(perform, units, jobs):
        journal.add(results)
        done += len(results)
        progress(done, total)


def perform(unit: Unit) -> list[dict[str, Any]]:
    """The results of one unit."""
    with one_thread():
        original, number = unit.picture.load(), payload_of(unit.picture.name)
        try:
            marked = system(unit.system).embed(original, number)
        except WatermarkError as error:
            return [{**unit.key(what), "refused": error.what, "exact": False, "p": 1.0} for what in unit.attacks]
        return [{**unit.key(what), **_result(unit, what, original, marked, number)} for what in unit.attacks]


def payload_of(name: str) -> int:
    """The 64 bits written into the picture of a name."""
    return int.from_bytes(hashlib.sha256(f"payload\0{name}".encode()).digest()[:8], "big")


def _result(
    unit: Unit, what: str, original: NDArray[np.uint8], marked: NDArray[np.uint8], number: int
) -> dict[str, Any]:
    if what == QUALITY:
        return {"psnr": round(psnr(original, marked), 3), "ssim": round(ssim(original, marked), 5)}
    attacked = suite()[what](marked, unit.picture.name)
    started = time.perf_counter()
    found = system(unit.system).read(attacked, number)
    milliseconds = 1000 * (time.perf_counter() - started)
    return {"exact": found.exact, "wrong": found.wrong, "p": found.p_value, "ms": round(milliseconds, 2)}


@cache
def _pixels_digest(picture: Picture) -> str:
    pixels = picture.load()
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]
