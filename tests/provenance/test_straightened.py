"""A received picture laid back onto the recorded one: where it lies, what is seen of it, and what lies beyond."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from generation.starter.scenes import SCENES, draw_scene
from provenance.fingerprint import distance_of_cells, fingerprint
from provenance.straightened import Lying, Straightener, View, lyings, nudged
from safety.watermark import Placement

SIDE = 256
SIZE = (SIDE, SIDE)
ISSUED = Placement(0.5, 0.0, 0.0, 0.5, 100.0, 200.0, 512)
PICTURE = np.asarray(draw_scene(SCENES[5], np.random.default_rng(1), SIDE))


def placed(matrix: np.ndarray, shift: np.ndarray) -> Placement:
    """The placement of a picture whose pixel p lies at ``matrix p + shift`` of the recorded one."""
    (a, b), (c, d) = (matrix / 2).tolist()
    left, top = ((shift / 2 + (100, 200)) % 512).tolist()
    return Placement(a, b, c, d, left, top, 512)


def laid(pixels: np.ndarray, matrix: np.ndarray, shift: tuple[float, float], size: tuple[int, int] = SIZE) -> View:
    """The first view of a picture under the likeliest way to lay it."""
    seen = (pixels.shape[1], pixels.shape[0])
    (way, *_) = lyings(placed(matrix, np.array(shift)), ISSUED, seen, size)
    assert np.allclose(way.mapping, np.hstack([matrix, np.array(shift)[:, None]]), atol=1e-9)
    return next(Straightener(pixels, size).views(way))


def apart(view: View) -> float:
    return distance_of_cells(fingerprint(PICTURE), view.cells, view.coverage >= 0.9)


def test_the_whole_picture_lies_on_itself() -> None:
    view = laid(PICTURE, np.eye(2), (0, 0))
    assert view.visible > 0.98
    assert view.beyond == 0
    assert apart(view) < 0.01


@pytest.mark.parametrize(("left", "top", "width", "height"), [(0, 0, 128, 128), (100, 37, 156, 110), (64, 128, 64, 64)])
def test_a_crop_shows_its_own_cells_and_no_others(left: int, top: int, width: int, height: int) -> None:
    view = laid(PICTURE[top : top + height, left : left + width], np.eye(2), (left, top))
    assert view.visible == pytest.approx(width * height / SIDE**2, abs=0.02)
    across = (np.arange(12) + 0.5) * SIDE / 12
    inside = (across > left + 22) & (across < left + width - 22)
    assert view.coverage[:, inside].max() == 1 or not inside.any()
    assert view.coverage[:, (across < left - 12) | (across > left + width + 12)].max(initial=0) == 0
    assert apart(view) < 0.02


@pytest.mark.parametrize("scale", [0.4, 0.9, 1.7])
def test_another_size_shows_the_same(scale: float) -> None:
    side = round(SIDE * scale)
    resized = np.asarray(Image.fromarray(PICTURE).resize((side, side), Image.Resampling.BICUBIC))
    step = SIDE / side
    view = laid(resized, np.eye(2) * step, (step / 2 - 0.5, step / 2 - 0.5))
    assert view.visible > 0.97
    assert apart(view) < 0.03


def test_a_mirrored_picture_is_mirrored_back() -> None:
    view = laid(PICTURE[:, ::-1], np.diag([-1.0, 1.0]), (SIDE - 1, 0))
    assert apart(view) < 0.01
    assert distance_of_cells(fingerprint(PICTURE), view.cells[:, ::-1], view.coverage >= 0.9) > 0.1


@pytest.mark.parametrize("degrees", [7, 30, 90])
def test_a_turned_picture_is_turned_back(degrees: int) -> None:
    turned = np.asarray(Image.fromarray(PICTURE).rotate(degrees, Image.Resampling.BICUBIC))
    angle, centre = math.radians(degrees), np.array([SIDE - 1, SIDE - 1]) / 2
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    view = laid(turned, matrix, tuple(centre - matrix @ centre))
    assert apart(view) < 0.04
    assert view.beyond < 0.02


def test_a_large_picture_gives_the_same_cells_as_a_small_one() -> None:
    large = np.asarray(Image.fromarray(PICTURE).resize((2048, 2048), Image.Resampling.BICUBIC))
    view = laid(large, np.eye(2) / 8, (1 / 16 - 0.5, 1 / 16 - 0.5))
    assert apart(view) < 0.01


def test_surroundings_count_as_beyond_unless_they_are_a_plain_border() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (SIDE, 2 * SIDE, 3), np.uint8)
    noise[:, 64 : 64 + SIDE] = PICTURE
    assert laid(noise, np.eye(2), (-64, 0)).beyond == pytest.approx(0.5, abs=0.03)
    bars = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    bars[:, 64 : 64 + SIDE] = PICTURE
    assert laid(bars, np.eye(2), (-64, 0)).beyond < 0.02


def test_a_plain_border_inside_the_recorded_picture_is_taken_off_in_a_second_view() -> None:
    texture = np.random.default_rng(4).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    framed = texture.copy()
    framed[:100] = 0
    way = Lying(np.eye(2, 3), 1.0)
    everything, bordered = Straightener(framed, SIZE).views(way)
    assert everything.visible > 0.98
    assert bordered.visible == pytest.approx(156 / 256, abs=0.03)
    assert len(list(Straightener(texture, SIZE).views(way))) == 1


def test_a_picture_that_lies_elsewhere_shows_nothing() -> None:
    for shift in ((400.0, 0.0), (0.0, -300.0), (512.0, 512.0)):
        assert lyings(placed(np.eye(2), np.array(shift)), ISSUED, SIZE, SIZE) == []


def test_where_the_plane_repeats_within_the_picture_every_place_is_tried() -> None:
    wide = (2600, 400)
    ways = lyings(placed(np.eye(2), np.array([1200.0, 10.0])), ISSUED, (300, 300), wide)
    lefts = sorted(round(way.mapping[0, 2]) for way in ways)
    assert lefts == [1200 - 1024, 1200, 1200 + 1024]
    assert all(round(way.mapping[1, 2]) == 10 for way in ways)


def test_of_two_places_the_one_that_shows_more_comes_first() -> None:
    ways = lyings(placed(np.eye(2), np.array([150.0, 0.0])), ISSUED, (200, 200), (1400, 300))
    assert [round(way.mapping[0, 2]) for way in ways] == [150, 150 + 1024]
    assert ways[0].overlap == 1
    assert ways[1].overlap == pytest.approx(1, abs=0.2)


def test_a_nudge_finds_a_picture_that_lies_a_little_off() -> None:
    crop = PICTURE[40:200, 60:220]
    off = Lying(np.array([[1.0, 0, 62], [0, 1.0, 38]]), 1.0)
    straightener = Straightener(crop, SIZE)
    before = apart(next(straightener.views(off)))
    after = min(apart(next(straightener.views(way))) for way in nudged(off, SIZE))
    assert after < 0.6 * before
