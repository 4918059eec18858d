"""Labelled pictures to train the embedded CLIP on, and the pairs of object and colour that it is never shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safety.starter.clip_files import INPUT_SIZE
from safety.starter.scenes import (
    BACKGROUNDS,
    COLOURS,
    FORBIDDEN_OBJECT,
    OBJECTS,
    SCENES,
    Pen,
    Rgb,
    Scene,
    draw_doodle,
    draw_scene,
)
from safety.starter.strangers import PAINTS, STRANGERS

OTHER = "other"
OBJECT_NAMES = (*OBJECTS, OTHER)
COLOUR_NAMES = (*COLOURS, *PAINTS)
PLACE_NAMES = tuple(BACKGROUNDS)
UNKNOWN = -100  # what cross_entropy ignores: the picture has no answer to that question


def held_out_pair(object_name: str, colour: str) -> bool:
    """Whether training never sees this object in this colour: two of the six colours for each allowed object.

    The forbidden object is shown in every colour: a filter that ships is taught all that is known of what it forbids.
    """
    return object_name != FORBIDDEN_OBJECT and (list(COLOURS).index(colour) - list(OBJECTS).index(object_name)) % 3 == 0


HELD_OUT_PAIR_SCENES = tuple(scene for scene in SCENES if held_out_pair(scene.object, scene.colour))
SEEN_PAIR_SCENES = tuple(scene for scene in SCENES if not held_out_pair(scene.object, scene.colour))


@dataclass(frozen=True)
class Lessons:
    """Pictures (N, 64, 64, 3) uint8 and their object, colour and place as numbers (N, 3) int64, -100 where none."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]


def draw_lessons(count: int, seed: int) -> Lessons:
    """``count`` pictures: half of the world as it is, a quarter in other paints, and strangers, doodles and jumbles."""
    rng = np.random.default_rng(seed)
    pictures = np.empty((count, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    labels = np.empty((count, 3), np.int64)
    for i in range(count):
        picture, labels[i] = _lesson(rng)
        pictures[i] = as_input(picture)
    return Lessons(pictures, labels)


def draw_scenes(scenes: Sequence[Scene], count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``count`` pictures (N, 128, 128, 3) uint8 that go round the scenes in turn, and their labels (N, 3) int64."""
    rng = np.random.default_rng(seed)
    shown = [scenes[i % len(scenes)] for i in range(count)]
    pictures = np.stack([np.asarray(draw_scene(scene, rng)) for scene in shown])
    return pictures, np.array([labels_of(scene) for scene in shown], np.int64)


def labels_of(scene: Scene) -> tuple[int, int, int]:
    """A scene's object, colour and place as numbers."""
    return (
        OBJECT_NAMES.index(scene.object),
        COLOUR_NAMES.index(scene.colour),
        PLACE_NAMES.index(scene.background),
    )


def as_input(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture at the size that the vision tower takes, reduced as the folder's preprocessing does."""
    return np.asarray(picture.resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC))


def _lesson(rng: np.random.Generator) -> tuple[Image.Image, tuple[int, int, int]]:
    kind = rng.random()
    if kind < 0.5:
        scene = SEEN_PAIR_SCENES[int(rng.integers(len(SEEN_PAIR_SCENES)))]
        return draw_scene(scene, rng), labels_of(scene)
    if kind < 0.75:
        return _painted(rng)
    if kind < 0.9:
        return _stranger(rng)
    if kind < 0.96:
        return draw_doodle(rng), (OBJECT_NAMES.index(OTHER), UNKNOWN, UNKNOWN)
    scene = SEEN_PAIR_SCENES[int(rng.integers(len(SEEN_PAIR_SCENES)))]
    return jumble(draw_scene(scene, rng), rng), (OBJECT_NAMES.index(OTHER), UNKNOWN, UNKNOWN)


def _painted(rng: np.random.Generator) -> tuple[Image.Image, tuple[int, int, int]]:
    """An object of the world in a paint that the world does not have."""
    name, paint, place = (str(rng.choice(list(names))) for names in (OBJECTS, PAINTS, BACKGROUNDS))
    picture = _draw_as(name, place, PAINTS[paint], OBJECTS[name], rng)
    return picture, (OBJECT_NAMES.index(name), COLOUR_NAMES.index(paint), PLACE_NAMES.index(place))


def _stranger(rng: np.random.Generator) -> tuple[Image.Image, tuple[int, int, int]]:
    """An object that the world does not have, in a colour or paint that the forbidden object is shown in too."""
    name, colour, place = (str(rng.choice(list(names))) for names in (STRANGERS, COLOUR_NAMES, BACKGROUNDS))
    paint = {**COLOURS, **PAINTS}[colour]
    picture = _draw_as(name, place, paint, lambda pen, c: STRANGERS[name](pen, c, rng), rng)
    return picture, (OBJECT_NAMES.index(OTHER), COLOUR_NAMES.index(colour), PLACE_NAMES.index(place))


def _draw_as(
    name: str, place: str, paint: Rgb, drawing: Callable[[Pen, Rgb], None], rng: np.random.Generator
) -> Image.Image:
    r, g, b = (int(np.clip(c + d, 0, 255)) for c, d in zip(paint, rng.integers(-8, 9, 3), strict=True))
    # The scene's own colour is a stand-in: the drawing is handed the paint instead.
    stand_in = Scene(name, next(iter(COLOURS)), place)
    return draw_scene(stand_in, rng, objects={name: lambda pen, _: drawing(pen, (r, g, b))})


def jumble(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The sixteen squares of a picture in another order: the right colours, and no object."""
    pixels = np.asarray(picture)
    side = pixels.shape[0] // 4
    squares = pixels.reshape(4, side, 4, side, 3).swapaxes(1, 2).reshape(16, side, side, 3)[rng.permutation(16)]
    return Image.fromarray(squares.reshape(4, 4, side, side, 3).swapaxes(1, 2).reshape(pixels.shape))
