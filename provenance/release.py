"""Published releases: an adapter, its training statement and its dataset's records in one folder of the block store.

::

    release.json                        what is in it, in canonical JSON
    terms.json                          what the maker offers; its SHA-256 is on the ledger
    adapter/…, adapter.dsse.json, adapter.sig
    dataset/records.jsonl, dataset/croissant.json, dataset.dsse.json, dataset.sig
    dataset/data/…                      the training pictures, if the maker publishes them
    issuer.pem                          certificates of both signers

The folder's CID is minted with the token, so nothing in it can change afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance import adapter, manifest
from provenance.adapter import AdapterManifest, verify_adapter
from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.errors import AdapterError, FormatError
from provenance.files import read_file
from provenance.home import Home
from provenance.ledger.protocol import Account, Ledger, Token
from provenance.manifest import CHAIN, DatasetManifest, verify_dataset
from provenance.statement import is_digest
from provenance.stores import add_tree
from provenance.stores.protocol import BlockStore
from provenance.trust import TrustStore
from provenance.unixfs import BlockSource, read_path

TYPE = "urn:prov:release:v1"
INDEX, TERMS = "release.json", "terms.json"
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

    def read(self, name: str) -> bytes:
        """The bytes of a file by name; raises FileRefused when it is not there, or what the store raises."""
        return read_path(self.store, self.cid, name, limit=MAX_WEIGHTS)


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
    terms: Mapping[str, Any] | None = None,
) -> Token:
    """Verifies both releases, stores them as one, and mints the adapter's token.

    Registers the home's root certificate to the account first. Publishing the same adapter again with the same
    account returns its token. Raises DatasetError, AdapterError, SignatureError or LedgerRefused.
    """
    dataset = verify_dataset(dataset_release, trust)
    made = verify_adapter(adapter_release, trust)
    if made.dataset_digest != dataset.digest:
        raise AdapterError(
            "the adapter was trained on another dataset",
            expected=f"dataset {made.dataset_digest}",
            found=f"dataset {dataset.digest} ({dataset.name})",
            fix="give the dataset release it was trained on with --dataset",
        )
    known = ledger.token_of_weights(made.weights_digest)
    if known is not None and known.maker == account.address:
        return known
    terms_file = canonical_json(dict(terms or {}))
    cid = add_tree(store, _files(made, dataset, dataset_release, adapter_release, terms_file, include_data))
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
    )


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
        } if kind == TYPE and len(value) == 5 and all(is_digest(d) for d in (weights, dataset, base)):
            return Release(store, cid, included, weights, dataset, base)
        case _:
            raise FormatError(f"{INDEX} does not describe a release", expected=f"{TYPE} with its digests")


def _files(
    made: AdapterManifest,
    dataset: DatasetManifest,
    dataset_release: Path,
    adapter_release: Path,
    terms_file: bytes,
    include_data: bool,
) -> dict[str, bytes | Path]:
    # What was verified is carried as those very bytes, but for pictures, which may not fit in memory: the signed
    # statement has their digests, so a change in between is caught by whoever verifies.
    index: Json = {
        "type": TYPE,
        "data_included": include_data,
        "weights": made.weights_digest,
        "dataset": made.dataset_digest,
        "base": made.base_digest,
    }
    files: dict[str, bytes | Path] = {INDEX: canonical_json(index), TERMS: terms_file}
    for name in (adapter.STATEMENT, adapter.BUNDLE):
        files[name] = read_file(adapter_release / name)
    for name in manifest.FILES:
        files[name] = dataset.read_part(name)
    files |= {adapter.TREE + name: made.read(name) for name in made.files}
    chains = [read_file(adapter_release / CHAIN, limit=1 << 20), read_file(dataset_release / CHAIN, limit=1 << 20)]
    files[CHAIN] = chains[0] if chains[0] == chains[1] else b"".join(chains)
    if include_data:
        files |= {manifest.TREE + r.path: dataset_release / manifest.TREE / r.path for r in dataset.records}
    return files
