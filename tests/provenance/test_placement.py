"""Where a picture lies, as it is written and read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from provenance.placement import is_placement, read_placement, watermark_entry, write_placement
from safety.watermark import Placement, embed_verified

WRITTEN = {"a": 0.5, "b": 0.0, "c": -0.001, "d": 0.5, "left": 511.5, "top": 0, "period": 512}


def test_a_placement_reads_back_as_it_was_written() -> None:
    placement = Placement(0.123456789, -0.5, 0.25, 1 / 3, 100.123456, 511.99999, 512)
    written = write_placement(placement)
    assert is_placement(written)
    assert written["top"] == 0
    read = read_placement(written)
    assert read is not None
    assert read.a == pytest.approx(placement.a, abs=1e-7)
    assert read.left == pytest.approx(placement.left, abs=1e-4)
    assert write_placement(read) == written
    assert read_placement(None) is None


def test_a_marked_picture_is_written_with_its_place() -> None:
    picture = np.random.default_rng(5).integers(0, 256, (256, 300, 3), np.uint8)
    _, detection = embed_verified(picture, 7)
    entry = watermark_entry(detection)
    assert set(entry) == {"backend", "p_value", "placement"}
    assert is_placement(entry["placement"])
    assert entry["placement"]["a"] == pytest.approx(0.5, abs=0.005)


def test_a_backend_without_a_place_is_written_without_one() -> None:
    picture = np.random.default_rng(5).integers(60, 200, (256, 300, 3), np.uint8)
    _, detection = embed_verified(picture, 7, backend="dwtDctSvd")
    assert set(watermark_entry(detection)) == {"backend", "p_value"}


WRONG: list[Any] = [
    None,
    [0.5, 0, 0, 0.5, 1, 1, 512],
    {},
    {**WRITTEN, "more": 1},
    {name: value for name, value in WRITTEN.items() if name != "top"},
    {**WRITTEN, "a": "0.5"},
    {**WRITTEN, "a": True},
    {**WRITTEN, "a": float("nan")},
    {**WRITTEN, "a": float("inf")},
    {**WRITTEN, "a": 100.0},
    {**WRITTEN, "a": 0.0, "b": 0.0},
    {**WRITTEN, "left": -0.1},
    {**WRITTEN, "top": 512},
    {**WRITTEN, "period": 512.0},
    {**WRITTEN, "period": 0},
    {**WRITTEN, "period": 2**30},
]


@pytest.mark.parametrize("value", WRONG)
def test_what_places_nothing_is_no_placement(value: Any) -> None:
    assert is_placement(WRITTEN)
    assert not is_placement(value)
