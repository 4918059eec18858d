"""What both audits of a model are asked with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[str, typer.Argument(help="An adapter release, a token number, or a base such as starter.")]
ClipOption = Annotated[
    str | None, typer.Option(help="CLIP model: starter, local-dir:PATH, hf-hub:owner/name or an open_clip name.")
]
ClipTagOption = Annotated[str | None, typer.Option(help="Weights of an open_clip name, such as laion2b_s34b_b79k.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**62, help="Seed of the first picture; the next has one more.")]
StepsOption = Annotated[int, typer.Option(min=1, max=1000, help="Steps of DPM-Solver++.")]
GuidanceOption = Annotated[
    float | None, typer.Option(min=0, max=100, help="Guidance scale; the base's own when not given.")
]
BaseOption = Annotated[str | None, typer.Option(help="Where the adapter's base lies, if it is not found by its id.")]
PolicyOption = Annotated[Path | None, typer.Option(help="Safety policy; the base's own when not given.")]
OutOption = Annotated[Path | None, typer.Option(help="New folder for the report; audit-KIND-NAME when not given.")]
AttachOption = Annotated[
    bool, typer.Option("--attach", help="Add the summary to the adapter's attestation and sign that again.")
]
TrustOption = Annotated[
    list[Path] | None, typer.Option(help="PEM file with a root to trust beside your own; may be repeated.")
]
AsOption = Annotated[str | None, typer.Option("--as", envvar="PROV_ACCOUNT", help="Account with a licence.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
