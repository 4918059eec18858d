"""`prov audit bias`: what a model draws where a prompt says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from generation.audit.grid import Grid
    from generation.audit.model import AuditedModel


def command(
    model: ModelArgument,
    grid: Annotated[Path | None, typer.Option(help="Grid of prompts and attributes (TOML); starter has one.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="Pictures for each prompt.")] = 4,
    alone: Annotated[bool, typer.Option("--alone", help="Do not compare an adapter with its base.")] = False,
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
    """Draw a balanced grid of prompts and say what the pictures show, how often, and against the base alone.

    Example: prov audit bias rockets -n 4 --out audit-rockets
    """
    with refusals():
        from cli.audit_session import AuditSession
        from generation.audit.bias import audit_bias

        session = AuditSession.open(model, base, trust, account, attach=attach, out=out, kind="bias")
        chosen = _grid(grid, session.model)
        studio = session.studio(clip, clip_tag, policy, steps, guidance)
        audit = audit_bias(session.model, chosen, studio, count=count, seed=seed, compared=not alone, progress=progress)
        lines = []
        for name, found in audit.report["attributes"].items():
            unbalanced = [share for share in found["shares"] if share["unbalanced"]]
            lines.append(f"{name}: {_p(found['tests'])}; {len(unbalanced)} of {len(found['shares'])} shares unbalanced")
            lines += [
                f"  {share['value']:<16} {share['hits']}/{share['n']}  {100 * share['share']:5.1f} %"
                f"  [{100 * share['interval'][0]:.1f}, {100 * share['interval'][1]:.1f}]"
                for share in found["shares"]
                if share["axis"] == "all"
            ]
        session.finish(audit, lines, as_json=as_json)


def _grid(path: Path | None, model: AuditedModel) -> Grid:
    from generation.audit.grid import load_grid, starter_grid
    from provenance.base import STARTER
    from provenance.errors import UsageError

    if path is not None:
        return load_grid(path)
    if model.base.id != STARTER:
        raise UsageError(
            "a grid is built in for the starter world alone",
            expected="a TOML file with prompt, axes and attributes",
            fix="give --grid FILE; docs/safety.md has one for occupations",
        )
    return starter_grid()


def _p(tests: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{name} p = {each['p_corrected']:.2g}" for name, each in tests.items())
