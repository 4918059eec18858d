"""Whether what can be seen of a picture is the recorded one, with marks that are really written and read."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from generation.starter.scenes import COLOURS, SCENES, Scene, draw_scene
from provenance.fingerprint import fingerprint
from provenance.likeness import FEWEST, Issued, Kind, Likeness, likeness
from safety.watermark import Placement, detect, embed

PAYLOAD = 0x0123456789ABCDEF
SCENE, SEED = SCENES[8], 11
TURN, BICUBIC = Image.Transpose, Image.Resampling.BICUBIC


def drawn(scene: Scene, seed: int = SEED, side: int = 256) -> np.ndarray:
    return np.asarray(draw_scene(scene, np.random.default_rng(seed), side))


@dataclass(frozen=True)
class Marked:
    """A marked picture and what its record says."""

    own: np.ndarray
    marked: np.ndarray
    issued: Issued

    @classmethod
    def of(cls, own: np.ndarray) -> Marked:
        marked = embed(own, PAYLOAD)
        detection = detect(marked)
        assert detection.payload == PAYLOAD
        return cls(own, marked, Issued(fingerprint(marked), (own.shape[1], own.shape[0]), detection.placement))

    def copied_onto(self, other: np.ndarray) -> np.ndarray:
        """Another picture with this one's mark, pixel for pixel in the same place."""
        residual = self.marked.astype(np.int16) - self.own
        return np.clip(other + residual, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def marked() -> Marked:
    return Marked.of(drawn(SCENE))


def jpeg(picture: Image.Image, quality: int = 50) -> np.ndarray:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def judged(pixels: np.ndarray, issued: Issued) -> Likeness:
    detection = detect(pixels)
    assert detection.payload == PAYLOAD
    return likeness(pixels, detection.placement, issued)


Edit = Callable[[Image.Image], Image.Image]

EDITS: dict[str, tuple[Edit, str]] = {
    "untouched": (lambda p: p, "looks like the recorded picture"),
    "half the area": (lambda p: p.crop((40, 30, 221, 211)), "visible"),
    "a quarter of the area": (lambda p: p.crop((64, 64, 192, 192)), "25% visible"),
    "turned by 5°": (lambda p: p.rotate(5, BICUBIC), "turned by 5° counter-clockwise"),
    "turned by 30° on a larger canvas": (lambda p: p.rotate(-30, BICUBIC, expand=True), "turned by 30° clockwise"),
    "cropped, then turned": (lambda p: p.crop((20, 20, 236, 236)).rotate(10, BICUBIC), "turned by 10°"),
    "turned, then cropped": (lambda p: p.rotate(20, BICUBIC).crop((48, 48, 208, 208)), "39% visible, turned by 20°"),
    "mirrored": (lambda p: p.transpose(TURN.FLIP_LEFT_RIGHT), "mirrored"),
    "upside down": (lambda p: p.rotate(180), "turned by 180°"),
    "on its side": (lambda p: p.transpose(TURN.ROTATE_90), "turned by 90° counter-clockwise"),
    "twice as large": (lambda p: p.resize((512, 512), BICUBIC), "scaled to 2.00"),
    "at 70 %": (lambda p: p.resize((179, 179), BICUBIC), "scaled to 0.70"),
    "wider": (lambda p: p.resize((307, 256), BICUBIC), "stretched to 1.20 times the width"),
    "with black bars": (lambda p: padded(p), "visible"),
}


def padded(picture: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (400, 260))
    canvas.paste(picture, (70, 2))
    return canvas


@pytest.mark.parametrize("name", EDITS)
def test_what_is_left_of_the_picture_is_the_picture(marked: Marked, name: str) -> None:
    edit, words = EDITS[name]
    found = judged(jpeg(edit(Image.fromarray(marked.marked))), marked.issued)
    assert found.kind is Kind.SAME
    assert found.distance < 0.05
    assert words in found.detail
    assert found.score >= 50


OTHERS = {
    "foreign": drawn(SCENES[40], 3),
    "the same scene drawn anew": drawn(SCENE, SEED + 1),
    "in another colour": drawn(replace(SCENE, colour=next(iter(COLOURS.keys() - {SCENE.colour})))),
}
CROPS: dict[str, Edit] = {
    "whole": EDITS["untouched"][0],
    "half": EDITS["half the area"][0],
    "a quarter": EDITS["a quarter of the area"][0],
    "turned": EDITS["turned by 5°"][0],
}


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("other", OTHERS)
def test_a_mark_copied_in_its_place_onto_another_picture_is_found_out(marked: Marked, other: str, crop: str) -> None:
    pixels = jpeg(CROPS[crop](Image.fromarray(marked.copied_onto(OTHERS[other]))), 80)
    found = judged(pixels, marked.issued)
    assert found.kind is Kind.OTHER
    assert found.score < 50


@pytest.mark.parametrize("other", OTHERS)
def test_a_payload_embedded_anew_into_another_picture_is_found_out(marked: Marked, other: str) -> None:
    found = judged(embed(OTHERS[other], PAYLOAD), marked.issued)
    assert found.kind is not Kind.SAME
    assert found.score < 50


def test_a_mark_that_lies_off_the_recorded_picture_shows_nothing_of_it(marked: Marked) -> None:
    placement = marked.issued.placement
    assert placement is not None
    away = replace(placement, left=(placement.left + 250) % 512)
    found = likeness(marked.marked, away, marked.issued)
    assert found.kind is Kind.OTHER
    assert "shows nothing of the recorded picture" in found.detail


def test_a_picture_with_much_around_it_is_more_than_the_recorded_one(marked: Marked) -> None:
    collage = np.random.default_rng(2).integers(0, 256, (256, 512, 3), np.uint8)
    collage[:, :256] = marked.marked
    found = judged(collage, marked.issued)
    assert found.kind is Kind.EXTENDED
    assert "that is not on record" in found.detail


def test_too_small_a_part_is_not_enough_to_tell(marked: Marked) -> None:
    placement = marked.issued.placement
    assert placement is not None
    # Too small for the mark itself to be read, so where it lies is computed.
    part = marked.marked[100:160, 100:160]
    there = replace(
        placement, left=(placement.left + 50) % placement.period, top=(placement.top + 50) % placement.period
    )
    found = likeness(part, there, marked.issued)
    assert found.kind is Kind.UNCLEAR
    assert found.cells < FEWEST
    assert "too little" in found.detail


def test_a_part_as_plain_as_any_other_is_not_enough_to_tell() -> None:
    own = np.full((256, 256, 3), 120, np.uint8)
    own[:60, :60] = (250, 40, 40)
    issued = Issued(fingerprint(own), (256, 256), Placement(0.5, 0, 0, 0.5, 0, 0, 512))
    dim = np.random.default_rng(1).integers(110, 122, (128, 128, 3), np.uint8)
    found = likeness(dim, Placement(0.5, 0, 0, 0.5, 50, 50, 512), issued)
    assert found.kind is Kind.UNCLEAR
    assert "too plain" in found.detail
    assert likeness(own, Placement(0.5, 0, 0, 0.5, 0, 0, 512), issued).kind is Kind.SAME


@pytest.mark.parametrize("missing", ["placement", "size", "received", "period"])
def test_where_no_place_is_on_record_whole_pictures_are_compared(marked: Marked, missing: str) -> None:
    received, issued = marked.issued.placement, marked.issued
    assert received is not None
    if missing == "received":
        received = None
    elif missing == "period":
        received = replace(received, period=256)
    else:
        issued = replace(issued, **{missing: None})
    assert likeness(marked.marked, received, issued).kind is Kind.SAME
    assert likeness(marked.marked[:, ::-1], received, issued).kind is Kind.OTHER
    assert likeness(marked.marked[64:192, 64:192], received, issued).kind is Kind.OTHER


def test_a_crop_of_a_long_picture_is_found_beyond_the_first_period() -> None:
    parts = [drawn(SCENES[number], number, 320) for number in (3, 30, 60, 90)]
    long = Marked.of(np.concatenate(parts, axis=1))
    crop = long.marked[10:300, 830:1270]
    found = judged(jpeg(Image.fromarray(crop), 75), long.issued)
    assert found.kind is Kind.SAME
