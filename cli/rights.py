"""How offers, licences and terms are read from options and shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provenance.ledger.licences import Licence, Offer, Terms


def terms_of(
    price: str,
    days: float | None,
    quota: int,
    commercial: bool,
    transferable: bool,
    grace: int,
    currency: str | None,
) -> Terms:
    """Terms from a command's options; raises UsageError."""
    from provenance.ledger.licences import Terms
    from provenance.ledger.quantities import duration_of_days

    address = currency_of(currency)
    return Terms(
        price=price_of(price, currency),
        duration=duration_of_days(days),
        quota=quota,
        commercial=commercial,
        transferable=transferable,
        grace=grace,
        currency=address,
    )


def offer_facts(offer: Offer) -> dict[str, Any]:
    """An offer for a program."""
    terms = asdict(offer.terms)
    return {"token": offer.token, "number": offer.number, "seller": offer.seller, **terms, "price": str(terms["price"])}


def offer_text(offer: Offer) -> str:
    """An offer in one line."""
    return f"offer {offer.number}: {terms_text(offer.terms)}"


def licence_facts(licence: Licence) -> dict[str, Any]:
    """A licence for a program."""
    left = licence.left if licence.ended_at is None else 0
    return {**asdict(licence), "refund": str(licence.refund), "usage": licence.usage, "left": left}


def licence_text(licence: Licence) -> str:
    """A licence in one line."""
    from provenance.ledger.quantities import format_date, format_money

    if licence.revoked_at is not None:
        refund = format_money(licence.refund, licence.refund_currency) if licence.refund else "nothing"
        end = f"revoked {format_date(licence.revoked_at)}: {licence.reason}, {refund} owed back"
    elif licence.ended_at is not None:
        end = f"given up {format_date(licence.ended_at)}"
    else:
        end = f"expires {format_date(licence.expires)}"
    rights = ", ".join(rights_of(0, licence.commercial, licence.transferable))
    left = "" if licence.left is None or licence.ended_at is not None else f", {licence.left} images left"
    granted = format_date(licence.granted_at)
    return f"token {licence.token}  {licence.licensee}  granted {granted}, {end}, {rights}{left}"


def terms_text(terms: Terms) -> str:
    """Price and rights in one line."""
    from provenance.ledger.quantities import format_duration, format_money

    rights = ", ".join(rights_of(terms.quota, terms.commercial, terms.transferable, terms.grace))
    return f"{format_money(terms.price, terms.currency)} for {format_duration(terms.duration)}, {rights}"


def currency_of(currency: str | None) -> str:
    """A currency's address from an option, the chain's own money when not given; raises UsageError."""
    from provenance.errors import UsageError
    from provenance.ledger.accounts import ADDRESS
    from provenance.ledger.licences import NATIVE

    if currency is not None and not ADDRESS.fullmatch(currency.lower()):
        raise UsageError(f"{currency!r} is not the address of a token", expected="0x and 40 hexadecimal digits")
    return (currency or NATIVE).lower()


def price_of(price: str, currency: str | None) -> int:
    """An amount of a currency from an option; raises UsageError."""
    from provenance.errors import UsageError
    from provenance.ledger.quantities import parse_wei

    if currency is not None and not price.isdecimal():
        raise UsageError(
            f"{price!r} is not an amount of {currency}", expected="a whole number of the token's smallest unit"
        )
    return parse_wei(price)


def rights_of(quota: int, commercial: bool, transferable: bool, grace: int | None = None) -> list[str]:
    """What a licence allows, in words."""
    return [
        *([f"{quota} images"] if quota else []),
        "commercial" if commercial else "not commercial",
        *(["transferable"] if transferable else []),
        *([] if grace is None else [f"{grace} days' grace to anchor"]),
    ]
