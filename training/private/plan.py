"""The plan of a private training beside its checkpoints, so that what is resumed goes on under the same noise."""

from __future__ import annotations

from pathlib import Path

from provenance.canonical import canonical_json, parse_json
from provenance.errors import ProvenanceError
from provenance.files import read_file, write_file
from training.errors import CheckpointError
from training.private.accounting import Plan

PLAN = "privacy.json"
MAX_BYTES = 1 << 16
# What decides how private the steps are that were taken already; how they are counted may improve meanwhile.
_BINDING = ("epsilon", "delta", "clip", "sigma", "sample_rate", "steps", "items")


def keep_plan(path: Path, plan: Plan, *, resumed: bool) -> None:
    """Writes the plan of a new training; raises CheckpointError when a resumed one began under another or none."""
    if not resumed:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, canonical_json(plan.to_json()))
        return
    here = plan.to_json()
    try:
        kept = parse_json(read_file(path, limit=MAX_BYTES), str(path))
        differing = [name for name in _BINDING if kept[name] != here[name]]
    except (OSError, ProvenanceError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not say under which noise the training began",
            fix="its privacy cannot be stated: delete the folder of the training to begin anew",
        ) from error
    if differing:
        raise CheckpointError(
            "the training began under another privacy plan",
            expected=", ".join(f"{name} {kept[name]}" for name in differing),
            found=", ".join(f"{name} {here[name]}" for name in differing),
            fix=f"go on with opacus {str(kept.get('opacus'))[:40]}, which planned it, or begin anew",
        )
