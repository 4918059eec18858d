"""The `prov` command: one file per command group, gathered here."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
import typer.core

from cli import (
    anchor,
    audit,
    bench,
    bundle,
    chain,
    dataset,
    demo,
    evaluate,
    federate,
    generate,
    income,
    init,
    keys,
    license_check,
    model,
    operator,
    policy,
    recover,
    resolve,
    roots,
    store,
    train,
    verify,
    vouchers,
)

# Our help is plain text; where Rich is installed, this typer puts backslashes before its brackets all the same.
typer.core.HAS_RICH = False

PARTS: dict[str, Callable[..., None] | typer.Typer] = {
    "init": init.command,
    "dataset": dataset.app,
    "train": train.command,
    "federate": federate.app,
    "model": model.app,
    "license": vouchers.app,
    "income": income.app,
    "keys": keys.app,
    "generate": generate.command,
    "anchor": anchor.command,
    "bundle": bundle.command,
    "verify": verify.command,
    "recover": recover.command,
    "resolve": resolve.app,
    "policy": policy.app,
    "audit": audit.app,
    "evaluate": evaluate.command,
    "bench": bench.app,
    "account": roots.app,
    "store": store.app,
    "chain": chain.app,
    "operator": operator.app,
    "demo": demo.command,
}


def build(*names: str) -> typer.Typer:
    """The `prov` command with some of its parts."""
    made = typer.Typer(
        name="prov",
        help="Images with a provable history: from a signed dataset to a picture anyone can verify.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    # With a callback, one command alone still is a command of a group.
    made.callback()(lambda: None)
    for name in names:
        part = PARTS[name]
        if isinstance(part, typer.Typer):
            made.add_typer(part, name=name)
        else:
            made.command(name)(part)
    return made


app = build(*PARTS)


def main() -> None:
    """Runs the command line.

    Only the part that is called is built: turning all the others' options into parsers takes longer than a licence
    check.
    """
    if sys.argv[1:3] == ["license", "check"] and license_check.run_plainly(sys.argv[3:]):
        return
    import logging

    # It warns, wherever it is installed, of a kernel for 4 bits on CPUs that is an extra of its own.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    called = sys.argv[1] if len(sys.argv) > 1 else ""
    (build(called) if called in PARTS else app)()


if __name__ == "__main__":
    main()
