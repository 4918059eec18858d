from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import FileRefused
from provenance.names import check_name, collisions


@pytest.mark.parametrize(
    "name", ["a.png", "data/sea/whale é.webp", "猫.png", "data/a-b_(1).jpg", "👩‍👧.png", "می‌خواهم.png"]
)
def test_ordinary_name_passes(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("../a.png", "leaves its folder"),
        ("data/../../a.png", "leaves its folder"),
        ("data/./a.png", "leaves its folder"),
        ("/etc/passwd", "absolute path"),
        ("C:a.png", "absolute path"),
        ("data\\a.png", "backslash"),
        ("data//a.png", "empty path component"),
        ("data/", "empty path component"),
        ("data/.hidden.png", "hidden"),
        ("a.png ", "space or dot at its edge"),
        ("a./b.png", "space or dot at its edge"),
        ("gnp.\u202eb", "U+202E"),
        ("a\u200f.png", "U+200F"),
        ("a\u2066b.png", "U+2066"),
        ("a\u200b.png", "U+200B"),
        ("a\ufeff.png", "U+FEFF"),
        ("a\0.png", "U+0000"),
        ("a\n.png", "U+000A"),
        ("a\u2028.png", "U+2028"),
        ("cafe\u0301.png", "NFC"),
        ("\udcff.png", "UTF-8"),
        ("a" * 256, "255 bytes"),
        ("ab/" * 400 + "a", "1024 bytes"),
    ],
)
def test_unsafe_name_is_refused_with_its_reason(name: str, reason: str) -> None:
    with pytest.raises(FileRefused) as refusal:
        check_name(name)
    assert reason in str(refusal.value)
    assert refusal.value.what.isprintable()


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.png"),
        ("a.png", "A.PNG"),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("Å", "\u212b"),
        ("a", "a/b"),
        ("A/b", "a"),
    ],
)
def test_names_that_some_system_takes_for_one_collide(names: tuple[str, str]) -> None:
    assert len(collisions(names)) == 1


def test_different_names_do_not_collide() -> None:
    assert collisions(["a.png", "b.png", "sea/a.png", "sea/b.png", "①.png", "1.png"]) == []


@given(st.text())
def test_accepted_names_stay_inside_their_folder(name: str) -> None:
    try:
        check_name(name)
    except FileRefused:
        return
    assert not name.startswith("/")
    assert ".." not in name.split("/")
    assert "\0" not in name
