"""A small adapter of two contributors, signed as the server of a federated training signs it, or with a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from provenance.adapter import AdapterManifest, sign_adapter
from provenance.canonical import Json, sha256_hex
from provenance.federated.collective import collect
from provenance.federated.contributions import PLAN, Contribution, contribution_name, plan_bytes
from provenance.federated.statements import Enrolment, Plan, Signed, Update
from provenance.identity import Issuer
from provenance.manifest import CHAIN, DatasetManifest
from provenance.moments import format_moment, utc_now

BASE, CONFIG, SETTINGS = "ba" * 32, "c0" * 32, {"steps": 4}
SCREENING = {"by": "maker"}
GLOBAL = ("00" * 32, "11" * 32, "22" * 32)
Sender = tuple[Issuer, DatasetManifest]


def plan(contributors: int = 2, rounds: int = 2) -> Plan:
    return Plan("5e" * 32, _now(), "shared", "starter", BASE, CONFIG, SETTINGS, rounds, contributors, "plain")


def enrolment(signed_plan: Signed, dataset: DatasetManifest, **changes: Any) -> Enrolment:
    usual = {
        "created": _now(),
        "plan": signed_plan.digest,
        "dataset": dataset.digest,
        "items": len(dataset.records),
        "base": BASE,
        "config": CONFIG,
        "screening": SCREENING,
        "privacy": None,
    }
    return Enrolment(**(usual | changes))


def update(enrolled: Enrolment, digest: str, number: int, **changes: Any) -> Update:
    usual = {
        "created": _now(),
        "plan": enrolled.plan,
        "enrolment": digest,
        "dataset": enrolled.dataset,
        "items": enrolled.items,
        "base": BASE,
        "config": CONFIG,
        "round": number,
        "began_from": GLOBAL[number - 1],
        "aggregation": "plain",
        "update": sha256_hex(f"{enrolled.dataset} {number}".encode()),
        "commitment": None,
    }
    return Update(**(usual | changes))


def contribution(
    signed_plan: Signed, sender: Sender, privacy: Json | None, **changes: Any
) -> tuple[Contribution, list[str]]:
    """A contribution, and the digests of its updates by round; ``changes`` are of the update in round 2."""
    issuer, dataset = sender
    issuer = changes.pop("enroller", issuer)
    enrolled = enrolment(signed_plan, dataset, privacy=privacy)
    signed = Signed.by(issuer, enrolled.to_statement())
    signer = changes.pop("signer", issuer)
    updates = [
        Signed.by(issuer, update(enrolled, signed.digest, 1).to_statement()),
        Signed.by(signer, update(enrolled, signed.digest, 2, **changes).to_statement()),
    ]
    parts = {name: dataset.read_part(name) for name in (*dataset.part_names, CHAIN)}
    kept = Contribution(issuer.certificates_pem, parts, signed.envelope, tuple(each.envelope for each in updates))
    return kept, [each.digest for each in updates]


def predicate(signed_plan: Signed, datasets: Sequence[DatasetManifest], sent: Sequence[list[str]], whole: str) -> Json:
    """The adapter's claim."""
    dependencies = [
        {"name": "dataset", "digest": {"sha256": whole}},
        *(
            {"name": f"dataset:{number}", "digest": {"sha256": dataset.digest}}
            for number, dataset in enumerate(datasets, start=1)
        ),
        {"name": "base", "uri": "starter", "digest": {"sha256": BASE}},
        {"name": "code", "digest": {"sha256": "c" * 64}},
    ]
    rounds = [
        {
            "round": number,
            "began_from": GLOBAL[number - 1],
            "result": GLOBAL[number],
            "updates": [
                {"dataset": dataset.digest, "statement": digests[number - 1]}
                for dataset, digests in zip(datasets, sent, strict=True)
            ],
        }
        for number in (1, 2)
    ]
    told = {"plan": signed_plan.digest, "aggregation": "plain", "rounds": rounds, "left_out": []}
    screened = {"by": "contributors", "screenings": {dataset.digest: SCREENING for dataset in datasets}}
    return {
        "buildDefinition": {
            "buildType": "urn:prov:federated-lora-training:v1",
            "externalParameters": {"config": SETTINGS, "config_digest": CONFIG, "name": "shared"},
            "internalParameters": {},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": "urn:prov:trainer:v1"},
            "metadata": {"startedOn": _now(), "finishedOn": _now()},
            "byproducts": [{"name": "federated", "annotations": told}, {"name": "screening", "annotations": screened}],
        },
    }


def make_release(
    folder: Path,
    server: Issuer,
    senders: Sequence[Sender],
    *,
    changes: dict[str, Any] | None = None,
    collected: Sequence[DatasetManifest] | None = None,
    edit: Callable[[Json, Path], object] = lambda claim, adapter: None,
    planner: Issuer | None = None,
    settings: Json = SETTINGS,
    privacies: Sequence[Json | None] = (None, None),
) -> AdapterManifest:
    """Signs it; ``changes`` are of the last contributor's last update, ``edit`` changes claim and files before.

    The plan is the server's own unless there is another ``planner``. ``privacies`` are what contributors promise.
    """
    signed_plan = Signed.by(planner or server, replace(plan(len(senders)), config=settings).to_statement())
    kept = [
        contribution(signed_plan, sender, privacy=privacy, **((changes or {}) if sender is senders[-1] else {}))
        for sender, privacy in zip(senders, privacies, strict=True)
    ]
    datasets = [dataset for _, dataset in senders]
    whole = collect("shared", _now(), collected or datasets, server)
    adapter = folder / "adapter"
    (adapter / "federated").mkdir(parents=True)
    down, up = np.ones((2, 4), np.float32), np.ones((4, 2), np.float32)
    weights = {"unet.mid.to_q.lora_A.weight": down, "unet.mid.to_q.lora_B.weight": up}
    (adapter / "adapter.safetensors").write_bytes(save(weights))
    (adapter / PLAN).write_bytes(plan_bytes(signed_plan))
    for number, (each, _) in enumerate(kept, start=1):
        (adapter / contribution_name(number)).write_bytes(each.to_bytes())
    claim = predicate(signed_plan, datasets, [digests for _, digests in kept], whole.digest)
    claim["buildDefinition"]["externalParameters"]["config"] = dict(settings)
    edit(claim, adapter)
    return sign_adapter(folder, issuer=server, predicate=claim, dataset=whole)


def _now() -> str:
    return format_moment(utc_now())
