"""`prov audit`: whether the log of what was blocked is whole, and what a model draws and remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import audit_bias, audit_memorisation, audit_show
from cli.console import emit, refusals

if TYPE_CHECKING:
    from safety.log_audit import KnownHead
    from safety.log_report import LogReport

app = typer.Typer(
    help="Check the log of what was blocked; audit a model for bias and memorisation.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("bias")(audit_bias.command)
app.command("memorisation")(audit_memorisation.command)
app.command("show")(audit_show.command)


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

    The home's own log must also hold every head that its anchored batches bring.

    Example: prov audit verify
    """
    with refusals():
        from provenance.errors import FileRefused
        from safety.log_audit import audit_log

        if log is not None and not log.exists():
            raise FileRefused(f"{log} does not exist", fix="check the path; the home's own log needs none")
        heads = [_head(value) for value in head or []]
        report = _audit_own(heads) if log is None else audit_log(log, heads)
    emit(report.to_json(), report.to_text(), as_json=as_json)
    if report.faults:
        raise typer.Exit(1)


def _audit_own(heads: list[KnownHead]) -> LogReport:
    from provenance.anchoring import anchored_log_heads
    from provenance.errors import Unavailable
    from provenance.home import Home
    from provenance.ledger import open_reader
    from provenance.stores import open_store
    from safety.log_audit import audit_log

    home, notes = Home.open(), []
    try:
        heads = [*anchored_log_heads(home, open_reader(home), open_store(home)), *heads]
    except Unavailable as error:
        notes.append(f"heads that were anchored could not be asked for: {error.what}")
    report = audit_log(home.safety_log, heads)
    return replace(report, notes=(*report.notes, *notes))


def _head(value: str) -> KnownHead:
    from provenance.errors import UsageError
    from safety.log_audit import KnownHead
    from safety.log_entry import HASH

    if not HASH.fullmatch(value):
        raise UsageError("this is no head of a log", expected="64 hexadecimal digits", found=value[:80])
    return KnownHead(value, "--head")
