"""The frames of a video: from a picture alone, each screened, marked, signed and on record like any other picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation.errors import SamplingFailed
from generation.order import generate
from generation.request import GenerationRequest
from generation.video import frames_of
from provenance.anchoring import anchor_pending
from provenance.base import resolve_base
from provenance.canonical import canonical_json, sha256_hex
from provenance.errors import UsageError
from provenance.files import read_file
from provenance.home import Home
from provenance.journal import Journal
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import load_account
from provenance.setup import set_up
from provenance.stores import open_store
from provenance.trust import TrustStore
from provenance.verify import Verdict, verify_image
from safety.watermark import detect
from tests.safety.tiny_clip import policy_for, save_tiny_clip
from tests.training.conftest import save_tiny_pipeline


@pytest.fixture(scope="module")
def _studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home, a base of videos, a policy for it, and a picture."""
    folder = tmp_path_factory.mktemp("studio")
    set_up(folder / "home", name="Test Studio")
    save_tiny_pipeline(folder / "svd", "svd")
    (folder / "policy.yaml").write_bytes(policy_for(save_tiny_clip(folder / "clip"), block=1.0).canonical)
    pixels = np.kron(np.random.default_rng(2).integers(0, 255, (16, 18, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
    Image.fromarray(pixels).save(folder / "input.png")
    return folder


@pytest.fixture
def studio(_studio: Path, tmp_path: Path) -> Path:
    shutil.copytree(_studio / "home", tmp_path / "home")
    return _studio


def request_for(studio: Path, **changes: Any) -> GenerationRequest:
    request = GenerationRequest(
        ("",), base=str(studio / "svd"), image=studio / "input.png", seed=3, steps=2, policy=studio / "policy.yaml"
    )
    return replace(request, **changes)


def test_every_frame_is_a_picture_with_a_history(studio: Path, tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    issue = generate(request_for(studio, prompts=("", "")), home=home, out=tmp_path / "out")
    assert [image.record.serial for image in issue.images] == [0, 1, 2, 3]
    parameters = [image.record.parameters for image in issue.images]
    assert [p["frame"] for p in parameters] == [{"number": n, "of": 2} for n in (0, 1, 0, 1)]
    assert [p["seed"] for p in parameters] == [3, 3, 4, 4]
    assert {p["input"]["sha256"] for p in parameters} == {sha256_hex(read_file(studio / "input.png"))}
    assert {decision["stage"] for image in issue.images for decision in image.record.safety} == {"output"}
    ledger, store = open_ledger(home), open_store(home)
    with Journal.of_home(home) as journal:
        anchor_pending(home, ledger, store, journal, load_account(home))
    ledger.close()
    for image in issue.images:
        with Image.open(image.path) as picture:
            assert picture.size == (288, 256)
            assert detect(np.asarray(picture)).payload == int(image.record.payload, 16)
        report = verify_image(image.path, reader=open_reader(home), store=store, trust=TrustStore.of_home(home))
        assert report.verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompts": ("a boat",)}, "a prompt"),
        ({"negative": "a tree"}, "--negative"),
        ({"strength": 0.5}, "--strength"),
        ({"scheduler": "ddim"}, "another scheduler"),
        ({"prompts": ("a boat",), "image": None}, "a prompt"),
    ],
)
def test_what_the_base_would_not_read_is_refused(
    studio: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match="from a picture, and reads nothing else") as refusal:
        generate(request_for(studio, **changes), home=Home.open(tmp_path / "home"), out=tmp_path / "out")
    assert refusal.value.found is not None
    assert says in refusal.value.found


def test_a_base_of_pictures_needs_words(studio: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="draws what a prompt says"):
        generate(request_for(studio, base="starter", policy=None), home=Home.open(tmp_path / "home"))
    with pytest.raises(UsageError, match="prompt 1 is empty"):
        request_for(studio, image=None)


@pytest.mark.parametrize("frames", [0, 129, True, "2", None])
def test_a_base_that_counts_its_frames_wrongly_is_refused(studio: Path, tmp_path: Path, frames: object) -> None:
    folder = tmp_path / "svd"
    shutil.copytree(studio / "svd", folder)
    (folder / "unet" / "config.json").write_bytes(canonical_json({"num_frames": frames}))
    with pytest.raises(SamplingFailed, match="is wrong"):
        frames_of(resolve_base(str(folder)))
