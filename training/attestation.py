"""The training attestation: an SLSA provenance v1 predicate that says which adapter came from what, and how."""

from __future__ import annotations

import os
import platform
import statistics
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from provenance.canonical import Json, canonical_json, sha256_hex
from training.config import TrainConfig
from training.private.accounting import PRIVACY, stated_privacy
from training.replay.chain import NAME as REPLAY
from training.replay.chain import Chain
from training.replay.stack import code_digest, is_repeatable, processor, version, versions
from training.screening import Screened
from training.watch import NAME as VALIDATION
from training.watch import Watched

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest

BUILD_TYPE = "urn:prov:lora-training:v1"
BUILDER = "urn:prov:trainer:v1"


@dataclass(frozen=True)
class Run:
    """How one training went: times in RFC 3339 UTC, seconds of the last session, side in px, a loss for each step."""

    name: str
    started: str
    finished: str
    seconds: float
    processor_seconds: float
    device: str
    threads: int
    side: int
    prediction: str
    losses: tuple[float, ...]
    resumed_at: tuple[int, ...]
    watched: Watched | None
    noising: Json | None = None


def attest(
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    run: Run,
    screened: Screened,
    chain: Chain,
    further: Sequence[Json] = (),
) -> Json:
    """The predicate for one finished training: what it consumed, every setting, how it went and on what.

    ``screened`` says by which policy and filters the dataset was screened, and by whom; ``chain`` is what a replay is
    compared with. ``further`` are byproducts, each with a ``name`` and ``annotations``, of audits and the like.

    A differentially private training states its privacy instead of its losses and chain, which tell who was drawn.
    """
    private = config.dp_epsilon > 0
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "base": base.id,
                "config": config.to_dict(),
                "config_digest": config.digest,
                "name": run.name,
            },
            "internalParameters": {
                "device": run.device,
                "repeatable": is_repeatable(run.device, run.threads, config),
                "prediction": run.prediction,
                **({"noising": run.noising} if run.noising else {}),
                **({"released": "the moving average of the weights"} if config.ema_decay else {}),
                "side": run.side,
                "steps": len(run.losses),
                "threads": run.threads,
            },
            "resolvedDependencies": [
                dataset_entry("dataset", manifest),
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
            "builder": {"id": BUILDER, "version": versions(config)},
            "metadata": {"invocationId": str(uuid.uuid4()), "startedOn": run.started, "finishedOn": run.finished},
            "byproducts": [
                *([] if private else [{"name": "losses", "annotations": _loss_summary(run.losses)}]),
                {"name": "hardware", "annotations": _hardware(run.device)},
                {
                    "name": "resources",
                    "annotations": {
                        "processor_seconds": round(run.processor_seconds, 1),
                        "resumed_at": list(run.resumed_at),
                        "samples_seen": len(run.losses) * config.batch_size * config.accumulate,
                        "seconds": round(run.seconds, 1),
                    },
                },
                *([{"name": VALIDATION, "annotations": run.watched.to_json()}] if run.watched else []),
                {"name": "screening", "annotations": screened.to_json()},
                {"name": PRIVACY, "annotations": stated_privacy(config, len(manifest.records))}
                if private
                else {"name": REPLAY, "annotations": chain.to_json()},
                *further,
            ],
        },
    }


def dataset_entry(name: str, manifest: DatasetManifest) -> Json:
    """The resolvedDependency that names a dataset."""
    return {
        "name": name,
        "uri": f"urn:prov:dataset:sha256:{manifest.digest}",
        "digest": {"sha256": manifest.digest},
        "mediaType": "application/vnd.in-toto+json",
        "annotations": {
            "issuer": manifest.issuer.root_digest,
            "items": len(manifest.records),
            "licences": list(manifest.licences),
            "name": manifest.name,
        },
    }


def code_entry() -> Json:
    """The resolvedDependency that names the code that runs."""
    return {
        "name": "code",
        "uri": f"pkg:generic/prov@{version('prov')}",
        "digest": {"sha256": code_digest()},
    }


def _loss_summary(losses: tuple[float, ...]) -> Json:
    tenth = max(len(losses) // 10, 1)
    return {
        "first_tenth_mean": round(statistics.fmean(losses[:tenth]), 6),
        "last_tenth_mean": round(statistics.fmean(losses[-tenth:]), 6),
        "least": round(min(losses), 6),
        "sha256": sha256_hex(canonical_json(list(losses))),
        "steps": len(losses),
    }


def _hardware(device: str) -> Json:
    found: Json = {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
    if processor():
        found["processor"] = processor()
    if device.startswith("cuda"):
        import torch

        found["accelerator"] = torch.cuda.get_device_name()
    return found
