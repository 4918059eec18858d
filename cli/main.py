"""The `prov` command: one file per command group, gathered here."""

from __future__ import annotations

import typer

from cli import (
    account,
    anchor,
    bundle,
    chain,
    dataset,
    demo,
    generate,
    init,
    license,
    model,
    policy,
    store,
    train,
    verify,
)

app = typer.Typer(
    name="prov",
    help="Images with a provable history: from a signed dataset to a picture anyone can verify.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("init")(init.command)
app.add_typer(dataset.app, name="dataset")
app.command("train")(train.command)
app.add_typer(model.app, name="model")
app.add_typer(license.app, name="license")
app.command("generate")(generate.command)
app.command("anchor")(anchor.command)
app.command("bundle")(bundle.command)
app.command("verify")(verify.command)
app.add_typer(policy.app, name="policy")
app.add_typer(account.app, name="account")
app.add_typer(store.app, name="store")
app.add_typer(chain.app, name="chain")
app.command("demo")(demo.command)


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
