"""`prov generate`: prompts in, pictures with a history out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import emit, note, passphrase, progress, refusals

SCHEDULER_HELP = (
    "dpmsolver++, dpmsolver++-karras, ddim, euler, heun, unipc (for flows: flow-euler, flow-heun);"
    " without the latent mark: dpmsolver++-sde, euler-a, lcm."
)


def command(
    prompt: Annotated[str | None, typer.Argument(help="What to draw; or use --prompts.")] = None,
    model: Annotated[str | None, typer.Option(help="A token number, or the folder of a published adapter.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=10_000, help="Pictures for each prompt.")] = 1,
    prompts: Annotated[Path | None, typer.Option(help="A text file with one prompt on each line.")] = None,
    base: Annotated[str | None, typer.Option(help="Base model: starter, a folder or a hub id.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first picture; drawn when not given.")] = None,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of the scheduler.")] = 20,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; the base's own when not given.")] = None,
    negative: Annotated[str | None, typer.Option(help="What pictures should not show; screened too.")] = None,
    scheduler: Annotated[str, typer.Option(help=SCHEDULER_HELP)] = "dpmsolver++",
    policy: Annotated[
        Path | None, typer.Option(help="Safety policy, also a signed one's folder; the base's own when not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("images"),
    clear_prompt: Annotated[bool, typer.Option(help="Write prompts into public records in clear.")] = False,
    plain_noise: Annotated[bool, typer.Option(help="Noise from the seed alone, without the latent mark.")] = False,
    account: Annotated[str | None, typer.Option("--as", envvar="PROV_ACCOUNT", help="Account that generates.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw pictures that are licensed, screened, watermarked, signed and recorded.

    Example: prov generate "a red fish in the desert" -n 4 --seed 7
    """
    with refusals():
        from generation import GenerationRequest, read_prompts
        from generation.order import generate
        from generation.schedulers import SCHEDULERS
        from provenance.errors import UsageError
        from provenance.home import Home

        if (prompt is None) == (prompts is None):
            raise UsageError(
                "give either one prompt or --prompts FILE", fix='for example: prov generate "a red fish in the desert"'
            )
        texts = [prompt] if prompt is not None else read_prompts(prompts or Path())
        request = GenerationRequest(
            prompts=tuple(text for text in texts for _ in range(count)),
            model=model,
            base=base,
            seed=seed,
            steps=steps,
            guidance=guidance,
            policy=policy,
            clear_prompt=clear_prompt,
            plain_noise=plain_noise,
            negative=negative,
            scheduler=scheduler,
        )
        issued = generate(
            request, home=Home.open(), account=account, out=out, passphrase=passphrase(), progress=progress("drawing")
        )
        for picture in issued.blocked:
            note(f"blocked: {picture.reason}\n  do next:  {picture.fix}")
        emit(
            {"images": [i.to_json() for i in issued.images], "blocked": [b.to_json() for b in issued.blocked]},
            "\n".join(str(i.path) for i in issued.images),
            as_json=as_json,
        )
        note(f"{len(issued.images)} pictures recorded; next: prov anchor")
        if SCHEDULERS[scheduler].stochastic and not plain_noise:
            note(
                f"{scheduler} draws fresh noise at every step: these pictures carry the pixel mark, not the latent one"
            )
        if issued.blocked:
            raise typer.Exit(1)
