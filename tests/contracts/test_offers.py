"""Offers: several at once, closing them, and what ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.licences import NEVER, Offer, Terms

if TYPE_CHECKING:
    from tests.contracts.world import World

PRICE = 10**15
DAY = 24 * 3600


def test_offers_stand_side_by_side_and_the_latest_is_the_one_meant(world: World) -> None:
    token = world.mint().token
    terms = (
        Terms(price=PRICE, duration=DAY, grace=0),
        Terms(price=2 * PRICE, duration=NEVER, quota=500, commercial=True, grace=255),
        Terms(price=0, duration=1, transferable=True, currency="0x" + "c0" * 20),
    )
    made = [world.ledger.make_offer(world.maker, token, each) for each in terms]
    assert made == [Offer(token, place + 1, world.maker.address, each) for place, each in enumerate(terms)]
    assert world.ledger.offers(token) == tuple(made)
    assert world.ledger.offer(token) == made[2]
    assert world.ledger.offer(token, 2) == made[1]
    assert world.ledger.offer(token, 4) is None
    assert world.ledger.call("totalOffers", token) == 3
    assert world.ledger.call("offerOf", token, 2) == {
        "currency": terms[1].currency,
        "price": 2 * PRICE,
        "seller": world.maker.address,
        "duration": NEVER,
        "quota": 500,
        "flags": 1,
        "grace": 255,
        "open": True,
    }


def test_any_standing_offer_can_be_bought(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    world.ledger.make_offer(world.maker, token, Terms(price=2 * PRICE, duration=2 * DAY))
    assert world.ledger.buy(world.licensee, token, number=1).offer == 1
    bought = world.ledger.buy(world.stranger, token, number=2)
    assert (bought.offer, bought.expires - bought.granted_at) == (2, 2 * DAY)


def test_offer_made_after_a_buyer_read_the_first_is_not_bought_unawares(world: World) -> None:
    """The same price for a thousandth of the time: the latest offer is never taken for the one that was read."""
    token = world.offered(Terms(price=PRICE, duration=1000 * DAY))
    world.ledger.make_offer(world.maker, token, Terms(price=PRICE, duration=DAY))
    with pytest.raises(LedgerRefused, match="several offers stand") as raised:
        world.ledger.buy(world.licensee, token, max_price=PRICE)
    assert raised.value.expected == "the number of one: --offer 1 or 2"
    assert world.ledger.licences(token) == ()


def test_licence_is_prolonged_under_its_own_offer(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    bought = world.ledger.buy(world.licensee, token)
    world.ledger.make_offer(world.maker, token, Terms(price=PRICE, duration=2 * DAY))
    assert world.ledger.buy(world.licensee, token).expires == bought.expires + DAY
    world.advance(3 * DAY)
    with pytest.raises(LedgerRefused, match="several offers stand"):
        world.ledger.buy(world.licensee, token)


def test_buyer_who_agreed_to_less_is_told_in_money_and_pays_nothing(world: World) -> None:
    token = world.offered(Terms(price=10**16, duration=DAY))
    with pytest.raises(LedgerRefused, match="costs more than agreed") as raised:
        world.ledger.buy(world.licensee, token, max_price=5 * 10**15)
    assert (raised.value.expected, raised.value.found) == ("at most 0.005 ether", "0.01 ether")
    assert world.ledger.licences(token) == ()


def test_closed_offer_is_gone_and_licences_sold_stay(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    sold = world.ledger.buy(world.licensee, token)
    world.ledger.close_offer(world.maker, token, 1)
    assert world.ledger.offers(token) == ()
    assert world.ledger.call("offerOf", token, 1)["open"] is False
    assert world.ledger.licence(token, world.licensee.address) == sold
    for attempt in (
        lambda: world.ledger._send("LicenceGranted", world.stranger, "buy", token, 1, PRICE, value=PRICE),
        lambda: world.ledger.close_offer(world.maker, token, 1),
        lambda: world.ledger.buy(world.stranger, token, number=1),
    ):
        with pytest.raises(LedgerRefused, match="does not stand"):
            attempt()
    with pytest.raises(LedgerRefused, match="not for sale: no offer stands"):
        world.ledger.buy(world.stranger, token)


def test_offers_end_with_the_ownership_of_who_made_them_and_come_back_with_it(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    world.ledger.transfer(world.maker, token, world.stranger.address)
    assert world.ledger.offer(token) is None
    with pytest.raises(LedgerRefused, match="does not stand"):
        world.ledger._send("LicenceGranted", world.licensee, "buy", token, 1, PRICE, value=PRICE)
    own = world.ledger.make_offer(world.stranger, token, Terms(price=1, duration=DAY))
    assert world.ledger.offers(token) == (own,)
    world.ledger.transfer(world.stranger, token, world.maker.address)
    assert [each.number for each in world.ledger.offers(token)] == [1]


def test_new_owner_may_close_the_old_owners_offer(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    world.ledger.transfer(world.maker, token, world.stranger.address)
    world.ledger.close_offer(world.stranger, token, 1)
    assert world.ledger.call("offerOf", token, 1)["open"] is False


def test_only_the_owner_offers_and_closes(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.make_offer(world.stranger, token, Terms(price=1))
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.close_offer(world.stranger, token, 1)
    with pytest.raises(LedgerRefused, match="no token 9"):
        world.ledger.make_offer(world.maker, 9, Terms(price=1))


def test_terms_must_last_and_name_known_rights(world: World) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused, match="must last at least a second"):
        world.ledger.make_offer(world.maker, token, Terms(price=1, duration=0))
    for flags in (4, 128, 255):
        terms = ("0x" + "00" * 20, 1, DAY, 0, flags, 0)
        with pytest.raises(LedgerRefused, match="only known rights"):
            world.ledger._send("OfferMade", world.maker, "offer", token, terms)


def test_what_is_not_offered_cannot_be_bought(world: World) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused, match=f"token {token} is not for sale"):
        world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match=f"offer 3 of token {token} does not stand"):
        world.ledger.buy(world.licensee, token, number=3)
    with pytest.raises(LedgerRefused, match=f"offer 3 of token {token} does not stand"):
        world.ledger._send("LicenceGranted", world.licensee, "buy", token, 3, 0)


def test_making_an_offer_takes_no_money(world: World) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused):
        world.ledger._send("OfferMade", world.maker, "offer", token, ("0x" + "00" * 20, 1, DAY, 0, 0, 0), value=1)
