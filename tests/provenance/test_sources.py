from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from provenance.dataset import sign_dataset
from provenance.errors import ProvenanceError, UsageError
from provenance.identity import Issuer
from provenance.records import Captioner, Consent

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One good picture without a caption."""
    folder = tmp_path / "source"
    folder.mkdir()
    Image.new("RGB", (16, 16), "red").save(folder / "a.png")
    return folder


def refusal(source: Path, issuer: Issuer, **options: str | None) -> str:
    """Why a folder cannot be signed; nothing may be left behind."""
    release = source.parent / "release"
    before = sorted(source.parent.iterdir())
    rights = {"licence": "CC0-1.0", "holder": "Ada"} | options
    with pytest.raises(ProvenanceError) as error:
        sign_dataset(source, release, issuer=issuer, **rights)
    assert sorted(source.parent.iterdir()) == before
    return str(error.value)


@pytest.mark.parametrize(
    "asset",
    [
        "truncated.png",
        "truncated.jpg",
        "truncated.webp",
        "flipped-bit.png",
        "bomb.png",
        "huge-bomb.png",
        "text-bomb.png",
        "animated.png",
        "animated.webp",
        "gif-named.png",
        "script-named.png",
        "empty.png",
        "corrupt-exif.jpg",
        "jpeg-named.png",
    ],
)
def test_bad_picture_is_named(asset: str, source: Path, issuer: Issuer) -> None:
    (source / "a.txt").write_text("a fish")
    shutil.copy(ASSETS / asset, source / asset)
    (source / asset).with_suffix(".txt").write_text("a fish")
    message = refusal(source, issuer)
    assert f"- {asset}" in message
    assert "- a.png" not in message


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("bidi-caption.txt", "caption has control characters"),
        ("latin1-caption.txt", "not UTF-8"),
        ("blank-caption.txt", "caption is missing"),
    ],
)
def test_bad_caption_is_named_by_its_picture(asset: str, reason: str, source: Path, issuer: Issuer) -> None:
    shutil.copy(ASSETS / asset, source / "a.txt")
    message = refusal(source, issuer)
    assert "- a.png" in message
    assert reason in message


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("unknown-key", "unknown keys ['copyright']"),
        ("unknown-licence", "'Free-For-All' is not known"),
        ("missing-file", "'b.png', which is not there"),
        ("escaping-file", "'../b.png', which is not there"),
        ("no-name", 'no "file_name"'),
        ("unknown-consent", "consent basis is not known"),
        ("unknown-training", "training_mining is not known"),
        ("repeated-file", "a second time"),
        ("repeated-key", "same key twice"),
    ],
)
def test_bad_metadata_is_refused(asset: str, reason: str, source: Path, issuer: Issuer) -> None:
    shutil.copy(ASSETS / f"{asset}.metadata.jsonl", source / "metadata.jsonl")
    assert reason in refusal(source, issuer)


def test_missing_caption_is_named(source: Path, issuer: Issuer) -> None:
    assert "- a.png: has no caption" in refusal(source, issuer)


def test_two_captions_for_one_picture_are_refused(source: Path, issuer: Issuer) -> None:
    (source / "a.txt").write_text("a fish")
    (source / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a boat"}\n')
    assert "- a.png: has two captions" in refusal(source, issuer)


def test_one_caption_for_two_pictures_is_refused(source: Path, issuer: Issuer) -> None:
    Image.new("RGB", (16, 16)).save(source / "a.jpg")
    (source / "a.txt").write_text("a fish")
    assert "shares its caption a.txt" in refusal(source, issuer)


def test_caption_without_a_picture_and_unknown_files_are_refused(source: Path, issuer: Issuer) -> None:
    (source / "a.txt").write_text("a fish")
    (source / "b.txt").write_text("a boat")
    (source / "notes.md").write_text("# notes")
    message = refusal(source, issuer)
    assert "- b.txt: is a caption without a picture" in message
    assert "- notes.md: is neither a picture" in message


def test_missing_licence_and_holder_are_named(source: Path, issuer: Issuer) -> None:
    (source / "a.txt").write_text("a fish")
    assert "- a.png: has no licence" in refusal(source, issuer, licence=None)
    assert "- a.png: has no rights holder" in refusal(source, issuer, holder=None)
    assert "'My Licence' is not known" in refusal(source, issuer, licence="My Licence")


def test_symbolic_links_are_refused_wherever_they_point(source: Path, issuer: Issuer) -> None:
    (source / "a.txt").write_text("a fish")
    (source / "b.png").symlink_to(source / "a.png")
    (source / "c.png").symlink_to("/nowhere")
    (source / "d").symlink_to(source.parent, target_is_directory=True)
    message = refusal(source, issuer)
    for name in ("b.png", "c.png", "d"):
        assert f"- {name}: is a symbolic link" in message


def test_caption_that_is_a_link_is_refused(source: Path, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a secret")
    (source / "a.txt").symlink_to(tmp_path / "secret.txt")
    assert "- a.txt: is a symbolic link" in refusal(source, issuer)


def test_device_or_pipe_is_refused_without_hanging(source: Path, issuer: Issuer) -> None:
    import os

    (source / "a.txt").write_text("a fish")
    os.mkfifo(source / "b.png")
    assert "- b.png: is not a regular file" in refusal(source, issuer)


@pytest.mark.parametrize(
    ("first", "second"),
    [("b.png", "B.png"), ("straße.png", "STRASSE.png"), ("sea/b.png", "SEA/b.png")],
)
def test_names_that_collide_on_other_systems_are_refused(first: str, second: str, source: Path, issuer: Issuer) -> None:
    for name in (first, second):
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / "a.png", source / name)
    assert "has the same name as" in refusal(source, issuer)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (unicodedata.normalize("NFD", "café.png"), "NFC"),
        ("gnp.\u202eb.png", "bidirectional control"),
        ("b\\c.png", "backslash"),
        ("b\n.png", "invisible character"),
        ("\udcff.png", "UTF-8"),
    ],
)
def test_unsafe_names_are_refused_and_shown_escaped(name: str, reason: str, source: Path, issuer: Issuer) -> None:
    (source / "a.txt").write_text("a fish")
    shutil.copy(source / "a.png", source / name)
    message = refusal(source, issuer)
    assert reason in message
    assert message.replace("\n", "").isprintable()


def test_faults_of_many_files_are_reported_together(source: Path, issuer: Issuer) -> None:
    for number in range(30):
        shutil.copy(source / "a.png", source / f"p{number:02}.png")
    message = refusal(source, issuer)
    assert "31 faults" in message
    assert message.count("has no caption") == 20
    assert "and 11 more" in message


def test_folder_without_pictures_is_refused(tmp_path: Path, issuer: Issuer) -> None:
    (tmp_path / "source").mkdir()
    assert "holds no pictures" in refusal(tmp_path / "source", issuer)


def test_release_is_never_written_over_or_into_its_source(source: Path, issuer: Issuer, tmp_path: Path) -> None:
    (source / "a.txt").write_text("a fish")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("/nowhere")
    for target in (tmp_path / "there", tmp_path / "link", source, source / "release"):
        with pytest.raises(UsageError):
            sign_dataset(source, target, issuer=issuer, licence="CC0-1.0", holder="Ada")
    with pytest.raises(UsageError, match="not a folder"):
        sign_dataset(source / "a.png", tmp_path / "release", issuer=issuer)


def test_hidden_files_are_passed_over(source: Path, issuer: Issuer, tmp_path: Path) -> None:
    (source / "a.txt").write_text("a fish")
    (source / ".DS_Store").write_bytes(b"x")
    (source / ".git").mkdir()
    manifest = sign_dataset(source, tmp_path / "release", issuer=issuer, licence="CC0-1.0", holder="Ada")
    assert [record.path for record in manifest.records] == ["data/a.png"]


def test_rights_of_an_item_come_before_those_of_all(source: Path, issuer: Issuer, tmp_path: Path) -> None:
    shutil.copy(source / "a.png", source / "b.png")
    own = {
        "file_name": "a.png",
        "text": "a fish",
        "license": "mit",
        "rights_holder": "Eve",
        "source": "https://example.org/a",
        "consent": {"basis": "contract", "uri": "https://example.org/contract"},
        "training_mining": "notAllowed",
        "preprocessing": [{"op": "crop", "left": 4}],
    }
    lines = [own, {"file_name": "b.png", "text": "a boat"}]
    (source / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = sign_dataset(
        source,
        tmp_path / "release",
        issuer=issuer,
        licence="cc0-1.0",
        holder="Ada",
        consent=Consent("own-work"),
    )
    first, second = manifest.records
    assert (first.licence, first.rights_holder, first.source) == ("MIT", "Eve", "https://example.org/a")
    assert first.consent == Consent("contract", "https://example.org/contract")
    assert first.training_mining == "notAllowed"
    assert first.preprocessing == ({"op": "crop", "left": 4},)
    assert (second.licence, second.rights_holder, second.source) == ("CC0-1.0", "Ada", None)
    assert (second.consent, second.training_mining) == (Consent("own-work"), "allowed")
    assert manifest.licences == ("CC0-1.0", "MIT")


def test_metadata_may_give_rights_and_leave_captions_to_text_files(
    source: Path, issuer: Issuer, tmp_path: Path
) -> None:
    (source / "a.txt").write_text("\ufeffa fish")
    (source / "metadata.jsonl").write_text('{"file_name": "a.png", "licence": "MIT", "rights_holder": "Eve"}\n')
    manifest = sign_dataset(source, tmp_path / "release", issuer=issuer)
    assert (manifest.records[0].caption, manifest.records[0].licence) == ("a fish", "MIT")


def test_metadata_may_say_which_model_wrote_a_caption(source: Path, issuer: Issuer, tmp_path: Path) -> None:
    by = {"model": "hf:owner/tagger@main", "sha256": "ab" * 32}
    entry = {"file_name": "a.png", "text": "a fish", "caption_by": by}
    (source / "metadata.jsonl").write_text(json.dumps(entry))
    manifest = sign_dataset(source, tmp_path / "release", issuer=issuer, licence="CC0-1.0", holder="Ada")
    assert manifest.records[0].caption_by == Captioner("hf:owner/tagger@main", "ab" * 32)
    (source / "metadata.jsonl").write_text(json.dumps(entry | {"caption_by": "a model"}))
    shutil.rmtree(tmp_path / "release")
    assert "caption_by is malformed" in refusal(source, issuer)
