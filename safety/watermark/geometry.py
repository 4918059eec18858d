"""What happened to a picture between marking and reading, as a person would say it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """A linear map, taken apart: flipped, then sheared, stretched, scaled and turned.

    ``scale`` is the root of the change of area; ``angle`` degrees, -180 to 180, counter-clockwise as seen;
    ``flip`` whether it was mirrored left to right first; ``aspect`` how much wider it became than high;
    ``shear`` how far a point moved sideways for each step down.
    """

    scale: float = 1.0
    angle: float = 0.0
    flip: bool = False
    aspect: float = 1.0
    shear: float = 0.0

    @classmethod
    def of(cls, a: float, b: float, c: float, d: float) -> Geometry:
        """Takes apart ``x' = a x + b y``, ``y' = c x + d y`` with y downwards, from marked to received pixels."""
        determinant = a * d - b * c
        flip = determinant < 0
        if flip:
            a, c = -a, -c
        # Rotation times upper triangle: the first column is where the picture's own x axis went.
        wide = math.hypot(a, c)
        high = abs(determinant) / wide
        return cls(
            scale=math.sqrt(abs(determinant)),
            angle=math.degrees(math.atan2(-c, a)),
            flip=flip,
            aspect=wide / high,
            shear=(a * b + c * d) / wide / high,
        )


@dataclass(frozen=True)
class Placement:
    """Where a picture's pixels lie on the pattern's plane, in chips.

    The centre of pixel (x, y) lies at ``(a x + b y + left, c x + d y + top)``. The plane repeats every ``period``
    chips in both directions, so ``left`` and ``top`` are known up to whole periods.
    """

    a: float
    b: float
    c: float
    d: float
    left: float
    top: float
    period: int

    def in_pixels_of(self, other: Placement, column: int = 0, row: int = 0) -> tuple[float, ...]:
        """The map from this picture's pixels to another's on the same plane, ``(a, b, c, d, left, top)``.

        ``column`` and ``row`` choose which of the plane's repetitions this picture is taken to lie on; (0, 0) is the
        one that brings this picture's first pixel nearest to the other's.
        """
        determinant = other.a * other.d - other.b * other.c
        across = _nearest(self.left - other.left, self.period) + column * self.period
        down = _nearest(self.top - other.top, self.period) + row * self.period
        return (
            (other.d * self.a - other.b * self.c) / determinant,
            (other.d * self.b - other.b * self.d) / determinant,
            (other.a * self.c - other.c * self.a) / determinant,
            (other.a * self.d - other.c * self.b) / determinant,
            (other.d * across - other.b * down) / determinant,
            (other.a * down - other.c * across) / determinant,
        )


def _nearest(difference: float, period: int) -> float:
    return difference - period * round(difference / period)
