"""Pictures drawn from a picture: screened, on record, a parent in the credentials, and authentic like any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import generation.order
from generation.errors import InputBlocked
from generation.loading import editing_pipeline, load_pipeline
from generation.order import Issue, generate
from generation.request import GenerationRequest
from generation.sampling import Sampling, sample
from generation.source import Source, open_source, stretched
from provenance.anchoring import anchor_pending
from provenance.base import resolve_base
from provenance.canonical import sha256_hex
from provenance.credentials import COMPOSITE_TYPE, SOURCE_TYPE, read_credentials
from provenance.errors import ImageRefused, UsageError
from provenance.files import read_file
from provenance.home import Home
from provenance.ingredient import Ingredient
from provenance.journal import Journal
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import load_account
from provenance.rederivation import Rederivation
from provenance.setup import set_up
from provenance.stores import open_store
from provenance.trust import TrustStore
from provenance.verify import Report, Verdict, verify_image
from provenance.verify.evidence import HomeEvidence
from provenance.verify.verifier import verify_with
from safety.clip_filter import OpenClipContentFilter
from safety.log_audit import audit_log
from safety.starter.scenes import SCENES, draw_scene
from safety.watermark import detect, embed
from tests.training.conftest import save_tiny_pipeline

HOW = Sampling(steps=4, guidance=3.0, strength=0.6)
OLD = 0x1234_5678_9ABC_DEF0


@dataclass(frozen=True)
class Studio:
    """A home, and a picture that it drew from text alone."""

    home: Home
    first: Path


def anchor(home: Home) -> None:
    ledger = open_ledger(home)
    with Journal.of_home(home) as journal:
        anchor_pending(home, ledger, open_store(home), journal, load_account(home))
    ledger.close()


def verdict(home: Home, path: Path) -> Report:
    return verify_image(path, reader=open_reader(home), store=open_store(home), trust=TrustStore.of_home(home))


@pytest.fixture(scope="module", autouse=True)
def _loaded_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation.order, "load_pipeline", cache(generation.order.load_pipeline))
        yield


@pytest.fixture(scope="module")
def _studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("studio")
    home = set_up(folder / "home", name="Test Studio").home
    request = GenerationRequest(("a red fish in the desert",), seed=5, steps=4)
    return Studio(home, generate(request, home=home, out=folder / "first").images[0].path)


@pytest.fixture
def studio(_studio: Studio, tmp_path: Path) -> Studio:
    shutil.copytree(_studio.home.path, tmp_path / "home")
    return replace(_studio, home=Home.open(tmp_path / "home"))


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A mask that marks the right half of a 256 × 256 picture."""
    mask = np.zeros((256, 256), np.uint8)
    mask[:, 128:] = 255
    Image.fromarray(mask).save(tmp_path / "half.png")
    return tmp_path / "half.png"


def edit(studio: Studio, out: Path, **changes: Any) -> Issue:
    request = GenerationRequest(("a blue boat on the sea",), seed=6, steps=4, image=studio.first, clear_prompt=True)
    return generate(replace(request, **changes), home=studio.home, out=out)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_picture_from_a_picture_is_authentic_and_names_its_parent(studio: Studio, tmp_path: Path) -> None:
    (image,) = edit(studio, tmp_path / "out").images
    recorded = image.record.parameters["input"]
    assert (recorded["sha256"], recorded["strength"]) == (sha256_hex(read_file(studio.first)), 0.6)
    assert recorded["decision"]["allowed"] is True
    assert "latent" not in image.record.watermark
    credentials = read_credentials(read_file(image.path), "image/png", TrustStore.of_home(studio.home).anchors_pem)
    assert (credentials.state, credentials.source_type) == ("trusted", SOURCE_TYPE)
    anchor(studio.home)
    evidence = HomeEvidence(open_reader(studio.home), open_store(studio.home))
    report = verify_with(image.path, evidence, TrustStore.of_home(studio.home), rederive=Rederivation())
    assert report.verdict is Verdict.AUTHENTIC
    assert recorded["payload"] == f"{detect(pixels(studio.first)).payload:016x}"
    told = f"sha256 {recorded['sha256']}, which carried the mark {recorded['payload']}"
    assert report.facts["drawn_from"] == told
    assert [again["outcome"] for again in report.facts["rederived"]["decisions"]] == ["confirmed", "confirmed"]


