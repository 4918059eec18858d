"""Where a delivered picture lies on its watermark's plane, as records and credentials write it.

``{"a", "b", "c", "d", "left", "top", "period"}``, the numbers of ``safety.watermark.Placement``: the centre of pixel
(x, y) lies at chip ``(a x + b y + left, c x + d y + top)`` of a plane that repeats every ``period`` chips. An object
and no list, because C2PA readers take a list of numbers for bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from provenance.canonical import Json
from safety.watermark.geometry import Placement

if TYPE_CHECKING:
    from safety.watermark import Detection

LONGEST_PERIOD = 2**20
STEEPEST = 64.0
FLATTEST = 1e-6
MATRIX_DECIMALS, SHIFT_DECIMALS = 7, 4

_NAMES = tuple(field.name for field in fields(Placement))


def watermark_entry(detection: Detection) -> Json:
    """What a record says of a watermark, from how it read back: backend, p-value and, where it has one, placement."""
    entry: Json = {"backend": detection.backend, "p_value": detection.p_value}
    if detection.placement is not None:
        entry["placement"] = write_placement(detection.placement)
    return entry


def write_placement(placement: Placement) -> Json:
    """The seven numbers, to a hundredth of a pixel at 16,384 pixels a side."""
    matrix = {name: round(getattr(placement, name), MATRIX_DECIMALS) for name in "abcd"}
    shift = {name: round(getattr(placement, name), SHIFT_DECIMALS) % placement.period for name in ("left", "top")}
    return {**matrix, **shift, "period": placement.period}


def is_placement(value: Any) -> bool:
    """Whether a value is seven finite numbers that place a picture on a plane."""
    if not isinstance(value, dict) or set(value) != set(_NAMES) or not all(map(_is_number, value.values())):
        return False
    a, b, c, d, left, top, period = (value[name] for name in _NAMES)
    if type(period) is not int or not 0 < period <= LONGEST_PERIOD:
        return False
    on_plane = 0 <= left < period and 0 <= top < period
    steepest, area = max(map(abs, (a, b, c, d))), abs(a * d - b * c)
    return bool(on_plane and steepest <= STEEPEST and area >= FLATTEST)


def read_placement(value: Mapping[str, Any] | None) -> Placement | None:
    """The placement of seven numbers that ``is_placement`` has checked, or None."""
    return None if value is None else Placement(**value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
