"""`prov dataset`: caption and screen a folder of pictures, sign it with the rights in it, and verify a signed one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import emit, note, passphrase, progress, refusals
from cli.screening import read_report, screening_choice, screening_facts, screening_line, screening_text

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest
    from provenance.screening.subjects import Subject

app = typer.Typer(help="Caption, screen, sign and verify datasets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("caption")
def caption(
    folder: Annotated[Path, typer.Argument(help="Pictures; those that have a caption keep it.")],
    model: Annotated[
        str, typer.Option(help="A BLIP captioning model: a folder, or a hub id.")
    ] = "Salesforce/blip-image-captioning-base",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write captions anew that a model wrote; never those of a person.")
    ] = False,
    prefix: Annotated[str, typer.Option(help="Text to put before every caption, such as a trigger word.")] = "",
    max_length: Annotated[int, typer.Option(min=4, max=200, help="The most tokens of a caption.")] = 40,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda or mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write a caption beside every picture that has none, marked as written by a model; a stopped run goes on.

    Example: prov dataset caption pictures --prefix "sks, "
    """
    with refusals():
        from training.dataset.captioner import Blip, resolve_captioner
        from training.dataset.captioning import caption_folder

        found = resolve_captioner(model)
        made = caption_folder(
            folder,
            Blip.load(found, device, max_length),
            found.identity,
            prefix=prefix,
            overwrite=overwrite,
            progress=progress("captioning"),
        )
    facts = {
        "written": list(made.written),
        "kept": list(made.kept),
        "model": found.identity.model,
        "model_sha256": found.identity.sha256,
    }
    emit(
        facts,
        f"{len(made.written)} captions written by {found.identity.model}, {len(made.kept)} kept",
        as_json=as_json,
    )
    note(f"next: read them, then prov dataset sign {folder} …")


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
    screening: Annotated[
        Path | None, typer.Option(help="A report of `prov dataset screen` about these very files, to sign with them.")
    ] = None,
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
            screening=None if screening is None else read_report(screening),
            progress=progress("signing"),
        )
        emit(_facts(manifest), f"{_text(manifest)}\nrelease   {release}", as_json=as_json)
        if manifest.screening is not None and manifest.screening.blocked:
            note(f"warning: the report you signed blocks {len(manifest.screening.blocked)} of these pictures")
        note(f"next: prov train {release} --name NAME")


@app.command("screen")
def screen(
    dataset: Annotated[Path, typer.Argument(help="A folder of captioned pictures, or a signed release.")],
    policy: Annotated[Path | None, typer.Option(help="A policy file; the base's own when not given.")] = None,
    base: Annotated[str, typer.Option(help="Base model to be trained: starter, or any other.")] = "starter",
    hash_list: Annotated[
        list[Path] | None, typer.Option(help="File of sha256:HEX and pdq:HEX lines to block; may be repeated.")
    ] = None,
    likeness: Annotated[
        list[str] | None, typer.Option(help="An installed likeness check, by name; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where CLIP runs: cpu, cuda or mps.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Where to write the report; then a stopped run can go on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Hold every picture and caption against a safety policy and look for duplicates; exit 1 when any is blocked.

    Example: prov dataset screen pictures --out report.json
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.files import write_file
        from provenance.screening.run import screen_dataset
        from provenance.screening.screens import open_screens

        if out is not None and dataset.resolve() in out.resolve().parents:
            raise UsageError("the report cannot lie inside the dataset", found=str(out), fix="give another --out")
        subjects = _subjects(dataset)
        screens = open_screens(screening_choice(policy, hash_list, likeness), base, device)
        kept = None if out is None else out.with_name(f"{out.name}.part")
        report = screen_dataset(subjects, screens, kept=kept, progress=progress("screening"))
        if out is not None and kept is not None:
            write_file(out, report.to_bytes())
            kept.unlink(missing_ok=True)
    emit(screening_facts(report), screening_text(report, out), as_json=as_json)
    if report.blocked:
        raise typer.Exit(1)
    if out is not None:
        note(f"next: prov dataset sign {dataset} --screening {out} …")


def _subjects(dataset: Path) -> list[Subject]:
    from provenance.dataset import verify_dataset
    from provenance.manifest import STATEMENT
    from provenance.screening.subjects import subjects_of_folder, subjects_of_release
    from provenance.trust import TrustStore

    if not (dataset / STATEMENT).exists():
        return subjects_of_folder(dataset)
    # Whose pictures they are makes no difference to what they show.
    manifest = verify_dataset(dataset, TrustStore(), require_trusted=False, progress=progress("verifying"))
    return subjects_of_release(manifest)


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
        "screening": None if manifest.screening is None else manifest.screening.to_summary(),
    }


def _text(manifest: DatasetManifest) -> str:
    size = sum(record.size for record in manifest.records) / 1e6
    return (
        f"{manifest.name}: {len(manifest.records)} pictures, {size:.1f} MB, {', '.join(manifest.licences)}\n"
        f'signed    by "{manifest.issuer.name}" on {manifest.created}\n'
        f"digest    {manifest.digest}\n"
        f"screened  {screening_line(manifest.screening)}"
    )
