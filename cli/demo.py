"""`prov demo`: the whole chain on the embedded model, told as a short story with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import emit, refusals


def command(
    out: Annotated[Path, typer.Option(help="Folder for the story's pictures; made anew each time.")] = Path(
        "demo-output"
    ),
    quick: Annotated[bool, typer.Option(help="Train for a few seconds only; the verdicts are the same.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Run the whole chain once, from signing a dataset to catching forgeries.

    Example: prov demo --out demo-output
    """
    with refusals():
        from cli.story import tell

        story = tell(out, quick=quick)
        emit(story.to_json(), f"contact sheet: {story.sheet}", as_json=as_json)
