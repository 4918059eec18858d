"""Pictures that were cropped, turned, mirrored and recompressed in the wild, and marks that were carried over."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.anchoring import anchor_pending
from provenance.issuing import issue_image
from provenance.journal import Journal
from provenance.verify import Verdict
from safety.watermark import embed, embed_verified
from tests.provenance.verify.conftest import World, making, origin_of, picture

Edit = Callable[[Image.Image], Image.Image]
BICUBIC = Image.Resampling.BICUBIC


def mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def cropped(image: Image.Image) -> Image.Image:
    return image.crop((30, 40, 211, 221))


def turned_and_cropped(image: Image.Image) -> Image.Image:
    return image.rotate(12, BICUBIC).crop((40, 40, 216, 216))


EDITS: dict[str, tuple[Edit, str]] = {
    "cropped": (cropped, "visible"),
    "turned and cropped": (turned_and_cropped, "turned by 1[123]° counter-clockwise"),
    "mirrored": (mirrored, "mirrored"),
    "enlarged": (lambda image: image.resize((384, 384), BICUBIC), "scaled to 1.50"),
}


def changed(world: World, name: str, edit: Edit, target: Path, quality: int = 60) -> Path:
    """What a platform's user leaves of a picture: no metadata, other pixels, JPEG."""
    output = io.BytesIO()
    edit(Image.fromarray(world.pixels(name))).save(output, "JPEG", quality=quality)
    target.write_bytes(output.getvalue())
    return target


def with_mark_of(world: World, name: str, other: np.ndarray) -> Image.Image:
    """Another picture, with the very change that the mark made to a picture."""
    number = {"fish.png": 101, "boat.png": 102}[name]
    residual = world.pixels(name).astype(np.int16) - picture(number)
    return Image.fromarray(np.clip(other + residual, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", ["fish.png", "tree.jpg"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_stripped_and_changed_picture_is_recovered(world: World, tmp_path: Path, name: str, edit: str) -> None:
    change, words = EDITS[edit]
    report = world.verify(changed(world, name, change, tmp_path / "wild.jpg"))
    assert report.verdict is Verdict.RECOVERED
    # By 12°, read from what is left of the marks: to a degree.
    assert re.search(words, report.layer("picture").detail)
    assert report.facts["record"] == world.records[name].id


@pytest.mark.parametrize("edit", [lambda image: image, cropped, turned_and_cropped, mirrored])
@pytest.mark.parametrize("name", ["fish.png", "boat.png"])
def test_a_mark_carried_over_in_its_place_is_copied(world: World, tmp_path: Path, name: str, edit: Edit) -> None:
    foreign = edit(with_mark_of(world, name, picture(150)))
    report = world.verify(world.saved(np.asarray(foreign), tmp_path / "foreign.png"))
    assert report.verdict is Verdict.COPIED
    assert "issued for another picture" in report.layer("picture").detail


@pytest.mark.parametrize("edit", [lambda image: image, cropped, turned_and_cropped])
def test_a_payload_embedded_anew_is_copied(world: World, tmp_path: Path, edit: Edit) -> None:
    payload = int(world.records["fish.png"].payload, 16)
    foreign = edit(Image.fromarray(embed(picture(151), payload)))
    report = world.verify(world.saved(np.asarray(foreign), tmp_path / "foreign.png"))
    assert report.verdict is Verdict.COPIED


def test_the_recorded_picture_inside_another_is_tampering(world: World, tmp_path: Path) -> None:
    collage = np.random.default_rng(1).integers(0, 256, (256, 512, 3), np.uint8)
    collage[:, 256:] = world.pixels("fish.png")
    report = world.verify(world.saved(collage, tmp_path / "collage.png"))
    assert report.verdict is Verdict.TAMPERED
    assert "that is not on record" in report.layer("picture").detail


def test_a_record_without_a_placement_holds_for_the_whole_picture_alone(
    make_world: Callable[[Path], World], tmp_path: Path
) -> None:
    world = make_world(tmp_path / "world")
    with Journal.of_home(world.home) as journal:
        origin = origin_of(world, world.maker, world.tokens[0], journal)
        serial = journal.reserve(origin.stream)
        marked, detection = embed_verified(picture(130), origin.payload(serial))
        path = world.folder / "images" / "old.png"
        watermark = {"backend": detection.backend, "p_value": detection.p_value}
        record = issue_image(
            marked,
            path,
            origin=origin,
            serial=serial,
            making=making(watermark),
            issuer=world.issuer,
            journal=journal,
        )
        anchor_pending(world.home, world.ledger, world.store, journal, world.maker)
    world.images["old.png"] = path
    assert record.placement is None
    assert world.verify("old.png").verdict is Verdict.AUTHENTIC
    assert world.verify(world.stripped("old.png", tmp_path / "plain.png")).verdict is Verdict.RECOVERED
    assert world.verify(changed(world, "old.png", cropped, tmp_path / "crop.jpg")).verdict is Verdict.COPIED
    world.ledger.close()


def test_the_record_and_the_credentials_tell_the_same_place(world: World) -> None:
    from provenance.credentials import read_credentials

    for name, media_type in (("fish.png", "image/png"), ("tree.jpg", "image/jpeg"), ("star.webp", "image/webp")):
        record = world.records[name]
        assertion = read_credentials(world.images[name].read_bytes(), media_type).assertion
        assert record.placement is not None
        assert assertion is not None
        assert assertion.placement == record.watermark["placement"]
        assert assertion.size == {"width": record.image.width, "height": record.image.height}


def test_credentials_that_tell_another_place_than_the_record_are_tampering(world: World, tmp_path: Path) -> None:
    from provenance.credentials import ProvAssertion, sign_image, soft_binding_algorithm
    from provenance.issuing import encode_image
    from provenance.record import pixels_digest

    record, pixels = world.records["fish.png"], world.pixels("fish.png")
    placement = {**record.watermark["placement"], "left": 1.0}
    size = {"width": 256, "height": 256}
    assertion = ProvAssertion.of(record.origin, record.serial, pixels_digest(pixels), record.fingerprint)
    signed = sign_image(
        encode_image(pixels, "image/png"),
        "image/png",
        issuer=world.issuer,
        assertion=replace(assertion, placement=placement, size=size),
        soft_binding=soft_binding_algorithm(record.watermark["backend"]),
        title="forged",
    )
    forged = tmp_path / "forged.png"
    forged.write_bytes(signed.data)
    report = world.verify(forged)
    assert report.verdict is Verdict.TAMPERED
    assert report.layer("binding").detail == "credentials and record name another placement"
