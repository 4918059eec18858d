"""The adapter of a federated training as a signed release, which says whose pictures it was made of."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.adapter import AdapterManifest, sign_adapter, verify_adapter
from provenance.base import BaseModel
from provenance.canonical import Json, canonical_json
from provenance.federated.collective import collect
from provenance.federated.contributions import (
    BYPRODUCT,
    DEPENDENCY,
    FOLDER,
    PLAN,
    Contribution,
    contribution_name,
    plan_bytes,
)
from provenance.federated.statements import Plan, Signed
from provenance.federated.told import told_of_contributors
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.moments import format_moment, utc_now
from provenance.signing import staged
from provenance.trust import TrustStore
from training.attestation import BUILDER, Run, code_entry, dataset_entry
from training.config import TrainConfig
from training.metadata import adapter_metadata
from training.release import CONFIG_NAME, adapter_files
from training.replay.stack import version, versions

if TYPE_CHECKING:
    import torch

    from training.federated.enrolling import Contributor

BUILD_TYPE = "urn:prov:federated-lora-training:v1"


@dataclass(frozen=True)
class Finished:
    """All that came of a federated training.

    ``updates`` are, by the digest of a contributor's dataset, its signed envelopes by round; None where left out.
    """

    plan: Plan
    signed_plan: Signed
    started: str
    side: int
    prediction: str
    weights: Mapping[str, torch.Tensor]
    contributors: Sequence[Contributor]
    history: tuple[Json, ...]
    updates: Mapping[str, tuple[bytes | None, ...]]
    left_out: tuple[Json, ...]


def write_federated_release(
    release: Path, finished: Finished, base: BaseModel, config: TrainConfig, issuer: Issuer
) -> AdapterManifest:
    """Writes weights, settings and what every contributor signed, signs them and moves them into place."""
    ended = format_moment(utc_now())
    datasets = [contributor.dataset for contributor in finished.contributors]
    title = f"{finished.plan.name}, of {len(datasets)} contributors"
    collective = collect(title, ended, datasets, issuer)
    run = Run(
        name=finished.plan.name,
        started=finished.started,
        finished=ended,
        seconds=0.0,
        processor_seconds=time.process_time(),
        device="cpu",
        threads=1,
        side=finished.side,
        prediction=finished.prediction,
        losses=(),
        resumed_at=(),
        watched=None,
    )
    with staged(release) as staging:
        folder = staging / "adapter"
        (folder / FOLDER).mkdir(parents=True)
        files = adapter_files(finished.weights, config, adapter_metadata(collective, base, config, run))
        for name, data in files.items():
            (folder / name).write_bytes(data)
        # These bytes are the ones whose SHA-256 is the configuration's digest.
        (folder / CONFIG_NAME).write_bytes(canonical_json(config.to_dict()))
        (folder / PLAN).write_bytes(plan_bytes(finished.signed_plan))
        for number, contributor in enumerate(finished.contributors, start=1):
            updates = finished.updates[contributor.dataset.digest]
            kept = Contribution(contributor.signed.chain, contributor.parts, contributor.signed.envelope, updates)
            (folder / contribution_name(number)).write_bytes(kept.to_bytes())
        predicate = attest_federated(collective, finished, base, config, ended)
        sign_adapter(staging, issuer=issuer, predicate=predicate, dataset=collective)
    return verify_adapter(release, TrustStore(frozenset({issuer.root_digest})))


def attest_federated(
    collective: DatasetManifest, finished: Finished, base: BaseModel, config: TrainConfig, ended: str
) -> Json:
    """The predicate: the collective dataset and each contributor's, base, code, settings, and every round."""
    plan = finished.plan
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "base": base.id,
                "config": config.to_dict(),
                "config_digest": config.digest,
                "name": plan.name,
            },
            "internalParameters": {"prediction": finished.prediction, "side": finished.side},
            "resolvedDependencies": [
                dataset_entry("dataset", collective),
                *(
                    dataset_entry(f"{DEPENDENCY}{number}", contributor.dataset)
                    for number, contributor in enumerate(finished.contributors, start=1)
                ),
                {
                    "name": "base",
                    "uri": base.id,
                    "digest": {"sha256": base.digest},
                    "annotations": {"family": base.family},
                },
                code_entry(),
            ],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": versions(config) | {"flwr": version("flwr")}},
            "metadata": {"invocationId": str(uuid.uuid4()), "startedOn": finished.started, "finishedOn": ended},
            "byproducts": [
                {
                    "name": BYPRODUCT,
                    "annotations": {
                        "aggregation": plan.aggregation,
                        "left_out": list(finished.left_out),
                        "plan": finished.signed_plan.digest,
                        "rounds": list(finished.history),
                        "steps_per_round": config.steps // plan.rounds,
                        "weighted_by": "items",
                    },
                },
                *told_of_contributors([each.enrolment for each in finished.contributors]),
            ],
        },
    }
