from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from provenance.canonical import canonical_json, sha256_hex
from provenance.errors import DatasetError, ScreeningInterrupted, UsageError
from provenance.screening import run as screening_run
from provenance.screening.parsing import parse_screening
from provenance.screening.report import Screening
from provenance.screening.run import screen_dataset
from provenance.screening.screens import Screens
from provenance.screening.subjects import Subject, subjects_of_folder
from safety.decision import Decision
from safety.errors import FilterError
from safety.hash_lists import HashList
from safety.likeness_check import NamedCheck
from safety.pdq import pdq_hash


def findings(report: Screening) -> dict[str, list[tuple[str, str]]]:
    return {item.path: [(f.part, f.rule) for f in item.findings] for item in report.blocked}


def test_pictures_of_the_forbidden_object_are_blocked_whatever_they_are_called(folder: Path, screens: Screens) -> None:
    report = screen_dataset(subjects_of_folder(folder), screens)
    assert findings(report) == {
        "data/p1.png": [("picture", "skull/score")],
        "data/p3.png": [("picture", "skull/score")],
    }
    scores = {item.path: item.scores["picture"]["skull"] for item in report.items}
    assert scores["data/p1.png"] >= report.rules.thresholds["picture"]["skull"] > scores["data/p0.png"]
    assert parse_screening(report.to_bytes()) == report


def test_captions_are_screened_in_disguise_too(harmless: Path, screens: Screens) -> None:
    (harmless / "p1.txt").write_text("a s.k.u.l.l on a shelf")
    report = screen_dataset(subjects_of_folder(harmless), screens)
    assert findings(report) == {"data/p1.png": [("caption", "skull/term:skull")]}
    assert report.blocked[0].findings[0].reason.startswith("the caption asks for skull")


