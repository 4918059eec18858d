from __future__ import annotations

import pytest

from provenance.errors import DatasetError
from provenance.faults import Faults, printable


def test_no_faults_are_no_refusal() -> None:
    Faults().refuse(DatasetError, "nothing")


def test_all_faults_are_listed_up_to_twenty() -> None:
    faults = Faults()
    for number in range(25):
        faults.add(f"{number}.png", DatasetError("is bad", expected="good", found="bad"))
    with pytest.raises(DatasetError) as refusal:
        faults.refuse(DatasetError, "some are bad", fix="mend them")
    text = str(refusal.value)
    assert "25 faults" in text
    assert "- 19.png: is bad; expected good; found bad" in text
    assert "20.png" not in text
    assert "and 5 more" in text
    assert "mend them" in text


def test_names_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[31m\u202e\udcff.png") == "a\\x1b[31m\\u202e\\udcff.png"
    assert printable("whale é 猫.png") == "whale é 猫.png"
