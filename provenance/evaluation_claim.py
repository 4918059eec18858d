"""What an evaluation claims: figures of an adapter and of its base alone against a dataset, read strictly.

Every value has one allowed kind, nothing is missing and nothing is added, and numbers that contradict one another are
refused: a count of more pictures than were drawn, a mean outside its interval, another difference than after less
before, a warning left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provenance.canonical import Json
from provenance.errors import FormatError
from provenance.evaluation_warnings import WARNINGS as WARNINGS
from provenance.evaluation_warnings import due_warnings
from provenance.moments import parse_moment
from provenance.statement import is_digest

TYPE = "urn:prov:evaluation:v1"
_SEED = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_ROUNDING = 2e-5

Check = Callable[[Any, str], None]
Shape = Mapping[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """A checked claim: ``value`` is its canonical content, the properties are what others ask it for."""

    value: Json

    @property
    def weights(self) -> str:
        """SHA-256 of the adapter's weights, in hexadecimal."""
        return str(self.value["model"]["weights"])

    @property
    def created(self) -> datetime:
        """When it was made, in UTC."""
        return parse_moment(self.value["created"], "the evaluation")

    @property
    def warnings(self) -> list[str]:
        """Everything to be said about the figures, in sentences."""
        return [WARNINGS[code] for code in self.value["warnings"]]

    @classmethod
    def of_value(cls, value: Any, what: str = "the evaluation") -> Evaluation:
        """Reads a claim from parsed JSON; raises FormatError naming what is wrong and where."""
        _check(value, SHAPE, what)
        for fault in _contradictions(value):
            raise FormatError(f"{what} contradicts itself", found=fault)
        return cls(value)


def _refuse(what: str, expected: str, value: Any) -> FormatError:
    return FormatError(f"{what} is malformed", expected=expected, found=repr(value)[:80])


def _check(value: Any, shape: Shape | Check, what: str) -> None:
    if callable(shape):
        shape(value, what)
        return
    if not isinstance(value, dict) or set(value) != set(shape):
        keys = sorted(value) if isinstance(value, dict) else value
        raise _refuse(what, "exactly " + ", ".join(sorted(shape)), keys)
    for name, inner in shape.items():
        _check(value[name], inner, f"{what}, {name}")


def _of(*allowed: Any) -> Check:
    def check(value: Any, what: str) -> None:
        if not any(value == one and type(value) is type(one) for one in allowed):
            raise _refuse(what, " or ".join(map(str, allowed)), value)

    return check


