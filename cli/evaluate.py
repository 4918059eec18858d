"""`prov evaluate`: how near an adapter's pictures come to a dataset, against its base alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.audit_options import (
    AsOption,
    AttachOption,
    BaseOption,
    ClipOption,
    ClipTagOption,
    GuidanceOption,
    JsonOption,
    PolicyOption,
    SeedOption,
    StepsOption,
    TrustOption,
)
from cli.console import note, progress, refusals

if TYPE_CHECKING:
    from generation.audit.drawing import Studio
    from generation.audit.model import AuditedModel
    from generation.audit.report import Audit
    from generation.evaluation.evaluation import Asked
    from provenance.canonical import Json
    from provenance.manifest import DatasetManifest

# Fewer leave so few pairs of the base's own pictures that their least distance is a matter of luck.
SAMPLES_PER_CAPTION = 4
AUDITED_FAMILIES = ("sd1", "sd2", "sdxl")


def command(
    model: Annotated[str, typer.Argument(help="An adapter release, or a token number.")],
    dataset: Annotated[Path, typer.Option(help="The signed dataset whose pictures it is compared with.")],
    count: Annotated[int, typer.Option("-n", "--count", min=4, max=100_000, help="Pictures of each model.")] = 128,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts, one on each line; the dataset's captions when not given.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="For FID and KID: inception:FILE, clip:MODEL or starter; as --clip if not given.")
    ] = None,
    clip: ClipOption = None,
    clip_tag: ClipTagOption = None,
    memorisation: Annotated[
        int, typer.Option(min=0, max=10_000, help="Training captions to ask for copies, four times each; 0: none.")
    ] = 8,
    seed: SeedOption = 0,
    steps: StepsOption = 20,
    guidance: GuidanceOption = None,
    base: BaseOption = None,
    policy: PolicyOption = None,
    out: Annotated[Path | None, typer.Option(help="New folder; evaluation-NAME when not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped evaluation.")] = False,
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign the figures as a statement, and put it beside the release.")
    ] = False,
    attach: AttachOption = False,
    trust: TrustOption = None,
    account: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw with an adapter and with its base alone, and say how near both come to a dataset: FID, KID, CMMD and more.

    Example: prov evaluate rockets --dataset dataset -n 128 --sign
    """
    with refusals():
        from cli.evaluation_session import EvaluationSession
        from generation.evaluation.distances import require_torchmetrics
        from generation.evaluation.evaluation import evaluate
        from provenance.dataset import verify_dataset

        require_torchmetrics()
        session = EvaluationSession.open(model, base, trust, account, out, resume=resume, sign=sign, attach=attach)
        manifest = verify_dataset(dataset, session.trust, progress=progress("verifying"))
        session.note_privacy(manifest.digest)
        asked = _asked(manifest, prompts, count, seed)
        gallery = session.gallery(features, clip, clip_tag, policy, steps, guidance)
        audit = _audited(session.model, manifest, gallery.studio, memorisation, seed)
        made = evaluate(session.model, manifest, gallery, asked, memorisation=audit, progress=progress)
        session.finish(made, _lines(made.evaluation.value), as_json=as_json)


def _asked(manifest: DatasetManifest, prompts: Path | None, count: int, seed: int) -> Asked:
    from generation.evaluation.evaluation import Asked
    from generation.request import read_prompts

    if prompts is None:
        return Asked.of_captions([record.caption for record in manifest.records], count, seed)
    return Asked(tuple(dict.fromkeys(read_prompts(prompts)))[:count], "file", count, seed)


def _audited(model: AuditedModel, manifest: DatasetManifest, studio: Studio, captions: int, seed: int) -> Audit | None:
    """The memorisation audit, or None with a word on why there is none."""
    from generation.audit.captions import control_captions, spread_evenly
    from generation.audit.memorisation import audit_memorisation
    from provenance.errors import UsageError

    reasons = {
        "it was left out": captions == 0,
        f"{manifest.name} is not the dataset it was trained on": manifest.digest != model.dataset,
        "without guidance there is nothing to compare": studio.how.guidance <= 1,
        f"bases of family {model.base.family} cannot be audited": model.base.family not in AUDITED_FAMILIES,
    }
    reason = next((reason for reason, true in reasons.items() if true), None)
    controls: list[str] = []
    if reason is None:
        trained = [record.caption for record in manifest.records]
        try:
            controls = control_captions(trained, len(spread_evenly(trained, captions)), seed)
        except UsageError as error:
            reason = error.what
    if reason is not None:
        note(f"memorisation is not measured: {reason}")
        return None
    return audit_memorisation(
        model,
        manifest,
        studio,
        captions=captions,
        count=SAMPLES_PER_CAPTION,
        seed=seed,
        controls=lambda *_: controls,
        progress=progress,
    )


def _lines(claim: Json) -> list[str]:
    kid, cmmd, score = claim["kid"], claim["cmmd"], claim["clip_score"]
    return [
        f"{claim['compared']} pictures of each against {claim['reference']['pictures']}"
        f" of {claim['reference']['name']}, features {claim['features']['name']}",
        f"{'':<12}{'base alone':>22}{'with the adapter':>24}",
        f"{'FID':<12}{claim['fid']['before']:>22.4g}{claim['fid']['after']:>24.4g}",
        f"{'KID':<12}{_spread(kid['before']):>22}{_spread(kid['after']):>24}",
        f"{'CMMD':<12}{_bounds(cmmd['before']):>22}{_bounds(cmmd['after']):>24}",
        f"  after less before {_bounds(cmmd['difference'])}",
        f"{'CLIP score':<12}{_bounds(score['before']):>22}{_bounds(score['after']):>24}",
        f"  after less before {_bounds(score['difference'])}; intervals of 95 % over {score['groups']} prompts",
        *_copies(claim["memorisation"]),
    ]


def _copies(found: Json | None) -> list[str]:
    if found is None:
        return []
    said = "training pictures come back" if found["memorised"] else "no training picture comes back beyond chance"
    copied = ", ".join(f"{each['copied']} of {each['samples']} in {name}" for name, each in found["spaces"].items())
    return [f"memorised   {said}: {copied}"]


def _spread(kid: dict[str, Any]) -> str:
    return f"{kid['mean']:.4g} ± {kid['std']:.2g}"


def _bounds(of: dict[str, Any]) -> str:
    return f"{of['mean']:.2f} [{of['low']:.2f}, {of['high']:.2f}]"
