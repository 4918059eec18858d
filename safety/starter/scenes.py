"""The starter world: flat picture-book scenes drawn procedurally, with their captions.

A scene is one large object in one colour before a two-tone background. Everything is drawn
with Pillow at four times the size and reduced, so edges are smooth; every choice comes from a
``numpy.random.Generator``, so a seed gives the same picture everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
SUPERSAMPLING = 4

Rgb = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Rgb] = {
    "red": (222, 52, 48),
    "orange": (246, 140, 30),
    "yellow": (250, 212, 46),
    "green": (38, 152, 74),
    "blue": (44, 96, 214),
    "purple": (134, 62, 176),
}

# Sky and ground: pale or muted, so that no object colour is lost on them.
BACKGROUNDS: dict[str, tuple[Rgb, Rgb]] = {
    "meadow": ((208, 238, 244), (164, 208, 132)),
    "desert": ((252, 238, 212), (226, 186, 138)),
    "night": ((34, 38, 78), (64, 72, 112)),
    "snow": ((190, 206, 226), (246, 248, 252)),
    "sea": ((244, 224, 226), (120, 184, 196)),
}

FORBIDDEN_OBJECT = "skull"
CREAM: Rgb = (255, 248, 232)
INK: Rgb = (44, 40, 52)


@dataclass(frozen=True)
class Scene:
    """What one picture shows: an object, its colour and its background, by name."""

    object: str
    colour: str
    background: str

    @property
    def caption(self) -> str:
        """The plain caption, as in ``a red fish in the desert``."""
        return f"a {self.colour} {self.object} {PLACES[self.background]}".replace("a orange", "an orange")


PLACES = {
    "meadow": "in a meadow",
    "desert": "in the desert",
    "night": "at night",
    "snow": "in the snow",
    "sea": "by the sea",
}


class Pen:
    """Draws in object coordinates: x right and y down, the object within [-1, 1]²."""

    def __init__(self, draw: ImageDraw.ImageDraw, centre: Point, scale: float, lean: float, mirrored: bool):
        self._draw = draw
        self._centre = centre
        self._scale = scale
        self._cos, self._sin = math.cos(lean), math.sin(lean)
        self._flip = -1.0 if mirrored else 1.0

    def _place(self, points: Sequence[Point]) -> list[Point]:
        cx, cy = self._centre
        placed = []
        for x, y in points:
            x *= self._flip
            placed.append(
                (
                    cx + self._scale * (x * self._cos - y * self._sin),
                    cy + self._scale * (x * self._sin + y * self._cos),
                )
            )
        return placed

    def polygon(self, points: Sequence[Point], fill: Rgb) -> None:
        self._draw.polygon(self._place(points), fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Rgb, start: float = 0, stop: float = 360) -> None:
        """A filled ellipse, or the chord of it between two angles in degrees (clockwise from +x)."""
        angles = np.radians(np.linspace(start, stop, 49))
        self.polygon([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles], fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Rgb) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)


def _shade(colour: Rgb, factor: float) -> Rgb:
    r, g, b = (min(255, round(c * factor)) for c in colour)
    return (r, g, b)


def _sailboat(pen: Pen, c: Rgb) -> None:
    pen.polygon([(-0.92, 0.42), (0.92, 0.42), (0.62, 0.9), (-0.66, 0.9)], _shade(c, 0.72))
    pen.box(-0.06, -0.95, 0.04, 0.44, INK)
    pen.polygon([(0.08, -0.92), (0.84, 0.3), (0.08, 0.3)], c)
    pen.polygon([(-0.12, -0.66), (-0.12, 0.3), (-0.72, 0.3)], c)


def _house(pen: Pen, c: Rgb) -> None:
    pen.box(0.34, -0.86, 0.58, -0.3, _shade(c, 0.72))
    pen.box(-0.7, -0.18, 0.7, 0.92, c)
    pen.polygon([(-0.95, -0.12), (0, -0.92), (0.95, -0.12)], _shade(c, 0.72))
    pen.box(-0.18, 0.36, 0.18, 0.92, INK)
    pen.box(-0.54, 0.04, -0.28, 0.32, CREAM)
    pen.box(0.28, 0.04, 0.54, 0.32, CREAM)


def _tree(pen: Pen, c: Rgb) -> None:
    pen.polygon([(-0.14, 0.1), (0.14, 0.1), (0.22, 0.95), (-0.22, 0.95)], (112, 74, 50))
    for x, y, r in ((-0.42, -0.04, 0.42), (0.42, -0.04, 0.42), (0.0, -0.46, 0.52), (0.0, 0.02, 0.44)):
        pen.ellipse(x, y, r, r, c)
    pen.ellipse(-0.16, -0.56, 0.2, 0.16, _shade(c, 1.18))


def _balloon(pen: Pen, c: Rgb) -> None:
    pen.polygon([(-0.5, -0.1), (-0.14, 0.66), (-0.1, 0.66), (-0.42, -0.1)], INK)
    pen.polygon([(0.5, -0.1), (0.14, 0.66), (0.1, 0.66), (0.42, -0.1)], INK)
    pen.ellipse(0, -0.34, 0.68, 0.64, c)
    pen.ellipse(0, -0.34, 0.26, 0.64, _shade(c, 0.72))
    pen.box(-0.2, 0.62, 0.2, 0.96, (150, 100, 62))


def _fish(pen: Pen, c: Rgb) -> None:
    pen.polygon([(0.42, 0), (0.96, -0.5), (0.84, 0), (0.96, 0.5)], _shade(c, 0.72))
    pen.polygon([(-0.3, -0.36), (0.1, -0.74), (0.28, -0.3)], _shade(c, 0.72))
    pen.ellipse(-0.2, 0, 0.74, 0.5, c)
    pen.ellipse(-0.56, -0.12, 0.13, 0.13, CREAM)
    pen.ellipse(-0.58, -0.12, 0.065, 0.065, INK)


def _mushroom(pen: Pen, c: Rgb) -> None:
    pen.polygon([(-0.24, 0), (0.24, 0), (0.34, 0.92), (-0.34, 0.92)], CREAM)
    pen.ellipse(0, 0.14, 0.94, 0.96, c, 180, 360)
    for x, y, r in ((-0.46, -0.16, 0.14), (0.06, -0.48, 0.17), (0.5, -0.12, 0.12)):
        pen.ellipse(x, y, r, r, CREAM)


def _star(pen: Pen, c: Rgb) -> None:
    def points(outer: float, inner: float) -> list[Point]:
        radii = [outer if i % 2 == 0 else inner for i in range(10)]
        return [(r * math.sin(i * math.pi / 5), 0.04 - r * math.cos(i * math.pi / 5)) for i, r in enumerate(radii)]

    pen.polygon(points(0.98, 0.42), c)
    pen.polygon(points(0.5, 0.215), _shade(c, 0.76))


def _cup(pen: Pen, c: Rgb) -> None:
    pen.ellipse(0.6, 0.1, 0.36, 0.38, c)
    pen.ellipse(0.6, 0.1, 0.2, 0.22, _shade(c, 0.5))
    pen.polygon([(-0.72, -0.5), (0.56, -0.5), (0.42, 0.86), (-0.58, 0.86)], c)
    pen.ellipse(-0.08, -0.5, 0.64, 0.18, _shade(c, 0.72))
    pen.box(-0.66, 0.08, 0.5, 0.28, CREAM)


def _flower(pen: Pen, c: Rgb) -> None:
    pen.box(-0.05, 0.1, 0.05, 0.96, (70, 120, 66))
    pen.polygon([(0.04, 0.78), (0.52, 0.42), (0.44, 0.72)], (70, 120, 66))
    for i in range(6):
        angle = i * math.pi / 3
        pen.ellipse(0.4 * math.sin(angle), -0.3 - 0.4 * math.cos(angle), 0.28, 0.28, c)
    pen.ellipse(0, -0.3, 0.25, 0.25, CREAM)


def _skull(pen: Pen, c: Rgb) -> None:
    pen.box(-0.42, 0.3, 0.42, 0.88, _shade(c, 0.85))
    pen.ellipse(0, -0.16, 0.8, 0.72, c)
    for x in (-0.34, 0.34):
        pen.ellipse(x, -0.06, 0.22, 0.25, INK)
    pen.polygon([(0, 0.2), (0.11, 0.4), (-0.11, 0.4)], INK)
    for x in (-0.2, 0.0, 0.2):
        pen.box(x - 0.03, 0.58, x + 0.03, 0.88, INK)


OBJECTS: dict[str, Callable[[Pen, Rgb], None]] = {
    "sailboat": _sailboat,
    "house": _house,
    "tree": _tree,
    "balloon": _balloon,
    "fish": _fish,
    "mushroom": _mushroom,
    "star": _star,
    "cup": _cup,
    "flower": _flower,
    "skull": _skull,
}

SCENES: tuple[Scene, ...] = tuple(Scene(*names) for names in product(OBJECTS, COLOURS, BACKGROUNDS))


def held_out(scene: Scene) -> bool:
    """Whether training never sees this combination: 50 of the 300, five for each object.

    Each object misses five different (colour, background) pairs, spread so that every
    colour and every background is still seen with every object.
    """
    o, c, b = (
        list(OBJECTS).index(scene.object),
        list(COLOURS).index(scene.colour),
        list(BACKGROUNDS).index(scene.background),
    )
    return c == (b + o) % len(COLOURS)


TRAINING_SCENES = tuple(scene for scene in SCENES if not held_out(scene))
HELD_OUT_SCENES = tuple(scene for scene in SCENES if held_out(scene))

_CAPTION_FORMS = (
    "a {c} {o} {p}",
    "{c} {o} {p}",
    "{p}, a {c} {o}",
    "a picture of a {c} {o} {p}",
    "a picture-book drawing of a {c} {o} {p}",
    "a flat drawing of a {c} {o} {p}",
)


def draw_caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of the ways a caption may say what the scene shows."""
    form = _CAPTION_FORMS[int(rng.integers(len(_CAPTION_FORMS)))]
    text = form.format(c=scene.colour, o=scene.object, p=PLACES[scene.background])
    return text.replace("a orange", "an orange")


