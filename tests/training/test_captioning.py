from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.dataset import sign_dataset, verify_dataset
from provenance.errors import BaseRefused, BaseUnavailable, DatasetError, UsageError
from provenance.identity import Issuer
from provenance.machine_captions import MARKS, read_marks
from provenance.records import Captioner
from provenance.trust import TrustStore
from tests.training.tiny_blip import WORDS, save_tiny_blip
from training.dataset.captioner import Blip, CaptionModel, resolve_captioner
from training.dataset.captioning import BATCH, caption_folder
from training.errors import TrainingInterrupted

IDENTITY = Captioner("local:said", "ab" * 32)


class Says:
    """Says what it is told to, in turn."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        return [self.texts.pop(0) for _ in pictures]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> CaptionModel:
    return resolve_captioner(str(save_tiny_blip(tmp_path_factory.mktemp("blip") / "tiny")))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw = np.random.default_rng(3)
    for name in "abc":
        Image.fromarray(draw.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def captions(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(folder.glob("*.txt"))}


def test_blip_writes_words_about_every_picture_and_the_same_ones_again(tiny: CaptionModel, pictures: Path) -> None:
    blip = Blip.load(tiny, "cpu", 12)
    made = caption_folder(pictures, blip, tiny.identity)
    first = captions(pictures)
    assert (made.written, made.kept) == (("a.png", "b.png", "c.png"), ())
    assert set(first) == set("abc")
    assert all(set(text.split()) <= set(WORDS) for text in first.values())
    caption_folder(pictures, blip, tiny.identity, overwrite=True)
    assert captions(pictures) == first
    assert all(len(text.split()) <= 12 for text in first.values())


def test_signing_marks_which_captions_a_model_wrote(
    tiny: CaptionModel, pictures: Path, issuer: Issuer, trust: TrustStore
) -> None:
    (pictures / "a.txt").write_text("written by hand")
    caption_folder(pictures, Blip.load(tiny, "cpu", 12), tiny.identity, prefix="sks, ")
    (pictures / "c.txt").write_text("corrected by hand")
    release = pictures.parent / "release"
    sign_dataset(pictures, release, issuer=issuer, licence="CC0-1.0", holder="Test Studio")
    by_hand, by_model, corrected = verify_dataset(release, trust).records
    assert (by_hand.caption, by_hand.caption_by) == ("written by hand", None)
    assert by_model.caption.startswith("sks, ")
    assert by_model.caption_by == tiny.identity
    assert (corrected.caption, corrected.caption_by) == ("corrected by hand", None)
    description = json.loads((release / "dataset" / "croissant.json").read_text())
    assert description["rai:machineAnnotationTools"] == [f"local:tiny (sha256 {tiny.identity.sha256})"]


def test_what_a_person_wrote_is_kept_and_a_model_s_caption_only_on_request(pictures: Path) -> None:
    (pictures / "a.txt").write_text("by hand")
    (pictures / "metadata.jsonl").write_text('{"file_name": "b.png", "text": "by hand too"}\n')
    made = caption_folder(pictures, Says("first"), IDENTITY)
    assert (made.written, made.kept) == (("c.png",), ("a.png", "b.png"))
    assert caption_folder(pictures, Says(), IDENTITY).written == ()
    assert caption_folder(pictures, Says("second"), IDENTITY, overwrite=True).written == ("c.png",)
    assert captions(pictures) == {"a": "by hand", "c": "second\n"}
    (pictures / "c.txt").write_text("mended")
    assert caption_folder(pictures, Says(), IDENTITY, overwrite=True).written == ()


@pytest.mark.parametrize(("text", "why"), [("", "caption is missing"), ("a\x1b[31mfish", "control characters")])
def test_a_caption_that_is_none_is_refused_and_the_others_are_written(text: str, why: str, pictures: Path) -> None:
    with pytest.raises(DatasetError, match=rf"1 of 3 captions are missing[\s\S]*b\.png: {why}|{why}"):
        caption_folder(pictures, Says("one", text, "three"), IDENTITY, prefix="" if text else "sks, ")
    assert set(captions(pictures)) == {"a", "c"}
    assert set(read_marks(pictures)) == {"a.png", "c.png"}


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_captioned(pictures: Path) -> None:
    (pictures / "b.png").write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match=r"b\.png cannot be decoded|b\.png: "):
        caption_folder(pictures, Says("one", "three"), IDENTITY)
    assert set(captions(pictures)) == {"a", "c"}


def test_a_run_that_was_stopped_goes_on_where_it_was(pictures: Path) -> None:
    for number in range(BATCH):
        shutil.copy(pictures / "a.png", pictures / f"d{number}.png")

    def press(done: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted, match=f"after {BATCH} of {BATCH + 3}"):
        caption_folder(pictures, Says(*"12345678"), IDENTITY, progress=press)
    assert len(captions(pictures)) == BATCH
    made = caption_folder(pictures, Says(*"xyz"), IDENTITY)
    assert (len(made.written), len(made.kept)) == (3, BATCH)


def test_a_mark_that_a_crash_tore_is_taken_off_and_its_picture_captioned_again(pictures: Path, issuer: Issuer) -> None:
    caption_folder(pictures, Says("one", "two", "three"), IDENTITY)
    marks = (pictures / MARKS).read_bytes()
    (pictures / MARKS).write_bytes(marks[:-9])
    (pictures / "c.txt").unlink()
    with pytest.raises(DatasetError, match=rf"{MARKS}: line 3"):
        sign_dataset(pictures, pictures.parent / "r", issuer=issuer, licence="CC0-1.0", holder="x")
    caption_folder(pictures, Says("three"), IDENTITY)
    assert (pictures / MARKS).read_bytes() == marks


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        caption_folder(tmp_path / "nowhere", Says(), IDENTITY)


def test_a_model_s_digest_is_of_its_files(tiny: CaptionModel, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny.folder, tmp_path / "copy")
    assert resolve_captioner(str(copy)).identity == Captioner("local:copy", tiny.identity.sha256)
    (copy / "README.md").write_text("not loaded")
    assert resolve_captioner(str(copy)).identity.sha256 == tiny.identity.sha256
    config = copy / "config.json"
    config.write_text(config.read_text() + " ")
    assert resolve_captioner(str(copy)).identity.sha256 != tiny.identity.sha256


def test_pickles_and_other_models_are_refused(tiny: CaptionModel, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny.folder, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BaseRefused, match=r"has no weights in safetensors[\s\S]*pytorch_model\.bin"):
        resolve_captioner(str(copy))
    (copy / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BaseRefused, match=r"not a captioning model[\s\S]*bert"):
        resolve_captioner(str(copy))
    with pytest.raises(BaseRefused, match="cannot be found"):
        resolve_captioner("no such folder")


def test_damaged_weights_and_an_absent_device_are_refused(tiny: CaptionModel, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny.folder, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BaseRefused, match="cannot be loaded"):
        Blip.load(resolve_captioner(str(copy)), "cpu", 12)
    with pytest.raises(UsageError, match="has no tpu device"):
        Blip.load(tiny, "tpu", 12)


def test_a_hub_model_that_is_not_here_is_said_so_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaseUnavailable, match="not on this machine and cannot be fetched"):
        resolve_captioner("nobody/nothing")
