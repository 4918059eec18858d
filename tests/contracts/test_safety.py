"""The operator, the safety account, takedowns, consent and the pause: what each role can do, and what none can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.licences import NEVER, Terms, Voucher

if TYPE_CHECKING:
    from provenance.ledger.accounts import KeystoreAccount
    from tests.contracts.world import World

DAY = 24 * 3600
NOBODY = "0x" + "00" * 20
REASON = "0f" * 32


@pytest.fixture
def guard(world: World) -> KeystoreAccount:
    made = world.account("guard")
    world.ledger.appoint_safety(world.operator, made.address)
    return made


def test_ledger_begins_with_an_operator_and_without_a_safety_account(world: World) -> None:
    assert world.ledger.operator() == world.operator.address
    assert world.ledger.safety() == NOBODY
    assert world.ledger.call("paused") is False


def test_operator_appoints_and_dismisses_the_safety_account(world: World, guard: KeystoreAccount) -> None:
    assert world.ledger.safety() == guard.address
    with pytest.raises(LedgerRefused, match="is not the operator"):
        world.ledger.appoint_safety(guard, guard.address)
    world.ledger.appoint_safety(world.operator, NOBODY)
    token = world.mint().token
    with pytest.raises(LedgerRefused, match="is not the safety account"):
        world.ledger.take_down(guard, token, reason=REASON)


def test_taken_down_adapter_is_used_by_nobody_until_it_is_reinstated(world: World, guard: KeystoreAccount) -> None:
    ledger = world.ledger
    token = world.offered(Terms(price=5, duration=DAY))
    ledger.buy(world.licensee, token)
    stream = ledger.open_stream(world.licensee, token)
    own = ledger.open_stream(world.maker, token)
    down = ledger.take_down(guard, token, reason=REASON)
    assert (down.taken_down_at, down.takedown_reason) == (ledger.head().timestamp, REASON)
    assert ledger.call("adapterOf", token)["flags"] == 4
    for account in (world.maker, world.licensee):
        assert not ledger.has_licence(token, account.address)
        assert ledger.call("hasLicense", token, account.address) is False
        with pytest.raises(LedgerRefused, match="may not use"):
            ledger.open_stream(account, token)
    assert ledger.offers(token) == ()
    for account, number in ((world.licensee, stream), (world.maker, own)):
        with pytest.raises(LedgerRefused, match="is taken down"):
            world.anchor(account, number)
    with pytest.raises(LedgerRefused, match="is taken down"):
        ledger._send("LicenceGranted", world.stranger, "buy", token, 1, 5, value=5)
    with pytest.raises(LedgerRefused, match="is taken down"):
        ledger.grant(world.maker, token, world.stranger.address, expires=NEVER)
    up = ledger.reinstate(guard, token, reason=REASON)
    assert (up.taken_down_at, up.takedown_reason) == (None, None)
    assert ledger.has_licence(token, world.licensee.address)
    assert len(ledger.offers(token)) == 1
    world.anchor(world.licensee, stream)


def test_takedown_leaves_money_and_refunds_alone(world: World, guard: KeystoreAccount) -> None:
    token = world.offered(Terms(price=10**15, duration=DAY))
    world.ledger.buy(world.licensee, token)
    world.ledger.take_down(guard, token, reason=REASON)
    world.advance(DAY // 2)
    refund = world.ledger.revoke(world.maker, token, world.licensee.address, reason="taken down").refund
    assert world.ledger.withdraw(world.licensee) == refund > 0
    assert world.ledger.withdraw(world.maker) == 10**15 - refund


def test_takedown_and_reinstatement_alternate(world: World, guard: KeystoreAccount) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused, match="is not taken down"):
        world.ledger.reinstate(guard, token, reason=REASON)
    with pytest.raises(LedgerRefused, match="no token 9"):
        world.ledger.take_down(guard, 9, reason=REASON)
    for _ in range(2):
        world.ledger.take_down(guard, token, reason=REASON)
        with pytest.raises(LedgerRefused, match="is taken down"):
            world.ledger.take_down(guard, token, reason=REASON)
        world.ledger.reinstate(guard, token, reason=REASON)


def test_nobody_else_takes_down_not_even_the_operator_or_the_owner(world: World, guard: KeystoreAccount) -> None:
    token = world.mint().token
    for account in (world.operator, world.maker, world.stranger):
        with pytest.raises(LedgerRefused, match="is not the safety account"):
            world.ledger.take_down(account, token, reason=REASON)
    world.ledger.take_down(guard, token, reason=REASON)
    for account in (world.operator, world.maker, world.stranger):
        with pytest.raises(LedgerRefused, match="is not the safety account"):
            world.ledger.reinstate(account, token, reason=REASON)


def test_no_role_has_a_say_over_tokens_licences_and_money(world: World, guard: KeystoreAccount) -> None:
    token = world.offered(Terms(price=5, duration=DAY, transferable=True))
    world.ledger.buy(world.licensee, token)
    for role in (world.operator, guard):
        for attempt in (
            lambda role=role: world.ledger.revoke(role, token, world.licensee.address, reason="x"),
            lambda role=role: world.ledger.grant(role, token, role.address, expires=NEVER),
            lambda role=role: world.ledger.close_offer(role, token, 1),
            lambda role=role: world.ledger.revoke_adapter(role, token, reason="x"),
        ):
            with pytest.raises(LedgerRefused, match="no say"):
                attempt()
        with pytest.raises(LedgerRefused, match="may not hand on"):
            world.ledger._send("Transfer", role, "transferFrom", world.maker.address, role.address, token)
        with pytest.raises(LedgerRefused, match="owes"):
            world.ledger.withdraw(role)
        with pytest.raises(LedgerRefused, match="no valid licence"):
            world.ledger.transfer_licence(role, token, role.address)


def test_pause_stops_mints_and_new_sales_and_nothing_else(world: World, guard: KeystoreAccount) -> None:
    ledger = world.ledger
    token = world.offered(Terms(price=5, duration=DAY, transferable=True))
    bought = ledger.buy(world.licensee, token)
    stream = ledger.open_stream(world.licensee, token)
    ledger.set_paused(guard, True)
    assert ledger.call("paused") is True
    voucher = Voucher(token, world.stranger.address, Terms(), 1, NEVER)
    for attempt in (
        world.mint,
        lambda: ledger.buy(world.stranger, token),
        lambda: ledger.redeem(world.stranger, voucher, world.sign_voucher(world.maker, voucher)),
    ):
        with pytest.raises(LedgerRefused, match="paused"):
            attempt()
    assert ledger.buy(world.licensee, token).expires == bought.expires + DAY
    assert ledger.has_licence(token, world.licensee.address)
    world.anchor(world.licensee, stream)
    assert ledger.withdraw(world.maker) == 10
    ledger.transfer_licence(world.licensee, token, world.stranger.address)
    ledger.revoke(world.maker, token, world.stranger.address, reason="x")
    ledger.set_paused(world.operator, False)
    assert ledger.buy(world.licensee, token).ended_at is None


def test_pause_is_for_operator_and_safety_and_its_end_for_the_operator_alone(
    world: World, guard: KeystoreAccount
) -> None:
    with pytest.raises(LedgerRefused, match="is not the safety account"):
        world.ledger.set_paused(world.maker, True)
    world.ledger.set_paused(world.operator, True)
    with pytest.raises(LedgerRefused, match="paused"):
        world.ledger.set_paused(guard, True)
    for account in (guard, world.maker):
        with pytest.raises(LedgerRefused, match="is not the operator"):
            world.ledger.set_paused(account, False)
    world.ledger.set_paused(world.operator, False)
    with pytest.raises(LedgerRefused, match="not paused"):
        world.ledger.set_paused(world.operator, False)


def test_contract_is_handed_over_in_two_steps(world: World) -> None:
    ledger = world.ledger
    with pytest.raises(LedgerRefused, match="is not the operator"):
        ledger.offer_operator(world.maker, world.maker.address)
    ledger.offer_operator(world.operator, world.maker.address)
    assert ledger.operator() == world.operator.address
    with pytest.raises(LedgerRefused, match="is not the operator"):
        ledger.accept_operator(world.stranger)
    ledger.accept_operator(world.maker)
    assert ledger.operator() == world.maker.address
    with pytest.raises(LedgerRefused, match="is not the operator"):
        ledger.set_paused(world.operator, False)
    ledger.set_paused(world.maker, True)


def test_operator_may_give_up_its_role_for_good(world: World) -> None:
    world.ledger._send("OwnershipTransferred", world.operator, "renounceOwnership")
    assert world.ledger.operator() == NOBODY
    with pytest.raises(LedgerRefused, match="is not the operator"):
        world.ledger.appoint_safety(world.operator, world.operator.address)


def test_consent_is_withdrawn_once_by_the_maker_or_the_safety_account(world: World, guard: KeystoreAccount) -> None:
    ledger = world.ledger
    token = world.mint().token
    ledger.transfer(world.maker, token, world.licensee.address)
    for account in (world.licensee, world.operator, world.stranger):
        with pytest.raises(LedgerRefused, match="no say"):
            ledger.revoke_consent(account, token, record="0c" * 32, reason="no")
    by_maker = ledger.revoke_consent(world.maker, token, record="0c" * 32, reason="no more")
    by_safety = ledger.revoke_consent(guard, token, record="0d" * 32, reason="a court said so")
    assert (by_maker.by, by_safety.by) == (world.maker.address, guard.address)
    assert ledger.consent_revocations(token) == (by_maker, by_safety)
    assert ledger.call("consentRevokedAt", token, "0c" * 32) == by_maker.revoked_at
    assert ledger.call("consentRevokedAt", token, "0e" * 32) == 0
    for account in (world.maker, guard):
        with pytest.raises(LedgerRefused, match="already withdrawn"):
            ledger.revoke_consent(account, token, record="0c" * 32, reason="again")
    with pytest.raises(LedgerRefused, match="no token 9"):
        ledger.revoke_consent(guard, 9, record="0c" * 32, reason="x")
