"""Adapter releases: weights, with a signed statement of the dataset, base and code they were made from.

::

    RELEASE/adapter/adapter.safetensors   the weights, and beside them the settings and samples of the run
    RELEASE/adapter.dsse.json             in-toto statement over every file in adapter/, predicate SLSA provenance v1
    RELEASE/adapter.sig                   model signing bundle over the folder
    RELEASE/issuer.pem, issuer.pub.pem    the signer's certificate and root, and its public key
    RELEASE/dataset.dsse.json, dataset.sig, dataset/{records.jsonl,croissant.json}   the dataset's, without pictures,
                                          and dataset/screening.json where its maker signed one

When the dataset has another issuer, its certificates follow the adapter's in ``issuer.pem``. An adapter that several
parties trained together also keeps what each of them signed: see ``provenance.federated.contributions``; one that was
merged from others what those were: see ``provenance.merged.parents``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from provenance import manifest
from provenance.canonical import Json, sha256_hex
from provenance.errors import AdapterError, FormatError
from provenance.faults import Faults
from provenance.federated.collective import require_union
from provenance.federated.contributions import verify_contributors
from provenance.files import read_file, write_file
from provenance.folders import compare_listing, list_files
from provenance.identity import Issuer
from provenance.manifest import CHAIN, DatasetManifest, read_statement, verify_dataset_files
from provenance.merged.parents import Parent, sources, verify_parents
from provenance.oms import verify_bundle
from provenance.sealing.sealed import SUFFIX, SealedFiles
from provenance.signing import sign_tree
from provenance.statement import Statement
from provenance.tensors import read_header
from provenance.training_statement import PREDICATE_TYPE as PREDICATE_TYPE
from provenance.training_statement import STATEMENT as STATEMENT
from provenance.training_statement import WEIGHTS as WEIGHTS
from provenance.training_statement import dependency, finished
from provenance.trust import TrustStore, VerifiedIssuer

TREE = "adapter/"
BUNDLE = "adapter.sig"
CHANGED = "get the release again from whoever signed it"

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class AdapterManifest:
    """A verified adapter: what it is (``weights_digest``), and what it was made from; digests are SHA-256 in hex.

    ``digest`` names the statement, ``files`` maps each file below ``adapter/`` to its SHA-256, ``dataset`` is the
    dataset's own statement where the release carries it, and ``root`` is None when read from a block store. ``sealed``
    names the files that were published encrypted: their digests are known from the statement alone. ``contributors``
    are the datasets, each signed by its own issuer, that ``dataset`` collects where several parties trained together or
    adapters were merged; ``parents`` are those adapters.
    """

    digest: str
    weights_digest: str
    dataset_digest: str
    base_digest: str
    base_id: str
    issuer: VerifiedIssuer
    predicate: Json
    files: dict[str, str]
    root: Path | None
    dataset: DatasetManifest | None
    sealed: SealedFiles | None
    _read: Read = field(repr=False, compare=False)
    contributors: tuple[DatasetManifest, ...] = ()
    parents: tuple[Parent, ...] = ()

    def read(self, name: str) -> bytes:
        """The bytes of a file below ``adapter/``, opened once and equal to what was signed; raises AdapterError."""
        if name not in self.files:
            raise AdapterError(f"{name} is not part of the adapter", expected=", ".join(sorted(self.files)))
        if self.sealed is not None and name in self.sealed.files:
            raise AdapterError(f"{name} is published sealed", expected="a licensee, who opens it with its key")
        return _signed(self._read, name, self.files[name])


def sign_adapter(
    release: Path, *, issuer: Issuer, predicate: Json, dataset: DatasetManifest | None = None
) -> AdapterManifest:
    """Signs the files in ``RELEASE/adapter/``; with ``dataset``, its statement and records go into the release too.

    ``predicate`` is SLSA provenance v1 whose resolvedDependencies ``dataset``, ``base`` (with its id as ``uri``) and
    ``code`` have SHA-256 digests. Raises AdapterError or FormatError.
    """
    faults = Faults()
    names = list_files(release / TREE, faults)
    faults.refuse(AdapterError, f"{release / TREE} cannot be signed")
    subjects = {name: sha256_hex(read_file(release / TREE / name)) for name in names}
    statement = Statement(subjects, PREDICATE_TYPE, predicate)
    _check_weights(subjects, lambda name: read_file(release / name))
    if dataset is not None and dependency(predicate, "dataset")["digest"]["sha256"] != dataset.digest:
        raise AdapterError("the training statement names another dataset", expected=dataset.digest)
    sign_tree(release, TREE, STATEMENT, BUNDLE, statement, issuer)
    if dataset is not None:
        _carry_dataset(release, issuer, dataset)
    return verify_adapter(release, TrustStore(frozenset({issuer.root_digest})))


def verify_adapter(release: Path, trust: TrustStore, *, require_trusted: bool = True) -> AdapterManifest:
    """Verifies a release folder: signatures, every file, nothing added or taken away, and the dataset it carries.

    Raises a ProvenanceError naming the file. The dataset's issuer need not be trusted here: see ``dataset.issuer``.
    """
    if not (release / STATEMENT).exists():
        raise AdapterError(
            f"{release} is not a signed adapter",
            expected=f"{STATEMENT} beside a folder adapter/",
            fix="give the folder that `prov train` made",
        )
    faults = Faults()
    present = frozenset(list_files(release / TREE, faults)) if (release / TREE).is_dir() else frozenset()
    faults.refuse(AdapterError, f"{release} has files that are not safe to read", fix=CHANGED)

    def read(name: str) -> bytes:
        return read_file(release / name)

    dataset = None
    if (release / manifest.STATEMENT).exists():
        dataset = verify_dataset_files(read, trust, with_data=False, require_trusted=False)
    return _verify(read, trust, release, present, dataset, None, require_trusted)


def verify_adapter_files(
    read: Read,
    trust: TrustStore,
    *,
    dataset: DatasetManifest | None = None,
    sealed: SealedFiles | None = None,
    require_trusted: bool = True,
) -> AdapterManifest:
    """Verifies a release through ``read(name)``, names as in a release folder; ``dataset`` must be the one trained on.

    With ``sealed``, the weights are there only as ``adapter/adapter.safetensors.sealed``: every other file is verified
    as ever, and a sealed one must be the file described and say that it holds what the statement names. Raises a
    ProvenanceError, or whatever ``read`` raises for a file it cannot get.
    """
    return _verify(read, trust, None, None, dataset, sealed, require_trusted)


def _verify(
    read: Read,
    trust: TrustStore,
    root: Path | None,
    present: frozenset[str] | None,
    dataset: DatasetManifest | None,
    sealed: SealedFiles | None,
    require_trusted: bool,
) -> AdapterManifest:
    envelope, statement, issuer = read_statement(read, STATEMENT, PREDICATE_TYPE, trust)
    if require_trusted:
        issuer.require_trusted(STATEMENT)
    issuer.require_valid_at(finished(statement.predicate), STATEMENT)
    verify_bundle(read(BUNDLE), issuer.public_key, statement.subjects, BUNDLE)
    faults = Faults()
    if present is not None:
        compare_listing(statement.subjects, present, faults)
        faults.refuse(AdapterError, "the adapter is not what was signed", fix=CHANGED)
    encrypted = sealed.files if sealed is not None else {}
    for name, digest in statement.subjects.items():
        if name != WEIGHTS and name not in encrypted:
            _signed(read, name, digest)
    if sealed is None:
        _check_weights(statement.subjects, read)
    else:
        _check_sealed(sealed, statement.subjects, read)
    base = dependency(statement.predicate, "base")
    used = dependency(statement.predicate, "dataset")["digest"]["sha256"]
    if dataset is not None and dataset.digest != used:
        raise AdapterError(
            "the release carries another dataset than it was trained on", expected=used, found=dataset.digest
        )
    contributors, parents = _origins(statement, read, encrypted, trust, issuer)
    if dataset is not None and contributors:
        require_union(dataset, contributors)
    if not isinstance(base.get("uri"), str) or not base["uri"].isprintable():
        raise FormatError(f"{STATEMENT} does not name its base model", expected='a "uri"')
    return AdapterManifest(
        digest=envelope.digest,
        weights_digest=statement.subjects[WEIGHTS],
        dataset_digest=used,
        base_digest=base["digest"]["sha256"],
        base_id=base["uri"],
        issuer=issuer,
        predicate=statement.predicate,
        files=statement.subjects,
        root=root,
        dataset=dataset,
        sealed=sealed,
        _read=read,
        contributors=contributors,
        parents=parents,
    )


def _origins(
    statement: Statement, read: Read, encrypted: Collection[str], trust: TrustStore, issuer: VerifiedIssuer
) -> tuple[tuple[DatasetManifest, ...], tuple[Parent, ...]]:
    """The datasets of contributors or of parents, and the parents."""

    def signed(name: str) -> bytes:
        if name in encrypted:
            raise AdapterError(f"{name} is sealed", expected="what others signed, for anyone to read")
        return _signed(read, name, statement.subjects[name])

    contributors = verify_contributors(statement.predicate, statement.subjects, signed, trust, issuer)
    parents = verify_parents(statement.predicate, statement.subjects, signed, trust)
    if contributors and parents:
        raise AdapterError("the adapter says both that it was merged and that several parties trained it")
    return contributors or sources(parents), parents


def _check_weights(subjects: dict[str, str], read: Read) -> None:
    read_header(_signed(read, WEIGHTS, _weights_digest(subjects)), WEIGHTS)


def _check_sealed(sealed: SealedFiles, subjects: dict[str, str], read: Read) -> None:
    _weights_digest(subjects)
    if WEIGHTS not in sealed.files or not sealed.files.keys() <= subjects.keys():
        raise AdapterError(
            "the release seals other files than its weights and what was signed beside them",
            expected=f"{WEIGHTS}, and names out of the statement",
            found=", ".join(sorted(sealed.files)[:20]),
        )
    for name in sealed.files:
        sealed.check(name, read(TREE + name + SUFFIX), subjects[name])


def _weights_digest(subjects: dict[str, str]) -> str:
    if WEIGHTS not in subjects:
        raise AdapterError("the adapter has no weights", expected=WEIGHTS, found=", ".join(sorted(subjects)[:20]))
    return subjects[WEIGHTS]


def _signed(read: Read, name: str, digest: str) -> bytes:
    data = read(TREE + name)
    found = sha256_hex(data)
    if found != digest:
        raise AdapterError(f"{name} was changed after signing", expected=f"SHA-256 {digest}", found=found, fix=CHANGED)
    return data


def _carry_dataset(release: Path, issuer: Issuer, dataset: DatasetManifest) -> None:
    for name in dataset.part_names:
        write_file(release / name, dataset.read_part(name))
    if dataset.issuer.key_id != issuer.key_id:
        write_file(release / CHAIN, issuer.certificates_pem + dataset.read_part(CHAIN))
