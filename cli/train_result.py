"""What came of a training, for programs and for people: from the attestation that was signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.train_privacy import told_result

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest
    from provenance.canonical import Json
    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig


def result_of(
    adapter: AdapterManifest, settings: TrainConfig, manifest: DatasetManifest, name: str, release: Path
) -> tuple[Json, str]:
    """The facts of a finished training, and the lines that tell them."""
    byproducts = {each["name"]: each["annotations"] for each in adapter.predicate["runDetails"]["byproducts"]}
    losses, privacy, screened = byproducts.get("losses"), byproducts.get("privacy"), byproducts["screening"]
    validation = byproducts.get("validation")
    steps = adapter.predicate["buildDefinition"]["internalParameters"]["steps"]
    facts = {
        "base": adapter.base_id,
        "base_digest": adapter.base_digest,
        "config_digest": settings.digest,
        "dataset": adapter.dataset_digest,
        "digest": adapter.digest,
        "losses": losses,
        "name": name,
        "privacy": privacy,
        "release": str(release),
        "screening": screened,
        "steps": steps,
        "validation": validation,
        "weights": adapter.weights_digest,
    }
    lines = [
        f"{name}: {steps} steps on {len(manifest.records)} pictures, {told_result(losses, privacy)}",
        *([f"held out  {_told_validation(validation, settings)}"] if validation else []),
        f"screened  {screened['counts']['items']} pictures by {screened['policy']['name']} version "
        f"{screened['policy']['version']}, by the {screened['by']}; report {screened['digest'][:16]}…",
        f"weights   {adapter.weights_digest}",
        f"dataset   {adapter.dataset_digest}",
        f"base      {adapter.base_id} {adapter.base_digest}",
        f"release   {release}",
    ]
    return facts, "\n".join(lines)


def _told_validation(validation: Json, settings: TrainConfig) -> str:
    best, stopped, overfits = validation["best_step"], validation["stopped_at"], validation["overfitting_from"]
    least = dict(validation["losses"])[best]
    told = f"{len(validation['held_out'])} pictures, loss least after step {best} ({least:.4f})"
    if stopped < settings.steps:
        told += f", stopped after step {stopped}: no better in {settings.patience} validations"
    if overfits is not None:
        told += "; from there on only what it was shown got better"
    if settings.patience:
        return f"{told}; the weights of step {best} are released"
    return f"{told}; with `patience` they would be released" if best < stopped else told
