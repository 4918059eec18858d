"""Reading screening.json strictly: every field of its kind, and a report that does not contradict itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from provenance.canonical import parse_json
from provenance.errors import FormatError, ProvenanceError
from provenance.faults import Faults
from provenance.records import check_path
from provenance.screening.report import (
    MEASURES,
    PARTS,
    STAGE,
    TYPE,
    DuplicateGroup,
    DuplicateSearch,
    Finding,
    NamedDigest,
    ScreenedItem,
    Screening,
    ScreeningRules,
)
from provenance.statement import is_digest

MAX_BYTES = 1 << 30
MAX_TEXT = 2048
_TOP = {"type", "stage", "policy", "filters", "thresholds", "hash_lists", "likeness", "counts", "duplicates", "items"}
_ITEM = {"path", "sha256", "caption_sha256", "scores", "warnings", "blocked"}


def parse_screening(data: bytes, what: str = "screening.json") -> Screening:
    """Reads a report; raises FormatError naming every item at fault.

    An item may not pass with a score at or above its threshold, and the bytes must be canonical.
    """
    value = parse_json(data, what, limit=MAX_BYTES)
    if not isinstance(value, dict) or set(value) != _TOP or (value["type"], value["stage"]) != (TYPE, STAGE):
        raise FormatError(f"{what} is not a screening report", expected=f"{TYPE} with {', '.join(sorted(_TOP))}")
    rules = _rules(value, what)
    items = _items(value["items"], rules, what)
    screening = Screening(rules, items, _duplicates(value["duplicates"], {item.path for item in items}, what))
    if value["counts"] != screening.counts():
        raise FormatError(f"{what} counts other items than it holds", expected=str(screening.counts()))
    if screening.to_bytes() != data:
        raise FormatError(f"{what} is not canonical", expected="canonical JSON, items in order of path")
    return screening


def parse_item(value: Any, rules: ScreeningRules) -> ScreenedItem:
    """Reads one item of a report by the rules; raises FormatError."""
    if not isinstance(value, dict) or set(value) != _ITEM:
        _malformed("item", "the keys " + ", ".join(sorted(_ITEM)))
    path, blocked = value["path"], value["blocked"]
    if not isinstance(path, str):
        _malformed("path", "text")
    check_path(path)
    if not is_digest(value["caption_sha256"]) or not (value["sha256"] is None or is_digest(value["sha256"])):
        _malformed("digest", "64 lower-case hexadecimal digits")
    scores = _by_part(value["scores"], _shares, "scores")
    warnings = _by_part(value["warnings"], _texts, "warnings")
    if not isinstance(blocked, list):
        _malformed("blocked", "a list")
    item = ScreenedItem(
        path, value["sha256"], value["caption_sha256"], scores, warnings, tuple(_finding(each) for each in blocked)
    )
    _check_item(item, rules)
    return item


def _check_item(item: ScreenedItem, rules: ScreeningRules) -> None:
    for part in PARTS:
        limits, scores = rules.thresholds[part], item.scores[part]
        if not set(scores) <= set(limits) or not set(item.warnings[part]) <= set(scores):
            _malformed(part, "scores and warnings of concepts that have a threshold")
        blocked = any(finding.part == part for finding in item.findings)
        over = [name for name, score in scores.items() if score >= limits[name]]
        if over and not blocked:
            raise FormatError(f"passes with its {part}'s score for {over[0]} at or above the threshold")
        if not item.findings and set(scores) != set(limits):
            raise FormatError("passes without a score for every concept")
    if item.sha256 is None and not item.findings:
        raise FormatError("passes, though its file was not read")


def _rules(value: Mapping[str, Any], what: str) -> ScreeningRules:
    match value["policy"], value["filters"]:
        case (
            {"digest": str(policy), "name": str(name), "version": int(version), **more},
            {"caption": str(caption), "model": str(model), "picture": str(picture), **others},
        ) if not more and not others and all(is_digest(each) for each in (policy, caption, model, picture)):
            return ScreeningRules(
                policy=policy,
                policy_name=_text(name),
                policy_version=version,
                picture_filter=picture,
                model=model,
                caption_filter=caption,
                thresholds=_by_part(value["thresholds"], _shares, "thresholds"),
                hash_lists=_named(value["hash_lists"], "hash_lists"),
                likeness=_named(value["likeness"], "likeness"),
            )
    raise FormatError(f"{what} does not say what decided", expected="policy and filters with their digests")


def _items(value: Any, rules: ScreeningRules, what: str) -> tuple[ScreenedItem, ...]:
    if not isinstance(value, list) or not value:
        raise FormatError(f"{what} holds no items", expected="one for each picture")
    faults, items = Faults(), []
    for number, each in enumerate(value, start=1):
        try:
            items.append(parse_item(each, rules))
        except ProvenanceError as error:
            path = each.get("path") if isinstance(each, dict) else None
            faults.add(path if isinstance(path, str) else f"item {number}", error)
    paths = [item.path for item in items]
    if paths != sorted(set(paths)):
        faults.add(what, "has items that are not in order of path, each once")
    faults.refuse(FormatError, f"{what} has malformed items")
    return tuple(items)


def _duplicates(value: Any, paths: set[str], what: str) -> tuple[DuplicateSearch, ...]:
    if not isinstance(value, list):
        raise FormatError(f"{what} has malformed duplicates", expected="a list")
    found = []
    for entry in value:
        match entry:
            case {"measure": str(measure), "limit": limit, "groups": [*groups], **more} if not more:
                if measure in MEASURES and _is_number(limit):
                    found.append(DuplicateSearch(measure, limit, tuple(_group(group, paths) for group in groups)))
                    continue
        raise FormatError(f"{what} has malformed duplicates", expected="measure, limit and groups")
    return tuple(found)


def _group(value: Any, paths: set[str]) -> DuplicateGroup:
    match value:
        case {"furthest": furthest, "paths": [_, _, *_] as members, **more} if not more and _is_number(furthest):
            if all(isinstance(member, str) and member in paths for member in members):
                return DuplicateGroup(tuple(members), furthest)
    _malformed("duplicates", "groups of two or more of the report's paths")


def _finding(value: Any) -> Finding:
    match value:
        case {"part": str(part), "rule": str(rule), "reason": str(reason), **more} if not more and part in PARTS:
            return Finding(part, _text(rule), _text(reason))
    _malformed("blocked", "part, rule and reason")


def _by_part(value: Any, read: Callable[[Any, str], Any], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(PARTS):
        _malformed(what, " and ".join(PARTS))
    return {part: read(value[part], what) for part in PARTS}


def _shares(value: Any, what: str) -> dict[str, float]:
    fits = isinstance(value, dict) and all(_is_number(each) and 0 <= each <= 1 for each in value.values())
    if not fits:
        _malformed(what, "numbers from 0 to 1 by concept")
    return dict(value)


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        _malformed(what, "a list of concepts")
    return tuple(value)


def _named(value: Any, what: str) -> tuple[NamedDigest, ...]:
    found = []
    for entry in value if isinstance(value, list) else [None]:
        match entry:
            case {"digest": str(digest), "name": str(name), **more} if not more and is_digest(digest):
                found.append(NamedDigest(_text(name), digest))
            case _:
                _malformed(what, "a list of names with digests")
    return tuple(found)


def _text(value: str) -> str:
    if not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
        _malformed("text", f"1 to {MAX_TEXT} printable characters")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _malformed(what: str, expected: str) -> NoReturn:
    raise FormatError(f"malformed {what}", expected=expected)
