"""The adapters that one was merged from, as its release keeps them, verified.

Each is a file of ``provenance.merged.kept``. The dataset of a merge is what its parents' datasets add up to: see
``provenance.federated.collective``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from provenance.canonical import Json, sha256_hex
from provenance.errors import AdapterError, FormatError
from provenance.federated.collective import require_union
from provenance.federated.contributions import verify_contributors, verify_dataset_parts
from provenance.manifest import CHAIN, DatasetManifest, read_statement
from provenance.merged.kept import FOLDER, KeptParent, is_kept, parent_name
from provenance.statement import Statement
from provenance.training_statement import PREDICATE_TYPE, STATEMENT, WEIGHTS, dependencies, dependency, finished
from provenance.trust import TrustStore, VerifiedIssuer

BUILD_TYPE = "urn:prov:adapter-merge:v1"
DEPENDENCY = "parent:"
SCREENED, PRIVATE = "screening", "privacy"
BY = "parents"
MAX_PARENTS = 8
MAX_GENERATIONS = 8
LEAST_WEIGHT, GREATEST_WEIGHT = 0.01, 4.0

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Parent:
    """A verified parent: its statement (``digest`` is its SHA-256), its weights' SHA-256, and with which ``weight``.

    ``issuer`` need not be trusted. ``contributors`` and ``parents`` are its own, where it has them.
    """

    digest: str
    weights: str
    weight: float
    name: str
    issuer: VerifiedIssuer
    predicate: Json
    files: Mapping[str, str]
    dataset: DatasetManifest
    contributors: tuple[DatasetManifest, ...] = ()
    parents: tuple[Parent, ...] = ()

    def entry(self, number: int) -> Json:
        """The resolvedDependency that names it as the ``number``-th parent, from 1."""
        return {
            "name": f"{DEPENDENCY}{number}",
            "uri": f"urn:prov:adapter:sha256:{self.digest}",
            "digest": {"sha256": self.digest},
            "mediaType": "application/vnd.in-toto+json",
            "annotations": {
                "dataset": self.dataset.digest,
                "issuer": self.issuer.root_digest,
                "name": self.name,
                "weight": self.weight,
                "weights": self.weights,
            },
        }

    def told(self, byproduct: str) -> Any:
        """The annotations of a byproduct of its own statement; None where that does not have it."""
        match self.predicate:
            case {"runDetails": {"byproducts": [*listed]}}:
                found = [entry for entry in listed if isinstance(entry, dict) and entry.get("name") == byproduct]
                return found[0].get("annotations") if found else None
        return None


def is_merge(predicate: Json) -> bool:
    """Whether an adapter's statement says that it was merged from others."""
    match predicate:
        case {"buildDefinition": {"buildType": "urn:prov:adapter-merge:v1"}}:
            return True
    return False


def sources(parents: Sequence[Parent]) -> tuple[DatasetManifest, ...]:
    """The datasets that a merge was made from in the end, each once: those of contributors, where a parent has them."""
    every = [dataset for parent in parents for dataset in parent.contributors or (parent.dataset,)]
    return tuple({dataset.digest: dataset for dataset in every}.values())


def told_of_parents(parents: Sequence[Parent]) -> list[Json]:
    """The byproducts that repeat, by the digest of each parent's statement, its screening and its privacy, if any."""
    told = []
    for name, plural in ((SCREENED, "screenings"), (PRIVATE, "privacies")):
        said = {parent.digest: parent.told(name) for parent in parents}
        if name == SCREENED or any(said.values()):
            told.append({"name": name, "annotations": {"by": BY, plural: said}})
    return told


def open_parent(kept: KeptParent, weight: float, trust: TrustStore, what: str, generation: int = 1) -> Parent:
    """Verifies everything that is kept of a parent but its weights, which a merge does not have.

    Raises FormatError, SignatureError or AdapterError. Whether its signer is trusted is left to the caller.
    """
    if generation > MAX_GENERATIONS:
        raise AdapterError(f"{what} has too many generations of parents", expected=f"at most {MAX_GENERATIONS}")
    files = {STATEMENT: kept.statement, CHAIN: kept.chain}
    envelope, statement, issuer = read_statement(files.__getitem__, STATEMENT, PREDICATE_TYPE, trust)
    issuer.require_valid_at(finished(statement.predicate), what)
    if WEIGHTS not in statement.subjects:
        raise AdapterError(f"{what} is the statement of no adapter", expected=f"a subject {WEIGHTS}")
    dataset = verify_dataset_parts(kept.dataset, trust, what)
    used = dependency(statement.predicate, "dataset")["digest"]["sha256"]
    if dataset.digest != used:
        raise AdapterError(f"{what} has another dataset than it was trained on", expected=used, found=dataset.digest)
    read = _kept_reader(kept, statement, what)
    contributors = verify_contributors(statement.predicate, statement.subjects, read, trust, issuer)
    parents = verify_parents(statement.predicate, statement.subjects, read, trust, generation + 1)
    contributors = contributors or sources(parents)
    if contributors:
        require_union(dataset, contributors)
    return Parent(
        digest=envelope.digest,
        weights=statement.subjects[WEIGHTS],
        weight=weight,
        name=_name(statement.predicate),
        issuer=issuer,
        predicate=statement.predicate,
        files=statement.subjects,
        dataset=dataset,
        contributors=contributors,
        parents=parents,
    )