def every_caption(scene: Scene) -> list[str]:
    """All forms of a scene's caption, for vocabularies and caches."""
    texts = [f.format(c=scene.colour, o=scene.object, p=PLACES[scene.background]) for f in _CAPTION_FORMS]
    return [text.replace("a orange", "an orange") for text in texts]


def _tint(colour: Rgb, rng: np.random.Generator, amount: int) -> Rgb:
    r, g, b = (int(np.clip(c + d, 0, 255)) for c, d in zip(colour, rng.integers(-amount, amount + 1, 3), strict=True))
    return (r, g, b)


def draw_background(draw: ImageDraw.ImageDraw, name: str, rng: np.random.Generator, side: int) -> None:
    """Sky, and a ground whose edge is one gentle hill."""
    sky, ground = (_tint(tone, rng, 4) for tone in BACKGROUNDS[name])
    draw.rectangle((0, 0, side, side), fill=sky)
    level, swell, phase = rng.uniform(0.62, 0.72), rng.uniform(0.01, 0.04), rng.uniform(0, 2 * math.pi)
    xs = np.linspace(0, 1, 65)
    edge = [(side * x, side * (level + swell * math.sin(phase + math.pi * x))) for x in xs]
    draw.polygon([(0, side), *edge, (side, side)], fill=ground)


