"""`prov audit show`: the audits that an adapter's attestation carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.audit_options import JsonOption, TrustOption
from cli.console import emit, refusals

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest
    from provenance.trust import TrustStore


def command(
    model: str = typer.Argument(help="An adapter release, or a token number."),
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify an adapter's attestation and show the audits in it; their reports are named by digest.

    Example: prov audit show rockets
    """
    with refusals():
        from provenance.adapter import verify_adapter
        from provenance.byproducts import byproducts
        from provenance.trust import home_and_files

        believed = home_and_files(trust or [])
        made = _of_token(int(model), believed) if model.isdecimal() else verify_adapter(Path(model), believed)
        found = byproducts(made.predicate, "audit/")
        text = "\n".join(line for entry in found for line in _lines(entry)) or "no audit is attached"
        emit(
            {"statement": made.digest, "weights": made.weights_digest, "issuer": made.issuer.name, "audits": found},
            f"weights   {made.weights_digest}\nissuer    {made.issuer.name}\n{text}",
            as_json=as_json,
        )


def _of_token(number: int, trust: TrustStore) -> AdapterManifest:
    from provenance.adapter import verify_adapter_files
    from provenance.home import Home
    from provenance.ledger import open_reader
    from provenance.release import open_release
    from provenance.stores import open_store

    home = Home.open()
    reader = open_reader(home)
    try:
        token = reader.token(number)
        roots = reader.issuers(token.maker, token.minted_at)
    finally:
        reader.close()
    release = open_release(open_store(home), token.cid)
    return verify_adapter_files(release.read, trust.with_roots(roots), sealed=release.sealed)


def _lines(entry: dict[str, Any]) -> list[str]:
    told = entry.get("annotations", {})
    lines = [f"{entry['name']}  report sha256 {entry['digest']['sha256']}"]
    if entry["name"] == "audit/memorisation":
        lines.append(f"  memorised: {'yes' if told.get('memorised') else 'no'}")
        for name, space in told.get("spaces", {}).items():
            lines.append(f"  {name}: {space['copied']} of {space['samples']} samples are copies")
    for name, of in told.get("attributes", {}).items():
        lines.append(f"  {name}: {of['unbalanced']} of {of['of_shares']} shares unbalanced")
    return lines
