"""What a command prints: data to stdout, progress and errors to stderr, the same facts as JSON on request."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import typer

COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class PrintableError(Protocol):
    exit_code: int


def paint(text: str, colour: str, *, stream: Any = None) -> str:
    """Colours text for a terminal; leaves it plain in a pipe or when NO_COLOR is set."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def emit(data: Any, text: str, *, as_json: bool) -> None:
    """Prints one result: ``data`` as JSON, or ``text`` for a person."""
    typer.echo(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) if as_json else text)


def note(text: str) -> None:
    """Prints one line of progress to stderr."""
    typer.echo(text, err=True)


def fail(error: Exception) -> typer.Exit:
    """Prints an error to stderr and returns the exit to raise."""
    typer.echo(paint("error: ", "red", stream=sys.stderr) + str(error), err=True)
    return typer.Exit(getattr(error, "exit_code", 1))


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the project's and the system's own errors into a message and an exit code; all else stays a traceback."""
    from provenance.errors import ProvenanceError
    from safety.errors import SafetyError

    try:
        yield
    except (ProvenanceError, SafetyError, OSError) as error:
        # The system's own refusals (disk full, no permission) name the file; nothing half-written is left behind.
        raise fail(error) from error


def progress(label: str) -> Callable[[int, int], None]:
    """A progress line on stderr: call it with (done, total); quiet when stderr is not a terminal, but for the end."""
    started = time.monotonic()
    last = [0.0]

    def show(done: int, total: int) -> None:
        now = time.monotonic()
        if now - last[0] < 0.1 and done < total:
            return
        last[0] = now
        if sys.stderr.isatty():
            filled = 24 * done // max(total, 1)
            bar = "█" * filled + "·" * (24 - filled)
            typer.echo(f"\r{label} {bar} {done}/{total} {now - started:4.0f} s", err=True, nl=done >= total)
        elif done >= total:
            typer.echo(f"{label} {done}/{total} in {now - started:.1f} s", err=True)

    return show


def passphrase() -> str | None:
    """The passphrase from PROV_PASSPHRASE, if set; it never travels on the command line."""
    return os.environ.get("PROV_PASSPHRASE") or None
