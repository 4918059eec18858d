"""`prov license`: who may use an adapter, until when, how often and for how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import license_check
from cli.account import As, AsJson, acting
from cli.console import emit, note, passphrase, refusals
from cli.rights import (
    currency_of,
    licence_facts,
    licence_text,
    offer_facts,
    offer_text,
    price_of,
    terms_of,
    terms_text,
)

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.ledger.protocol import Account, Ledger
    from provenance.sealing import WrappedKey

app = typer.Typer(
    help="Offer, buy, grant, revoke, meter and check licences.", no_args_is_help=True, rich_markup_mode=None
)

Token = Annotated[int, typer.Argument(min=1, help="Number of the adapter's token.")]
Licensee = Annotated[str, typer.Argument(help="An address, or an account of this home.")]
Days = Annotated[float | None, typer.Option(help="How long a licence lasts; without end when not given.")]
Quota = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Images a licence allows; 0 for no limit.")]
Commercial = Annotated[bool, typer.Option("--commercial", help="Images may be used commercially.")]
Transferable = Annotated[bool, typer.Option("--transferable", help="The licence may be handed to another account.")]
Grace = Annotated[int, typer.Option(min=0, max=255, help="Days after the end in which images may still be anchored.")]
Currency = Annotated[str | None, typer.Option(help="Address of an ERC-20 token; the chain's own money if not given.")]
OfferNumber = Annotated[
    int | None, typer.Option("--offer", min=1, help="Number of the offer, where there are several.")
]
MaxPrice = Annotated[str | None, typer.Option(help="Pay at most this; the price on offer when not given.")]
PayIn = Annotated[
    str | None, typer.Option("--currency", help="Address of the ERC-20 token to pay in; else the chain's own money.")
]


@app.command("offer")
def offer(
    token: Token,
    price: Annotated[
        str | None, typer.Option(help='Like "0.01 ether" or "5 gwei"; with --currency, a number of its smallest unit.')
    ] = None,
    days: Days = None,
    quota: Quota = 0,
    commercial: Commercial = False,
    transferable: Transferable = False,
    grace: Grace = 7,
    currency: Currency = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Close the offers that stand; licences sold stay valid.")
    ] = False,
    number: OfferNumber = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Offer licences for sale, or with --stop close one offer or all.

    Example: prov license offer 1 --price "0.01 ether" --days 30 --quota 1000 --commercial
    """
    with refusals():
        from provenance.errors import UsageError

        if stop == (price is not None):
            raise UsageError(
                "give either --price or --stop", fix='for example: prov license offer 1 --price "0.01 ether"'
            )
        if price is None:
            with acting(account) as (_, ledger, signer):
                closed = [each for each in ledger.offers(token) if number in (None, each.number)]
                for each in closed:
                    ledger.close_offer(signer, token, each.number)
            text = "\n".join(f"token {token}: offer {each.number} is closed" for each in closed)
            emit(
                [offer_facts(each) for each in closed], text or f"token {token}: no such offer stands", as_json=as_json
            )
            return
        terms = terms_of(price, days, quota, commercial, transferable, grace, currency)
        with acting(account) as (_, ledger, signer):
            made = ledger.make_offer(signer, token, terms)
        emit(offer_facts(made), f"token {token}: {offer_text(made)}", as_json=as_json)


@app.command("offers")
def offers(token: Token, as_json: AsJson = False) -> None:
    """List the offers that stand for an adapter.

    Example: prov license offers 1
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_reader

        reader = open_reader(Home.open())
        try:
            found = reader.offers(token)
        finally:
            reader.close()
        text = "\n".join(offer_text(each) for each in found) or f"token {token} is not for sale"
        emit([offer_facts(each) for each in found], text, as_json=as_json)


@app.command("buy")
def buy(
    token: Token,
    number: OfferNumber = None,
    max_price: MaxPrice = None,
    currency: PayIn = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Buy a licence on an offer, or prolong the one held under it.

    Example: prov license buy 1 --max-price "0.01 ether" --as licensee
    """
    with refusals():
        from provenance.ledger.payment import choose_offer

        most = None if max_price is None else price_of(max_price, currency)
        with acting(account) as (_, ledger, signer):
            meant = choose_offer(ledger, token, signer.address, number)
            licence = ledger.buy(signer, token, number=meant.number, max_price=most, currency=currency_of(currency))
        facts = {**licence_facts(licence), "price": str(meant.terms.price), "currency": meant.terms.currency}
        emit(facts, f"{licence_text(licence)}\npaid  {terms_text(meant.terms)}", as_json=as_json)
        note(f"next, for sealed weights: prov keys fetch {token} --url URL, or prov keys add FILE from the maker")


