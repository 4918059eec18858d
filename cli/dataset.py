"""`prov dataset`: sign a folder of licensed pictures, and verify a signed one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import emit, note, passphrase, progress, refusals

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest

app = typer.Typer(help="Sign and verify datasets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("sign")
def sign(
    folder: Annotated[Path, typer.Argument(help="Pictures with captions, in NAME.txt or metadata.jsonl.")],
    out: Annotated[Path | None, typer.Option(help="New folder for the release; FOLDER-signed when not given.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", "--licence", help="SPDX licence of pictures that name none.")
    ] = None,
    holder: Annotated[str | None, typer.Option(help="Rights holder of pictures that name none.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; the folder's when not given.")] = None,
    consent: Annotated[
        str | None, typer.Option(help="Why they may be used: own-work, licence, contract, consent, public-domain.")
    ] = None,
    consent_uri: Annotated[str | None, typer.Option(help="Where that is written down.")] = None,
    training: Annotated[str, typer.Option(help="Training choice: allowed, notAllowed or constrained.")] = "allowed",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Record the rights of every picture and sign them all as a release that other tools can check.

    Example: prov dataset sign pictures --license CC-BY-4.0 --holder "Ada Example" --out release
    """
    with refusals():
        from provenance.dataset import sign_dataset
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.records import consent_of, training_choice

        if consent is None and consent_uri is not None:
            raise UsageError("--consent-uri needs --consent", fix="say on what basis the pictures may be used")
        release = out or folder.resolve().with_name(f"{folder.resolve().name}-signed")
        manifest = sign_dataset(
            folder,
            release,
            issuer=load_issuer(Home.open(), passphrase()),
            licence=licence,
            holder=holder,
            name=name,
            consent=None if consent is None else consent_of({"basis": consent, "uri": consent_uri}),
            training_mining=training_choice(training),
            progress=progress("signing"),
        )
        emit(_facts(manifest), f"{_text(manifest)}\nrelease   {release}", as_json=as_json)
        note(f"next: prov train {release} --name NAME")


@app.command("verify")
def verify(
    release: Annotated[Path, typer.Argument(help="A release that `prov dataset sign` made.")],
    trust: Annotated[
        list[Path] | None, typer.Option(help="PEM file with a root to trust beside your own; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check every signature and every byte of a dataset, and that nothing was added or taken away.

    Example: prov dataset verify release --trust issuer.pem
    """
    with refusals():
        from provenance.dataset import verify_dataset
        from provenance.trust import home_and_files

        manifest = verify_dataset(release, home_and_files(trust or []), progress=progress("verifying"))
        emit(_facts(manifest), f"intact    {_text(manifest)}", as_json=as_json)


def _facts(manifest: DatasetManifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "created": manifest.created,
        "pictures": len(manifest.records),
        "bytes": sum(record.size for record in manifest.records),
        "licences": list(manifest.licences),
        "issuer": {"name": manifest.issuer.name, "root_digest": manifest.issuer.root_digest},
        "root": str(manifest.root),
    }


def _text(manifest: DatasetManifest) -> str:
    size = sum(record.size for record in manifest.records) / 1e6
    return (
        f"{manifest.name}: {len(manifest.records)} pictures, {size:.1f} MB, {', '.join(manifest.licences)}\n"
        f'signed    by "{manifest.issuer.name}" on {manifest.created}\n'
        f"digest    {manifest.digest}"
    )
