"""`prov generate`: prompts in, pictures with a history out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import passphrase, progress, refusals
from cli.generate_told import stopping_early, tell

SCHEDULER_HELP = (
    "dpmsolver++ (default), dpmsolver++-karras, ddim, euler, heun, unipc; for flows flow-euler (default), flow-heun;"
    " without the latent mark: dpmsolver++-sde, euler-a, lcm."
)


def command(
    prompt: Annotated[str | None, typer.Argument(help="What to draw; or use --prompts.")] = None,
    model: Annotated[str | None, typer.Option(help="A token number, or the folder of a published adapter.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=10_000, help="Pictures for each prompt.")] = 1,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts from a .txt (one a line), .jsonl, .csv or .parquet file.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run of the same --prompts.")] = False,
    lora_scale: Annotated[float, typer.Option(help="Weight of the adapter, 1 as it was trained.")] = 1.0,
    base: Annotated[str | None, typer.Option(help="Base model: starter, a folder or a hub id.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first picture; drawn when not given.")] = None,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of the scheduler.")] = 20,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; the base's own when not given.")] = None,
    negative: Annotated[str | None, typer.Option(help="What pictures should not show; screened too.")] = None,
    scheduler: Annotated[str | None, typer.Option(help=SCHEDULER_HELP)] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to draw from; screened too, and on record.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Where --image is drawn anew: white in a picture of its size.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much of --image is drawn anew, up to 1; 0.6, or 1 with --mask.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Safety policy, also a signed one's folder; the base's own when not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("images"),
    clear_prompt: Annotated[bool, typer.Option(help="Write prompts into public records in clear.")] = False,
    plain_noise: Annotated[bool, typer.Option(help="Noise from the seed alone, without the latent mark.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Pictures drawn at once.")] = 4,
    precision: Annotated[str | None, typer.Option(help="fp32, fp16 or bf16; fp16 on a GPU when not given.")] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the model first; pays off from hundreds on.")
    ] = False,
    on: Annotated[str | None, typer.Option(help="ray: sample with Ray Data, here or where RAY_ADDRESS says.")] = None,
    account: Annotated[str | None, typer.Option("--as", envvar="PROV_ACCOUNT", help="Account that generates.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw pictures that are licensed, screened, watermarked, signed and recorded.

    Example: prov generate "a red fish in the desert" -n 4 --seed 7
    """
    with refusals(), stopping_early():
        from generation import GenerationRequest
        from generation.means import Means
        from generation.order import generate
        from generation.prompt_file import read_wanted
        from generation.schedulers import SCHEDULERS
        from provenance.errors import UsageError
        from provenance.home import Home

        wordless = image is not None and prompt is None and prompts is None
        if (prompt is None) == (prompts is None) and not wordless:
            raise UsageError(
                "give either one prompt or --prompts FILE", fix='for example: prov generate "a red fish in the desert"'
            )
        if resume and prompts is None:
            raise UsageError("only runs over --prompts FILE can be resumed", fix="leave out --resume")
        request = GenerationRequest(
            prompts=read_wanted(prompts, count) if prompts else (prompt or "",) * count,
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
            adapter_scale=lora_scale,
            image=image,
            mask=mask,
            strength=strength,
        )
        issued = generate(
            request,
            home=Home.open(),
            account=account,
            out=out,
            passphrase=passphrase(),
            progress=progress("drawing"),
            resumable=prompts is not None,
            resume=resume,
            means=Means(batch_size, precision, compiled, on),
        )
        washed = scheduler is not None and SCHEDULERS[scheduler].stochastic and not plain_noise
    with refusals():
        tell(issued, scheduler if washed else None, as_json=as_json)
    if issued.blocked:
        raise typer.Exit(1)
