"""Offering, buying, granting, revoking; and what money the contract holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.protocol import NEVER, Offer

if TYPE_CHECKING:
    from tests.contracts.conftest import World

PRICE = 10**15
DAY = 24 * 3600


@pytest.fixture
def token(world: World) -> int:
    made = world.mint().token
    world.ledger.set_offer(world.maker, made, price=PRICE, duration=DAY)
    return made


def test_bought_licence_lasts_as_offered_and_is_paid_to_the_owner(world: World, token: int) -> None:
    licence = world.ledger.buy(world.licensee, token)
    assert licence.licensee == world.licensee.address
    assert licence.expires == licence.granted_at + DAY
    assert world.ledger.has_licence(token, world.licensee.address)
    assert not world.ledger.has_licence(token, world.stranger.address)
    assert world.ledger.licence(token, world.licensee.address) == licence
    assert world.ledger.licences(token) == (licence,)
    assert world.ledger.owed(world.maker.address) == PRICE
    assert world.ledger.balance(world.ledger.identity.contract) == PRICE


def test_licence_ends_by_itself(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    world.advance(DAY + 60)
    assert not world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.call("hasLicense", token, world.licensee.address) is False
    with pytest.raises(LedgerRefused, match="may not use"):
        world.ledger.open_stream(world.licensee, token)


def test_second_purchase_prolongs_the_first(world: World, token: int) -> None:
    first = world.ledger.buy(world.licensee, token)
    assert world.ledger.buy(world.licensee, token).expires == first.expires + DAY


def test_purchase_after_expiry_starts_anew(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    world.advance(3 * DAY)
    again = world.ledger.buy(world.licensee, token)
    assert again.expires == again.granted_at + DAY


def test_later_offer_leaves_sold_licences_alone(world: World, token: int) -> None:
    sold = world.ledger.buy(world.licensee, token)
    world.ledger.set_offer(world.maker, token, price=2 * PRICE, duration=1)
    assert world.ledger.licence(token, world.licensee.address) == sold
    assert world.ledger.offer(token) == Offer(token, 2 * PRICE, 1)
    assert world.ledger.set_offer(world.maker, token, price=0, duration=0) is None
    assert world.ledger.offer(token) is None
    assert world.ledger.has_licence(token, world.licensee.address)


def test_price_above_what_was_agreed_is_refused(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="costs more than agreed"):
        world.ledger.buy(world.licensee, token, max_price=PRICE - 1)


def test_duration_below_what_was_agreed_is_refused(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="lasts less than agreed"):
        world.ledger.buy(world.licensee, token, min_duration=DAY + 1)


def test_too_little_money_is_refused(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="too little was paid"):
        world.ledger._send("LicenceGranted", world.licensee, "buy", token, PRICE, 0, value=PRICE - 1)


def test_money_above_the_price_is_owed_back(world: World, token: int) -> None:
    world.ledger._send("LicenceGranted", world.licensee, "buy", token, 3 * PRICE, 0, value=3 * PRICE)
    assert world.ledger.owed(world.licensee.address) == 2 * PRICE
    assert world.ledger.withdraw(world.licensee) == 2 * PRICE
    assert world.ledger.withdraw(world.maker) == PRICE
    assert world.ledger.balance(world.ledger.identity.contract) == 0


def test_what_is_not_offered_cannot_be_bought(world: World) -> None:
    with pytest.raises(LedgerRefused, match="not for sale"):
        world.ledger.buy(world.licensee, world.mint().token)


def test_free_and_endless_licences_can_be_offered(world: World) -> None:
    token = world.mint().token
    world.ledger.set_offer(world.maker, token, price=0, duration=NEVER)
    assert world.ledger.buy(world.licensee, token).expires == NEVER
    with pytest.raises(LedgerRefused, match="without end"):
        world.ledger.buy(world.licensee, token)


def test_only_the_owner_offers_grants_and_revokes(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    later = world.ledger.now() + DAY
    for attempt in (
        lambda: world.ledger.set_offer(world.stranger, token, price=0, duration=DAY),
        lambda: world.ledger.grant(world.stranger, token, world.stranger.address, expires=later),
        lambda: world.ledger.revoke(world.stranger, token, world.licensee.address, reason="envy"),
    ):
        with pytest.raises(LedgerRefused, match="no say"):
            attempt()


def test_grant_never_shortens_a_licence(world: World, token: int) -> None:
    bought = world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match="cut short"):
        world.ledger.grant(world.maker, token, world.licensee.address, expires=bought.expires - 1)
    assert world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER).expires == NEVER


def test_grant_in_the_past_or_to_nobody_is_refused(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="cannot end then"):
        world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.head().timestamp)
    with pytest.raises(LedgerRefused, match="cannot hold"):
        world.ledger.grant(world.maker, token, "0x" + "00" * 20, expires=NEVER)


def test_revoked_licence_is_lifted_only_by_a_grant(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    revoked = world.ledger.revoke(world.maker, token, world.licensee.address, reason="terms broken")
    assert revoked.reason == "terms broken"
    assert revoked.revoked_at == world.ledger.call("licenceOf", token, world.licensee.address)["revokedAt"]
    assert not world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.call("userExpires", token, world.licensee.address) == revoked.revoked_at
    with pytest.raises(LedgerRefused, match="was revoked"):
        world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.revoke(world.maker, token, world.licensee.address, reason="again")
    lifted = world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY)
    assert lifted.revoked_at is None
    assert world.ledger.has_licence(token, world.licensee.address)


def test_what_was_never_given_cannot_be_revoked(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.revoke(world.maker, token, world.stranger.address, reason="never had one")


def test_money_is_paid_out_once(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    before = world.ledger.balance(world.maker.address)
    assert world.ledger.withdraw(world.maker) == PRICE
    assert before < world.ledger.balance(world.maker.address) <= before + PRICE
    with pytest.raises(LedgerRefused, match="owes"):
        world.ledger.withdraw(world.maker)


def test_has_licence_never_reverts(world: World) -> None:
    for token in (0, 1, 2**256 - 1):
        for account in ("0x" + "00" * 20, world.maker.address):
            assert world.ledger.call("hasLicense", token, account) is False
            assert world.ledger.call("userExpires", token, account) == 0


def test_contract_takes_no_money_by_accident(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused):
        world.ledger._send("OfferSet", world.maker, "offer", token, 1, 1, value=1)
