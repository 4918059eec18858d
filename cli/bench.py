"""`prov bench`: measure what the README claims, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import emit, progress, refusals

app = typer.Typer(help="Measure on this machine what is claimed.", no_args_is_help=True, rich_markup_mode=None)
# With a callback, one command alone still is a command of a group.
app.callback()(lambda: None)

SectionsOption = Annotated[
    str, typer.Option("--only", help="Sections, with commas: prompts, pictures, cost, poison, red-team.")
]
ImagesOption = Annotated[Path | None, typer.Option(help="A folder of PNG, JPEG or WebP pictures of your own.")]
BackendsOption = Annotated[str, typer.Option(help="Backends, with commas: pixel, dwtDctSvd, rivaGan, rivaGan32.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="A few pictures and attacks: minutes, not hours.")]
MostOption = Annotated[int | None, typer.Option("--n", min=1, help="At most so many pictures of each kind.")]
NullOption = Annotated[int | None, typer.Option(min=1, help="Make N null decisions instead: keys that wrote nothing.")]
AttackersOption = Annotated[
    bool,
    typer.Option("--attackers", help="Instead: what an attacker learns from many marked pictures (--n: how many)."),
]
OutOption = Annotated[Path, typer.Option(help="Folder for watermark.md, watermark.json and the plots.")]
WorkOption = Annotated[Path, typer.Option(help="Folder in which a stopped run finds what it had done.")]
JobsOption = Annotated[int, typer.Option(min=1, help="Processes; times are always taken on one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


@app.command()
def watermark(
    images: ImagesOption = None,
    backends: BackendsOption = "pixel,dwtDctSvd,rivaGan",
    quick: QuickOption = False,
    most: MostOption = None,
    null: NullOption = None,
    attackers: AttackersOption = False,
    out: OutOption = Path("docs"),
    work: WorkOption = Path(".work/bench-watermark"),
    jobs: JobsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Mark pictures with every backend, attack them, read them, and write what came of it as tables and plots.

    Example: prov bench watermark --quick --backends dwtDctSvd --out bench-output
    """
    with refusals():
        from benchmarks.watermark.scope import Scope
        from benchmarks.watermark.session import Session, attackable
        from benchmarks.watermark.systems import chosen

        systems = chosen(backends)
        session = Session(out, work, jobs, progress)
        if null is not None:
            made = session.null(systems, null)
        elif attackers:
            made = session.attackers(attackable(systems), quick=quick, most=most)
        else:
            made = session.trials(Scope(systems, images, quick, most))
    emit(made, f"written to {out / 'watermark.md'}", as_json=as_json)


@app.command()
def train(
    diffusers: Annotated[Path, typer.Option(help="A checkout of diffusers, whose example trains in turn with ours.")],
    base: Annotated[
        str, typer.Option(help="Bases, with commas: tiny (Stable Diffusion 1.5 a tenth as wide), sd15, starter.")
    ] = "tiny,starter",
    precision: Annotated[str, typer.Option(help="Precisions, with commas: fp32, bf16, fp16.")] = "fp32",
    steps: Annotated[int, typer.Option(min=7, help="Steps of each training.")] = 40,
    rounds: Annotated[int, typer.Option(min=1, help="Trainings of each side.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in a step.")] = 4,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    compiled: Annotated[bool, typer.Option("--compile", help="Ours with `compile = true`.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for training-figures.md, .json and .png.")] = Path("docs"),
    work: Annotated[Path, typer.Option(help="Folder for bases, pictures and adapters.")] = Path(".work/bench-train"),
    as_json: JsonOption = False,
) -> None:
    """Train with `prov train` and with the example of diffusers in turn, and compare speed, memory and loss.

    Example: prov bench train --diffusers ../diffusers --base starter --steps 20 --rounds 1 --out bench-output
    """
    with refusals():
        from benchmarks.training.plan import Asked
        from benchmarks.training.report import write_report
        from benchmarks.training.session import run

        show = progress("training")
        asked = Asked(steps, rounds, batch_size, threads, device, compiled)
        made = [
            run(diffusers, name, each, work, asked, show) for name in base.split(",") for each in precision.split(",")
        ]
        page = write_report(out, made)
    emit({"runs": made}, f"written to {page}", as_json=as_json)


@app.command()
def generate(
    base: Annotated[str, typer.Option(help="Bases, with commas: starter, tiny, sd15.")] = "starter",
    pictures: Annotated[int, typer.Option("-n", min=1, help="Pictures of each side and round.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the scheduler.")] = 20,
    guidance: Annotated[float, typer.Option(help="Guidance scale.")] = 7.5,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures drawn at once.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="How often each side draws.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the sampler.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for generation-figures.md and .json.")] = Path("docs"),
    work: Annotated[Path, typer.Option(help="Folder for bases, a home and pictures.")] = Path(".work/bench-generate"),
    as_json: JsonOption = False,
) -> None:
    """Draw with diffusers alone and with `prov generate` in turn: what screening, marks, credentials and records cost.

    Example: prov bench generate -n 4 --rounds 1 --out bench-output
    """
    with refusals():
        from benchmarks.generation.report import write_report
        from benchmarks.generation.session import Asked, run

        show = progress("drawing")
        work.mkdir(parents=True, exist_ok=True)
        asked = Asked(pictures, steps, guidance, batch_size, rounds, threads)
        made = [run(name, work, asked, show) for name in base.split(",")]
        page = write_report(out, made)
    emit({"runs": made}, f"written to {page}", as_json=as_json)


@app.command()
def safety(
    only: SectionsOption = "prompts,pictures,cost,poison,red-team",
    quick: Annotated[bool, typer.Option("--quick", help="A few of everything: minutes, not an hour.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for safety-figures.md and safety-figures.json.")] = Path("docs"),
    work: Annotated[Path, typer.Option(help="Folder for pictures and adapters that are made once.")] = Path(
        ".work/bench-safety"
    ),
    as_json: JsonOption = False,
) -> None:
    """Measure what the safety filters find, miss and cost, and what a red team gets past them.

    Example: prov bench safety --quick --only cost --out bench-output
    """
    with refusals():
        from benchmarks.safety.session import QUICK, WHOLE, Session, chosen

        figures = Session(out, work, QUICK if quick else WHOLE, progress).run(chosen(only))
    emit(figures, f"written to {out / 'safety-figures.md'}", as_json=as_json)
