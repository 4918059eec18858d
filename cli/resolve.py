"""`prov resolve`: the C2PA Soft Binding Resolution API over a home's records."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import AsJson
from cli.console import emit, refusals

if TYPE_CHECKING:
    import uvicorn

app = typer.Typer(
    help="Answer which Content Credentials belong to a watermark.", no_args_is_help=True, rich_markup_mode=None
)

DEFAULT_PORT = 8646


@app.callback()
def _group() -> None:
    """Keeps `serve` a command of a group."""


@app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = DEFAULT_PORT,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow an address that other machines can reach.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the manifests on record here to whoever asks for a watermark's, until interrupted.

    Example: prov resolve serve
    """
    with refusals():
        from provenance.home import Home
        from provenance.http.serving import listen, make_server
        from provenance.resolution.repository import open_repository
        from web.resolution.desk import ResolutionDesk
        from web.resolution.service import create_app

        repository = open_repository(Home.open())
        # A ledger that cannot be opened is better heard of now than with the first question.
        reader = repository.open_reader()
        ledger = reader.identity
        reader.close()
        listening = listen(host, port, allow_remote=allow_remote)
        server = make_server(create_app(ResolutionDesk(repository)))
        _stop_at_signals(server)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        emit(
            {"url": url, "chain_id": ledger.chain_id, "contract": ledger.contract},
            f"resolving watermarks of chain {ledger.chain_id}, contract {ledger.contract} on {url}",
            as_json=as_json,
        )
        server.run(sockets=[listening])


def _stop_at_signals(server: uvicorn.Server) -> None:
    """Ends the server also before it has its own handlers; it raises the signal again at its end, when all is done."""

    def stop(*_: object) -> None:
        server.should_exit = True

    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, stop)
