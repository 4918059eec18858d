"""Making signed releases: built beside their place and moved there whole, so that half a release never exists."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import UsageError
from provenance.identity import Issuer
from provenance.manifest import CHAIN
from provenance.oms import sign_folder, verify_bundle
from provenance.statement import Statement
from provenance.trust import TrustStore, verify_chain

PUBLIC_KEY = "issuer.pub.pem"


def sign_tree(
    release: Path, tree: str, statement_file: str, bundle_file: str, statement: Statement, issuer: Issuer
) -> Envelope:
    """Writes a release's statement, bundle and certificates; the bundle must sign what the statement does."""
    envelope = Envelope.sign(statement.to_bytes(), IN_TOTO, issuer)
    bundle = sign_folder(release / tree, issuer)
    signer = verify_chain(issuer.certificates_pem, TrustStore())
    verify_bundle(bundle, signer.public_key, statement.subjects, bundle_file)
    for name, data in {
        statement_file: envelope.to_json(),
        bundle_file: bundle,
        CHAIN: issuer.certificates_pem,
        PUBLIC_KEY: issuer.public_key_pem,
    }.items():
        (release / name).write_bytes(data)
    return envelope


@contextmanager
def staged(release: Path) -> Iterator[Path]:
    """A folder beside ``release`` that becomes it when all went well, and vanishes otherwise."""
    if os.path.lexists(release):
        raise UsageError(f"{release} is already there", expected="a new folder", fix="give another --out, or move it")
    release.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{release.name}.", dir=release.parent))
    try:
        staging.chmod(0o755)
        yield staging
        staging.rename(release)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