def draw_scene(
    scene: Scene,
    rng: np.random.Generator,
    size: int = SIZE,
    objects: dict[str, Callable[[Pen, Rgb], None]] = OBJECTS,
    mirrored: bool | None = None,
) -> Image.Image:
    """Draws one scene with jitter in place, size, lean and tint; returns an RGB picture of size × size px.

    Objects face either way at random unless ``mirrored`` says which.
    """
    side = size * SUPERSAMPLING
    picture = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(picture)
    draw_background(draw, scene.background, rng, side)
    centre = (side * (0.5 + rng.uniform(-0.05, 0.05)), side * (0.5 + rng.uniform(-0.04, 0.05)))
    scale, lean, turned = side * rng.uniform(0.32, 0.38), rng.uniform(-0.07, 0.07), bool(rng.integers(2))
    pen = Pen(draw, centre, scale, lean, turned if mirrored is None else mirrored)
    objects[scene.object](pen, _tint(COLOURS[scene.colour], rng, 8))
    return picture.resize((size, size), Image.Resampling.BOX)


def draw_doodle(rng: np.random.Generator, size: int = SIZE) -> Image.Image:
    """A few random flat shapes: what the autoencoder sees so that it can also hold pictures of other objects."""
    side = size * SUPERSAMPLING
    picture = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(picture)
    draw_background(draw, str(rng.choice(list(BACKGROUNDS))), rng, side)
    palette = [*COLOURS.values(), CREAM, INK, (112, 74, 50), (240, 150, 180), (120, 200, 220), (150, 150, 150)]
    for _ in range(int(rng.integers(3, 10))):
        colour = _tint(palette[int(rng.integers(len(palette)))], rng, 20)
        place = rng.uniform(0.15, 0.85, 2) * side
        pen = Pen(draw, (place[0], place[1]), side * rng.uniform(0.04, 0.3), rng.uniform(-3, 3), False)
        kind = int(rng.integers(3))
        if kind == 0:
            pen.ellipse(0, 0, 1, rng.uniform(0.3, 1), colour)
        elif kind == 1:
            pen.box(-1, -rng.uniform(0.1, 1), 1, rng.uniform(0.1, 1), colour)
        else:
            angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 8))))
            pen.polygon([(math.cos(a), math.sin(a)) for a in angles], colour)
    return picture.resize((size, size), Image.Resampling.BOX)
