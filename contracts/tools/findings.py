"""Compares what Slither finds with `contracts/slither.toml`, which says of every accepted finding why it is right.

Run as ``python -m contracts.tools.findings REPORT``; exits 1 on a finding nobody explained, and on an explanation of
something Slither no longer finds.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.artifact import FOLDER

EXPLANATIONS = FOLDER / "slither.toml"
MIN_REASON_LETTERS = 30


class FindingsError(Exception):
    """The report or the explanations cannot be read."""


@dataclass(frozen=True, order=True)
class Finding:
    """One answer of Slither: which detector, and the function (or contract, or variable) it points at."""

    check: str
    where: str


def read_report(text: str) -> Counter[Finding]:
    """The findings of a report of ``slither --json``, with how often each occurs; raises FindingsError."""
    report = json.loads(text)
    if not report["success"]:
        raise FindingsError(f"slither failed: {report['error']}")
    found = report["results"].get("detectors", [])
    return Counter(Finding(each["check"], _where(each["elements"])) for each in found)


def _where(elements: list[dict[str, Any]]) -> str:
    if not elements:
        return ""
    first = elements[0]
    if first["type"] == "contract":
        return str(first["name"])
    parent = first["type_specific_fields"]["parent"]
    if first["type"] == "node":
        first, parent = parent, parent["type_specific_fields"]["parent"]
    return f"{parent['name']}.{first['name']}"


def read_explanations(text: str) -> Counter[Finding]:
    """The accepted findings: entries of `check`, `where` (a place for each finding) and `why`; raises FindingsError."""
    accepted: Counter[Finding] = Counter()
    for each in tomllib.loads(text).get("finding", []):
        if set(each) != {"check", "where", "why"}:
            raise FindingsError(f"an entry has the keys {sorted(each)}, not check, where and why")
        if len(each["why"]) < MIN_REASON_LETTERS:
            raise FindingsError(f"{each['check']} is accepted without a reason")
        accepted.update(Finding(each["check"], where) for where in each["where"])
    return accepted


def compare(found: Counter[Finding], accepted: Counter[Finding]) -> list[str]:
    """One line for each finding without an explanation and for each explanation without a finding."""
    new = [f"unexplained: {each.check} in {each.where}" for each in sorted((found - accepted).elements())]
    stale = [
        f"explained, but not found: {each.check} in {each.where}" for each in sorted((accepted - found).elements())
    ]
    return new + stale


def main(arguments: list[str]) -> int:
    """Judges the report named by the only argument."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = read_report(Path(arguments[0]).read_text(encoding="utf-8"))
        differences = compare(found, read_explanations(EXPLANATIONS.read_text(encoding="utf-8")))
    except (FindingsError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"slither's report cannot be judged: {error!r}", file=sys.stderr)
        return 3
    for each in differences:
        print(each)
    print(f"slither: {found.total()} findings, {len(differences)} of them at odds with contracts/slither.toml")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
