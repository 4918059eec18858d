"""The options that the commands on policies share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PolicyOption = Annotated[Path | None, typer.Option(help="A policy file; the base's own when not given.")]
BaseOption = Annotated[str, typer.Option(help="Base model whose own policy counts: starter, or any other.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
