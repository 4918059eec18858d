"""`prov audit`: whether what was kept is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import emit, refusals

if TYPE_CHECKING:
    from safety.log_audit import KnownHead

app = typer.Typer(help="Check the log of what was blocked.", no_args_is_help=True, rich_markup_mode=None)

# With a callback, one command alone still is a command of a group.
app.callback()(lambda: None)


@app.command()
def verify(
    log: Annotated[
        Path | None, typer.Argument(help="A log of what was blocked; the home's own when not given.")
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option(help="A head noted down earlier: the log must still hold it; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check the chain of blocked requests and name every line that was altered, removed or put in; exit 1 if any.

    Example: prov audit verify
    """
    with refusals():
        from provenance.errors import FileRefused
        from safety.log_audit import audit_log

        if log is not None and not log.exists():
            raise FileRefused(f"{log} does not exist", fix="check the path; the home's own log needs none")
        report = audit_log(_own_log() if log is None else log, [_head(value) for value in head or []])
    emit(report.to_json(), report.to_text(), as_json=as_json)
    if report.faults:
        raise typer.Exit(1)


def _own_log() -> Path:
    from provenance.home import Home

    return Home.open().path / "safety.log"


def _head(value: str) -> KnownHead:
    from provenance.errors import UsageError
    from safety.log_audit import KnownHead
    from safety.log_entry import HASH

    if not HASH.fullmatch(value):
        raise UsageError("this is no head of a log", expected="64 hexadecimal digits", found=value[:80])
    return KnownHead(value, "--head")
