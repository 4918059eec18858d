"""The figures that were published with an adapter, for `prov model show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provenance.canonical import Json
    from provenance.ledger.protocol import LedgerReader, Token

PAIR = ("before", "after")


def published_figures(reader: LedgerReader, token: Token) -> tuple[Json | None, list[str]]:
    """The verified claim of a token's release with who signed it, None when there is none, and lines about it.

    A release that cannot be read, or figures that do not verify, are told in a line: what the ledger says stays true.
    """
    from provenance.errors import ProvenanceError
    from provenance.evaluation import require_about
    from provenance.home import Home
    from provenance.release import open_release
    from provenance.stores import open_store
    from provenance.trust import home_and_files

    try:
        trust = home_and_files([]).with_roots(reader.issuers(token.maker, token.minted_at))
        signed = open_release(open_store(Home.open()), token.cid).evaluation(trust, weights=token.weights)
        if signed is not None:
            require_about(signed, dataset=token.dataset, base=token.base)
    except ProvenanceError as error:
        return {"refused": error.what}, [f"figures   not shown: {error.what}"]
    if signed is None:
        return None, []
    claim = signed.evaluation.value
    before, after = ({name: claim[name][which] for name in ("fid", "kid", "cmmd", "clip_score")} for which in PAIR)
    lines = [
        f"figures   {name:<10} FID {of['fid']:.4g}, KID {of['kid']['mean']:.4g}, CMMD {of['cmmd']['mean']:.4g},"
        f" CLIP score {of['clip_score']['mean']:.2f}"
        for name, of in (("base alone", before), ("adapter", after))
    ]
    lines.append(
        f"          by {signed.issuer.name}, features {claim['features']['name']}, {claim['compared']} pictures"
    )
    return {"claim": claim, "issuer": signed.issuer.name, "report": signed.report, "statement": signed.digest}, lines
