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
    from provenance.errors import UsageError
    from provenance.ledger.accounts import ADDRESS
    from provenance.ledger.licences import NATIVE, Terms
    from provenance.ledger.quantities import duration_of_days, parse_wei

    if currency is not None and not ADDRESS.fullmatch(currency.lower()):
        raise UsageError(f"{currency!r} is not the address of a token", expected="0x and 40 hexadecimal digits")
    if currency is not None and not price.isdecimal():
        raise UsageError(
            f"{price!r} is not an amount of {currency}", expected="a whole number of the token's smallest unit"
        )
    return Terms(
        price=parse_wei(price),
        duration=duration_of_days(days),
        quota=quota,
        commercial=commercial,
        transferable=transferable,
        grace=grace,
        currency=(currency or NATIVE).lower(),
    )


def offer_facts(offer: Offer) -> dict[str, Any]:
    """An offer for a program."""
    terms = asdict(offer.terms)
    return {"token": offer.token, "number": offer.number, "seller": offer.seller, **terms, "price": str(terms["price"])}


def offer_text(offer: Offer) -> str:
    """An offer in one line."""
    from provenance.ledger.quantities import format_duration, format_money

    terms = offer.terms
    return (
        f"offer {offer.number}: {format_money(terms.price, terms.currency)} for {format_duration(terms.duration)}, "
        + (", ".join(_rights(terms.quota, terms.commercial, terms.transferable)))
    )


def licence_facts(licence: Licence) -> dict[str, Any]:
    """A licence for a program."""
    return {**asdict(licence), "refund": str(licence.refund), "usage": licence.usage, "left": licence.left}


def licence_text(licence: Licence) -> str:
    """A licence in one line."""
    from provenance.ledger.quantities import format_date

    if licence.revoked_at is not None:
        end = f"revoked {format_date(licence.revoked_at)}: {licence.reason}"
    elif licence.ended_at is not None:
        end = f"given up {format_date(licence.ended_at)}"
    else:
        end = f"expires {format_date(licence.expires)}"
    rights = ", ".join(_rights(0, licence.commercial, licence.transferable))
    left = "" if licence.left is None else f", {licence.left} images left"
    granted = format_date(licence.granted_at)
    return f"token {licence.token}  {licence.licensee}  granted {granted}, {end}, {rights}{left}"


def _rights(quota: int, commercial: bool, transferable: bool) -> list[str]:
    return [
        *([f"{quota} images"] if quota else []),
        "commercial" if commercial else "not commercial",
        *(["transferable"] if transferable else []),
    ]
