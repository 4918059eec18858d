"""Buying, renewing, granting, revoking, renouncing and handing on licences; and what money the contract holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.licences import NATIVE, NEVER, Terms

if TYPE_CHECKING:
    from tests.contracts.world import World

PRICE = 10**15
DAY = 24 * 3600
TERMS = Terms(price=PRICE, duration=DAY)


@pytest.fixture
def token(world: World) -> int:
    return world.offered(TERMS)


def test_bought_licence_lasts_as_offered_and_is_paid_to_the_owner(world: World, token: int) -> None:
    licence = world.ledger.buy(world.licensee, token)
    assert (licence.licensee, licence.offer, licence.grace) == (world.licensee.address, 1, 7)
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


def test_licence_ends_in_the_very_second_of_its_expiry(embedded: World) -> None:
    token = embedded.offered(TERMS)
    bought = embedded.ledger.buy(embedded.licensee, token)
    embedded.advance(bought.expires - embedded.ledger.head().timestamp - 1)
    assert embedded.ledger.call("hasLicense", token, embedded.licensee.address) is True
    assert embedded.ledger.has_licence(token, embedded.licensee.address)
    embedded.advance(1)
    assert embedded.ledger.call("hasLicense", token, embedded.licensee.address) is False
    assert not embedded.ledger.has_licence(token, embedded.licensee.address)


def test_second_purchase_prolongs_the_first(world: World, token: int) -> None:
    first = world.ledger.buy(world.licensee, token)
    again = world.ledger.buy(world.licensee, token)
    assert again.expires == first.expires + DAY
    held = world.ledger.call("licenceOf", token, world.licensee.address)
    assert held["paidUntil"] == again.expires
    assert world.ledger.owed(world.maker.address) == 2 * PRICE


def test_purchase_after_expiry_starts_anew(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    world.advance(3 * DAY)
    again = world.ledger.buy(world.licensee, token)
    assert again.expires == again.granted_at + DAY


def test_price_above_what_was_agreed_is_refused(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="costs more than agreed"):
        world.ledger.buy(world.licensee, token, max_price=PRICE - 1)


def test_too_little_money_is_refused(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="too little was paid"):
        world.ledger._send("LicenceGranted", world.licensee, "buy", token, 1, PRICE, value=PRICE - 1)


def test_money_above_the_price_is_owed_back(world: World, token: int) -> None:
    world.ledger._send("LicenceGranted", world.licensee, "buy", token, 1, PRICE, value=3 * PRICE)
    assert world.ledger.owed(world.licensee.address) == 2 * PRICE
    assert world.ledger.withdraw(world.licensee) == 2 * PRICE
    assert world.ledger.withdraw(world.maker) == PRICE
    assert world.ledger.balance(world.ledger.identity.contract) == 0


def test_free_and_endless_licences_can_be_offered(world: World) -> None:
    token = world.offered(Terms())
    assert world.ledger.buy(world.licensee, token).expires == NEVER
    assert world.ledger.refund(token, world.licensee.address) == (NATIVE, 0)
    with pytest.raises(LedgerRefused, match="without end"):
        world.ledger.buy(world.licensee, token)


def test_longest_durations_add_up_to_no_end(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=NEVER - 2_000_000_000))
    world.ledger.buy(world.licensee, token)
    assert world.ledger.buy(world.licensee, token).expires == NEVER


def test_rights_and_quota_are_those_of_the_offer(world: World) -> None:
    token = world.offered(Terms(price=1, duration=DAY, quota=100, commercial=True, transferable=True, grace=30))
    bought = world.ledger.buy(world.licensee, token)
    assert (bought.quota, bought.commercial, bought.transferable, bought.grace) == (100, True, True, 30)
    assert world.ledger.buy(world.licensee, token).quota == 200


def test_paid_licence_is_not_mixed_with_one_under_other_terms(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    world.ledger.make_offer(world.maker, token, Terms(price=1, duration=DAY))
    with pytest.raises(LedgerRefused, match=r"paid for a licence .* under other terms \(offer 1\)"):
        world.ledger.buy(world.licensee, token, number=2)
    assert world.ledger.buy(world.licensee, token).offer == 1
    world.ledger.renounce(world.licensee, token)
    assert world.ledger.buy(world.licensee, token, number=2).offer == 2


def test_purchase_never_takes_away_what_a_licence_allows(world: World) -> None:
    token = world.mint().token
    wide = Terms(quota=0, commercial=True)
    world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY, terms=wide)
    for narrow in (Terms(price=1, duration=DAY), Terms(price=1, duration=DAY, commercial=True, quota=5)):
        made = world.ledger.make_offer(world.maker, token, narrow)
        with pytest.raises(LedgerRefused, match="may not shrink"):
            world.ledger.buy(world.licensee, token, number=made.number)
    wider = Terms(price=1, duration=DAY, commercial=True, transferable=True)
    made = world.ledger.make_offer(world.maker, token, wider)
    assert world.ledger.buy(world.licensee, token, number=made.number).transferable


def test_only_the_owner_grants_and_revokes(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    later = world.ledger.now() + DAY
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.grant(world.stranger, token, world.stranger.address, expires=later)
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.revoke(world.stranger, token, world.licensee.address, reason="envy")


def test_granted_licence_is_free_and_has_its_terms(world: World, token: int) -> None:
    terms = Terms(quota=7, commercial=True, transferable=True, grace=1)
    expires = world.ledger.now() + DAY
    granted = world.ledger.grant(world.maker, token, world.licensee.address, expires=expires, terms=terms)
    assert (granted.offer, granted.expires, granted.quota, granted.grace) == (0, expires, 7, 1)
    assert (granted.commercial, granted.transferable) == (True, True)
    assert world.ledger.owed(world.maker.address) == 0
    assert world.ledger.refund(token, world.licensee.address) == (NATIVE, 0)


def test_grant_never_shortens_or_narrows_a_licence(world: World, token: int) -> None:
    bought = world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match="cut short"):
        world.ledger.grant(world.maker, token, world.licensee.address, expires=bought.expires - 1)
    with pytest.raises(LedgerRefused, match="may not shrink"):
        world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER, terms=Terms(quota=1))
    assert world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER).expires == NEVER
    assert world.ledger.refund(token, world.licensee.address)[1] > 0


def test_grant_in_the_past_or_to_nobody_is_refused(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="cannot end then"):
        world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.head().timestamp)
    with pytest.raises(LedgerRefused, match="cannot hold"):
        world.ledger.grant(world.maker, token, NATIVE, expires=NEVER)


def test_revocation_gives_back_the_price_of_the_time_not_used(world: World, token: int) -> None:
    bought = world.ledger.buy(world.licensee, token)
    world.advance(DAY // 4)
    revoked = world.ledger.revoke(world.maker, token, world.licensee.address, reason="terms broken")
    assert revoked.revoked_at
    assert revoked.refund == PRICE * (bought.expires - revoked.revoked_at) // DAY
    assert 0.74 * PRICE < revoked.refund <= 0.75 * PRICE
    assert world.ledger.owed(world.licensee.address) == revoked.refund
    assert world.ledger.owed(world.maker.address) == PRICE - revoked.refund
    assert world.ledger.balance(world.ledger.identity.contract) == PRICE
    assert world.ledger.withdraw(world.licensee) == revoked.refund


def test_refund_covers_renewals_and_not_the_time_that_was_given(world: World, token: int) -> None:
    bought = world.ledger.buy(world.licensee, token)
    again = world.ledger.buy(world.licensee, token)
    world.ledger.grant(world.maker, token, world.licensee.address, expires=again.expires + 10 * DAY)
    revoked = world.ledger.revoke(world.maker, token, world.licensee.address, reason="terms broken")
    assert revoked.revoked_at
    assert revoked.refund == PRICE * (bought.expires + DAY - revoked.revoked_at) // DAY
    assert PRICE < revoked.refund <= 2 * PRICE


def test_endless_licence_is_refunded_whole(world: World) -> None:
    token = world.offered(Terms(price=PRICE))
    world.ledger.buy(world.licensee, token)
    world.advance(100 * DAY)
    assert world.ledger.revoke(world.maker, token, world.licensee.address, reason="x").refund == PRICE


def test_expired_time_is_not_refunded(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    world.advance(DAY + 10)
    assert world.ledger.refund(token, world.licensee.address) == (NATIVE, 0)


def test_refund_that_is_not_owed_any_more_is_paid_by_the_owner(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    world.ledger.withdraw(world.maker)
    with pytest.raises(LedgerRefused, match="too little was paid"):
        world.ledger._send("LicenceRevoked", world.maker, "revoke", token, world.licensee.address, "x")
    assert world.ledger.has_licence(token, world.licensee.address)
    revoked = world.ledger.revoke(world.maker, token, world.licensee.address, reason="x")
    # The refund shrinks by the second until its block; what was sent above it is owed back.
    assert world.ledger.owed(world.licensee.address) == revoked.refund > 0
    above = world.ledger.owed(world.maker.address)
    assert 1 <= above < PRICE // 1000
    assert world.ledger.balance(world.ledger.identity.contract) == revoked.refund + above


def test_refund_that_shrinks_between_estimate_and_block_does_not_run_out_of_gas(embedded: World) -> None:
    """Owing back what was too much fills an empty slot (22,100 gas), which an estimate without it would lack."""
    gas = []
    for surplus in (0, 1):
        token = embedded.offered(TERMS)
        embedded.ledger.buy(embedded.licensee, token)
        embedded.ledger.withdraw(embedded.maker)
        # The embedded chain answers as of the second of the next block, so this is the refund to the wei.
        _, refund = embedded.ledger.refund(token, embedded.licensee.address)
        user = embedded.licensee.address
        receipt = embedded.send(embedded.maker, "revoke", token, user, "terms broken", value=refund + surplus)
        gas.append(receipt.gas_used)
        assert embedded.ledger.owed(embedded.maker.address) == surplus
        if surplus:
            embedded.ledger.withdraw(embedded.maker)
        embedded.ledger.withdraw(embedded.licensee)
    assert gas[1] - gas[0] > gas[0] // 4, "the estimate's margin is a quarter"
    token = embedded.offered(TERMS)
    embedded.ledger.buy(embedded.licensee, token)
    embedded.ledger.withdraw(embedded.maker)
    embedded.ledger.revoke(embedded.maker, token, embedded.licensee.address, reason="terms broken")
    assert embedded.ledger.owed(embedded.maker.address) == 1


def test_revoked_licence_is_lifted_only_by_a_grant(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    revoked = world.ledger.revoke(world.maker, token, world.licensee.address, reason="terms broken")
    assert revoked.reason == "terms broken"
    assert not world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.call("userExpires", token, world.licensee.address) == revoked.revoked_at
    with pytest.raises(LedgerRefused, match="was revoked"):
        world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.revoke(world.maker, token, world.licensee.address, reason="again")
    lifted = world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY)
    assert (lifted.revoked_at, lifted.refund, lifted.reason) == (None, 0, None)
    assert world.ledger.has_licence(token, world.licensee.address)


def test_what_was_never_given_cannot_be_revoked_or_renounced(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.revoke(world.maker, token, world.stranger.address, reason="never had one")
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.renounce(world.stranger, token)


def test_renounced_licence_is_over_without_a_refund_and_can_be_bought_again(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    given_up = world.ledger.renounce(world.licensee, token)
    assert given_up.ended_at == world.ledger.head().timestamp
    assert given_up.revoked_at is None
    assert not world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.owed(world.licensee.address) == 0
    assert world.ledger.buy(world.licensee, token).ended_at is None


def test_transferable_licence_is_handed_on_with_what_is_left_of_it(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY, quota=100, transferable=True, commercial=True))
    bought = world.ledger.buy(world.licensee, token)
    world.ledger.consume(world.licensee, token, 40)
    received = world.ledger.transfer_licence(world.licensee, token, world.stranger.address)
    assert (received.licensee, received.offer, received.expires) == (world.stranger.address, 1, bought.expires)
    assert (received.left, received.commercial, received.transferable, received.grace) == (60, True, True, 7)
    assert world.ledger.has_licence(token, world.stranger.address)
    assert not world.ledger.has_licence(token, world.licensee.address)
    former = world.ledger.licence(token, world.licensee.address)
    assert former
    assert (former.ended_at, former.used) == (world.ledger.head().timestamp, 40)
    assert {each.licensee for each in world.ledger.licences(token)} == {
        world.licensee.address,
        world.stranger.address,
    }
    assert world.ledger.refund(token, world.stranger.address)[1] > 0
    assert world.ledger.refund(token, world.licensee.address)[1] == 0


def test_licence_is_handed_on_only_where_it_may_go(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match="bound to its holder"):
        world.ledger.transfer_licence(world.licensee, token, world.stranger.address)
    free = Terms(transferable=True)
    other = world.mint().token
    later = world.ledger.now() + DAY
    for account in (world.licensee, world.stranger):
        world.ledger.grant(world.maker, other, account.address, expires=later, terms=free)
    with pytest.raises(LedgerRefused, match="already holds"):
        world.ledger.transfer_licence(world.licensee, other, world.stranger.address)
    with pytest.raises(LedgerRefused, match="cannot hold"):
        world.ledger.transfer_licence(world.licensee, other, NATIVE)
    world.ledger.revoke(world.maker, other, world.stranger.address, reason="x")
    with pytest.raises(LedgerRefused, match="was revoked"):
        world.ledger.transfer_licence(world.licensee, other, world.stranger.address)
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.transfer_licence(world.maker, other, "0x" + "11" * 20)


def test_owner_needs_no_licence(world: World, token: int) -> None:
    assert world.ledger.licence(token, world.maker.address) is None
    assert world.ledger.has_licence(token, world.maker.address)
    assert world.ledger.call("userExpires", token, world.maker.address) == NEVER


def test_money_is_paid_out_once(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    before = world.ledger.balance(world.maker.address)
    assert world.ledger.withdraw(world.maker) == PRICE
    assert before < world.ledger.balance(world.maker.address) <= before + PRICE
    with pytest.raises(LedgerRefused, match="owes"):
        world.ledger.withdraw(world.maker)


def test_money_is_paid_to_another_account_if_its_owner_says_so(world: World, token: int) -> None:
    world.ledger.buy(world.licensee, token)
    chest = "0x" + "5a" * 20
    before = world.ledger.balance(chest)
    assert world.ledger.withdraw(world.maker, to=chest) == PRICE
    assert world.ledger.balance(chest) == before + PRICE
    world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match="does not accept money"):
        world.ledger.withdraw(world.maker, to=NATIVE)


def test_has_licence_never_reverts(world: World) -> None:
    for token in (0, 1, 2**256 - 1):
        for account in (NATIVE, world.maker.address):
            assert world.ledger.call("hasLicense", token, account) is False
            assert world.ledger.call("userExpires", token, account) == 0
            assert world.ledger.call("refundOf", token, account) == {"currency": NATIVE, "amount": 0}
