"""What is audited: an adapter of a release folder or of a token, or a base alone, verified down to its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from generation.adapters import Adapter
from generation.errors import GenerationError
from generation.licence import require_licence
from generation.request import GenerationRequest
from generation.subject import open_subject
from provenance.adapter import STATEMENT, verify_adapter
from provenance.base import BaseModel, resolve_base
from provenance.canonical import Json
from provenance.home import Home
from provenance.ledger import open_reader
from provenance.ledger.accounts import account_address
from provenance.trust import TrustStore


@dataclass(frozen=True)
class AuditedModel:
    """A base, and the very bytes of an adapter that were verified; without one, the base alone is audited.

    ``dataset`` is the digest of the dataset that the adapter's attestation says it was trained on.
    """

    name: str
    base: BaseModel
    adapter: Adapter | None = None
    weights: str | None = None
    dataset: str | None = None

    @property
    def alone(self) -> AuditedModel:
        """The base without the adapter."""
        return AuditedModel(self.base.id, self.base)

    def to_json(self) -> Json:
        """What a report says of it."""
        return {
            "name": self.name,
            "base": {"id": self.base.id, "digest": self.base.digest},
            "weights": self.weights,
            "dataset": self.dataset,
        }


def open_model(
    model: str,
    home: Home,
    trust: TrustStore,
    *,
    base: str | None = None,
    account: str | None = None,
    passphrase: str | None = None,
) -> AuditedModel:
    """Finds and verifies a model: the folder of an adapter release, a token number, or a base.

    An adapter that is not published yet can be audited; one that is only known as a token needs a licence, as drawing
    with it does. Raises AdapterError, GenerationError, BaseRefused or what the ledger raises.
    """
    if model.isdecimal():
        return _of_token(model, home, base, account, passphrase)
    release = Path(model)
    if not (release / STATEMENT).exists():
        return _of_base(model, base)
    manifest = verify_adapter(release, trust)
    found = resolve_base(base or manifest.base_id)
    if found.digest != manifest.base_digest:
        raise GenerationError(
            "the adapter was trained on another base",
            expected=f"base {manifest.base_digest} ({manifest.base_id})",
            found=f"base {found.digest} ({found.id})",
            fix="name the base it was trained on with --base",
        )
    return AuditedModel(
        release.resolve().name, found, Adapter.of(manifest), manifest.weights_digest, manifest.dataset_digest
    )


def _of_base(model: str, base: str | None) -> AuditedModel:
    if base is not None:
        raise GenerationError(
            f"{model} is not an adapter release, so --base has no meaning",
            expected="a folder that `prov train` made, a token number, or a base alone",
            fix="leave --base out",
        )
    found = resolve_base(model)
    return AuditedModel(found.id, found)


def _of_token(model: str, home: Home, base: str | None, account: str | None, passphrase: str | None) -> AuditedModel:
    reader = open_reader(home)
    try:
        subject = open_subject(GenerationRequest(("audit",), model=model, base=base), home, reader)
        require_licence(reader, subject, account_address(home, account))
        opened = subject.unsealed(home, reader, account, passphrase)
    finally:
        reader.close()
    return AuditedModel(f"token {opened.token}", opened.base, opened.adapter, opened.weights, opened.dataset)
