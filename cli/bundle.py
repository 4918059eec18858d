"""`prov bundle`: one file with everything that is needed to verify a picture offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import emit, note, passphrase, refusals


def command(
    image: Annotated[Path, typer.Argument(help="A picture that verifies.")],
    out: Annotated[Path | None, typer.Option(help="The bundle; IMAGE with .prov.car when not given.")] = None,
    with_data: Annotated[bool, typer.Option("--with-data", help="Carry published training pictures too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write a picture's record, proof, releases and ledger history into one file that verifies offline.

    Example: prov bundle images/prov-1-0.png
    """
    with refusals():
        from provenance.bundle import make_bundle
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.ledger import open_reader
        from provenance.stores import open_store
        from provenance.trust import TrustStore

        home = Home.open()
        target = out or image.with_suffix(".prov.car")
        issuer = load_issuer(home, passphrase())
        size = make_bundle(
            image,
            target,
            reader=open_reader(home),
            store=open_store(home),
            trust=TrustStore.of_home(home),
            issuer=issuer,
            with_data=with_data,
        )
        emit(
            {"bundle": str(target), "bytes": size, "root": issuer.root_digest},
            f"{target}  {size} bytes",
            as_json=as_json,
        )
        root = home.path / "identity" / "root.pem"
        note(f"whoever verifies with it must trust root {issuer.root_digest}")
        note(f"next: prov verify {image} --bundle {target} --trust {root}")
