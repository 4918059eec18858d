"""`prov train --dp`: the privacy settings, what they cost before the training, and what it came to after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.console import note

if TYPE_CHECKING:
    from provenance.base import BaseModel
    from provenance.canonical import Json
    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig


def privacy_options(dp: str | None) -> Json:
    """The settings that ``--dp`` names; none without it."""
    from training.private.options import parse_dp

    return {} if dp is None else parse_dp(dp)


def show_privacy(config: TrainConfig, base: BaseModel, manifest: DatasetManifest) -> None:
    """Warns what a private training can be expected to learn; says nothing of others."""
    if not config.dp_epsilon:
        return
    from training.private.accounting import plan_privacy
    from training.private.warning import Outlook, count_trained, told

    note(told(Outlook(plan_privacy(config, len(manifest.records)), count_trained(base, config))))


def told_result(losses: Json | None, privacy: Json | None) -> str:
    """How a training went, by its attestation: losses, or of a private one the budget that it spent."""
    if losses is not None:
        return f"loss {losses['first_tenth_mean']:.4f} → {losses['last_tenth_mean']:.4f}"
    if privacy is not None:
        return f"private: epsilon {privacy['spent']:.3g} at delta {privacy['delta']:g} for each picture"
    return "without figures"