@app.command("grant")
def grant(
    token: Token,
    licensee: Licensee,
    days: Annotated[float | None, typer.Option(help="How long from now; without end when not given.")] = None,
    quota: Quota = 0,
    commercial: Commercial = False,
    transferable: Transferable = False,
    grace: Grace = 7,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Give a licence away; this also lifts a revocation.

    Example: prov license grant 1 licensee --days 365
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address
        from provenance.ledger.licences import NEVER
        from provenance.ledger.quantities import duration_of_days

        terms = terms_of("0", days, quota, commercial, transferable, grace, None)
        duration = duration_of_days(days)
        with acting(account) as (home, ledger, signer):
            expires = NEVER if duration == NEVER else ledger.now() + duration
            address = resolve_address(home, licensee)
            licence = ledger.grant(signer, token, address, expires=expires, terms=terms)
            emit(licence_facts(licence), licence_text(licence), as_json=as_json)
            _hand_over(home, ledger, token, signer, address)


@app.command("revoke")
def revoke(
    token: Token,
    licensee: Licensee,
    reason: Annotated[str, typer.Option(help="Why; it is public and stays on the chain.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """End a licence now, paying back the time not used; images made under it will verify as revoked.

    Example: prov license revoke 1 licensee --reason "terms broken"
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address

        with acting(account) as (home, ledger, signer):
            licence = ledger.revoke(signer, token, resolve_address(home, licensee), reason=reason)
        emit(licence_facts(licence), licence_text(licence), as_json=as_json)


@app.command("refund")
def refund(token: Token, licensee: Licensee, as_json: AsJson = False) -> None:
    """Show what revoking a licence now would give back to its licensee.

    Example: prov license refund 1 licensee
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_ledger
        from provenance.ledger.accounts import resolve_address

        home = Home.open()
        ledger = open_ledger(home)
        try:
            currency, amount = ledger.refund(token, resolve_address(home, licensee))
        finally:
            ledger.close()
        emit({"token": token, "currency": currency, "amount": str(amount)}, _money(amount, currency), as_json=as_json)


@app.command("renounce")
def renounce(token: Token, account: As = None, as_json: AsJson = False) -> None:
    """Give up a licence, without a refund; to buy under other terms, for example.

    Example: prov license renounce 1 --as licensee
    """
    with refusals(), acting(account) as (_, ledger, signer):
        licence = ledger.renounce(signer, token)
        emit(licence_facts(licence), licence_text(licence), as_json=as_json)


@app.command("transfer")
def transfer(token: Token, to: Licensee, account: As = None, as_json: AsJson = False) -> None:
    """Hand a transferable licence, with what is left of it, to another account; anchor your images first.

    Example: prov license transfer 1 studio --as licensee
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address

        with acting(account) as (home, ledger, signer):
            licence = ledger.transfer_licence(signer, token, resolve_address(home, to))
        emit(licence_facts(licence), licence_text(licence), as_json=as_json)


app.command("check")(license_check.command)


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
        text = "\n".join(licence_text(each) for each in found) or f"no licence for token {token} yet"
        emit([licence_facts(each) for each in found], text, as_json=as_json)


def _hand_over(home: Home, ledger: Ledger, number: int, signer: Account, licensee: str) -> None:
    """Wraps the key of sealed weights for a new licensee, as far as this home can."""
    wrapped = wrapped_for(home, ledger, number, signer, licensee)
    if wrapped is not None:
        note(f"key of the sealed weights wrapped for {licensee}; `prov keys wrap {number} … --out FILE` writes it")


def wrapped_for(home: Home, ledger: Ledger, number: int, signer: Account, licensee: str) -> WrappedKey | None:
    """The key of an adapter's sealed weights, wrapped for an account and kept in this home; None where that is not
    possible, after saying why."""
    from provenance.errors import KeyRefused, SealRefused
    from provenance.ledger.accounts import KeystoreAccount
    from provenance.sealing import known_public_key, wrap_for
    from provenance.sealing.keyring import Keyring

    token = ledger.token(number)
    if Keyring.of_home(home, ledger.identity).find(token.weights, signer.address) is None:
        return None
    public_key = known_public_key(home, ledger, licensee, passphrase())
    if public_key is None or not isinstance(signer, KeystoreAccount):
        note(
            f"the weights are sealed: hand over their key with `prov keys wrap {number} --to PUBLIC_KEY` "
            "(the licensee's `prov keys public`), or let `prov keys serve` do it"
        )
        return None
    try:
        return wrap_for(home, ledger, token, signer, public_key)
    except (KeyRefused, SealRefused) as error:
        # What was given stands all the same.
        note(f"the key of the sealed weights could not be wrapped: {error}")
        return None


def _money(amount: int, currency: str) -> str:
    from provenance.ledger.quantities import format_money

    return format_money(amount, currency)
