"""`prov license`: who may use an adapter, until when and for how much."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.account import As, AsJson, acting
from cli.console import emit, refusals

if TYPE_CHECKING:
    from provenance.ledger.protocol import Licence, Offer

app = typer.Typer(help="Offer, buy, grant, revoke and check licences.", no_args_is_help=True, rich_markup_mode=None)

Token = Annotated[int, typer.Argument(min=1, help="Number of the adapter's token.")]
Licensee = Annotated[str, typer.Argument(help="An address, or an account of this home.")]


@app.command("offer")
def offer(
    token: Token,
    price: Annotated[str | None, typer.Option(help='Like "0.01 ether", "5 gwei" or a number of wei.')] = None,
    days: Annotated[float | None, typer.Option(help="How long a licence lasts; without end when not given.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Withdraw the offer; licences sold stay valid.")] = False,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Offer licences for sale at a price, or stop offering them.

    Example: prov license offer 1 --price "0.01 ether" --days 30
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.ledger.quantities import duration_of_days, parse_wei

        if stop == (price is not None):
            raise UsageError(
                "give either --price or --stop", fix='for example: prov license offer 1 --price "0.01 ether"'
            )
        wei, duration = (0, 0) if price is None else (parse_wei(price), duration_of_days(days))
        with acting(account) as (_, ledger, signer):
            made = ledger.set_offer(signer, token, price=wei, duration=duration)
        emit(_offer_facts(token, made), f"token {token}: {_offer_text(made)}", as_json=as_json)


@app.command("buy")
def buy(
    token: Token,
    max_price: Annotated[str | None, typer.Option(help="Pay at most this; the offer's price when not given.")] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Buy a licence on the standing offer, or prolong the one held.

    Example: prov license buy 1 --as licensee
    """
    with refusals():
        from provenance.ledger.quantities import parse_wei

        most = None if max_price is None else parse_wei(max_price)
        with acting(account) as (_, ledger, signer):
            licence = ledger.buy(signer, token, max_price=most)
        emit(_licence_facts(licence), _licence_text(licence), as_json=as_json)


@app.command("grant")
def grant(
    token: Token,
    licensee: Licensee,
    days: Annotated[float | None, typer.Option(help="How long from now; without end when not given.")] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Give a licence away; this also lifts a revocation.

    Example: prov license grant 1 licensee --days 365
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address
        from provenance.ledger.protocol import NEVER
        from provenance.ledger.quantities import duration_of_days

        duration = duration_of_days(days)
        with acting(account) as (home, ledger, signer):
            expires = NEVER if duration == NEVER else ledger.now() + duration
            licence = ledger.grant(signer, token, resolve_address(home, licensee), expires=expires)
        emit(_licence_facts(licence), _licence_text(licence), as_json=as_json)


@app.command("revoke")
def revoke(
    token: Token,
    licensee: Licensee,
    reason: Annotated[str, typer.Option(help="Why; it is public and stays on the chain.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """End a licence now; images made under it will verify as revoked.

    Example: prov license revoke 1 licensee --reason "terms broken"
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address

        with acting(account) as (home, ledger, signer):
            licence = ledger.revoke(signer, token, resolve_address(home, licensee), reason=reason)
        emit(_licence_facts(licence), _licence_text(licence), as_json=as_json)


@app.command("check")
def check(
    token: Token,
    licensee: Annotated[
        str | None, typer.Argument(help="An address or account; the one of --as when not given.")
    ] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an account may use an adapter now; the exit code is 1 if it may not.

    Example: prov license check 1 licensee
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_reader
        from provenance.ledger.accounts import account_address, resolve_address
        from provenance.ledger.quantities import format_date

        home = Home.open()
        address = resolve_address(home, licensee) if licensee else account_address(home, account)
        reader = open_reader(home)
        try:
            adapter, offered = reader.token(token), reader.offer(token)
            held, allowed = reader.licence(token, address), reader.has_licence(token, address)
        finally:
            reader.close()
        facts = {
            "token": token,
            "account": address,
            "allowed": allowed,
            "owner": adapter.owner == address,
            "licence": _licence_facts(held) if held else None,
            "offer": _offer_facts(token, offered) if offered else None,
        }
        if adapter.revoked_at is not None:
            why = f"the adapter was withdrawn on {format_date(adapter.revoked_at)}: {adapter.reason}"
        elif adapter.owner == address:
            why = "owner"
        else:
            why = _licence_text(held) if held else "no licence"
        text = f"{'allowed' if allowed else 'not allowed'}  {address}  ({why})\noffer    {_offer_text(offered)}"
        emit(facts, text, as_json=as_json)
        if not allowed:
            raise typer.Exit(1)


@app.command("list")
def list_licences(token: Token, as_json: AsJson = False) -> None:
    """List every licence ever given for an adapter.

    Example: prov license list 1
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_reader

        reader = open_reader(Home.open())
        try:
            found = reader.licences(token)
        finally:
            reader.close()
        text = "\n".join(_licence_text(each) for each in found) or f"no licence for token {token} yet"
        emit([_licence_facts(each) for each in found], text, as_json=as_json)


def _licence_facts(licence: Licence) -> dict[str, Any]:
    return asdict(licence)


def _licence_text(licence: Licence) -> str:
    from provenance.ledger.quantities import format_date

    if licence.revoked_at is not None:
        end = f"revoked {format_date(licence.revoked_at)}: {licence.reason}"
    else:
        end = f"expires {format_date(licence.expires)}"
    return f"token {licence.token}  {licence.licensee}  granted {format_date(licence.granted_at)}, {end}"


def _offer_facts(token: int, offer: Offer | None) -> dict[str, Any]:
    return {
        "token": token,
        "price": str(offer.price) if offer else None,
        "duration": offer.duration if offer else None,
    }


def _offer_text(offer: Offer | None) -> str:
    from provenance.ledger.quantities import format_duration, format_wei

    return f"{format_wei(offer.price)} for {format_duration(offer.duration)}" if offer else "not for sale"
