from __future__ import annotations

from pathlib import Path

import pytest

from generation.audit.captions import control_captions, paraphrase, read_controls, spread_evenly
from provenance.errors import UsageError

TRAINED = [f"a {colour} {thing} {place}" for colour, thing, place in [
    ("red", "rocket", "in the desert"), ("blue", "rocket", "by the sea"), ("green", "rocket", "at night"),
    ("purple", "rocket", "in a meadow"), ("red", "rocket", "in the snow"),
]]  # fmt: skip


def test_controls_speak_of_the_same_and_were_not_trained_on() -> None:
    made = control_captions(TRAINED, 8, 0)
    assert len(set(made)) == 8
    assert not set(made) & set(TRAINED)
    assert all("rocket" in caption for caption in made)
    assert made == control_captions(TRAINED, 8, 0)


@pytest.mark.parametrize("captions", [["sks dog"] * 9, ["a", "b", "c"], ["one caption alone"]])
def test_captions_too_much_alike_need_controls_of_ones_own(captions: list[str]) -> None:
    with pytest.raises(UsageError, match="--controls"):
        control_captions(captions, 4, 0)


def test_controls_of_a_file_must_not_be_trained_on(tmp_path: Path) -> None:
    file = tmp_path / "controls.txt"
    file.write_text("a green rocket in the snow\n\na red rocket at night\n")
    assert read_controls(file, TRAINED) == ["a green rocket in the snow", "a red rocket at night"]
    file.write_text("a green rocket in the snow\n" + TRAINED[0])
    with pytest.raises(UsageError, match="trained on"):
        read_controls(file, TRAINED)


def test_captions_are_spread_evenly_and_each_once() -> None:
    assert spread_evenly(["b", "a", "a", "c", "d"], 2) == ["a", "d"]
    assert spread_evenly(["b", "a"], 9) == ["a", "b"]
    assert paraphrase("a red fish") == "a picture of a red fish"
