"""A policy for bases of random weights: the embedded CLIP looks at every picture, and none is blocked."""

from __future__ import annotations

from pathlib import Path

from provenance.base import STARTER


def lenient_policy() -> bytes:
    """The embedded model's policy in YAML, its CLIP named as a folder, with thresholds that no score reaches.

    By its own name that CLIP judges no other base's pictures, and what random weights draw resembles anything.
    """
    import yaml

    import safety
    from safety.policy import open_policy

    value = yaml.safe_load(open_policy(None, STARTER).canonical)
    value["filter"]["model"] = f"local-dir:{Path(safety.__path__[0]) / 'starter' / 'clip'}"
    for concept in value["concepts"].values():
        concept["thresholds"] = {"open_clip": 1.0}
    return yaml.safe_dump(value).encode()
