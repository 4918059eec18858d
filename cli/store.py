"""`prov store`: where blocks are kept, and content in and out by its CID."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.console import emit, note, refusals

app = typer.Typer(
    help="Keep releases and batches by their CID, in a folder or a Kubo daemon.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("use")
def use(
    kind: Annotated[Literal["folder", "kubo"], typer.Argument(help="The embedded folder, or a Kubo daemon.")],
    url: Annotated[str | None, typer.Argument(help="The daemon's RPC (http://127.0.0.1:5001).")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Trust a daemon on another machine with everything.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose where this home keeps blocks; a daemon has to answer before it is chosen.

    Example: prov store use kubo http://127.0.0.1:5001
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.home import Home, StoreSettings
        from provenance.stores import open_store

        home = Home.open()
        if kind == "folder" and (url is not None or allow_remote):
            raise UsageError("the embedded folder has no address", expected="prov store use folder")
        version: str | None = None
        if kind == "kubo":
            from provenance.stores.address import DEFAULT_URL, RpcAddress
            from provenance.stores.kubo import KuboStore

            url = str(RpcAddress.parse(url or DEFAULT_URL, allow_remote=allow_remote))
            with KuboStore(url, allow_remote=allow_remote) as daemon:
                version = daemon.version()
        home = home.with_store(StoreSettings(kind, url, allow_remote))
        home.save()
        where = open_store(home).describe()
        note("blocks stored before stay where they are: `prov store export` and `import` move them")
        emit(
            {"kind": kind, "url": url, "version": version},
            f"blocks are now kept in {where}" + (f", Kubo {version}" if version else ""),
            as_json=as_json,
        )


@app.command("cid")
def cid(
    file: Annotated[Path, typer.Argument(help="The file to hash.")],
    profile: Annotated[
        Literal["unixfs-v1-2025", "unixfs-v0-2015"], typer.Option(help="How the file is cut and linked.")
    ] = "unixfs-v1-2025",
    as_json: AsJson = False,
) -> None:
    """Print the CID that a file has on IPFS, without storing it.

    Example: prov store cid picture.png
    """
    with refusals():
        from provenance.cid import file_cid

        text = file_cid(file, profile)
        emit({"cid": text, "profile": profile, "file": str(file)}, text, as_json=as_json)


@app.command("export")
def export(
    root: Annotated[str, typer.Argument(metavar="CID", help="What to export.")],
    car: Annotated[Path, typer.Option("--car", help="The CARv1 file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write everything below a CID into one CAR file that any IPFS node takes.

    Example: prov store export bafybei… --car release.car
    """
    with refusals():
        from provenance.home import Home
        from provenance.stores import open_store
        from provenance.stores.archive import export_car

        blocks = export_car(open_store(Home.open()), root, car)
        size = car.stat().st_size
        emit(
            {"cid": root, "car": str(car), "blocks": blocks, "bytes": size},
            f"{car}  {blocks} blocks, {size} bytes",
            as_json=as_json,
        )


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.car", help="The CARv1 file to read.")],
    as_json: AsJson = False,
) -> None:
    """Take in a CAR file, checking every block against its CID, and print its roots.

    Example: prov store import release.car
    """
    with refusals():
        from provenance.home import Home
        from provenance.stores import open_store
        from provenance.stores.archive import import_car

        imported = import_car(open_store(Home.open()), file)
        roots = [str(root) for root in imported.roots]
        emit({"roots": roots, "blocks": imported.blocks}, "\n".join(roots), as_json=as_json)


@app.command("get")
def get(
    root: Annotated[str, typer.Argument(metavar="CID", help="A file or folder in the store.")],
    path: Annotated[str, typer.Argument(help="A path below it.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="The file or new folder to write.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a file or list a folder by its CID, or write either with --out.

    Example: prov store get bafybei… release.json
    """
    with refusals():
        from provenance.faults import printable
        from provenance.home import Home
        from provenance.stores import open_store
        from provenance.stores.archive import extract
        from provenance.unixfs import resolve, stream_path, walk

        store = open_store(Home.open())
        entry = resolve(store, root, path)
        if out is not None:
            names = extract(store, root, path, out)
            emit({"cid": str(entry.cid), "out": str(out), "files": names}, str(out), as_json=as_json)
        elif as_json or entry.is_directory:
            files = [{"path": name, "cid": str(cid), "bytes": size} for name, cid, size in walk(store, entry.cid)]
            lines = [f"{file['cid']}  {file['bytes']:>12}  {printable(str(file['path']))}" for file in files]
            data = {"cid": str(entry.cid), "directory": entry.is_directory, "files": files}
            emit(data, "\n".join(lines) or "an empty folder", as_json=as_json)
        else:
            for piece in stream_path(store, root, path):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