def test_what_is_not_masked_stays_and_the_new_mark_is_the_one_that_is_read(
    studio: Studio, tmp_path: Path, half: Path
) -> None:
    (image,) = edit(studio, tmp_path / "out", mask=half).images
    before, after = pixels(studio.first), pixels(image.path)
    kept, drawn = (np.abs(after.astype(int) - before)[:, part].mean() for part in (slice(128), slice(128, None)))
    assert kept < 6 < drawn
    assert detect(before).payload not in (None, detect(after).payload)
    assert detect(after).payload == int(image.record.payload, 16)
    assert image.record.parameters["input"]["mask"] == sha256_hex(read_file(half))
    assert image.record.parameters["input"]["strength"] == 1.0
    assert read_credentials(read_file(image.path), "image/png").source_type == COMPOSITE_TYPE
    anchor(studio.home)
    report = verdict(studio.home, image.path)
    assert report.verdict is Verdict.AUTHENTIC
    assert "where a mask left it" in report.facts["drawn_from"]
    assert verdict(studio.home, studio.first).facts["drawn_from"] is None


def test_an_input_that_the_policy_blocks_is_refused_and_logged(studio: Studio, tmp_path: Path) -> None:
    # A picture that this policy would not have let out.
    pipeline = load_pipeline(resolve_base("starter"), None)
    (picture,) = sample(pipeline, ["a purple skull at night"], [5], Sampling(steps=20, guidance=3.0), 2)
    skull = tmp_path / "skull.png"
    Image.fromarray(picture).save(skull)
    with pytest.raises(InputBlocked, match="blocks the input picture") as refusal:
        edit(replace(studio, first=skull), tmp_path / "out")
    assert "skull" in str(refusal.value)
    assert not (tmp_path / "out").exists()
    report = audit_log(studio.home.path / "safety.log")
    assert (report.entries, report.faults) == (1, ())
    assert sha256_hex(read_file(skull)) not in (studio.home.path / "safety.log").read_text()


