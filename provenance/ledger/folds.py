"""Folds of event logs into what they add up to: tokens, offers, licences, issuer keys, batches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from provenance.ledger.abi import Event
from provenance.ledger.licences import COMMERCIAL, NATIVE, TRANSFERABLE, Licence, Offer, Parent, Shares, Terms
from provenance.ledger.protocol import Batch, IssuerKey, Stream, Token

TOKEN_EVENTS = (
    "AdapterMinted",
    "AdapterDerived",
    "ContributorsNamed",
    "AdapterRevoked",
    "AdapterTakenDown",
    "AdapterReinstated",
)
"""With ``Transfer``, all that decides about a token; the token is their first topic."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of text around."""

LICENCE_EVENTS = ("LicenceGranted", "LicenceRevoked", "LicenceRenounced", "UsageReported", "UsageAnchored")
"""With ``LicenceTransferred``, all that decides about a licence; token and account are their first topics."""


def fold_token(events: Iterable[Event], transfers: Sequence[Event]) -> Token:
    """A token from its events in chain order, the mint among them."""
    by_name: dict[str, list[Event]] = {name: [] for name in TOKEN_EVENTS}
    for event in events:
        by_name[event.name].append(event)
    minted, revoked = by_name["AdapterMinted"][0], by_name["AdapterRevoked"]
    values = minted.values
    named = by_name["ContributorsNamed"]
    shares = Shares(
        derivable=values["derivable"],
        royalty=values["royalty"],
        derivative=values["derivative"],
        contributors=named[0].values["share"] if named else 0,
        contributors_root=named[0].values["root"] if named else "00" * 32,
    )
    safety = sorted(by_name["AdapterTakenDown"] + by_name["AdapterReinstated"], key=place)
    down = safety[-1] if safety and safety[-1].name == "AdapterTakenDown" else None
    return Token(
        token=values["tokenId"],
        owner=transfers[-1].values["to"] if transfers else values["maker"],
        maker=values["maker"],
        weights=values["weights"],
        dataset=values["dataset"],
        base=values["base"],
        terms=values["terms"],
        cid=legible(values["cid"]),
        minted_at=minted.log.timestamp,
        shares=shares,
        parents=tuple(Parent(e.values["parent"], e.values["share"]) for e in by_name["AdapterDerived"]),
        revoked_at=revoked[0].log.timestamp if revoked else None,
        reason=legible(revoked[0].values["reason"]) if revoked else None,
        taken_down_at=down.log.timestamp if down else None,
        takedown_reason=down.values["reason"] if down else None,
    )


def fold_offer(made: Event) -> Offer:
    """An offer as it was made."""
    values = made.values
    terms = Terms(
        price=values["price"],
        duration=values["duration"],
        quota=values["quota"],
        commercial=bool(values["flags"] & COMMERCIAL),
        transferable=bool(values["flags"] & TRANSFERABLE),
        grace=values["grace"],
        currency=values["currency"],
    )
    return Offer(values["tokenId"], values["offerId"], values["seller"], terms)


def fold_licence(events: Iterable[Event]) -> Licence | None:
    """A licence from its events: the last grant, what ended it since, and what was ever counted."""
    ordered = sorted(events, key=place)
    grants = [each for each in ordered if each.name == "LicenceGranted"]
    if not grants:
        return None
    last = grants[-1]
    # A licence received is granted and handed on in one transaction; the grant is what its new holder has.
    ends = [each for each in ordered if place(each) > place(last) and each.name in ENDS]
    end = ends[0] if ends else None
    revoked = end if end is not None and end.name == "LicenceRevoked" else None
    values = last.values
    return Licence(
        token=values["tokenId"],
        licensee=values["user"],
        offer=values["offerId"],
        expires=values["expires"],
        granted_at=last.log.timestamp,
        quota=values["quota"],
        used=_last(ordered, "UsageReported", "used"),
        anchored=_last(ordered, "UsageAnchored", "anchored"),
        commercial=bool(values["flags"] & COMMERCIAL),
        transferable=bool(values["flags"] & TRANSFERABLE),
        grace=values["grace"],
        ended_at=end.log.timestamp if end else None,
        revoked_at=revoked.log.timestamp if revoked else None,
        reason=legible(revoked.values["reason"]) if revoked else None,
        refund=revoked.values["refund"] if revoked else 0,
        refund_currency=revoked.values["currency"] if revoked else NATIVE,
    )


ENDS = ("LicenceRevoked", "LicenceRenounced", "LicenceTransferred")


def fold_issuer(registered: Event, revoked: Sequence[Event]) -> IssuerKey:
    """A root certificate of an account, and whether it still stands by it."""
    values = registered.values
    return IssuerKey(
        account=values["account"],
        root=values["rootDigest"],
        valid_from=values["validFrom"],
        revoked_at=revoked[0].log.timestamp if revoked else None,
        reason=legible(revoked[0].values["reason"]) if revoked else None,
    )


def fold_stream(opened: Event) -> Stream:
    """A stream as it was opened."""
    values = opened.values
    return Stream(values["stream"], values["tokenId"], values["holder"], opened.log.timestamp)


def fold_batch(anchored: Event) -> Batch:
    """A batch as it was anchored."""
    values, log = anchored.values, anchored.log
    return Batch(
        stream=values["stream"],
        first=values["first"],
        count=values["count"],
        root=values["root"],
        cid=legible(values["cid"]),
        anchored_at=log.timestamp,
        transaction=log.transaction,
        block=log.block,
    )


def legible(text: str) -> str:
    """A stranger's text from the ledger, which must not move the cursor of whoever reads it."""
    return UNPRINTABLE.sub("\ufffd", text)


def place(event: Event) -> tuple[int, int]:
    """Where an event stands on the chain."""
    return event.log.block, event.log.index


def grouped(events: Iterable[Event], key: str) -> dict[object, list[Event]]:
    """Events by one of their values."""
    groups: dict[object, list[Event]] = {}
    for event in events:
        groups.setdefault(event.values[key], []).append(event)
    return groups


def _last(events: Sequence[Event], name: str, value: str) -> int:
    return next((int(each.values[value]) for each in reversed(events) if each.name == name), 0)
