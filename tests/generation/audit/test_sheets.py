from __future__ import annotations

import io

import numpy as np
from PIL import Image

from generation.audit.plots import distributions_png, shares_png
from generation.audit.shares import Seen, differences, shares
from generation.audit.sheets import GAP, SIDE, Shown, sheet_png


def opened(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_views_stand_in_their_places_and_a_blocked_one_is_an_empty_frame() -> None:
    red = np.full((SIDE, SIDE, 3), (200, 30, 30), np.uint8)
    sheet = opened(sheet_png("title", [("row", [Shown(red, ("seen", "as this")), Shown(None, ("blocked",))])]))
    shown = (sheet == (200, 30, 30)).all(axis=2)
    assert shown.sum() == SIDE * SIDE
    columns = np.flatnonzero(shown.any(axis=0))
    assert (columns[0], columns[-1]) == (GAP, GAP + SIDE - 1)


def test_figures_are_pictures_with_and_without_an_adapter() -> None:
    groups = {("object", name): np.array([each == name for each in "abab"]) for name in "ab"}
    seen = Seen(("red", "blue"), np.array([0, 1, 1, 0]), np.full(4, 0.9), groups)
    alone = opened(shares_png(shares(seen), [], "alone"))
    compared = opened(shares_png(shares(seen), differences(seen, seen), "compared"))
    assert compared.shape[1] > alone.shape[1]
    figure = distributions_png({"distance": {"a": np.array([1.0, 2.0]), "nothing": np.zeros(0)}}, "one")
    assert opened(figure).std() > 0