def test_an_input_that_cannot_be_screened_is_refused(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(OpenClipContentFilter, "screen_batch", fail)
    with pytest.raises(InputBlocked, match="cannot be screened"):
        edit(studio, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bytes_that_are_no_picture_are_refused_before_anything_is_loaded(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(generation.order, "load_pipeline")
    broken = tmp_path / "broken.png"
    broken.write_bytes(read_file(studio.first)[:5000])
    with pytest.raises(ImageRefused, match="the input picture cannot be decoded"):
        edit(replace(studio, first=broken), tmp_path / "out")


def test_a_run_from_a_picture_is_resumed_with_that_very_picture(studio: Studio, tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    shutil.copy(studio.first, source)
    request = GenerationRequest(("a boat", "a fish"), seed=6, steps=2, image=source)
    first = generate(request, home=studio.home, out=tmp_path / "out", resumable=True)
    assert generate(request, home=studio.home, out=tmp_path / "out", resumable=True, resume=True) == first
    Image.fromarray(255 - pixels(source)).save(source)
    with pytest.raises(UsageError, match="no run of this request stopped here"):
        generate(request, home=studio.home, out=tmp_path / "out", resumable=True, resume=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"strength": 0.0}, "strength 0"),
        ({"strength": 1.5}, "strength 1.5"),
        ({"strength": float("nan")}, "strength nan"),
        ({"strength": 0.1}, "draw nothing"),
        ({"image": None, "strength": 0.5}, "without an input picture"),
        ({"image": None, "mask": Path("mask.png")}, "without an input picture"),
    ],
)
def test_what_would_draw_nothing_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        replace(GenerationRequest(("a boat",), steps=4, image=Path("input.png")), **changes)


def test_a_mask_of_another_size_or_without_white_is_refused(studio: Studio, tmp_path: Path) -> None:
    for name, size, says in (("small", (20, 20), "not of the input picture's size"), ("black", (256, 256), "nothing")):
        Image.new("L", size).save(tmp_path / f"{name}.png")
        with pytest.raises(UsageError, match=says):
            open_source(studio.first, tmp_path / f"{name}.png")


def test_an_input_that_is_far_too_long_is_refused(studio: Studio, tmp_path: Path) -> None:
    Image.new("RGB", (500, 100), "white").save(tmp_path / "long.png")
    with pytest.raises(UsageError, match="too long for its width"):
        edit(replace(studio, first=tmp_path / "long.png"), tmp_path / "out")


def test_the_mark_of_an_input_without_credentials_is_on_record(studio: Studio, tmp_path: Path) -> None:
    bare = tmp_path / "theirs.jpg"
    # Drawn, not generated: of two marks on one picture either may be read.
    unmarked = np.asarray(draw_scene(SCENES[0], np.random.default_rng(3), 256))
    Image.fromarray(embed(unmarked, OLD)).save(bare, quality=90)
    (image,) = edit(replace(studio, first=bare), tmp_path / "out", strength=0.3).images
    assert image.record.parameters["input"]["payload"] == f"{OLD:016x}"
    assert image.record.payload != f"{OLD:016x}"


@pytest.mark.parametrize("size", [(20, 20), (300, 300)])
def test_of_an_input_without_a_mark_none_is_recorded(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.effect_noise(size, 60).convert("RGB").save(tmp_path / "plain.png")
    assert open_source(tmp_path / "plain.png", None).payload is None


def test_an_input_keeps_its_shape_and_is_large_enough_to_be_marked(studio: Studio, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "wide.png")
    (image,) = edit(replace(studio, first=tmp_path / "wide.png"), tmp_path / "out", steps=2).images
    assert (image.record.image.width, image.record.image.height) == (384, 256)


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl", "sd3"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_every_family_draws_from_a_picture(tmp_path: Path, kind: str, masked: bool) -> None:
    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind))), None)
    picture = np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8)
    mask = np.zeros((90, 60), np.uint8)
    mask[:, :30] = 255
    source = Source(picture, "", Ingredient(b"", "image/png", masked), mask if masked else None)
    canvas = stretched(source, (40, 24), 1)
    editing = editing_pipeline(pipeline, masked)
    together = sample(editing, ["a dot", "a ring"], [1, 2], HOW, 1, canvas=canvas)
    (alone,) = sample(editing, ["a ring"], [2], HOW, 1, canvas=canvas)
    assert together[0].shape == (40, 24, 3)
    assert np.abs(together[1].astype(int) - alone).max() <= 1
    assert getattr(editing, "watermark", None) is None
    if masked:
        assert np.array_equal(alone[:, 12:], canvas.kept[:, 12:])
        assert not np.array_equal(alone[:, :12], canvas.kept[:, :12])


def test_strength_says_how_much_is_drawn_anew(tmp_path: Path) -> None:
    editing = editing_pipeline(load_pipeline(resolve_base("starter"), None), masked=False)
    picture = embed(np.full((256, 256, 3), (40, 90, 160), np.uint8), OLD)
    canvas = stretched(Source(picture, "", Ingredient(b"", "image/png", False)), (128, 128), 2)
    changed = [
        np.abs(sample(editing, ["a fish"], [3], replace(HOW, strength=s), 2, canvas=canvas)[0].astype(int) - picture)
        for s in (0.25, 1.0)
    ]
    assert changed[0].mean() < changed[1].mean()


def test_the_command_says_what_it_drew_from(studio: Studio, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    command = [sys.executable, "-m", "cli.main", "generate", "a boat", "--image", str(studio.first), "--steps", "3"]
    command += ["--strength", "0.7", "--out", str(tmp_path / "out"), "--json"]
    environment = {**os.environ, "PROV_HOME": str(studio.home.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    with Journal.of_home(studio.home) as journal:
        record = journal.record(image["stream"], image["serial"])
    assert record is not None
    recorded = record.to_json()["parameters"]["input"]
    assert recorded["strength"] == 0.7
    assert f"the input carries the mark {recorded['payload']}" in done.stderr
