"""`prov init`: identity, keys, embedded chain and store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import emit, passphrase, refusals


def command(
    home: Annotated[Path | None, typer.Option(help="Folder of the home; PROV_HOME or ~/.prov when not given.")] = None,
    name: Annotated[str, typer.Option(help="Your name or organisation, as it will stand in every signature.")] = (
        "prov maker"
    ),
    account: Annotated[str | None, typer.Option("--as", envvar="PROV_ACCOUNT", help="Account name (maker).")] = None,
    renew: Annotated[bool, typer.Option(help="Replace the signing key and certificate, under the same root.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make an identity, an account and an embedded chain; what is there already is kept.

    Example: prov init --name "Ada Example"

    A passphrase for the keys is taken from PROV_PASSPHRASE; on the embedded chain it may be left out.
    """
    with refusals():
        from provenance.home import Home
        from provenance.setup import set_up

        made = set_up(home or Home.default_path(), name=name, account=account, renew=renew, passphrase=passphrase())
        root = made.home.path / "identity" / "root.pem"
        emit(
            {
                "home": str(made.home.path),
                "issuer": {
                    "name": made.issuer.name,
                    "key_id": made.issuer.key_id,
                    "root_digest": made.issuer.root_digest,
                    "root": str(root),
                },
                "account": {"name": made.account, "address": made.address},
                "chain": {"kind": made.home.chain.kind, "chain_id": made.chain_id, "contract": made.contract},
                "store": {"kind": made.home.store.kind},
            },
            f"home      {made.home.path}\n"
            f'issuer    "{made.issuer.name}", key {made.issuer.key_id[:16]}…\n'
            f"root      {made.issuer.root_digest}  ({root}: give this to those who should trust you)\n"
            f"account   {made.account}  {made.address}\n"
            f"chain     {made.home.chain.kind}, id {made.chain_id}, contract {made.contract}",
            as_json=as_json,
        )
