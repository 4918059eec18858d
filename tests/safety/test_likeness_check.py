"""Likeness checks as packages offer them: a real distribution on the path, with an entry point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from safety.errors import FilterError
from safety.likeness_check import open_likeness_check

MODULE = """
class Check:
    digest = "0a" * 32

    def objections(self, image):
        if image[0, 0, 0] == 1:
            raise RuntimeError("no register")
        if image[0, 0, 0] == 2:
            return "not a list"
        return ["shows  somebody\\nknown"] if image[0, 0, 0] == 3 else []


class Nameless:
    def objections(self, image):
        return []


def broken():
    raise OSError("no model")
"""
ENTRIES = """[prov.likeness]
register = likeness_example:Check
nameless = likeness_example:Nameless
broken = likeness_example:broken
gone = likeness_example_gone:Check
"""
PICTURE = np.zeros((2, 2, 3), np.uint8)


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "likeness_example.py").write_text(MODULE)
    information = tmp_path / "likeness_example-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: likeness-example\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(tmp_path)


def coloured(red: int) -> np.ndarray:
    picture = PICTURE.copy()
    picture[..., 0] = red
    return picture


def test_a_check_is_found_by_name_and_objects_in_its_own_words() -> None:
    check = open_likeness_check("register")
    assert (check.name, check.digest) == ("register", "0a" * 32)
    assert check.objections(coloured(0)) == ()
    assert check.objections(coloured(3)) == ("shows somebody known",)


@pytest.mark.parametrize("red", [1, 2])
def test_a_check_that_fails_objects(red: int) -> None:
    (told,) = open_likeness_check("register").objections(coloured(red))
    assert "likeness check register failed" in told


@pytest.mark.parametrize("name", ["nameless", "broken", "gone"])
def test_a_check_that_does_not_load_is_refused(name: str) -> None:
    with pytest.raises(FilterError, match="cannot be loaded; nothing passes without it"):
        open_likeness_check(name)


def test_a_check_that_nobody_offers_is_refused() -> None:
    with pytest.raises(FilterError, match="nothing passes without it") as refusal:
        open_likeness_check("other")
    assert "register" in (refusal.value.expected or "")
