"""`prov income`: what the ledger owes, and taking it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.account import As, AsJson, acting
from cli.console import emit, refusals
from cli.license import Currency, Token
from cli.rights import currency_of

app = typer.Typer(help="See, collect and withdraw what sales have earned.", no_args_is_help=True, rich_markup_mode=None)


@app.command("show")
def show(
    who: Annotated[str | None, typer.Argument(help="An address or account; the one of --as when not given.")] = None,
    currency: Currency = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Show what the ledger owes an account.

    Example: prov income show
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_ledger
        from provenance.ledger.accounts import account_address, resolve_address

        home = Home.open()
        address = resolve_address(home, who) if who else account_address(home, account)
        ledger = open_ledger(home)
        try:
            amount = ledger.owed(address, currency_of(currency))
        finally:
            ledger.close()
        facts = {"account": address, "currency": currency_of(currency), "owed": str(amount)}
        emit(facts, f"{address} is owed {_money(amount, currency)}", as_json=as_json)


@app.command("collect")
def collect(
    token: Token,
    parent: Annotated[int, typer.Argument(min=1, help="The parent that gets its share.")],
    currency: Currency = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Move a parent adapter's share of a derived adapter's sales to the parent's owner; anyone may.

    Example: prov income collect 2 1
    """
    with refusals(), acting(account) as (_, ledger, signer):
        amount = ledger.collect(signer, token, parent, currency=currency_of(currency))
        facts = {"token": token, "parent": parent, "currency": currency_of(currency), "amount": str(amount)}
        emit(facts, f"token {parent} got {_money(amount, currency)} of token {token}'s sales", as_json=as_json)


@app.command("claim")
def claim(
    token: Token,
    contributors: Annotated[Path, typer.Option(help="The contributors' file the adapter was published with.")],
    contributor: Annotated[
        str | None, typer.Argument(help="An address or account; the one of --as when not given.")
    ] = None,
    currency: Currency = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Credit a contributor to the dataset with its share of an adapter's sales; anyone may.

    Example: prov income claim 1 artist --contributors contributors.json
    """
    with refusals():
        from provenance.files import read_file
        from provenance.ledger.accounts import resolve_address
        from provenance.ledger.contributors import ContributorsTree

        tree = ContributorsTree.parse(read_file(contributors, limit=1 << 26))
        with acting(account) as (home, ledger, signer):
            address = resolve_address(home, contributor) if contributor else signer.address
            amount = ledger.claim(
                signer,
                token,
                address,
                tree.part(address),
                tree.proof(address),
                currency=currency_of(currency),
            )
        facts = {"token": token, "account": address, "currency": currency_of(currency), "amount": str(amount)}
        emit(facts, f"{address} is owed {_money(amount, currency)} more", as_json=as_json)


@app.command("withdraw")
def withdraw(
    to: Annotated[str | None, typer.Option(help="Pay to this address or account instead.")] = None,
    currency: Currency = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Take what the ledger owes an account.

    Example: prov income withdraw --as maker
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address

        with acting(account) as (home, ledger, signer):
            receiver = resolve_address(home, to) if to else signer.address
            amount = ledger.withdraw(signer, currency=currency_of(currency), to=receiver)
        facts = {"account": signer.address, "to": receiver, "currency": currency_of(currency), "amount": str(amount)}
        emit(facts, f"{_money(amount, currency)} paid to {receiver}", as_json=as_json)


def _money(amount: int, currency: str | None) -> str:
    from provenance.ledger.quantities import format_money

    return format_money(amount, currency_of(currency))
