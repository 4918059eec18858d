"""Which attacks are run, at which strengths, and the groups whose rates are reported together.

Groups: ``targets`` the single attacks at middle strength, ``strongest`` each of WAVES' distortions at its end,
``combined`` chains of several, ``waves combined`` the four combinations of WAVES at full strength.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.watermark import attacks as on
from benchmarks.watermark.attacks import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGETS, STRONGEST, COMBINED, WAVES_COMBINED = "targets", "strongest", "combined", "waves combined"
GROUPS = (TARGETS, STRONGEST, COMBINED, WAVES_COMBINED)
NONE, AFTER_GEOMETRY = "none", "rotation 30°"


@dataclass(frozen=True)
class Attack:
    """Steps in order; ``family`` and ``strength`` place it on a curve, ``groups`` in the tables."""

    name: str
    family: str
    strength: float
    steps: tuple[Step, ...]
    groups: tuple[str, ...] = ()

    def __call__(self, pixels: NDArray[np.uint8], seed: str) -> NDArray[np.uint8]:
        """The attacked picture; the same ``seed`` (the picture's name, say) gives the same bytes."""
        rng = np.random.default_rng(list(hashlib.sha256(f"{self.name}\0{seed}".encode()).digest()))
        for step in self.steps:
            pixels = step(pixels, rng)
        return pixels


def suite() -> dict[str, Attack]:
    """Every attack by name, the unattacked picture first."""
    everything = (_untouched(), *_degradations(), *_light(), *_geometry(), *_crops(), *_chains(), *_waves_chains())
    return {attack.name: attack for attack in everything}


def group_of(*groups: str) -> list[str]:
    """The names of the attacks in any of some groups."""
    return [attack.name for attack in suite().values() if set(attack.groups) & set(groups)]


def _untouched() -> Attack:
    return Attack(NONE, NONE, 0.0, ())


def _degradations() -> Iterator[Attack]:
    for quality in (90, 70, 50, 30, 20, 10):
        groups = {30: (TARGETS,), 10: (STRONGEST,)}.get(quality, ())
        yield Attack(f"JPEG {quality}", "JPEG", quality, (partial(on.jpeg, quality=quality),), groups)
    for quality in (80, 50, 20):
        yield Attack(f"WebP {quality}", "WebP", quality, (partial(on.webp, quality=quality),))
    # Blur of WAVES is a kernel of up to 20 pixels, for which torchvision takes sigma 3.35.
    for sigma in (1.0, 1.5, 2.0, 2.5, 3.0, 3.35, 4.0):
        groups = {2.0: (TARGETS,), 3.35: (STRONGEST,)}.get(sigma, ())
        yield Attack(f"blur σ {sigma:g}", "blur", sigma, (partial(on.blur, sigma=sigma),), groups)
    for sigma in (0.02, 0.05, 0.075, 0.1):
        groups = {0.05: (TARGETS,), 0.1: (STRONGEST,)}.get(sigma, ())
        yield Attack(f"noise {sigma:g}", "noise", sigma, (partial(on.noise, sigma=sigma),), groups)
    for size in (3, 5, 7):
        yield Attack(f"median {size}", "median", size, (partial(on.median, size=size),))
    for bits in (5, 4, 3):
        yield Attack(f"posterise {bits} bits", "posterise", bits, (partial(on.posterise, bits=bits),))
    yield Attack("sharpen 1.5", "sharpen", 1.5, (partial(on.sharpen, amount=1.5),))


def _light() -> Iterator[Attack]:
    for factor in (0.5, 1.3, 1.6, 2.0):
        groups = {1.6: (TARGETS,), 2.0: (STRONGEST,)}.get(factor, ())
        yield Attack(f"brightness {factor:g}", "brightness", factor, (partial(on.brightness, factor=factor),), groups)
    for factor in (0.5, 1.5, 2.0):
        groups = {0.5: (TARGETS,), 2.0: (STRONGEST,)}.get(factor, ())
        yield Attack(f"contrast {factor:g}", "contrast", factor, (partial(on.contrast, factor=factor),), groups)


def _geometry() -> Iterator[Attack]:
    for degrees in (2, 5, 10, 20, 30, 45):
        groups = {30: (TARGETS,), 45: (STRONGEST,)}.get(degrees, ())
        yield Attack(f"rotation {degrees}°", "rotation", degrees, (partial(on.rotate, degrees=degrees),), groups)
    for degrees in (60, 137, 200, 301):
        turn = partial(on.rotate, degrees=degrees, grow=True)
        yield Attack(f"rotation {degrees}°, canvas grown", "rotation, canvas grown", degrees, (turn,))
    for turns in (1, 2):
        turn = partial(on.quarter_turns, turns=turns)
        yield Attack(f"rotation {90 * turns}° exact", "quarter turns", 90 * turns, (turn,))
    for axis, name in ((1, "left to right"), (0, "upside down")):
        yield Attack(f"flip {name}", "flip", axis, (partial(on.flip, axis=axis),))
    for factor in (0.4, 0.5, 0.6, 0.75, 1.5, 2.0, 2.5):
        groups = (TARGETS,) if factor in (0.5, 2.0) else ()
        yield Attack(f"scale {factor:g}", "scale", factor, (partial(on.scale, x=factor),), groups)
    for x, y in ((1.25, 1.0), (0.75, 1.0), (1.0, 1.25), (1.0, 0.75)):
        yield Attack(f"stretch {x:g} × {y:g}", "stretch", x / y, (partial(on.scale, x=x, y=y),))
    for x, y in ((0.05, 0.0), (0.1, 0.0), (0.0, 0.1)):
        yield Attack(f"shear {x:g}, {y:g}", "shear", x + y, (partial(on.shear, x=x, y=y),))


def _crops() -> Iterator[Attack]:
    for area in (0.7, 0.4, 0.25, 0.15):
        groups = (TARGETS,) if area == 0.4 else ()
        yield Attack(f"crop to {area:g}", "crop", area, (partial(on.crop, area=area),), groups)
    for area in (0.9, 0.7, 0.5):
        groups = (STRONGEST,) if area == 0.5 else ()
        cut = partial(on.resized_crop, area=area)
        yield Attack(f"resized crop {area:g}", "resized crop", area, (cut,), groups)
    for area in (0.1, 0.25):
        groups = (STRONGEST,) if area == 0.25 else ()
        yield Attack(f"erase {area:g}", "erase", area, (partial(on.erase, area=area),), groups)


def _chains() -> Iterator[Attack]:
    chains: dict[str, tuple[Step, ...]] = {
        "rotation 20°, crop to 0.5, JPEG 50": (
            partial(on.rotate, degrees=20),
            partial(on.crop, area=0.5),
            partial(on.jpeg, quality=50),
        ),
        "scale 0.75, JPEG 50": (partial(on.scale, x=0.75), partial(on.jpeg, quality=50)),
        "crop to 0.4, scale 1.5, WebP 60": (
            partial(on.crop, area=0.4),
            partial(on.scale, x=1.5),
            partial(on.webp, quality=60),
        ),
        "flip, rotation 5°, JPEG 60": (
            partial(on.flip, axis=1),
            partial(on.rotate, degrees=5),
            partial(on.jpeg, quality=60),
        ),
        "stretch 1.1 × 0.9, crop to 0.6, JPEG 60": (
            partial(on.scale, x=1.1, y=0.9),
            partial(on.crop, area=0.6),
            partial(on.jpeg, quality=60),
        ),
        "screenshot (scale 1.25, sharpen, JPEG 70)": (
            partial(on.scale, x=1.25),
            partial(on.sharpen, amount=0.8),
            partial(on.jpeg, quality=70),
        ),
        "screenshot small (scale 0.6, sharpen, JPEG 70)": (
            partial(on.scale, x=0.6),
            partial(on.sharpen, amount=0.8),
            partial(on.jpeg, quality=70),
        ),
        "double JPEG 70, 50 at 4:2:0": (partial(on.jpeg, quality=70), partial(on.jpeg, quality=50)),
        "double JPEG 75, crop, 40 at 4:2:0": (
            partial(on.jpeg, quality=75),
            partial(on.crop, area=0.8),
            partial(on.jpeg, quality=40),
        ),
        "messenger (scale 0.8, JPEG 40, brightness 1.2)": (
            partial(on.scale, x=0.8),
            partial(on.jpeg, quality=40),
            partial(on.brightness, factor=1.2),
        ),
    }
    for name, steps in chains.items():
        yield Attack(name, "chain", 1.0, steps, (COMBINED,))


def _waves_chains() -> Iterator[Attack]:
    for share in (0.25, 0.5, 1.0):
        geometric: tuple[Step, ...] = (
            partial(on.rotate, degrees=45 * share),
            partial(on.resized_crop, area=1 - 0.5 * share),
            partial(on.erase, area=0.25 * share),
        )
        photometric: tuple[Step, ...] = (
            partial(on.brightness, factor=1 + share),
            partial(on.contrast, factor=1 + share),
        )
        degradation: tuple[Step, ...] = (
            partial(on.blur, sigma=3.35 * share),
            partial(on.noise, sigma=0.1 * share),
            partial(on.jpeg, quality=round(90 - 80 * share)),
        )
        kinds = {
            "geometric": geometric,
            "photometric": photometric,
            "degradation": degradation,
            "all": (*geometric, *photometric, *degradation),
        }
        for kind, steps in kinds.items():
            groups = {0.5: (COMBINED,), 1.0: (WAVES_COMBINED,)}.get(share, ())
            yield Attack(f"WAVES {kind} {share:g}", f"WAVES {kind}", share, steps, groups)