def verify_parents(
    predicate: Json, files: Mapping[str, str], read: Read, trust: TrustStore, generation: int = 1
) -> tuple[Parent, ...]:
    """Verifies every parent that a merge names; none for an adapter that was trained.

    ``files`` are those below ``adapter/``, which ``read`` reads as they were signed. Checked are all signatures, that
    the parents are of the merge's base, that its statement names them and their weights and no others, and that it
    repeats what each said of its screening. Raises FormatError, SignatureError or AdapterError.
    """
    listed = [entry for entry in dependencies(predicate) if str(entry.get("name", "")).startswith(DEPENDENCY)]
    present = sorted(name for name in files if name.startswith(FOLDER))
    if not listed and not present and not is_merge(predicate):
        return ()
    expected = [parent_name(number) for number in range(1, len(listed) + 1)]
    if present != expected or not is_merge(predicate) or not 2 <= len(listed) <= MAX_PARENTS:
        raise AdapterError(
            "the adapter does not keep the statements of what it was merged from",
            expected=f"2 to {MAX_PARENTS} parents, a file of each, and build type {BUILD_TYPE}",
            found=", ".join(present)[:500] or "none of them",
        )
    base = dependency(predicate, "base")["digest"]["sha256"]
    parents = []
    for number, entry in enumerate(listed, start=1):
        name = parent_name(number)
        parent = open_parent(KeptParent.parse(read(name), name), _weight(entry), trust, name, generation)
        if entry != parent.entry(number):
            raise AdapterError(
                "the adapter's statement names another parent than it keeps",
                expected=str(parent.entry(number))[:300],
                found=str(entry)[:300],
            )
        require_base(parent, base)
        parents.append(parent)
    _require_distinct(parents)
    _require_told(predicate, parents)
    return tuple(parents)


def require_base(parent: Parent, base: str) -> None:
    """Raises AdapterError, naming the parent, when it was made on another base than the SHA-256 given."""
    entry = dependency(parent.predicate, "base")
    if entry["digest"]["sha256"] != base:
        raise AdapterError(
            f"{parent.name} was trained on another base than the others",
            expected=f"base {base}",
            found=f"base {entry['digest']['sha256']} ({str(entry.get('uri'))[:100]})",
            fix="merge adapters of one base",
        )


def checked_weight(weight: float) -> float:
    """A parent's weight if it is one: 0.01 to 4, also below 0; raises AdapterError."""
    if not isfinite(weight) or not LEAST_WEIGHT <= abs(weight) <= GREATEST_WEIGHT:
        raise AdapterError(
            "this is not the weight of an adapter in a merge",
            expected=f"{LEAST_WEIGHT:g} to {GREATEST_WEIGHT:g}, also below 0",
            found=str(weight),
        )
    return weight


def _weight(entry: Json) -> float:
    match entry:
        case {"annotations": {"weight": float(weight)}}:
            return checked_weight(weight)
    raise FormatError(f"{STATEMENT} does not say how much of each parent is in the merge", expected="a weight")


def _kept_reader(kept: KeptParent, statement: Statement, what: str) -> Read:
    """Reads files kept with a parent that are exactly what it signed; raises AdapterError."""
    wanted = {name: digest for name, digest in statement.subjects.items() if is_kept(name)}
    for name in sorted(wanted.keys() | kept.kept.keys()):
        if name not in kept.kept or sha256_hex(kept.kept[name]) != wanted.get(name):
            raise AdapterError(
                f"{what} does not keep {name[:200]} as it was signed",
                expected=f"SHA-256 {wanted.get(name, 'of no such file')}",
            )
    return kept.kept.__getitem__


def _require_distinct(parents: Sequence[Parent]) -> None:
    if len({parent.weights for parent in parents}) != len(parents):
        raise AdapterError(
            "the same adapter is merged twice", expected="every parent once", fix="give one of them the sum of weights"
        )


def _require_told(predicate: Json, parents: Sequence[Parent]) -> None:
    match predicate:
        case {"runDetails": {"byproducts": [*listed]}}:
            if all(told in listed for told in told_of_parents(parents)):
                return
    raise AdapterError(
        "the adapter's statement does not repeat what its parents said of their screening and privacy",
        expected=f'byproducts "{SCREENED}" and "{PRIVATE}" of each parent',
    )


def _name(predicate: Json) -> str:
    match predicate:
        case {"buildDefinition": {"externalParameters": {"name": str(name)}}} if name.isprintable() and name.strip():
            return name.strip()[:96]
    return "unnamed"


def require_parents(parents: Sequence[Parent], base: str) -> None:
    """Raises AdapterError unless adapters can be merged: 2 to 8, each once, all of one base by its SHA-256."""
    if not 2 <= len(parents) <= MAX_PARENTS:
        raise AdapterError(
            "a merge is of several adapters", expected=f"2 to {MAX_PARENTS} releases", found=str(len(parents))
        )
    for parent in parents:
        checked_weight(parent.weight)
        require_base(parent, base)
    _require_distinct(parents)
