"""What `prov dataset screen` and `prov train` share: what to screen by, and a report for a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.console import paint

if TYPE_CHECKING:
    from provenance.screening.report import DuplicateSearch, Finding, ScreenedItem, Screening
    from provenance.screening.screens import ScreeningChoice

SHOWN = 50
_ALIKE = {"sha256": "the same bytes", "pdq": "look alike", "clip": "show the same"}


def screening_choice(
    policy: Path | None, hash_lists: list[Path] | None, likeness: list[str] | None = None
) -> ScreeningChoice:
    """Reads what a command names; raises PolicyError or FilterError for a file that cannot be used."""
    from provenance.screening.screens import ScreeningChoice
    from safety.hash_lists import HashList
    from safety.policy import Policy

    return ScreeningChoice(
        policy=None if policy is None else Policy.load(policy),
        hash_lists=tuple(HashList.load(path) for path in hash_lists or ()),
        likeness=tuple(likeness or ()),
    )


def read_report(path: Path) -> Screening:
    """Reads a report; raises FileRefused or FormatError."""
    from provenance.files import read_file
    from provenance.screening.parsing import MAX_BYTES, parse_screening

    return parse_screening(read_file(path, limit=MAX_BYTES), path.name)


def screening_facts(report: Screening) -> Any:
    """The whole report and its digest, for a program."""
    return json.loads(report.to_bytes()) | {"digest": report.digest}


def screening_line(report: Screening | None) -> str:
    """A report in one line: how many were screened, by what, and how many were blocked."""
    if report is None:
        return "no report is signed with it"
    counts, rules = report.counts(), report.rules
    return (
        f"{counts['items']} pictures by {rules.policy_name} version {rules.policy_version} ({rules.policy[:16]}…): "
        f"{counts['blocked']} blocked, {counts['warned']} warned of; report {report.digest[:16]}…"
    )


def screening_text(report: Screening, out: Path | None = None) -> str:
    """A report for a person: what is blocked and why, what is warned of, and what is there twice."""
    lines = [screening_line(report)]
    width = max([len(_name(item.path)) for item in (*report.blocked, *report.warned)][:SHOWN], default=0)
    for title, colour, items in (("blocked", "red", report.blocked), ("warned of", "yellow", report.warned)):
        if items:
            lines.append(f"{paint(title, colour)}   {len(items)}")
            lines += [f"  {_name(i.path):<{width}}  {told}" for i in items[:SHOWN] for told in _told(i, report)]
            lines += [f"  … and {len(items) - SHOWN} more; --json shows all"] if len(items) > SHOWN else []
    for search in report.duplicates:
        lines += _duplicates(search)
    if not report.rules.thresholds["picture"]:
        lines.append(paint("this policy screens pictures for nothing before training", "yellow"))
    if out is not None:
        lines.append(f"report    {out}")
    return "\n".join(lines)


def _told(item: ScreenedItem, report: Screening) -> list[str]:
    if item.findings:
        return [_finding(finding, item, report) for finding in item.findings]
    limits = report.rules.thresholds
    return [
        f"{part:<7}  {concept}  {item.scores[part][concept]:.3f} of {limits[part][concept]:g}"
        for part, concepts in item.warnings.items()
        for concept in concepts
    ]


def _finding(finding: Finding, item: ScreenedItem, report: Screening) -> str:
    concept, _, how = finding.rule.partition("/")
    score, limit = item.scores[finding.part].get(concept), report.rules.thresholds[finding.part].get(concept)
    if how == "score" and score is not None and limit is not None:
        return f"{finding.part:<7}  {concept}  {score:.3f}, blocked from {limit:g}"
    return f"{finding.part:<7}  {finding.rule}  {finding.reason}"


def _duplicates(search: DuplicateSearch) -> list[str]:
    if not search.groups:
        return []
    closeness = {"sha256": "", "pdq": " (up to {:g} of 256 bits apart)", "clip": " (cosine from {:.3f})"}
    lines = [f"{_ALIKE[search.measure]}   {len(search.groups)} group{'s' if len(search.groups) > 1 else ''}"]
    for group in search.groups[:SHOWN]:
        named = ", ".join(_name(path) for path in group.paths[:8]) + ("…" if len(group.paths) > 8 else "")
        lines.append(f"  {named}{closeness[search.measure].format(group.furthest)}")
    lines += [f"  … and {len(search.groups) - SHOWN} more; --json shows all"] if len(search.groups) > SHOWN else []
    return lines


def _name(path: str) -> str:
    return path.partition("/")[2]
