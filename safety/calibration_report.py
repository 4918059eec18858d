"""The outcome of a calibration: a policy with thresholds that can be claimed, and the figures behind every one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safety.calibration import Rate, ThresholdFit, fit_threshold, together
from safety.calibration_scores import SampleScorer, ScoredSet, require_apart, set_digest
from safety.clip_model import PRECISION
from safety.decision import DIGITS
from safety.policy import Policy

TYPE = "urn:prov:calibration:v1"
NAMED_NEGATIVES = 5


@dataclass(frozen=True)
class Outcome:
    """The new policy and its file, the fit of each concept, and the report that ``calibration.json`` holds."""

    policy: Policy
    fits: Mapping[str, ThresholdFit]
    policy_yaml: bytes
    report: dict[str, Any]


def calibrate_policy(
    policy: Policy,
    scorer: SampleScorer,
    negatives: ScoredSet,
    positives: Mapping[str, ScoredSet],
    *,
    target: float,
    confidence: float,
) -> Outcome:
    """Fits a threshold for every concept with positives; concepts without stay as they are.

    Raises PolicyError when the negatives do not support the claim, or stand among the positives.
    """
    require_apart(negatives, positives)
    fits = {
        name: fit_threshold(negatives.scores[name], scored.scores[name], target, confidence)
        for name, scored in positives.items()
    }
    digest = set_digest(negatives, positives)
    value = json.loads(policy.canonical)
    value["version"] = policy.version + 1
    for name, fit in fits.items():
        concept = value["concepts"][name]
        concept["thresholds"][scorer.scorer] = fit.block if fit.warn is None else {"warn": fit.warn, "block": fit.block}
        concept["calibration"][scorer.scorer] = _entry(fit.false_positives, confidence, digest, scorer.model_digest)
    source = _yaml(value)
    fresh = Policy.parse(source, "the calibrated policy")
    report = {
        "type": TYPE,
        "policy": {"name": fresh.name, "version": fresh.version, "digest": fresh.digest, "from": policy.digest},
        "stage": scorer.stage,
        "scorer": scorer.scorer,
        "model": scorer.model_digest,
        "precision": PRECISION,
        "set": digest,
        "target_fpr": target,
        "confidence": confidence,
        "negatives": {"n": len(negatives), "repeated": negatives.repeated},
        "concepts": {name: _concept(fit, negatives, positives[name], name) for name, fit in fits.items()},
        "together": _together(fits, negatives, target, confidence),
        "not_calibrated": sorted(set(scorer.concepts) - set(fits)),
    }
    return Outcome(fresh, fits, source, report)


def _entry(rate: Rate, confidence: float, digest: str, model: str) -> dict[str, Any]:
    return {
        "set": digest,
        "n": rate.n,
        "fpr": rate.share,
        "interval": [rate.interval.low, rate.interval.high],
        "confidence": confidence,
        "model": model,
        "precision": PRECISION,
    }


def _concept(fit: ThresholdFit, negatives: ScoredSet, positives: ScoredSet, name: str) -> dict[str, Any]:
    harmless = negatives.scores[name]
    highest = sorted(range(len(negatives)), key=lambda index: -harmless[index])[:NAMED_NEGATIVES]
    return {
        "block": fit.block,
        "warn": fit.warn,
        "false_positives": _rate(fit.false_positives),
        "recall": _rate(fit.recall),
        "recall_at_fpr_1_percent": _rate(fit.recall_compared),
        "auroc": fit.auroc,
        "positives": {"n": len(positives), "repeated": positives.repeated},
        "highest_negatives": [
            {"name": negatives.names[i], "score": round(float(harmless[i]), DIGITS)} for i in highest
        ],
        "scores": {
            "negatives": [round(float(score), DIGITS) for score in harmless],
            "positives": [round(float(score), DIGITS) for score in positives.scores[name]],
        },
    }


def _together(
    fits: Mapping[str, ThresholdFit], negatives: ScoredSet, target: float, confidence: float
) -> dict[str, Any]:
    # Each concept may block its share; what they block together is at most the sum, whatever they have in common.
    blocked = together([negatives.scores[name] >= fit.block for name, fit in fits.items()], confidence)
    return {"concepts": len(fits), "fpr_at_most": min(1.0, len(fits) * target), "blocked": _rate(blocked)}


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "hits": rate.hits,
        "n": rate.n,
        "share": rate.share,
        "interval": [rate.interval.low, rate.interval.high],
    }


def _yaml(value: dict[str, Any]) -> bytes:
    import yaml

    order = {"type": value["type"], "name": value["name"], "version": value["version"], **value}
    return bytes(yaml.safe_dump(order, sort_keys=False, allow_unicode=True, width=120, encoding="utf-8"))
