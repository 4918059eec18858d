"""`prov audit memorisation`: whether a model gives back the pictures it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.audit_options import (
    AsOption,
    AttachOption,
    BaseOption,
    ClipOption,
    ClipTagOption,
    GuidanceOption,
    JsonOption,
    ModelArgument,
    OutOption,
    PolicyOption,
    SeedOption,
    StepsOption,
    TrustOption,
)
from cli.console import progress, refusals


def command(
    model: ModelArgument,
    dataset: Annotated[Path, typer.Option(help="The signed dataset it was trained on.")],
    captions: Annotated[int, typer.Option(min=1, max=10_000, help="Ask at most so many training captions.")] = 64,
    count: Annotated[int, typer.Option("-n", "--count", min=2, max=1000, help="Pictures for each caption.")] = 4,
    controls: Annotated[
        Path | None, typer.Option(help="Captions not trained on, one on each line; recombined when not given.")
    ] = None,
    clip: ClipOption = None,
    clip_tag: ClipTagOption = None,
    seed: SeedOption = 0,
    steps: StepsOption = 20,
    guidance: GuidanceOption = None,
    base: BaseOption = None,
    policy: PolicyOption = None,
    out: OutOption = None,
    attach: AttachOption = False,
    trust: TrustOption = None,
    account: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw training captions, compare with the training pictures, and test how hard the captions pull.

    Example: prov audit memorisation rockets --dataset release --out audit-rockets
    """
    with refusals():
        from cli.audit_session import AuditSession
        from generation.audit.captions import control_captions, read_controls
        from generation.audit.memorisation import audit_memorisation
        from provenance.dataset import verify_dataset

        session = AuditSession.open(model, base, trust, account, attach=attach, out=out, kind="memorisation")
        manifest = verify_dataset(dataset, session.trust, progress=progress("verifying"))
        studio = session.studio(clip, clip_tag, policy, steps, guidance)

        def other_captions(trained: Sequence[str], wanted: int) -> Sequence[str]:
            return read_controls(controls, trained) if controls else control_captions(trained, wanted, seed)

        audit = audit_memorisation(
            session.model,
            manifest,
            studio,
            captions=captions,
            count=count,
            seed=seed,
            controls=other_captions,
            progress=progress,
        )
        session.finish(audit, _lines(audit.report), as_json=as_json)


def _lines(report: dict[str, Any]) -> list[str]:
    pull = report["score_norm"]
    return [
        "training pictures come back" if report["memorised"] else "no training picture comes back more than by chance",
        *(
            f"  {name:<8} {space['copied']} of {space['samples']} samples are copies; {space['captions_copied']} of"
            f" {space['captions']} captions give them, p = {space['p_corrected']:.2g}"
            for name, space in report["spaces"].items()
        ),
        f"  captions trained on pull harder than others with chance {pull['auc']:.2f}, p = {pull['p']:.2g}",
    ]
