"""One signed adapter out of several: the sum of what they change, each by its weight, with all that they came from."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provenance.adapter import STATEMENT, WEIGHTS, AdapterManifest, sign_adapter, verify_adapter
from provenance.adapter_layers import read_layers
from provenance.canonical import Json
from provenance.errors import AdapterError
from provenance.federated.collective import collect
from provenance.files import read_file
from provenance.identity import Issuer
from provenance.manifest import CHAIN, DatasetManifest
from provenance.merged.kept import FOLDER, KeptParent, is_kept, parent_name
from provenance.merged.parents import (
    BUILD_TYPE,
    Parent,
    checked_weight,
    open_parent,
    require_parents,
    sources,
    told_of_parents,
)
from provenance.moments import format_moment, utc_now
from provenance.records import name_text
from provenance.signing import staged
from provenance.training_statement import dependency
from provenance.trust import TrustStore
from training.attestation import BUILDER, code_entry, dataset_entry
from training.merged_weights import DOWN, Part, merged_files, name_of
from training.replay.stack import version


@dataclass(frozen=True)
class Weighted:
    """A verified release with its weights in clear, and how much of it is wanted: 0.01 to 4, also below 0."""

    adapter: AdapterManifest
    weight: float


@dataclass(frozen=True)
class Recomputed:
    """Which files of a merge came out of its parents bit for bit, and which otherwise or not at all."""

    equal: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every file of weights is what the parents add up to."""
        return not self.differing


def merge(wanted: Sequence[Weighted], name: str, release: Path, issuer: Issuer) -> AdapterManifest:
    """Merges adapters into a new release, ``name`` in its statement, and signs it.

    Raises AdapterError, naming the adapter, for another base, a kind that cannot be added up, a trigger too many or a
    release without its dataset; FormatError for a damaged file; UsageError when ``release`` is there already.
    """
    name = name_text(name)
    started = format_moment(utc_now())
    trust = TrustStore(frozenset({issuer.root_digest}))
    kept = [_keep(each.adapter) for each in wanted]
    parents = [
        open_parent(file, checked_weight(float(each.weight)), trust, f"the release of {name_of(each.adapter)}")
        for file, each in zip(kept, wanted, strict=True)
    ]
    require_parents(parents, wanted[0].adapter.base_digest if wanted else "")
    datasets = sources(parents)
    collective = collect(f"{name}, merged of {len(parents)} adapters", started, datasets, issuer)
    parts = [Part(each.adapter, parent.weight, parent.digest) for each, parent in zip(wanted, parents, strict=True)]
    files = merged_files(parts, name, collective)
    with staged(release) as staging:
        folder = staging / "adapter"
        (folder / FOLDER).mkdir(parents=True)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        for number, each in enumerate(kept, start=1):
            (folder / parent_name(number)).write_bytes(each.to_bytes())
        predicate = attest_merge(name, parents, collective, files[WEIGHTS], started)
        sign_adapter(staging, issuer=issuer, predicate=predicate, dataset=collective)
    return verify_adapter(release, trust)


def recompute(made: AdapterManifest, parents: Sequence[AdapterManifest]) -> Recomputed:
    """Merges the parents of a verified merge again, in any order, and compares every file of weights.

    Parents are known by their weights: a statement that was signed again, to add an audit, makes no difference. Raises
    AdapterError when this is no merge, or these are not all of its parents and no others.
    """
    if not made.parents or made.dataset is None:
        raise AdapterError(
            "the adapter was not merged from others",
            expected=f"a release of `prov model merge`, build type {BUILD_TYPE}",
            fix="prov train DATASET --replay RELEASE is what checks a training",
        )
    given = {each.weights_digest: each for each in parents}
    named = {parent.weights: parent for parent in made.parents}
    if given.keys() != named.keys() or len(parents) != len(named):
        raise AdapterError(
            "these are not the adapters that it was merged from",
            expected=", ".join(f"{parent.name} (weights {weights})" for weights, parent in named.items()),
            found=", ".join(f"{name_of(each)} (weights {each.weights_digest})" for each in parents) or "none",
        )
    parts = [Part(given[parent.weights], parent.weight, parent.digest) for parent in made.parents]
    files = merged_files(parts, name_of(made), made.dataset)
    held = {name for name in made.files if name.endswith(".safetensors")}
    equal = {name for name in files.keys() & held if files[name] == made.read(name)}
    return Recomputed(tuple(sorted(equal)), tuple(sorted((files.keys() | held) - equal)))


def attest_merge(
    name: str, parents: Sequence[Parent], collective: DatasetManifest, weights: bytes, started: str
) -> Json:
    """The predicate: the collective dataset, each parent by its statement, weights and weight, base and code."""
    base = dependency(parents[0].predicate, "base")
    layers = read_layers(weights, WEIGHTS)
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "base": base["uri"],
                "name": name,
                "weights": [parent.weight for parent in parents],
            },
            "internalParameters": {
                "dtype": "float32",
                "method": "ranks side by side",
                "ranks": {layer.component: layer.parts[DOWN][0] for layer in layers},
            },
            "resolvedDependencies": [
                dataset_entry("dataset", collective),
                *(parent.entry(number) for number, parent in enumerate(parents, start=1)),
                base,
                code_entry(),
            ],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {each: version(each) for each in ("prov", "safetensors", "torch")}},
            "metadata": {
                "invocationId": str(uuid.uuid4()),
                "startedOn": started,
                "finishedOn": format_moment(utc_now()),
            },
            "byproducts": told_of_parents(parents),
        },
    }


def _keep(adapter: AdapterManifest) -> KeptParent:
    """What a merge keeps of a parent, out of its verified release folder; raises AdapterError."""
    if adapter.dataset is None or adapter.root is None:
        raise AdapterError(
            f"the release of {name_of(adapter)} does not carry the dataset it was trained on",
            expected="dataset.dsse.json and dataset/ beside adapter.dsse.json",
            fix="give the folder that `prov train` made",
        )
    dataset = adapter.dataset
    return KeptParent(
        chain=read_file(adapter.root / CHAIN),
        statement=read_file(adapter.root / STATEMENT),
        dataset={name: dataset.read_part(name) for name in (*dataset.part_names, CHAIN)},
        kept={name: adapter.read(name) for name in adapter.files if is_kept(name)},
    )
