"""`prov recover`: Content Credentials put back on a picture that lost them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.account import AsJson
from cli.console import emit, note, refusals

if TYPE_CHECKING:
    from provenance.resolution.recovery import ManifestSource, Recovered
    from provenance.trust import TrustStore

SIDECAR = ".c2pa"


def command(
    image: Annotated[Path, typer.Argument(help="A picture whose watermark can still be read.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="IMAGE.c2pa for a sidecar (when not given), or a picture to embed them in, where that holds."
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A resolution service to ask, like http://127.0.0.1:8646, not this home.")
    ] = None,
    trust: Annotated[list[Path] | None, typer.Option(help="Root certificates (PEM) to believe.")] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Allow a service on another machine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find a picture's Content Credentials by its watermark, check them, and write them beside it or into it.

    Example: prov recover stripped.jpg --out stripped.c2pa

    They are embedded only in the very file that was signed: in changed bytes they would be reported as invalid.
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.resolution.recovery import recover_credentials
        from provenance.trust import home_and_files
        from provenance.verify.trace import open_picture

        target = out or image.with_suffix(SIDECAR)
        picture = open_picture(image)
        if target.suffix.lower() != SIDECAR and _media_type(target) != picture.media_type:
            raise UsageError(
                f"credentials of {image} cannot be written to {target}",
                expected=f"a {SIDECAR} file, or a picture of the same kind ({picture.media_type})",
            )
        roots = home_and_files(trust or [])
        source = _source(url, allow_remote, roots)
        recovered = recover_credentials(picture, source, roots)
        written = _write(recovered, target)
        emit(
            _told(recovered, source, written),
            f"{recovered.name}\n"
            f'signed by "{recovered.credentials.issuer_name}" for watermark {recovered.binding.value}, '
            f"record {recovered.assertion.record}\n"
            + "\n".join(f"{kind:9} {path}" for kind, path in written.items() if path is not None),
            as_json=as_json,
        )
        if target.suffix.lower() != SIDECAR and written["embedded"] is None:
            note(
                "not embedded: the picture's bytes are no longer those that were signed, and every reader would call "
                "the credentials invalid there"
            )


def _media_type(path: Path) -> str | None:
    from provenance.images import SUFFIXES

    return SUFFIXES.get(path.suffix.lower())


def _source(url: str | None, allow_remote: bool, roots: TrustStore) -> ManifestSource:
    if url is not None:
        from provenance.resolution.client import ResolutionClient
        from provenance.resolution.recovery import ServiceSource

        return ServiceSource(ResolutionClient(url, allow_remote=allow_remote))
    from provenance.home import Home
    from provenance.resolution.recovery import RepositorySource
    from provenance.resolution.repository import open_repository

    return RepositorySource(open_repository(Home.open()), roots)


def _write(recovered: Recovered, target: Path) -> dict[str, Path | None]:
    from provenance.files import write_file

    embedded = target if target.suffix.lower() != SIDECAR and recovered.embedded is not None else None
    if embedded is not None and recovered.embedded is not None:
        write_file(embedded, recovered.embedded)
        return {"embedded": embedded, "sidecar": None}
    sidecar = target.with_suffix(SIDECAR)
    write_file(sidecar, recovered.manifest)
    return {"embedded": None, "sidecar": sidecar}


def _told(recovered: Recovered, source: ManifestSource, written: dict[str, Path | None]) -> dict[str, Any]:
    return {
        "manifest": recovered.name,
        "record": recovered.assertion.record,
        "watermark": {"alg": recovered.binding.algorithm, "value": recovered.binding.value},
        "credentials": recovered.credentials.state,
        "issuer": recovered.credentials.issuer_name,
        "distance": round(recovered.distance, 4),
        "source": source.describe(),
        **{kind: None if path is None else str(path) for kind, path in written.items()},
    }
