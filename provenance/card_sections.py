"""The sections of a model card, each from one verified statement; a section without one is empty."""

from __future__ import annotations

from collections import Counter
from typing import Any

from provenance.adapter import AdapterManifest
from provenance.byproducts import PREVIOUS, byproducts
from provenance.canonical import Json
from provenance.card_text import block, code, escaped, table
from provenance.evaluation import BYPRODUCT as EVALUATION
from provenance.evaluation import SignedEvaluation
from provenance.manifest import DatasetManifest
from provenance.merged.parents import is_merge

HOLDERS_SHOWN = 20
PRIVACY = "privacy"
TOLD_APART = ("losses", "validation", "hardware", "resources", "screening", "replay", PRIVACY, EVALUATION)
FIRST_SETTINGS = (
    "kind",
    "trigger",
    "steps",
    "batch_size",
    "accumulate",
    "learning_rate",
    "rank",
    "alpha",
    "targets",
    "precision",
    "seed",
)


def training_data(made: AdapterManifest) -> list[str]:
    """What it was trained on, under which licences, and with whose consent."""
    if made.dataset is None:
        return [f"The dataset with digest {code(made.dataset_digest)}, whose records are not in this release."]
    told = [
        f"{len(made.dataset.records)} pictures of *{escaped(made.dataset.name)}*, digest"
        f" {code(made.dataset_digest)}, signed by {escaped(made.dataset.issuer.name)}.",
        _rights(made.dataset),
        _holders(made.dataset),
    ]
    if made.contributors:
        rows = [
            (escaped(each.issuer.name), f"{len(each.records)}", code(each.digest), ", ".join(map(code, each.licences)))
            for each in made.contributors
        ]
        told += [
            "Their datasets, each as its own maker signed it:"
            if made.parents
            else "Trained by several contributors, whose pictures stayed with them:",
            table(("signed by" if made.parents else "contributor", "pictures", "dataset", "licences"), rows),
        ]
    return told


def _rights(dataset: DatasetManifest) -> str:
    counts = Counter(
        (
            record.licence,
            record.consent.basis if record.consent else "not stated",
            record.training_mining,
        )
        for record in dataset.records
    )
    rows = [(code(licence), escaped(basis), escaped(mining), f"{n}") for (licence, basis, mining), n in counts.items()]
    return table(("licence", "consent", "training and mining", "pictures"), sorted(rows))


def _holders(dataset: DatasetManifest) -> str:
    holders = Counter(record.rights_holder for record in dataset.records).most_common()
    named = ", ".join(f"{escaped(holder)} ({count})" for holder, count in holders[:HOLDERS_SHOWN])
    more = f", and {len(holders) - HOLDERS_SHOWN} more" if len(holders) > HOLDERS_SHOWN else ""
    return f"Rights holders: {named}{more}."


def parents(made: AdapterManifest) -> list[str]:
    """Which adapters it was merged from, with what weights."""
    if not made.parents:
        return []
    rows = [
        (escaped(each.name), f"{each.weight:g}", code(each.weights), code(each.digest), escaped(each.issuer.name))
        for each in made.parents
    ]
    return [
        "The sum of what these adapters change in the base, each by its weight:",
        table(("adapter", "weight", "weights, SHA-256", "attestation, SHA-256", "signed by"), rows),
    ]


def settings(predicate: Json) -> Json:
    """The training's settings; empty when the attestation has none."""
    match predicate:
        case {"buildDefinition": {"externalParameters": {"config": dict(config)}}}:
            return config
    return {}


def training(predicate: Json) -> list[str]:
    """The settings, the losses and what it ran on."""
    told = []
    if config := settings(predicate):
        first = {name: config[name] for name in FIRST_SETTINGS if name in config}
        told += [
            table(("setting", "value"), [(code(name), code(value)) for name, value in first.items()]),
            "Every setting, as it was hashed into the attestation:",
            block(config),
        ]
    for name in ("losses", "validation", "hardware", "resources"):
        for entry in _named(predicate, name):
            told.append(f"{name.capitalize()}: {_values(entry)}.")
    return told


def figures(signed: SignedEvaluation | None) -> list[str]:
    """The figures of a signed evaluation, with everything that is to be said about them."""
    if signed is None:
        return ["No signed evaluation came with this adapter (`prov evaluate … --sign`)."]
    claim = signed.evaluation.value
    kid, cmmd, score, fid = (claim[name] for name in ("kid", "cmmd", "clip_score", "fid"))
    rows = [
        ("FID", f"{fid['before']:.4g}", f"{fid['after']:.4g}"),
        ("KID (mean ± deviation of subsets)", _spread(kid["before"]), _spread(kid["after"])),
        ("CMMD, unbiased (95 %)", _bounds(cmmd["before"]), _bounds(cmmd["after"])),
        ("CLIP score (95 %)", _bounds(score["before"]), _bounds(score["after"])),
    ]
    reference, sampling, features = claim["reference"], claim["sampling"], claim["features"]
    return [
        table(("measure", "base alone", "with the adapter"), rows),
        f"After less before: CMMD {_bounds(cmmd['difference'])}, CLIP score {_bounds(score['difference'])}.",
        f"{claim['compared']} pictures of each, {claim['prompts']['distinct']} prompts, against"
        f" {reference['pictures']} of *{escaped(reference['name'])}*, digest {code(reference['digest'])};"
        f" {escaped(sampling['scheduler'])}, {sampling['steps']} steps, guidance {sampling['guidance']:g}, first seed"
        f" {code(claim['seeds']['first'])}; features {code(features['name'])} of {features['dimensions']} dimensions,"
        f" digest {code(features['digest'])}; CLIP {code(claim['clip'])}; policy {code(claim['policy'])}.",
        *_memorised(claim["memorisation"]),
        f"Measured {escaped(claim['created'])} on {escaped(claim['device'])} and signed by"
        f" {escaped(signed.issuer.name)}, root {code(signed.issuer.root_digest)}; report {code(signed.report)}.",
    ]


