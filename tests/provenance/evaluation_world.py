"""A claim as an evaluation makes it, its report, and changes of either."""

from __future__ import annotations

import copy
from typing import Any

from provenance.canonical import canonical_json, sha256_hex
from provenance.evaluation import REPORT_TYPE
from provenance.evaluation_claim import TYPE
from provenance.moments import format_moment, utc_now

PROMPTS = ["a blue rocket", "a red rocket"]
WARNED = [
    "fid_singular",
    "kid_few",
    "features_not_fid",
    "starter_features",
    "reference_is_training_data",
    "few_prompts",
    "pictures_blocked",
]


def claim(weights: str) -> dict[str, Any]:
    space = {"copied": 1, "samples": 8, "captions_copied": 0, "captions": 4, "p_corrected": 1.0}
    return {
        "type": TYPE,
        "created": format_moment(utc_now()),
        "model": {"name": "rockets", "weights": weights, "base": {"id": "starter", "digest": "b" * 64}},
        "reference": {"name": "drawings", "digest": "d" * 64, "pictures": 24, "trained_on": True},
        "prompts": {"source": "captions", "distinct": 2, "digest": sha256_hex(canonical_json(PROMPTS))},
        "features": {"name": "starter", "digest": "e" * 64, "dimensions": 64},
        "clip": "e" * 64,
        "policy": "f" * 64,
        "sampling": {"scheduler": "dpmsolver++", "steps": 20, "guidance": 3.0},
        "seeds": {"first": "0", "count": 16},
        "blocked": {"before": 1, "after": 0},
        "compared": 15,
        "fid": {"before": 0.34, "after": 0.21},
        "kid": {
            "before": {"mean": 0.005, "std": 0.003},
            "after": {"mean": -0.0001, "std": 0.003},
            "subsets": 100,
            "subset_size": 7,
        },
        "cmmd": {
            "before": {"biased": 1.2, "mean": 1.0, "low": 0.8, "high": 1.2},
            "after": {"biased": 0.1, "mean": -0.1, "low": -0.2, "high": 0.0},
            "difference": {"mean": -1.1, "low": -1.3, "high": -0.9},
            "confidence": 0.95,
        },
        "clip_score": {
            "before": {"mean": 41.0, "low": 37.0, "high": 44.0},
            "after": {"mean": 45.5, "low": 42.0, "high": 48.0},
            "difference": {"mean": 4.5, "low": -0.1, "high": 8.0},
            "confidence": 0.95,
            "resamplings": 2000,
            "groups": 2,
        },
        "memorisation": {
            "memorised": False,
            "samples_per_caption": 2,
            "report": "a" * 64,
            "spaces": {"latents": space, "clip": dict(space)},
        },
        "warnings": list(WARNED),
        "device": "cpu x86_64",
        "versions": {"torch": "2.15.0"},
    }


def report(of: dict[str, Any]) -> bytes:
    prompts = [
        {"prompt": PROMPTS[0], "pictures": 8, "before": 40.0, "after": 46.0},
        {"prompt": PROMPTS[1], "pictures": 7, "before": 42.0, "after": 45.0},
    ]
    return canonical_json(
        {"type": REPORT_TYPE, "evaluation": of, "prompts": prompts, "pictures": {"sheet.png": "c" * 64}}
    )


def changed(of: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a dotted path replaced; ``...`` takes it out."""
    made = copy.deepcopy(of)
    *folders, last = path.split(".")
    inner: Any = made
    for name in folders:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made
