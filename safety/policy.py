"""The safety policy: a strict YAML file, its canonical JSON, and the digest that decisions name."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safety.errors import PolicyError
from safety.policy_schema import faults_in, parse_yaml
from safety.policy_thresholds import Calibration, Threshold, read_calibration, read_threshold

STARTER_BASE = "starter"
STARTER_POLICY = Path(__file__).parent / "policies" / "starter.yaml"
DEFAULT_POLICY = Path(__file__).parent / "policies" / "default.yaml"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class TermList:
    """Words that a prompt may not hold, and phrases in which they are harmless."""

    terms: tuple[str, ...]
    allow: tuple[str, ...]


@dataclass(frozen=True)
class Concept:
    """Something the policy forbids, and how prompts and pictures of it are known.

    ``terms`` and ``allow`` are for prompts, and ``languages`` adds lists by language tag; all count for every prompt.
    ``prompts`` and ``anchors`` are what CLIP compares.
    ``thresholds`` are those that block, above 0 and at most 1, by who scores (``policy_thresholds.SCORERS``), and
    ``warnings`` those from which the user is told; ``calibration`` holds what is known of them.
    """

    name: str
    stages: tuple[str, ...]
    terms: tuple[str, ...]
    allow: tuple[str, ...]
    prompts: tuple[str, ...]
    anchors: tuple[str, ...]
    languages: Mapping[str, TermList]
    thresholds: Mapping[str, float]
    warnings: Mapping[str, float]
    calibration: Mapping[str, Calibration]

    @property
    def every_term(self) -> TermList:
        """The terms and allowed phrases of all languages together, each once."""
        lists = [TermList(self.terms, self.allow), *self.languages.values()]
        terms = dict.fromkeys(term for each in lists for term in each.terms)
        allow = dict.fromkeys(phrase for each in lists for phrase in each.allow)
        return TermList(tuple(terms), tuple(allow))


@dataclass(frozen=True)
class FilterChoice:
    """Which open_clip model a policy asks for, as ``clip_model.open_clip_model`` takes it."""

    kind: str
    model: str
    pretrained: str | None = None


@dataclass(frozen=True)
class Policy:
    """A policy that has been checked."""

    name: str
    version: int
    filter: FilterChoice
    concepts: tuple[Concept, ...]
    canonical: bytes

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Reads a policy file; raises PolicyError naming every fault in it."""
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise PolicyError(f"the policy {path} cannot be read", found=str(error), fix="check --policy") from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, what: str = "the policy") -> Policy:
        """Reads a policy from YAML; raises PolicyError naming every fault in it."""
        if len(data) > MAX_BYTES:
            raise PolicyError(f"{what} is too large", expected=f"at most {MAX_BYTES} bytes", fix="name fewer terms")
        value = parse_yaml(data, what)
        faults = faults_in(value)
        if faults:
            found = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}" + "".join(f"\n    - {f}" for f in faults)
            raise PolicyError(f"{what} is not a valid policy", found=found, fix="correct every line above")
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return cls(
            name=value["name"],
            version=value["version"],
            filter=FilterChoice(**value["filter"]),
            concepts=tuple(_concept(name, concept) for name, concept in value["concepts"].items()),
            canonical=canonical.encode(),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.canonical).hexdigest()

    def at(self, stage: str) -> tuple[Concept, ...]:
        """The concepts that are screened at a stage."""
        return tuple(concept for concept in self.concepts if stage in concept.stages)

    def warned(self, stage: str, scorer: str, scores: Mapping[str, float]) -> tuple[str, ...]:
        """The concepts of a stage whose score reached what the policy warns of, whether or not it blocks, by name."""
        limits = {c.name: c.warnings[scorer] for c in self.at(stage) if scorer in c.warnings}
        return tuple(sorted(name for name, score in scores.items() if score >= limits.get(name, math.inf)))

    def calibrated_elsewhere(self, scorer: str, model_digest: str) -> tuple[str, ...]:
        """The concepts whose threshold for a scorer was calibrated with another model than this one, by name."""
        known = {c.name: c.calibration[scorer] for c in self.concepts if scorer in c.calibration}
        return tuple(sorted(name for name, of in known.items() if of.model_digest != model_digest))


def open_policy(path: Path | None, base: str) -> Policy:
    """The policy of a path, or the one that ships for a base: ``starter``'s own, or the default."""
    if path is not None:
        return Policy.load(path)
    return Policy.load(STARTER_POLICY if base == STARTER_BASE else DEFAULT_POLICY)


def _concept(name: str, value: dict[str, Any]) -> Concept:
    lists = {key: tuple(value[key]) for key in ("stages", "terms", "allow", "prompts", "anchors")}
    languages = {tag: TermList(tuple(v["terms"]), tuple(v["allow"])) for tag, v in value["languages"].items()}
    thresholds: dict[str, Threshold] = {k: read_threshold(v) for k, v in value["thresholds"].items()}
    calibration = {scorer: read_calibration(v) for scorer, v in value["calibration"].items()}
    return Concept(
        name=name,
        languages=MappingProxyType(languages),
        thresholds=MappingProxyType({scorer: t.block for scorer, t in thresholds.items()}),
        warnings=MappingProxyType({scorer: t.warn for scorer, t in thresholds.items() if t.warn is not None}),
        calibration=MappingProxyType(calibration),
        **lists,
    )