def _memorised(found: Json | None) -> list[str]:
    if found is None:
        return []
    said = "Training pictures come back" if found["memorised"] else "No training picture comes back beyond chance"
    copied = ", ".join(
        f"{each['copied']} of {each['samples']} samples in {name}" for name, each in found["spaces"].items()
    )
    return [f"{said}: copies are {copied}."]


def audits(predicate: Json) -> list[str]:
    """The audits that the attestation carries, as its maker attached them."""
    told = []
    for entry in byproducts(predicate, "audit/"):
        found = {key: value for key, value in entry.get("annotations", {}).items() if key != PREVIOUS}
        told += [
            f"{escaped(str(entry['name']))}, report {code((entry.get('digest') or {}).get('sha256'))}:",
            block(found),
        ]
    return told


def screening(predicate: Json) -> list[str]:
    """What the safety policy found in the dataset before training."""
    told = []
    for entry in _named(predicate, "screening"):
        match entry:
            case {"by": str(by), "policy": dict(policy), "counts": dict(counts), "duplicates": dict(duplicates)}:
                told.append(
                    f"Screened by its {escaped(by)} before training, under policy {_values(policy)}: {_values(counts)};"
                    f" groups of duplicates: {_values(duplicates)}."
                )
            case _:
                told += ["Before training:", block(entry)]
    return told


def replay(predicate: Json) -> list[str]:
    """Whether the training can be executed again and compared; whether anybody did is not in a statement."""
    if is_merge(predicate):
        return [
            "A merge has no training to replay. Whoever has its parents computes it again, bit for bit:"
            " `prov model merge --check RELEASE PARENT…`."
        ]
    for entry in _named(predicate, "replay"):
        match entry:
            case {"every": int(every), "links": [*links], "head": str(head)}:
                inner = predicate["buildDefinition"].get("internalParameters", {})
                said = "repeatable" if inner.get("repeatable") is True else "not repeatable"
                return [
                    f"The attestation carries a chain of {len(links)} links, one every {every} steps,"
                    f" head {code(head)}."
                    f" Its maker states that the run is {said} to the bit on its stack."
                    " `prov train DATASET --replay RELEASE` executes segments again and compares; that somebody did is"
                    " not part of the attestation."
                ]
    if _named(predicate, PRIVACY):
        return ["A private training withholds its replay chain: its links would tell of single pictures."]
    return ["The attestation carries no replay chain: how the weights came about cannot be executed again."]


def privacy(predicate: Json) -> list[str]:
    """What was spent of a privacy budget, as the accountant has it."""
    if is_merge(predicate):
        return [
            part
            for entry in _named(predicate, PRIVACY)
            for part in ("What each parent stated, by the digest of its attestation:", block(entry))
        ]
    told = []
    for entry in _named(predicate, PRIVACY):
        match entry:
            case {"privacies": dict(privacies)}:
                each = [f"dataset {code(name)}, {_budget(one)}" for name, one in sorted(privacies.items())]
                told += [f"Trained with differential privacy, by each contributor: {'; '.join(each)}.", block(entry)]
            case _:
                told += [f"Trained with differential privacy: {_budget(entry)}.", block(entry)]
    return told


def _budget(stated: Any) -> str:
    spent = stated if isinstance(stated, dict) else {}
    return (
        f"epsilon {code(spent.get('epsilon'))} at delta {code(spent.get('delta'))}, for"
        f" {escaped(str(spent.get('unit', 'one item')))}"
    )


def further(predicate: Json) -> list[str]:
    """Every other byproduct, such as what was spent of a privacy budget, as it stands in the attestation."""
    told = []
    for entry in byproducts(predicate, ""):
        name = str(entry.get("name"))
        if name not in TOLD_APART and not name.startswith("audit/"):
            kept = {key: value for key, value in entry.items() if key != "name"}
            told += [f"{escaped(name)}:", block(kept)]
    return told


def limits(signed: SignedEvaluation | None) -> list[str]:
    """What the statements do not show."""
    points = [
        "An attestation says what its maker did and measured. A signature shows who said so and that nothing was"
        " changed since; the replay chain is what others can check of the training itself.",
        "Records state rights and consent as the signer of the dataset knew them; a later withdrawal is on the ledger:"
        " `prov model show TOKEN`.",
    ]
    if signed is not None:
        points += [f"{warning[:1].upper()}{warning[1:]}." for warning in signed.evaluation.warnings]
        points.append("FID, KID and CMMD compare sets of pictures; they say nothing of a single one, nor of safety.")
    return ["\n".join(f"- {point}" for point in points)]


def _named(predicate: Json, name: str) -> list[dict[str, Any]]:
    found = [entry.get("annotations") for entry in byproducts(predicate, name) if entry.get("name") == name]
    return [entry for entry in found if isinstance(entry, dict)]


def _values(entry: dict[str, Any]) -> str:
    return ", ".join(f"{escaped(key)} {code(value)}" for key, value in sorted(entry.items()))


def _spread(kid: Json) -> str:
    return f"{kid['mean']:.4g} ± {kid['std']:.2g}"


def _bounds(of: Json) -> str:
    return f"{of['mean']:.2f} ({of['low']:.2f} to {of['high']:.2f})"
