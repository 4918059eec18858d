"""`prov account`: the keys that mint, buy, sign streams and anchor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import emit, note, passphrase, refusals

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.ledger.protocol import Account, Ledger

app = typer.Typer(help="Make, list and fund accounts on the chain.", no_args_is_help=True, rich_markup_mode=None)

As = Annotated[str | None, typer.Option("--as", envvar="PROV_ACCOUNT", help="Account that acts (maker).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def acting(account: str | None) -> Iterator[tuple[Home, Ledger, Account]]:
    """The default home, its ledger and the account that acts, for one command."""
    from provenance.home import Home
    from provenance.ledger import open_ledger
    from provenance.ledger.accounts import load_account

    home = Home.open()
    signer = load_account(home, account, passphrase())
    ledger = open_ledger(home, note)
    try:
        yield home, ledger, signer
    finally:
        ledger.close()


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="What this home will call it.")],
    as_json: AsJson = False,
) -> None:
    """Make an account; a passphrase for its key is taken from PROV_PASSPHRASE.

    Example: prov account new licensee
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.ledger.accounts import create_account

        home = Home.open()
        if home.chain.kind != "embedded" and not passphrase():
            raise UsageError("an account on a real chain needs a passphrase", fix="set PROV_PASSPHRASE")
        account = create_account(home, name, passphrase())
        emit({"name": name, "address": account.address}, f"{name}  {account.address}", as_json=as_json)


@app.command("add-external")
def add(
    name: Annotated[str, typer.Argument(help="What this home will call it.")],
    address: Annotated[str, typer.Option(help="Its address: what the signer returns must be signed by it.")],
    command: Annotated[
        str | None, typer.Option(help="A program and its arguments: JSON-RPC request on stdin, answer on stdout.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Clef or Web3Signer on this machine.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add an account whose key is elsewhere: in a device, Clef, Web3Signer or a program of yours.

    Example: prov account add-external ledger --address 0x… --url http://127.0.0.1:8550
    """
    with refusals():
        import shlex

        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.ledger.accounts import ADDRESS, add_external

        if (command is None) == (url is None):
            raise UsageError("give either --command or --url", fix="a signer is a program or an address")
        if not ADDRESS.fullmatch(address.lower()):
            raise UsageError(f"{address!r} is not an address", expected="0x and 40 hexadecimal digits")
        words = None if command is None else shlex.split(command)
        account = add_external(Home.open(), name, address, command=words, url=url)
        facts = {"name": name, "address": account.address, "signer": url or words}
        emit(facts, f"{name}  {account.address}", as_json=as_json)


@app.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """List the accounts of this home.

    Example: prov account list
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger.accounts import account_address, account_names

        home = Home.open()
        found = {name: account_address(home, name) for name in account_names(home)}
        width = max((len(name) for name in found), default=0)
        text = "\n".join(f"{name:{width}}  {address}" for name, address in found.items())
        emit([{"name": name, "address": address} for name, address in found.items()], text, as_json=as_json)


@app.command("show")
def show(account: As = None, as_json: AsJson = False) -> None:
    """Show an account's money, what the contract owes it, and the roots it has registered.

    Example: prov account show --as maker
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_ledger
        from provenance.ledger.accounts import DEFAULT_NAME, account_address
        from provenance.ledger.quantities import format_wei

        home = Home.open()
        address = account_address(home, account)
        ledger = open_ledger(home)
        try:
            balance, owed, issuers = ledger.balance(address), ledger.owed(address), sorted(ledger.issuers(address))
        finally:
            ledger.close()
        emit(
            {
                "name": account or DEFAULT_NAME,
                "address": address,
                "balance": str(balance),
                "owed": str(owed),
                "issuers": issuers,
            },
            f"account  {account or DEFAULT_NAME}  {address}\n"
            f"balance  {format_wei(balance)}\n"
            f"owed     {format_wei(owed)}{'  (take it with `prov income withdraw`)' if owed else ''}\n"
            f"roots    {', '.join(issuers) or 'none registered'}",
            as_json=as_json,
        )


@app.command("fund")
def fund(
    name: Annotated[str, typer.Argument(help="An account of this home, or an address.")],
    as_json: AsJson = False,
) -> None:
    """Give an account more of the embedded chain's worthless money.

    Example: prov account fund licensee
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.ledger.accounts import resolve_address
        from provenance.ledger.quantities import format_wei

        home = Home.open()
        if home.chain.kind != "embedded":
            raise UsageError("only the embedded chain gives money away", fix="send money to the account yourself")
        from provenance.ledger.embedded import open_embedded_ledger

        address = resolve_address(home, name)
        ledger = open_embedded_ledger(home)
        try:
            balance = ledger.fund(address)
        finally:
            ledger.close()
        emit({"address": address, "balance": str(balance)}, f"{address}  {format_wei(balance)}", as_json=as_json)
