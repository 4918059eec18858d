"""Thresholds of a policy and the calibration they came from: what is read, and what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

# Who scores: CLIP on pictures, and on the text of prompts and captions.
SCORERS = ("open_clip", "open_clip_text")

PRECISIONS = ("fp32",)

_CALIBRATION = {"set", "n", "fpr", "interval", "confidence", "model", "precision"}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Threshold:
    """A score at or above ``block`` blocks; one at or above ``warn`` is told to the user. Both above 0, at most 1."""

    block: float
    warn: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Where a threshold came from: ``negatives`` harmless inputs of a set, of which a share ``fpr`` was blocked.

    ``set_digest`` names the calibration set; ``interval`` is that of the false-positive rate at ``confidence``.
    It holds for the model of ``model_digest`` at ``precision``, and for no other.
    """

    set_digest: str
    negatives: int
    fpr: float
    interval: tuple[float, float]
    confidence: float
    model_digest: str
    precision: str


def read_threshold(value: Any) -> Threshold:
    """Reads a checked threshold: one number, or warn and block."""
    return Threshold(value["block"], value["warn"]) if isinstance(value, dict) else Threshold(float(value))


def read_calibration(value: dict[str, Any]) -> Calibration:
    """Reads a checked calibration."""
    low, high = value["interval"]
    return Calibration(
        value["set"], value["n"], value["fpr"], (low, high), value["confidence"], value["model"], value["precision"]
    )


def threshold_faults(value: Any, where: str) -> list[str]:
    """Everything that is wrong with a concept's thresholds by scorer."""
    if not isinstance(value, dict):
        return [f"{where} is not a mapping"]
    faults = [f"{where}: unknown filter {scorer!r}" for scorer in value if scorer not in SCORERS]
    for scorer, threshold in value.items():
        place = f"{where}.{scorer}"
        if not isinstance(threshold, dict):
            faults += _share_faults(threshold, place)
            continue
        faults += [f"{place}: unknown key {key!r}" for key in threshold if key not in ("warn", "block")]
        wrong = [fault for key in ("warn", "block") for fault in _share_faults(threshold.get(key), f"{place}.{key}")]
        faults += wrong
        if not wrong and threshold["warn"] >= threshold["block"]:
            faults.append(f"{place}.warn is not below block")
    return faults


def calibration_faults(value: Any, thresholds: Any, where: str) -> list[str]:
    """Everything that is wrong with a concept's calibrations; a threshold without one is not calibrated."""
    if not isinstance(value, dict):
        return [f"{where} is not a mapping"]
    faults = []
    for scorer, calibration in value.items():
        if not isinstance(thresholds, dict) or scorer not in thresholds:
            faults.append(f"{where}.{scorer} is of no threshold")
        faults += _calibration_faults(calibration, f"{where}.{scorer}")
    return faults


def _calibration_faults(value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is not a mapping"]
    faults = [f"{where}: unknown key {key!r}" for key in value if key not in _CALIBRATION]
    faults += [f"{where}: {key} is missing" for key in sorted(_CALIBRATION - set(value))]
    if faults:
        return faults
    for key in ("set", "model"):
        if not isinstance(value[key], str) or _DIGEST.fullmatch(value[key]) is None:
            faults.append(f"{where}.{key} is not a SHA-256 in lower-case hexadecimal")
    if value["precision"] not in PRECISIONS:
        faults.append(f"{where}.precision is {value['precision']!r}, not {' or '.join(PRECISIONS)}")
    n, interval = value["n"], value["interval"]
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 10**9:
        return [*faults, f"{where}.n is not a whole number from 1"]
    if not isinstance(interval, list) or len(interval) != 2:
        return [*faults, f"{where}.interval is not two numbers"]
    numbers = [value["fpr"], *interval, value["confidence"]]
    if not all(_is_number(number) and 0 <= number <= 1 for number in numbers) or value["confidence"] in (0, 1):
        return [*faults, f"{where}: fpr, interval and confidence are not numbers from 0 to 1"]
    if not interval[0] <= value["fpr"] <= interval[1]:
        faults.append(f"{where}.interval does not hold fpr")
    # No test on n inputs can bound a rate below this, not even one without a single hit.
    least = 1 - (1 - value["confidence"]) ** (1 / n)
    if interval[1] < least * (1 - 1e-6):
        faults.append(f"{where}.interval ends at {interval[1]:g}; {n} negatives cannot show less than {least:.3g}")
    hits = value["fpr"] * n
    if abs(hits - round(hits)) > max(1e-6, 1e-6 * n):
        faults.append(f"{where}.fpr is not a share of {n} negatives")
    return faults


def _share_faults(value: Any, where: str) -> list[str]:
    fits = _is_number(value) and 0 < value <= 1
    return [] if fits else [f"{where} is {value!r}, not a number above 0 and at most 1"]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