def test_a_picture_that_cannot_be_read_is_blocked_and_named(harmless: Path, screens: Screens) -> None:
    (harmless / "p0.png").write_bytes(b"not a picture")
    whole = (harmless / "p1.png").read_bytes()
    half = whole[: len(whole) // 2]
    (harmless / "p1.png").write_bytes(half)
    subjects = subjects_of_folder(harmless)
    (harmless / "p2.png").unlink()
    report = screen_dataset(subjects, screens)
    assert findings(report) == {f"data/p{index}.png": [("picture", "unreadable")] for index in range(3)}
    assert [item.sha256 for item in report.items] == [
        sha256_hex(b"not a picture"),
        sha256_hex(whole[: len(whole) // 2]),
        None,
    ]
    assert parse_screening(report.to_bytes()) == report


def test_a_listed_file_and_a_recoded_copy_of_a_listed_picture_are_blocked(harmless: Path, screens: Screens) -> None:
    same, looks = harmless / "p0.png", np.asarray(Image.open(harmless / "p1.png").convert("RGB"))
    recoded = io.BytesIO()
    Image.fromarray(looks[:, ::-1]).save(recoded, "JPEG", quality=60)
    (harmless / "p1.png").unlink()
    (harmless / "p1.jpg").write_bytes(recoded.getvalue())
    lines = f"sha256:{sha256_hex(same.read_bytes())}\npdq:{pdq_hash(looks).hex}\n"
    hashes = HashList.parse(lines.encode(), "known.txt")
    report = screen_dataset(subjects_of_folder(harmless), replace(screens, hash_lists=(hashes,)))
    rule = f"hash-list/{hashes.digest[:16]}"
    assert findings(report) == {"data/p0.png": [("picture", rule)], "data/p1.jpg": [("picture", rule)]}
    assert "the same bytes" in report.blocked[0].findings[0].reason
    assert "of 256 bits apart" in report.blocked[1].findings[0].reason


class Register:
    digest = "0a" * 32

    def objections(self, image: np.ndarray) -> list[str]:
        if image[0, 0].sum() < 300:
            raise RuntimeError("the register is gone")
        return []


def test_an_objection_or_a_failing_likeness_check_blocks(harmless: Path, screens: Screens) -> None:
    check = NamedCheck("register", Register.digest, Register())
    report = screen_dataset(subjects_of_folder(harmless), replace(screens, likeness=(check,)))
    assert findings(report) == {"data/p1.png": [("picture", "likeness/register")]}
    assert "failed (RuntimeError)" in report.blocked[0].findings[0].reason


class Failing:
    """The starter's own filter until it is told to fail."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.failing = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def screen_batch(self, images: Any, stage: str = "output") -> Any:
        if self.failing:
            raise MemoryError
        return self.inner.screen_batch(images, stage)

    def screen(self, text: str) -> Any:
        raise MemoryError


def test_a_failing_filter_blocks_everything_and_is_tried_again(
    harmless: Path, screens: Screens, tmp_path: Path
) -> None:
    failing = Failing(screens.pictures)
    broken = replace(screens, pictures=failing)
    report = screen_dataset(subjects_of_folder(harmless), broken, kept=tmp_path / "kept")
    assert list(findings(report).values()) == [[("picture", "error")]] * 3
    failing.failing = False
    assert screen_dataset(subjects_of_folder(harmless), broken, kept=tmp_path / "kept").blocked == ()


def test_a_picture_that_the_model_cannot_take_is_blocked_alone(harmless: Path, screens: Screens) -> None:
    Image.effect_noise((900, 4), 90).convert("RGB").save(harmless / "p1.png")
    report = screen_dataset(subjects_of_folder(harmless), screens)
    assert findings(report) == {"data/p1.png": [("picture", "error")]}
    assert "too narrow" in report.blocked[0].findings[0].reason


def test_a_failing_caption_filter_blocks_everything(harmless: Path, screens: Screens) -> None:
    broken = replace(screens, captions=Failing(screens.captions))
    report = screen_dataset(subjects_of_folder(harmless), broken)
    assert list(findings(report).values()) == [[("caption", "error")]] * 3


class Yielding:
    """A caption filter that allows under another policy's name."""

    digest = "0a" * 32

    def screen(self, text: str) -> Decision:
        return Decision(True, "train", "0b" * 32, self.digest)


def test_a_caption_filter_that_decides_by_another_policy_blocks(harmless: Path, screens: Screens) -> None:
    report = screen_dataset(subjects_of_folder(harmless), replace(screens, captions=Yielding()))
    assert list(findings(report).values()) == [[("caption", "error")]] * 3
    assert "another policy" in report.blocked[0].findings[0].reason


def test_duplicates_are_found_and_block_nothing(harmless: Path, screens: Screens) -> None:
    (harmless / "again.png").write_bytes((harmless / "p0.png").read_bytes())
    (harmless / "again.txt").write_text("a fish")
    Image.open(harmless / "p1.png").convert("RGB").transpose(Image.Transpose.ROTATE_90).save(harmless / "turned.png")
    (harmless / "turned.txt").write_text("a cup")
    report = screen_dataset(subjects_of_folder(harmless), screens)
    found = {search.measure: [group.paths for group in search.groups] for search in report.duplicates}
    assert found["sha256"] == [("data/again.png", "data/p0.png")]
    assert found["pdq"] == [("data/p1.png", "data/turned.png")]
    assert all("data/p0.png" not in group for group in found["clip"])
    assert report.blocked == ()


def test_a_cropped_copy_is_found_by_clip(harmless: Path, screens: Screens) -> None:
    Image.open(harmless / "p0.png").convert("RGB").crop((8, 8, 248, 248)).save(harmless / "crop.png")
    (harmless / "crop.txt").write_text("a fish")
    report = screen_dataset(subjects_of_folder(harmless), screens)
    (alike,) = (search for search in report.duplicates if search.measure == "clip")
    assert [group.paths for group in alike.groups] == [("data/crop.png", "data/p0.png")]
    assert alike.limit <= alike.groups[0].furthest < 1


def stopping(subjects: list[Subject], after: int) -> list[Subject]:
    """The same subjects; reading the one after so many is interrupted as Ctrl-C does."""

    def interrupted() -> bytes:
        raise KeyboardInterrupt

    return [replace(each, read=interrupted) if index == after else each for index, each in enumerate(subjects)]


def test_an_interrupted_screening_goes_on_where_it_stopped(
    harmless: Path, screens: Screens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening_run, "BATCH", 1)
    subjects, kept = subjects_of_folder(harmless), tmp_path / "kept"
    with pytest.raises(ScreeningInterrupted, match="stopped after 2 of 3") as refusal:
        screen_dataset(stopping(subjects, 2), screens, kept=kept)
    assert refusal.value.exit_code == 130
    seen: list[int] = []
    counting = Counting(screens.pictures, seen)
    report = screen_dataset(subjects, replace(screens, pictures=counting), kept=kept)
    assert sum(seen) == 1
    assert report == screen_dataset(subjects, screens)


class Counting:
    """The starter's own filter, and how many pictures it was asked about."""

    def __init__(self, inner: Any, seen: list[int]) -> None:
        self.inner, self.seen = inner, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def screen_batch(self, images: Any, stage: str = "output") -> Any:
        self.seen.append(len(images))
        return self.inner.screen_batch(images, stage)


@pytest.mark.parametrize("damage", ["torn", "other rules", "changed picture", "changed caption", "not ours", "forged"])
def test_what_was_kept_counts_only_for_the_same_rules_picture_and_caption(
    damage: str, harmless: Path, screens: Screens, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    screen_dataset(subjects_of_folder(harmless), screens, kept=kept)
    lines = kept.read_bytes().splitlines(keepends=True)
    expected = 1
    if damage == "torn":
        kept.write_bytes(b"".join(lines)[:-20])
    elif damage == "other rules":
        screens, expected = replace(screens, rules=replace(screens.rules, caption_filter="0" * 64)), 3
    elif damage == "changed picture":
        Image.new("RGB", (64, 64), "green").save(harmless / "p1.png")
    elif damage == "changed caption":
        (harmless / "p1.txt").write_text("another caption")
    elif damage == "not ours":
        kept.write_bytes(b"\xff\x00\n" * 3)
        expected = 3
    else:
        forged = json.loads(lines[1])
        forged["item"]["scores"]["picture"]["skull"] = 0.9
        kept.write_bytes(lines[0] + canonical_json(forged) + b"\n" + b"".join(lines[2:]))
    seen: list[int] = []
    screen_dataset(subjects_of_folder(harmless), replace(screens, pictures=Counting(screens.pictures, seen)), kept=kept)
    assert sum(seen) == expected


def test_the_same_screening_gives_the_same_bytes(folder: Path, screens: Screens) -> None:
    subjects = subjects_of_folder(folder)
    assert screen_dataset(subjects, screens).to_bytes() == screen_dataset(subjects[::-1], screens).to_bytes()


def test_progress_is_told(harmless: Path, screens: Screens) -> None:
    told: list[tuple[int, int]] = []
    screen_dataset(subjects_of_folder(harmless), screens, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)


def test_a_folder_that_could_not_be_signed_is_not_screened(harmless: Path, tmp_path: Path) -> None:
    (harmless / "p0.txt").unlink()
    (harmless / "notes.pdf").write_bytes(b"x")
    with pytest.raises(DatasetError, match="cannot be screened") as refusal:
        subjects_of_folder(harmless)
    assert "p0.png: has no caption" in str(refusal.value)
    assert "notes.pdf" in str(refusal.value)
    with pytest.raises(UsageError, match="is not a folder"):
        subjects_of_folder(tmp_path / "nowhere")


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.glob(".kept*"))


def test_a_model_that_fails_in_the_search_for_duplicates_stops_the_screening(harmless: Path, screens: Screens) -> None:
    assert screens.clip is not None
    broken = replace(screens.clip, _model=None)
    with pytest.raises(FilterError, match="the search for duplicates failed"):
        screen_dataset(subjects_of_folder(harmless), replace(screens, clip=broken))
