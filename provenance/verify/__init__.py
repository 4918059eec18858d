"""One picture in, one verdict out: every layer of its history is read, checked, and compared with the others.

Light on purpose: no model, no EVM and no web3 is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from provenance.verify.report import Layer, Report, Status, Verdict

if TYPE_CHECKING:
    from provenance.ledger.protocol import LedgerReader
    from provenance.trust import TrustStore
    from provenance.unixfs import BlockSource

__all__ = ["Layer", "Report", "Status", "Verdict", "verify_image"]


def verify_image(
    path: Path,
    *,
    trust: TrustStore,
    reader: LedgerReader | None = None,
    store: BlockSource | None = None,
    bundle: Path | None = None,
) -> Report:
    """Verifies one picture against a ledger and a block store, or against a bundle alone.

    With neither, only what needs no ledger is decided. Raises FileRefused or ImageRefused for what is not a picture,
    Unavailable when a needed answer cannot be had, and FormatError or SignatureError for a bundle that is not whole.
    """
    from provenance.verify.evidence import HomeEvidence, NoEvidence
    from provenance.verify.verifier import verify_with

    if bundle is not None:
        from provenance.bundle import open_bundle

        return verify_with(path, open_bundle(bundle, trust), trust)
    if reader is None or store is None:
        return verify_with(path, NoEvidence(), trust)
    return verify_with(path, HomeEvidence(reader, store), trust)
