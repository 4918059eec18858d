"""What draws: a base alone, or a base with the adapter of a token, verified down to its bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from generation.adapters import Adapter
from generation.errors import GenerationError
from generation.request import GenerationRequest
from provenance.adapter import AdapterManifest, verify_adapter, verify_adapter_files
from provenance.base import STARTER, BaseModel, resolve_base
from provenance.home import Home
from provenance.ledger.protocol import LedgerReader, Token
from provenance.release import Release
from provenance.trigger import EMBEDDINGS
from provenance.trust import TrustStore


@dataclass(frozen=True)
class Subject:
    """The token (0 for a base alone), its digests, the base, and the adapter's very bytes that were verified.

    ``sealed`` is the release whose weights are still encrypted, and with them the vectors of a trigger, of which
    ``vectors`` is the SHA-256; ``unsealed`` opens both.
    """

    token: int
    weights: str | None
    dataset: str | None
    base: BaseModel
    adapter: Adapter | None
    sealed: Release | None = None
    vectors: str | None = None

    def unsealed(self, home: Home, reader: LedgerReader, account: str | None, passphrase: str | None) -> Subject:
        """The same with its weights in clear, in memory only; raises KeyRefused or SealRefused.

        Only an account with a licence at a finalised block gets that far. Nothing is asked when nothing is sealed.
        """
        if self.sealed is None:
            return self
        from provenance.ledger.accounts import load_keystore
        from provenance.sealing.weights import unseal_vectors, unseal_weights

        token, holder = reader.token(self.token), load_keystore(home, account, passphrase)
        vectors: bytes | None = None
        weights = unseal_weights(self.sealed, token, home=home, reader=reader, account=holder)
        if self.vectors is not None:
            vectors = unseal_vectors(self.sealed, token, self.vectors, home=home, reader=reader, account=holder)
        return replace(self, adapter=Adapter(weights, vectors), sealed=None, vectors=None)


def open_subject(request: GenerationRequest, home: Home, reader: LedgerReader) -> Subject:
    """Finds and verifies what a request draws with; raises GenerationError, AdapterError or what the ledger raises."""
    if request.model is None:
        return Subject(0, None, None, resolve_base(request.base or STARTER), None)
    release: Release | None = None
    if request.model.isdecimal():
        token = reader.token(int(request.model))
        manifest, release = _published(token, home, reader)
    else:
        manifest = verify_adapter(Path(request.model), TrustStore.of_home(home))
        token = _token_of(manifest, reader)
    if (manifest.weights_digest, manifest.dataset_digest, manifest.base_digest) != (
        token.weights,
        token.dataset,
        token.base,
    ):
        raise GenerationError(
            f"the adapter is not the one minted as token {token.token}",
            expected=f"weights {token.weights}, dataset {token.dataset}, base {token.base}",
            found=f"weights {manifest.weights_digest}, dataset {manifest.dataset_digest}, base {manifest.base_digest}",
        )
    base = resolve_base(request.base or manifest.base_id)
    if base.digest != manifest.base_digest:
        raise GenerationError(
            "the adapter was trained on another base",
            expected=f"base {manifest.base_digest} ({manifest.base_id})",
            found=f"base {base.digest} ({base.id})",
            fix="name the base it was trained on with --base",
        )
    opened = Subject(token.token, token.weights, token.dataset, base, None)
    if manifest.sealed is not None:
        return replace(opened, sealed=release, vectors=manifest.files.get(EMBEDDINGS))
    return replace(opened, adapter=Adapter.of(manifest))


def _token_of(manifest: AdapterManifest, reader: LedgerReader) -> Token:
    token = reader.token_of_weights(manifest.weights_digest)
    if token is None:
        raise GenerationError(
            "this adapter is not published, so pictures made with it could not be verified",
            fix=f"prov model publish {manifest.root} --dataset DATASET",
        )
    return token


def _published(token: Token, home: Home, reader: LedgerReader) -> tuple[AdapterManifest, Release]:
    from provenance.release import open_release
    from provenance.stores import open_store

    trust = TrustStore.of_home(home).with_roots(reader.issuers(token.maker, token.minted_at))
    release = open_release(open_store(home), token.cid)
    return verify_adapter_files(release.read, trust, sealed=release.sealed), release
