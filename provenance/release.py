"""Published releases: an adapter, its training statement and its dataset's records in one folder of the block store.

::

    release.json                        what is in it, in canonical JSON
    terms.json                          what the maker offers; its SHA-256 is on the ledger
    adapter/…, adapter.dsse.json, adapter.sig
    adapter/adapter.safetensors.sealed  in the place of adapter.safetensors, and so for every file that may hold
                                        weights, unless the maker publishes in clear
    dataset/records.jsonl, dataset/croissant.json, dataset.dsse.json, dataset.sig, dataset/screening.json if it has one
    dataset/data/…                      the training pictures, if the maker publishes them
    evaluation.dsse.json, evaluation.pem    figures that somebody signed, where they lay beside the adapter
    issuer.pem                          certificates of both signers

The folder's CID is minted with the token, so nothing in it can change afterwards.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provenance import adapter, manifest
from provenance.adapter import AdapterManifest, verify_adapter
from provenance.adapter_check import require_sound
from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.errors import AdapterError, FormatError, KeyRefused
from provenance.evaluation import (
    ENVELOPE,
    STATEMENT_LIMIT,
    SignedEvaluation,
    carried_evaluation,
    verify_evaluation,
)
from provenance.files import read_file, write_chunks
from provenance.home import Home
from provenance.ledger.accounts import KeystoreAccount
from provenance.ledger.licences import Shares, Terms
from provenance.ledger.protocol import Account, Ledger, Token
from provenance.manifest import CHAIN, DatasetManifest, verify_dataset
from provenance.merged.publishing import require_parent_tokens
from provenance.sealing.cipher import content_key_id, seal
from provenance.sealing.handover import own_content_key
from provenance.sealing.sealed import SUFFIX, SealedFile, SealedFiles, is_to_be_sealed
from provenance.statement import is_digest
from provenance.stores import add_tree
from provenance.stores.protocol import BlockStore
from provenance.trust import TrustStore
from provenance.unixfs import BlockSource, list_directory, read_path, stream_path

TYPE_OPEN, TYPE_SEALED = "urn:prov:release:v1", "urn:prov:release:v2"
INDEX, TERMS, TERMS_TYPE = "release.json", "terms.json", "urn:prov:terms:v2"
MAX_WEIGHTS = 4 * 1024**3


@dataclass(frozen=True)
class Release:
    """A published release in a store; what it says of itself is not verified yet."""

    store: BlockSource
    cid: str
    data_included: bool
    weights: str
    dataset: str
    base: str
    sealed: SealedFiles | None

    def read(self, name: str) -> bytes:
        """The bytes of a file by name; raises FileRefused when it is not there, or what the store raises."""
        return read_path(self.store, self.cid, name, limit=MAX_WEIGHTS)

    def stream(self, name: str) -> Iterator[bytes]:
        """The same in pieces, so that no more than one is in memory."""
        return stream_path(self.store, self.cid, name, limit=2 * MAX_WEIGHTS)

    def evaluation(self, trust: TrustStore, *, weights: str) -> SignedEvaluation | None:
        """The figures that were published with it, verified; None when there are none.

        Raises what ``verify_evaluation`` raises, or what the store raises.
        """
        if ENVELOPE not in list_directory(self.store, self.cid):
            return None

        def read_little(name: str) -> bytes:
            return read_path(self.store, self.cid, name, limit=STATEMENT_LIMIT)

        return verify_evaluation(read_little, trust, weights=weights)


def publish_release(
    adapter_release: Path,
    dataset_release: Path,
    *,
    home: Home,
    ledger: Ledger,
    store: BlockStore,
    account: Account,
    trust: TrustStore,
    include_data: bool = False,
    sealed: bool = True,
    terms: Mapping[str, Any] | None = None,
    shares: Shares = Shares(),
    parents: Sequence[int] = (),
) -> Token:
    """Verifies both releases, stores them as one, and mints the adapter's token.

    Unless ``sealed`` is false, the weights are encrypted before they reach the store, under a key that is first kept in
    the home, wrapped to the account. Registers the home's root certificate to the account before minting. Publishing
    the same adapter again with the same account returns its token. Raises DatasetError, AdapterError, SignatureError,
    KeyRefused or LedgerRefused.
    """
    made = verify_adapter(adapter_release, trust)
    require_sound(made)
    dataset = _dataset(made, dataset_release, trust, include_data)
    if made.dataset_digest != dataset.digest:
        raise AdapterError(
            "the adapter was trained on another dataset",
            expected=f"dataset {made.dataset_digest}",
            found=f"dataset {dataset.digest} ({dataset.name})",
            fix="give the dataset release it was trained on with --dataset",
        )
    require_parent_tokens(made.parents, ledger, parents)
    known = ledger.token_of_weights(made.weights_digest)
    if known is not None and known.maker == account.address:
        return known
    terms_file = canonical_json(dict(terms or {}))
    files = _files(made, dataset, dataset_release, adapter_release, terms_file)
    files |= carried_evaluation(adapter_release, trust, weights=made.weights_digest)
    if include_data:
        files |= {manifest.TREE + r.path: dataset_release / manifest.TREE / r.path for r in dataset.records}
    if sealed:
        content_key = own_content_key(home, ledger.identity, made.weights_digest, _keystore(account))
        with _sealed_files(made, home, content_key, account.address) as (paths, description):
            files |= {adapter.TREE + name: made.read(name) for name in made.files if name not in description.files}
            files |= {adapter.TREE + name + SUFFIX: path for name, path in paths.items()}
            files[INDEX] = _index(made, include_data, description)
            cid = add_tree(store, files)
    else:
        files |= {adapter.TREE + name: made.read(name) for name in made.files}
        files[INDEX] = _index(made, include_data, None)
        cid = add_tree(store, files)
    root = TrustStore().with_pem(home.path / "identity" / "root.pem").roots
    for digest in root - ledger.issuers(account.address):
        ledger.register_issuer(account, digest)
    return ledger.mint(
        account,
        weights=made.weights_digest,
        dataset=made.dataset_digest,
        base=made.base_digest,
        terms=sha256_hex(terms_file),
        cid=str(cid),
        shares=shares,
        parents=parents,
    )


def _dataset(made: AdapterManifest, dataset_release: Path, trust: TrustStore, include_data: bool) -> DatasetManifest:
    """The dataset with its pictures or, where it collects others' datasets, as the adapter's own release carries it."""
    if not made.contributors or made.dataset is None:
        return verify_dataset(dataset_release, trust)
    if include_data:
        raise AdapterError(
            "the pictures of this adapter's parents are not in its release"
            if made.parents
            else "the pictures of this adapter never left those who contributed them",
            expected="a release without them",
            fix="publish without --include-data",
        )
    if made.root is None or dataset_release.resolve() != made.root.resolve():
        raise AdapterError(
            "this adapter was trained by several contributors, whose dataset lies in its own release"
            if not made.parents
            else "this adapter was merged from several, whose datasets are collected in its own release",
            fix=f"publish with --dataset {made.root}",
        )
    made.dataset.issuer.require_trusted("the collective dataset")
    return made.dataset


def terms_document(offered: Terms | None, shares: Shares) -> Json:
    """What the maker states at publication, for ``terms.json``: the first offer and the shares."""
    return {
        "type": TERMS_TYPE,
        "offer": None if offered is None else {**asdict(offered), "price": str(offered.price)},
        "shares": asdict(shares),
    }


def open_release(store: BlockSource, cid: str) -> Release:
    """Opens a published release by its CID; raises FormatError, or what the store raises."""
    value = parse_json(read_path(store, cid, INDEX, limit=1 << 16), INDEX)
    match value:
        case {
            "type": str(kind),
            "data_included": bool(included),
            "weights": str(weights),
            "dataset": str(dataset),
            "base": str(base),
            **rest,
        } if all(is_digest(d) for d in (weights, dataset, base)):
            if kind == TYPE_OPEN and not rest:
                return Release(store, cid, included, weights, dataset, base, None)
            if kind == TYPE_SEALED and set(rest) == {"sealed"}:
                sealed = SealedFiles.of_value(rest["sealed"], INDEX)
                return Release(store, cid, included, weights, dataset, base, sealed)
    raise FormatError(f"{INDEX} does not describe a release", expected=f"{TYPE_OPEN} or {TYPE_SEALED} with its digests")


def _files(
    made: AdapterManifest, dataset: DatasetManifest, dataset_release: Path, adapter_release: Path, terms_file: bytes
) -> dict[str, bytes | Path]:
    # What was verified is carried as those very bytes, but for pictures, which may not fit in memory: the signed
    # statement has their digests, so a change in between is caught by whoever verifies.
    files: dict[str, bytes | Path] = {TERMS: terms_file}
    for name in (adapter.STATEMENT, adapter.BUNDLE):
        files[name] = read_file(adapter_release / name)
    for name in dataset.part_names:
        files[name] = dataset.read_part(name)
    chains = [read_file(adapter_release / CHAIN, limit=1 << 20), read_file(dataset_release / CHAIN, limit=1 << 20)]
    files[CHAIN] = chains[0] if chains[0] == chains[1] else b"".join(chains)
    return files


def _index(made: AdapterManifest, include_data: bool, sealed: SealedFiles | None) -> bytes:
    index: Json = {
        "type": TYPE_OPEN,
        "data_included": include_data,
        "weights": made.weights_digest,
        "dataset": made.dataset_digest,
        "base": made.base_digest,
    }
    if sealed is not None:
        index |= {"type": TYPE_SEALED, "sealed": sealed.to_json()}
    return canonical_json(index)


@contextmanager
def _sealed_files(
    made: AdapterManifest, home: Home, content_key: bytes, maker: str
) -> Iterator[tuple[dict[str, Path], SealedFiles]]:
    # On disk there are only sealed files; the adapter's own folder is the maker's, and private.
    with tempfile.TemporaryDirectory(prefix=".sealing-", dir=home.path) as scratch:
        paths: dict[str, Path] = {}
        sealed: dict[str, SealedFile] = {}
        for number, name in enumerate(filter(is_to_be_sealed, made.files)):
            paths[name] = Path(scratch) / str(number)
            data = made.read(name)
            pieces = seal(io.BytesIO(data), len(data), content_key, plaintext=made.files[name], maker=maker)
            sealed[name] = _write_noting(paths[name], pieces)
        yield paths, SealedFiles(content_key_id(content_key), maker, sealed)


def _write_noting(path: Path, pieces: Iterator[bytes]) -> SealedFile:
    digest = hashlib.sha256()

    def noting() -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            yield piece

    write_chunks(path, noting(), mode=0o600)
    return SealedFile(digest.hexdigest(), path.stat().st_size)


def _keystore(account: Account) -> KeystoreAccount:
    if not isinstance(account, KeystoreAccount):
        raise KeyRefused(
            "sealed weights need an account whose key can open them again",
            expected="an account of this home's keystore",
            fix="publish with such an account, or in clear with --open",
        )
    return account
