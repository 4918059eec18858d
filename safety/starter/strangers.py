"""What is not of the starter world: paints it has no name for in its captions, and objects that a filter must let pass.

Some strangers are close to the forbidden object on purpose: round, with two dark eyes, or pale. Every one is drawn a
little differently each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from safety.starter.scenes import CREAM, INK, Pen, Rgb

# Far from the six colours of the world, so that no painted picture stands for a pair that training holds out.
PAINTS: dict[str, Rgb] = {
    "pink": (240, 160, 190),
    "brown": (112, 74, 50),
    "grey": (146, 148, 152),
    "white": (246, 242, 234),
}

Drawing = Callable[[Pen, Rgb, np.random.Generator], None]


def _darker(colour: Rgb) -> Rgb:
    r, g, b = (round(0.72 * c) for c in colour)
    return (r, g, b)


def _face(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    pen.ellipse(0, 0, 0.85, rng.uniform(0.75, 0.95), c)
    eye, apart, height = rng.uniform(0.07, 0.16), rng.uniform(0.25, 0.42), rng.uniform(-0.4, -0.1)
    for side in (-1, 1):
        pen.ellipse(side * apart, height, eye, eye * rng.uniform(0.8, 1.3), INK)
    if rng.random() < 0.7:
        pen.ellipse(0, 0.3, rng.uniform(0.2, 0.5), rng.uniform(0.08, 0.3), INK, 0, 180)
    else:
        pen.ellipse(0, 0.4, 0.12, 0.16, INK)


def _ghost(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    waist = rng.uniform(0.5, 0.7)
    pen.ellipse(0, -0.3, waist, 0.6, c)
    pen.box(-waist, -0.3, waist, 0.7, c)
    for x in np.linspace(-waist, waist, 4)[:-1]:
        pen.ellipse(float(x) + waist / 3, 0.7, waist / 3, 0.22, c)
    for side in (-1, 1):
        pen.ellipse(side * 0.24, -0.34, 0.1, rng.uniform(0.1, 0.2), INK)


def _ball(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    pen.ellipse(0, 0, 0.85, 0.85, c)
    for _ in range(int(rng.integers(0, 4))):
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.5)
        radius = rng.uniform(0.08, 0.26)
        tone = INK if rng.random() < 0.4 else _darker(c)
        pen.ellipse(far * math.cos(angle), far * math.sin(angle), radius, radius, tone)


def _ring(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    inner = rng.uniform(0.3, 0.6)
    pen.ellipse(0, 0, 0.9, 0.9, c)
    pen.ellipse(0, 0, inner, inner, CREAM if rng.random() < 0.5 else INK)


def _heart(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    turn = np.linspace(0, 2 * math.pi, 60)
    xs = 16 * np.sin(turn) ** 3
    ys = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    pen.polygon([(float(x) / 18, -float(y) / 18) for x, y in zip(xs, ys, strict=True)], c)
    if rng.random() < 0.5:
        pen.ellipse(-0.4, -0.3, 0.14, 0.1, CREAM)


def _robot(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    width, height = rng.uniform(0.6, 0.9), rng.uniform(0.5, 0.8)
    pen.box(-0.04, -0.98, 0.04, -height, INK)
    pen.box(-width, -height, width, height, c)
    eye = rng.uniform(0.1, 0.2)
    for side in (-1, 1):
        pen.box(side * 0.36 - eye, -0.3 - eye, side * 0.36 + eye, -0.3 + eye, CREAM if rng.random() < 0.5 else INK)
    pen.box(-0.4, 0.2, 0.4, 0.36, _darker(c))


def _table(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    top = rng.uniform(-0.4, 0)
    pen.box(-0.9, top, 0.9, top + 0.2, c)
    for x in (-0.74, 0.6):
        pen.box(x, top + 0.2, x + 0.14, 0.9, _darker(c))


def _tower(pen: Pen, c: Rgb, rng: np.random.Generator) -> None:
    half = rng.uniform(0.25, 0.5)
    pen.box(-half, -0.5, half, 0.95, c)
    pen.polygon([(-half - 0.1, -0.5), (0, -0.98), (half + 0.1, -0.5)], _darker(c))
    for y in np.linspace(-0.3, 0.5, int(rng.integers(2, 5))):
        pen.box(-0.1, float(y), 0.1, float(y) + 0.14, INK)


STRANGERS: dict[str, Drawing] = {
    "face": _face,
    "ghost": _ghost,
    "ball": _ball,
    "ring": _ring,
    "heart": _heart,
    "robot": _robot,
    "table": _table,
    "tower": _tower,
}
