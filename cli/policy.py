"""`prov policy`: ask the safety policy what it would allow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import emit, refusals

app = typer.Typer(help="Ask what the safety policy allows.", no_args_is_help=True, rich_markup_mode=None)

PolicyOption = Annotated[Path | None, typer.Option(help="A policy file; the base's own when not given.")]
BaseOption = Annotated[str, typer.Option(help="Base model whose own policy counts: starter, or any other.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def check(
    prompt: Annotated[str | None, typer.Option(help="A prompt to screen.")] = None,
    image: Annotated[Path | None, typer.Option(help="A PNG, JPEG or WebP picture to screen.")] = None,
    policy: PolicyOption = None,
    base: BaseOption = "starter",
    as_json: JsonOption = False,
) -> None:
    """Say whether a prompt or a picture would pass; exit 1 when it would be blocked.

    Example: prov policy check --prompt "a red fish in the desert"
    """
    with refusals():
        from provenance.errors import UsageError
        from safety.policy import open_policy

        if prompt is None and image is None:
            raise UsageError(
                "give --prompt or --image", fix='for example: prov policy check --prompt "a red fish in the desert"'
            )
        rules = open_policy(policy, base)
        decisions: list[Any] = []
        if prompt is not None:
            from safety.prompt import PromptFilter

            decisions.append(PromptFilter(rules).screen(prompt))
        if image is not None:
            import numpy as np

            from provenance.files import read_file
            from provenance.images import MAX_BYTES, decode_image
            from safety.content import open_content_filter, screen_or_refuse

            picture = np.asarray(decode_image(read_file(image, limit=MAX_BYTES), image.name))
            decisions.append(screen_or_refuse(open_content_filter(rules, base), picture))
    emit([d.to_json() for d in decisions], "\n".join(map(_line, decisions)), as_json=as_json)
    if not all(decision.allowed for decision in decisions):
        raise typer.Exit(1)


@app.command()
def show(policy: PolicyOption = None, base: BaseOption = "starter", as_json: JsonOption = False) -> None:
    """Print a policy, checked, with the digest that decisions name.

    Example: prov policy show
    """
    with refusals():
        from safety.policy import open_policy

        rules = open_policy(policy, base)
    content = json.loads(rules.canonical)
    lines = [f"{rules.name} version {rules.version}, filter {rules.filter.kind}", f"digest {rules.digest}"]
    for concept in rules.concepts:
        lines.append(f"{concept.name} ({', '.join(concept.stages)})")
        lines.append(f"  terms: {', '.join(concept.terms)}")
        if concept.allow:
            lines.append(f"  allowed phrases: {', '.join(concept.allow)}")
        lines.append(f"  threshold: {', '.join(f'{kind} {share:g}' for kind, share in concept.thresholds.items())}")
    emit({"digest": rules.digest, "policy": content}, "\n".join(lines), as_json=as_json)


def _line(decision: Any) -> str:
    verdict = "allowed" if decision.allowed else "blocked"
    scores = "".join(f"; {name} {score:.3f}" for name, score in sorted(decision.scores.items()))
    return f"{decision.stage}: {verdict}: {decision.reason}{scores}"
