"""`prov model merge`: one signed adapter out of several, and whether one is what its parents add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import emit, note, paint, passphrase, refusals

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest


def command(
    releases: Annotated[
        list[Path], typer.Argument(metavar="RELEASE…", help="Adapters of one base, as `prov train` made them.")
    ],
    weights: Annotated[
        str | None, typer.Option(help="How much of each, in their order: 0.7,0.5; 0.01 to 4, also below 0.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the merged adapter is called.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of its release.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Merge nothing: say whether this release is what the parents given add up to.")
    ] = None,
    trust: Annotated[
        list[Path] | None, typer.Option(help="Root certificate of another studio to trust; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Merge adapters of one base into a new one that changes it as they do together, and sign where it comes from.

    With --check a merge is computed again and compared, bit for bit: exit code 0 when it agrees, 1 when it differs.

    Example: prov model merge rockets birds --weights 0.7,0.5 --name rocket-birds --out rocket-birds
    """
    with refusals():
        from provenance.adapter import verify_adapter
        from provenance.errors import UsageError
        from provenance.trust import home_and_files

        roots = home_and_files(trust or [])
        if check is not None:
            if not (weights is None and name is None and out is None):
                raise UsageError("--check merges nothing", expected="--check RELEASE PARENT… alone")
            _check(verify_adapter(check, roots), [verify_adapter(each, roots) for each in releases], as_json)
            return
        if weights is None or name is None or out is None:
            raise UsageError("a merge needs --weights, --name and --out")
        _merge(releases, _weights(weights, len(releases)), name, out, trust or [], as_json)


def _merge(
    releases: list[Path], weights: tuple[float, ...], name: str, out: Path, trust: list[Path], as_json: bool
) -> None:
    from provenance.adapter import verify_adapter
    from provenance.home import Home
    from provenance.identity import load_issuer
    from provenance.trust import home_and_files
    from training.merging import Weighted, merge

    roots = home_and_files(trust)
    issuer = load_issuer(Home.open(), passphrase())
    wanted = [Weighted(verify_adapter(release, roots), w) for release, w in zip(releases, weights, strict=True)]
    made = merge(wanted, name, out, issuer)
    facts = _facts(made, name, out)
    emit(facts, _text(facts), as_json=as_json)
    note(f"next: prov model publish {out} --dataset {out}, with --parent for each parent that is published")


def _check(made: AdapterManifest, parents: list[AdapterManifest], as_json: bool) -> None:
    from training.merging import recompute

    found = recompute(made, parents)
    facts = {
        "adapter": made.digest,
        "agrees": found.agrees,
        "differing": list(found.differing),
        "equal": list(found.equal),
        "weights": made.weights_digest,
    }
    verdict = (
        f"{paint('agrees', 'green')}: its parents add up to these bytes: {', '.join(found.equal)}"
        if found.agrees
        else f"{paint('differs', 'red')}: its parents add up to another {', '.join(found.differing)}"
    )
    emit(facts, verdict, as_json=as_json)
    if not found.agrees:
        raise typer.Exit(1)


def _weights(text: str, wanted: int) -> tuple[float, ...]:
    from provenance.errors import UsageError

    try:
        weights = tuple(float(each) for each in text.split(","))
    except ValueError as error:
        raise UsageError("these are no weights", expected="numbers like 0.7,0.5", found=text) from error
    if len(weights) != wanted:
        raise UsageError(
            "every adapter needs a weight", expected=f"{wanted} numbers, like 0.7,0.5", found=f"{len(weights)}: {text}"
        )
    return weights


def _facts(made: AdapterManifest, name: str, out: Path) -> dict[str, Any]:
    return {
        "base": made.base_id,
        "base_digest": made.base_digest,
        "dataset": made.dataset_digest,
        "digest": made.digest,
        "name": name,
        "parents": [
            {"name": each.name, "statement": each.digest, "weight": each.weight, "weights": each.weights}
            for each in made.parents
        ],
        "ranks": made.predicate["buildDefinition"]["internalParameters"]["ranks"],
        "release": str(out),
        "weights": made.weights_digest,
    }


def _text(facts: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"{facts['name']}: {len(facts['parents'])} adapters merged, rank "
            + ", ".join(f"{rank} in {component}" for component, rank in facts["ranks"].items()),
            *(f"parent    {each['weight']:g} × {each['name']}, weights {each['weights']}" for each in facts["parents"]),
            f"weights   {facts['weights']}",
            f"dataset   {facts['dataset']}",
            f"base      {facts['base']} {facts['base_digest']}",
            f"release   {facts['release']}",
        ]
    )
