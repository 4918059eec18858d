"""screening.json: what a policy, hash lists and a search for duplicates found in a dataset, picture by picture.

The report names every picture and caption by digest and repeats neither. It holds no times and no paths of a machine,
so the same screening gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.errors import DatasetError
from provenance.faults import Faults

if TYPE_CHECKING:
    from provenance.records import Record

TYPE = "urn:prov:screening:v1"
SCREENING = "screening.json"
STAGE = "train"
PARTS = ("picture", "caption")
MEASURES = ("sha256", "pdq", "clip")
STEP = 10**6


@dataclass(frozen=True)
class NamedDigest:
    """Something that decided beside the filters: a hash list or a likeness check, by name and SHA-256."""

    name: str
    digest: str


@dataclass(frozen=True)
class ScreeningRules:
    """Everything that decided, by digest: what must be the same for a report to stand in for a screening.

    ``model`` is the digest of the weights that scored pictures. ``thresholds`` are those that block, by part (picture,
    caption) and concept.
    """

    policy: str
    policy_name: str
    policy_version: int
    picture_filter: str
    model: str
    caption_filter: str
    thresholds: Mapping[str, Mapping[str, float]]
    hash_lists: tuple[NamedDigest, ...] = ()
    likeness: tuple[NamedDigest, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the rules' canonical JSON."""
        return sha256_hex(canonical_json(self.to_json()))

    def to_json(self) -> Json:
        """The rules as they stand in a report."""
        return {
            "policy": {"digest": self.policy, "name": self.policy_name, "version": self.policy_version},
            "filters": {"caption": self.caption_filter, "model": self.model, "picture": self.picture_filter},
            "thresholds": {part: dict(self.thresholds[part]) for part in PARTS},
            "hash_lists": _named(self.hash_lists),
            "likeness": _named(self.likeness),
        }

    def missing_from(self, other: ScreeningRules) -> list[str]:
        """What these rules ask for and others do not; empty when the others' report may stand in."""
        mine = {
            "policy": self.policy,
            "picture filter": self.picture_filter,
            "model": self.model,
            "caption filter": self.caption_filter,
        }
        theirs = (other.policy, other.picture_filter, other.model, other.caption_filter)
        found = [name for (name, digest), known in zip(mine.items(), theirs, strict=True) if digest != known]
        if self.thresholds != other.thresholds:
            found.append("thresholds")
        for kind, wanted, given in (
            ("hash list", self.hash_lists, other.hash_lists),
            ("likeness check", self.likeness, other.likeness),
        ):
            known_digests = {each.digest for each in given}
            found += [f"{kind} {each.name}" for each in wanted if each.digest not in known_digests]
        return found


@dataclass(frozen=True)
class Finding:
    """Why an item is blocked: its picture or its caption, by which rule, in the policy's words."""

    part: str
    rule: str
    reason: str


@dataclass(frozen=True)
class ScreenedItem:
    """One picture with its caption, by path and digests; ``sha256`` is None for a file that could not be read.

    ``scores`` and ``warnings`` are by part and concept; scores are rounded down to millionths. Any finding blocks.
    """

    path: str
    sha256: str | None
    caption_sha256: str
    scores: Mapping[str, Mapping[str, float]]
    warnings: Mapping[str, tuple[str, ...]]
    findings: tuple[Finding, ...] = ()

    @property
    def warned(self) -> bool:
        """Whether a score reached what the policy warns of, and nothing blocks."""
        return not self.findings and any(self.warnings.values())

    def to_json(self) -> Json:
        """The item as it stands in a report."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "caption_sha256": self.caption_sha256,
            "scores": {part: dict(self.scores[part]) for part in PARTS},
            "warnings": {part: list(self.warnings[part]) for part in PARTS},
            "blocked": [{"part": f.part, "reason": f.reason, "rule": f.rule} for f in self.findings],
        }


@dataclass(frozen=True)
class DuplicateGroup:
    """Pictures that hang together; every one is at least as close as ``furthest`` to another of them."""

    paths: tuple[str, ...]
    furthest: float


@dataclass(frozen=True)
class DuplicateSearch:
    """Groups by a measure: ``sha256`` (equal bytes), ``pdq`` (bits apart at most) or ``clip`` (cosine at least)."""

    measure: str
    limit: float
    groups: tuple[DuplicateGroup, ...]


@dataclass(frozen=True)
class Screening:
    """A whole screening: what decided, what was found in each item, in order of path, and what is there twice."""

    rules: ScreeningRules
    items: tuple[ScreenedItem, ...]
    duplicates: tuple[DuplicateSearch, ...] = field(default=())

    @property
    def blocked(self) -> tuple[ScreenedItem, ...]:
        """The items that may not be trained on."""
        return tuple(item for item in self.items if item.findings)

    @property
    def warned(self) -> tuple[ScreenedItem, ...]:
        """The items that come close to what the policy forbids."""
        return tuple(item for item in self.items if item.warned)

    @property
    def digest(self) -> str:
        """SHA-256 of the report's bytes."""
        return sha256_hex(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The report as canonical JSON."""
        return canonical_json(
            {
                "type": TYPE,
                "stage": STAGE,
                **self.rules.to_json(),
                "counts": self.counts(),
                "duplicates": [
                    {
                        "measure": search.measure,
                        "limit": search.limit,
                        "groups": [{"furthest": g.furthest, "paths": list(g.paths)} for g in search.groups],
                    }
                    for search in self.duplicates
                ],
                "items": [item.to_json() for item in self.items],
            }
        )

    def counts(self) -> dict[str, int]:
        """How many items there are, how many are blocked, and how many only warn."""
        return {"blocked": len(self.blocked), "items": len(self.items), "warned": len(self.warned)}

    def require_covers(self, records: Iterable[Record]) -> None:
        """Raises DatasetError unless the report is about exactly these pictures and captions."""
        faults = Faults()
        known = {item.path: item for item in self.items}
        for record in records:
            item = known.pop(record.path, None)
            if item is None:
                faults.add(record.path, "was not screened")
            elif item.sha256 != record.sha256:
                faults.add(record.path, "is another picture than was screened")
            elif item.caption_sha256 != caption_digest(record.caption):
                faults.add(record.path, "has another caption than was screened")
        for path in known:
            faults.add(path, "was screened and is not in the dataset")
        faults.refuse(
            DatasetError,
            "the screening report is not about this dataset",
            fix="screen these very files: prov dataset screen FOLDER --out report.json",
        )

    def to_summary(self) -> Json:
        """What an attestation says of the report."""
        return {
            "digest": self.digest,
            **self.rules.to_json(),
            "counts": self.counts(),
            "duplicates": {search.measure: len(search.groups) for search in self.duplicates},
        }


def caption_digest(caption: str) -> str:
    """SHA-256 of a caption's UTF-8 bytes."""
    return sha256_hex(caption.encode())


def rounded_down(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores in millionths, never above what they were: one below its threshold stays below it."""
    return {name: math.floor(score * STEP) / STEP for name, score in sorted(scores.items())}


def _named(entries: tuple[NamedDigest, ...]) -> list[Any]:
    return [{"digest": each.digest, "name": each.name} for each in entries]
