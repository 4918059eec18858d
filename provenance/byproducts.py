"""Adding to what an adapter's attestation says came of its training, such as an audit, and signing it again.

The files of the release stay, and so do its weights' digest and ``adapter.sig``; only the statement is another, and is
replaced in one rename. The statement before is named in what is added, so that the history of additions can be followed
back. A published release cannot be changed: its CID is on the ledger.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from provenance.adapter import PREDICATE_TYPE, STATEMENT, AdapterManifest, verify_adapter
from provenance.canonical import Json
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import AdapterError, FormatError, LedgerUnavailable
from provenance.files import write_file
from provenance.home import Home
from provenance.identity import Issuer
from provenance.ledger import open_reader
from provenance.statement import Statement, is_digest
from provenance.trust import TrustStore

PREVIOUS = "previous_statement"


def add_byproduct(release: Path, byproduct: Json, *, weights: str, issuer: Issuer, home: Home) -> AdapterManifest:
    """Verifies a release, adds one byproduct (name, digest, annotations) to its statement, and signs that anew.

    ``weights`` is the digest of the weights it is about. Raises AdapterError when the release has others, another
    signer, this byproduct already, or was published; whatever ``verify_adapter`` raises; and LedgerUnavailable when the
    ledger cannot say whether it was published.
    """
    own = TrustStore(frozenset({issuer.root_digest}))
    made = verify_adapter(release, own)
    if made.issuer.key_id != issuer.key_id:
        raise AdapterError(
            "only the key that signed an adapter can add to its statement",
            expected=f"key {made.issuer.key_id}",
            found=f"key {issuer.key_id}, which this home signs with now",
            fix="sign with the home that trained it; after `prov init --renew` its older adapters stay as they are",
        )
    if made.weights_digest != weights:
        raise AdapterError("this is about another adapter", expected=f"weights {made.weights_digest}", found=weights)
    require_unpublished(made, home)
    predicate = _with_byproduct(made.predicate, byproduct, made.digest)
    envelope = Envelope.sign(Statement(made.files, PREDICATE_TYPE, predicate).to_bytes(), IN_TOTO, issuer)
    write_file(release / STATEMENT, envelope.to_json())
    return verify_adapter(release, own)


def require_unpublished(made: AdapterManifest, home: Home) -> None:
    """Raises AdapterError when the home's ledger has a token of these weights; LedgerUnavailable when it cannot say."""
    try:
        reader = open_reader(home)
    except LedgerUnavailable:
        if _has_no_chain(home):
            return
        raise
    try:
        token = reader.token_of_weights(made.weights_digest)
    finally:
        reader.close()
    if token is not None:
        raise AdapterError(
            f"this adapter is published as token {token.token}, whose release on record cannot change any more",
            expected="an adapter that is not published yet",
            found=f"release {token.cid}",
            fix="audit before `prov model publish`; the report itself can be signed and handed on as a file",
        )


def byproducts(predicate: Json, prefix: str) -> list[Json]:
    """The byproducts of an attestation whose names begin with a prefix, in the order they were added."""
    listed = _listed(predicate)
    return [entry for entry in listed if isinstance(entry, dict) and str(entry.get("name", "")).startswith(prefix)]


def _with_byproduct(predicate: Json, byproduct: Json, previous: str) -> Json:
    name, digest = byproduct.get("name"), (byproduct.get("digest") or {}).get("sha256")
    if not isinstance(name, str) or not is_digest(digest):
        raise FormatError("this is not a byproduct", expected="a name, and a digest by SHA-256")
    changed = copy.deepcopy(predicate)
    listed = _listed(changed)
    if any(isinstance(entry, dict) and entry.get("digest") == byproduct["digest"] for entry in listed):
        raise AdapterError(f"the statement names this {name} already", found=f"sha256 {digest}")
    listed.append({**byproduct, "annotations": {**byproduct.get("annotations", {}), PREVIOUS: previous}})
    return changed


def _listed(predicate: Json) -> list[Any]:
    match predicate:
        case {"runDetails": {"byproducts": [*_]}}:
            listed: list[Any] = predicate["runDetails"]["byproducts"]
            return listed
    raise FormatError(f"{STATEMENT} does not list what came of the training", expected="runDetails.byproducts")


def _has_no_chain(home: Home) -> bool:
    from provenance.ledger.chain_file import chain_path

    return home.chain.kind == "embedded" and not chain_path(home).exists()
