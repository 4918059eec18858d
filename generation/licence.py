"""Whether an account may draw with an adapter now: its licence, and how many images that still allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generation.errors import LicenceRefused
from generation.subject import Subject
from provenance.home import Home
from provenance.journal import Journal
from provenance.ledger.quantities import format_date, format_money

if TYPE_CHECKING:
    from provenance.ledger.licences import Licence
    from provenance.ledger.protocol import LedgerReader


def require_licence(reader: LedgerReader, subject: Subject, address: str) -> None:
    """Raises LicenceRefused unless the ledger's last final block says that an account may use the adapter now."""
    if subject.token == 0:
        return
    token = reader.token(subject.token)
    if token.taken_down_at is not None:
        raise LicenceRefused(
            f"adapter {subject.token} is taken down",
            found=f"reason: sha256 {token.takedown_reason}",
            fix="wait until it is reinstated; `prov model show` follows it",
        )
    if token.revoked_at is not None:
        raise LicenceRefused(
            f"adapter {subject.token} was withdrawn by its maker, so pictures would verify as revoked",
            found=f"reason: {token.reason}",
        )
    if reader.has_licence(subject.token, address, finalised=True):
        return
    held, offer = reader.licence(subject.token, address), reader.offer(subject.token)
    raise LicenceRefused(
        f"{address} holds no valid licence for adapter {subject.token}",
        expected="a licence that has not expired, was not revoked and is not used up, in a final block",
        found=None if held is None else f"{held.left} images left" if held.left == 0 else _ended(held),
        fix=f"prov license buy {subject.token}"
        + (
            f" (price {format_money(offer.terms.price, offer.terms.currency)})"
            if offer
            else "; ask its owner for an offer"
        ),
    )


def _ended(held: Licence) -> str:
    ended = held.ended_at is not None and f"one that ended {format_date(held.ended_at)}"
    return ended or f"one that lasts until {format_date(held.expires)}"


def require_quota(reader: LedgerReader, home: Home, subject: Subject, address: str, wanted: int) -> None:
    """Raises LicenceRefused when a licence allows fewer images than those waiting for their anchor and those wanted."""
    held = reader.licence(subject.token, address) if subject.token else None
    if held is None or held.left is None or reader.token(subject.token).owner == address:
        return
    with Journal.of_home(home) as journal:
        stream = journal.stream_for(address, subject.token)
        waiting = 0 if stream is None else journal.waiting(stream)
    if waiting + wanted > held.left:
        raise LicenceRefused(
            f"the licence of {address} for adapter {subject.token} allows {held.quota} images",
            expected=f"at most {max(0, held.left - waiting)} more",
            found=f"{wanted} wanted, {held.usage} on record, {waiting} waiting for their anchor",
            fix=f"ask for fewer, or buy more: prov license buy {subject.token}",
        )