def _text(value: Any, what: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 512 or not value.isprintable():
        raise _refuse(what, "a line of 1 to 512 printable characters", value)


def _digest(value: Any, what: str) -> None:
    if not is_digest(value):
        raise _refuse(what, "64 lower-case hexadecimal digits", value)


def _moment(value: Any, what: str) -> None:
    parse_moment(value, what)


def _count(least: int) -> Check:
    def check(value: Any, what: str) -> None:
        if type(value) is not int or not least <= value < 2**53:
            raise _refuse(what, f"a whole number from {least}", value)

    return check


def _number(low: float, high: float) -> Check:
    def check(value: Any, what: str) -> None:
        if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
            raise _refuse(what, f"a number from {low:g} to {high:g}", value)

    return check


def _seed(value: Any, what: str) -> None:
    if not isinstance(value, str) or not _SEED.fullmatch(value):
        raise _refuse(what, "a seed as digits", value)


def _codes(value: Any, what: str) -> None:
    if not isinstance(value, list) or value != [code for code in WARNINGS if code in value]:
        raise _refuse(what, "known codes, each once and in their order", value)


def _versions(value: Any, what: str) -> None:
    if not isinstance(value, dict) or not value or len(value) > 32:
        raise _refuse(what, "names with their versions", value)
    for name, version in value.items():
        _text(name, what)
        _text(version, f"{what}, {name}")


def _perhaps(shape: Shape) -> Check:
    def check(value: Any, what: str) -> None:
        if value is not None:
            _check(value, shape, what)

    return check


_FRECHET = _number(-1e-3, 1e9)
_KERNEL = _number(-1e9, 1e9)
_SPREAD = {"mean": _KERNEL, "std": _number(0, 1e9)}
_DIFFERENCE = {name: _number(-8e3, 8e3) for name in ("mean", "low", "high")}
_DISCREPANCY = {**_DIFFERENCE, "biased": _number(-1e-6, 4e3)}
_SCORE = {name: _number(0, 100) for name in ("mean", "low", "high")}
_CHANGE = {name: _number(-200, 200) for name in ("mean", "low", "high")}
_SPACE = {
    "copied": _count(0),
    "samples": _count(1),
    "captions_copied": _count(0),
    "captions": _count(1),
    "p_corrected": _number(0, 1),
}

SHAPE: Shape = {
    "type": _of(TYPE),
    "created": _moment,
    "model": {"name": _text, "weights": _digest, "base": {"id": _text, "digest": _digest}},
    "reference": {"name": _text, "digest": _digest, "pictures": _count(2), "trained_on": _of(True, False)},
    "prompts": {"source": _of("captions", "file"), "distinct": _count(1), "digest": _digest},
    "features": {"name": _text, "digest": _digest, "dimensions": _count(1)},
    "clip": _digest,
    "policy": _digest,
    "sampling": {"scheduler": _text, "steps": _count(1), "guidance": _number(0, 100)},
    "seeds": {"first": _seed, "count": _count(4)},
    "blocked": {"before": _count(0), "after": _count(0)},
    "compared": _count(4),
    "fid": {"before": _FRECHET, "after": _FRECHET},
    "kid": {"before": _SPREAD, "after": _SPREAD, "subsets": _count(1), "subset_size": _count(2)},
    "cmmd": {
        "before": _DISCREPANCY,
        "after": _DISCREPANCY,
        "difference": _DIFFERENCE,
        "confidence": _number(0.5, 0.999),
    },
    "clip_score": {
        "before": _SCORE,
        "after": _SCORE,
        "difference": _CHANGE,
        "confidence": _number(0.5, 0.999),
        "resamplings": _count(100),
        "groups": _count(1),
    },
    "memorisation": _perhaps(
        {
            "memorised": _of(True, False),
            "samples_per_caption": _count(2),
            "report": _digest,
            "spaces": {"latents": _SPACE, "clip": _SPACE},
        }
    ),
    "warnings": _codes,
    "device": _text,
    "versions": _versions,
}


def _contradictions(value: Json) -> list[str]:
    """What cannot be true together, in sentences."""
    found, drawn, compared = [], value["seeds"]["count"], value["compared"]
    if compared > drawn - max(value["blocked"].values()):
        found.append(f"{compared} pictures compared, {drawn} drawn, {max(value['blocked'].values())} blocked")
    if value["prompts"]["distinct"] > drawn:
        found.append(f"{value['prompts']['distinct']} prompts for {drawn} pictures")
    if value["kid"]["subset_size"] > min(compared, value["reference"]["pictures"]):
        found.append(f"KID subsets of {value['kid']['subset_size']} pictures out of fewer")
    scores = value["clip_score"]
    if scores["groups"] > compared:
        found.append(f"{scores['groups']} groups of {compared} pictures")
    for measure in ("cmmd", "clip_score"):
        of = value[measure]
        for name in ("before", "after", "difference"):
            if not of[name]["low"] - _ROUNDING <= of[name]["mean"] <= of[name]["high"] + _ROUNDING:
                found.append(f"{measure} {name} outside of its own interval")
        before, after, change = (of[name]["mean"] for name in ("before", "after", "difference"))
        # A mean CLIP score below 0 is written as 0, and then the difference need not be that of the two.
        if (measure == "cmmd" or min(before, after) > 0) and abs(after - before - change) > _ROUNDING:
            found.append(f"{measure} of {before} before and {after} after, and a difference of {change}")
    for name, space in ((value["memorisation"] or {}).get("spaces") or {}).items():
        if space["copied"] > space["samples"] or space["captions_copied"] > space["captions"]:
            found.append(f"more copies in {name} than samples")
    if value["warnings"] != (due := due_warnings(value)):
        found.append(f"warnings {value['warnings']}, where its own numbers call for {due}")
    return found
