"""`prov train`: a signed dataset in, a signed adapter out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import emit, note, passphrase, progress, refusals
from cli.screening import screening_choice
from cli.train_privacy import privacy_options, show_privacy
from cli.train_result import result_of
from cli.train_settings import chosen_settings, show_estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.lora import Progress


def command(
    dataset: Annotated[Path, typer.Argument(help="A release that `prov dataset sign` made.")],
    name: Annotated[str | None, typer.Option(help="What the adapter is called; needed to train.")] = None,
    base: Annotated[str | None, typer.Option(help="Base model: starter (the usual), a folder or a hub id.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; settings it leaves out take their defaults.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings for a style, a subject or a concept; --config overrules single ones.")
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="A word that stands for what is taught; <word> trains an embedding for it, too.")
    ] = None,
    dp: Annotated[
        str | None, typer.Option(help="Train differentially private: epsilon=8, or epsilon=8,delta=1e-5,clip=0.1.")
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Train nothing: say from a few steps what it will take."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="New folder for the release; NAME when not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    policy: Annotated[Path | None, typer.Option(help="Policy to screen by; the base's own when not given.")] = None,
    hash_list: Annotated[
        list[Path] | None, typer.Option(help="File of sha256:HEX and pdq:HEX lines to block; may be repeated.")
    ] = None,
    likeness: Annotated[
        list[str] | None, typer.Option(help="An installed likeness check, by name; may be repeated.")
    ] = None,
    trust: Annotated[
        list[Path] | None, typer.Option(help="PEM file with a root to trust beside your own; may be repeated.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Train nothing: execute random segments of this release anew and compare.")
    ] = None,
    segments: Annotated[str, typer.Option(help="With --replay: how many segments, as a share or a number.")] = "5%",
    snapshots: Annotated[
        Path | None, typer.Option(help="With --replay: folder of snapshots; RELEASE.work/replay when not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --replay: choose segments by this number; for tests.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Screen a signed dataset, train a LoRA adapter on it, and sign what came out with what went in.

    With --replay nothing is trained: random segments of a training are executed anew and compared bit for bit. Exit
    code 0: they agree; 1: they differ; 3: they differ, but this stack is another one.

    Example: prov train release --name rockets --config train.toml
    """
    with refusals():
        from provenance.base import resolve_base
        from provenance.dataset import verify_dataset
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.identity import load_issuer
        from provenance.trust import home_and_files
        from training.launching import launched_rank
        from training.worker import follow_launched

        if replay is not None:
            from cli.train_replay import run_replay

            run_replay(
                replay,
                dataset,
                base=base,
                segments=segments,
                snapshots=snapshots,
                seed=seed,
                trust=trust or [],
                as_json=as_json,
            )
            return
        if estimate:
            manifest = verify_dataset(dataset, home_and_files(trust or []), progress=progress("verifying"))
            model = resolve_base(base or "starter")
            settings = chosen_settings(config, preset, trigger, model, manifest, privacy_options(dp))
            show_privacy(settings, model, manifest)
            show_estimate(manifest, model, settings, as_json=as_json)
            return
        if name is None:
            raise UsageError("an adapter needs a name", fix="give one with --name")
        if out is None and Path(name).name != name:
            raise UsageError("this name cannot be that of a folder", found=name, fix="say where with --out")
        # `accelerate launch` starts this command several times; only the process of rank 0 signs.
        follows = bool(launched_rank())
        issuer = None if follows else load_issuer(Home.open(), passphrase())
        manifest = verify_dataset(dataset, home_and_files(trust or []), progress=progress("verifying"))
        model = resolve_base(base or "starter")
        settings = chosen_settings(config, preset, trigger, model, manifest, privacy_options(dp))
        show_privacy(settings, model, manifest)
        if issuer is None:
            follow_launched(manifest, model, settings)
            return
        choice = screening_choice(policy, hash_list, likeness)
        release = out or Path(name)

        from training.dataset.latent_store import LatentStore
        from training.lora import train

        adapter = train(
            manifest,
            model,
            settings,
            release,
            issuer=issuer,
            name=name,
            resume=resume,
            screening=choice,
            store=LatentStore.of(Home.open()),
            progress=training_progress(),
        )
        facts, text = result_of(adapter, settings, manifest, name, release)
        emit(facts, text, as_json=as_json)
        samples = release / "adapter" / "samples"
        look = f"look at {samples}; " if samples.is_dir() else ""
        note(f"{look}next: prov model publish {release} --dataset {dataset}")


def training_progress() -> Callable[[Progress], None]:
    """Prints progress to stderr: one changing line on a terminal, else a line at every tenth of the way."""
    last = {"time": 0.0, "tenth": -1}

    def show(progress: Progress) -> None:
        live = sys.stderr.isatty()
        ended = progress.done >= progress.total
        tenth = 10 * progress.done // max(progress.total, 1)
        now = time.monotonic()
        if not ended and (now - last["time"] < 0.2 if live else tenth == last["tenth"]):
            return
        last.update(time=now, tenth=tenth)
        line = f"{progress.stage} {progress.done}/{progress.total}"
        if progress.loss is not None and progress.images_per_second is not None:
            line += f"  loss {progress.loss:.4f}  {progress.images_per_second:.1f} images/s"
            if progress.validation is not None:
                line += f"  held out {progress.validation:.4f}"
            line += f"  {progress.seconds_left or 0:.0f} s left"
        typer.echo(f"\r\x1b[K{line}" if live else line, err=True, nl=ended or not live)

    return show
