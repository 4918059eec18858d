"""Hostile accounts of code: none gets more than it is owed, and none keeps others from theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.ledger.abi import encode_call
from provenance.ledger.licences import NATIVE, Terms
from provenance.ledger.refusals import Reverted, refusal
from tests.contracts.solidity import act, arguments, prepare

if TYPE_CHECKING:
    from tests.contracts.world import World

PRICE = 10**15
DAY = 24 * 3600


def tries(world: World, actor: str) -> int:
    return int.from_bytes(world.view(actor, arguments("tries()")), "big")


def succeeded(world: World, actor: str) -> bool:
    return bool(int.from_bytes(world.view(actor, arguments("succeeded()")), "big"))


def overpaying(world: World, token: int, account: str, times: int) -> None:
    """An account of code buys and pays too much, so that the ledger owes it."""
    buy = encode_call("buy", (token, 1, PRICE))
    world.transact(world.stranger, account, act(world.ledger.identity.contract, buy), times * PRICE)


def test_reentering_withdraw_pays_once(world: World, assets: dict[str, bytes]) -> None:
    contract = world.ledger.identity.contract
    token = world.offered(Terms(price=PRICE, duration=DAY))
    actor = world.deploy(world.stranger, assets["Actor"])
    overpaying(world, token, actor, 5)
    withdraw = encode_call("withdraw", (NATIVE, actor))
    world.transact(world.stranger, actor, prepare(contract, withdraw))
    world.transact(world.stranger, actor, act(contract, withdraw))
    assert (tries(world, actor), succeeded(world, actor)) == (1, False)
    assert world.ledger.balance(actor) == 4 * PRICE
    assert world.ledger.owed(actor) == 0
    assert world.ledger.balance(contract) == world.ledger.owed(world.maker.address) == PRICE
    assert world.ledger.has_licence(token, actor)


def test_selling_owner_that_revokes_in_the_middle_of_its_payment_owes_as_much(
    world: World, assets: dict[str, bytes]
) -> None:
    contract = world.ledger.identity.contract
    actor = world.deploy(world.stranger, assets["Actor"])
    token = world.mint().token
    world.ledger.transfer(world.maker, token, actor)
    offer = encode_call("offer", (token, (NATIVE, PRICE, DAY, 0, 0, 7)))
    world.transact(world.stranger, actor, act(contract, offer))
    world.ledger.buy(world.licensee, token)
    revoke = encode_call("revoke", (token, world.licensee.address, "now that I was paid"))
    world.transact(world.stranger, actor, prepare(contract, revoke))
    # The money has left when the owner revokes, so the refund is not covered and the licence stands.
    world.transact(world.stranger, actor, act(contract, encode_call("withdraw", (NATIVE, actor))))
    assert (tries(world, actor), succeeded(world, actor)) == (1, False)
    assert world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.balance(contract) == 0


def test_coin_that_calls_back_counts_no_payment_twice(world: World, assets: dict[str, bytes]) -> None:
    contract = world.ledger.identity.contract
    coin = world.deploy(world.stranger, assets["CallingCoin"])
    actor = world.deploy(world.stranger, assets["Actor"])
    world.transact(world.stranger, coin, arguments("mint(address,uint256)", actor, 10 * PRICE))
    approval = arguments("approve(address,uint256)", contract, 10 * PRICE)
    world.transact(world.stranger, actor, act(coin, approval))
    token, other = (world.offered(Terms(price=PRICE, duration=DAY, currency=coin)) for _ in range(2))
    world.transact(world.stranger, actor, prepare(contract, encode_call("buy", (other, 1, PRICE))))
    world.transact(world.stranger, actor, act(contract, encode_call("buy", (token, 1, PRICE))))
    assert (tries(world, actor), succeeded(world, actor)) == (1, False)
    assert world.ledger.has_licence(token, actor)
    assert not world.ledger.has_licence(other, actor)
    held = int.from_bytes(world.view(coin, arguments("balanceOf(address)", contract)), "big")
    assert held == world.ledger.owed(world.maker.address, coin) == PRICE


def test_payment_that_calls_back_may_take_what_is_owed_and_no_more(world: World, assets: dict[str, bytes]) -> None:
    contract = world.ledger.identity.contract
    coin = world.deploy(world.stranger, assets["CallingCoin"])
    actor = world.deploy(world.stranger, assets["Actor"])
    token = world.mint().token
    world.ledger.transfer(world.maker, token, actor)
    offer = encode_call("offer", (token, (coin, PRICE, DAY, 0, 0, 7)))
    world.transact(world.stranger, actor, act(contract, offer))
    world.transact(world.stranger, coin, arguments("mint(address,uint256)", actor, PRICE))
    world.transact(world.stranger, actor, act(coin, arguments("approve(address,uint256)", contract, PRICE)))
    # It buys from itself, and withdraws its income before the coin has moved: the contract has none to give.
    world.transact(world.stranger, actor, prepare(contract, encode_call("withdraw", (coin, actor))))
    world.transact(world.stranger, actor, act(contract, encode_call("buy", (token, 1, PRICE))))
    assert (tries(world, actor), succeeded(world, actor)) == (1, False)
    held = int.from_bytes(world.view(coin, arguments("balanceOf(address)", contract)), "big")
    assert held == world.ledger.owed(actor, coin) == PRICE


def test_income_that_is_taken_before_it_was_paid_is_not_taken_from_others(
    world: World, assets: dict[str, bytes]
) -> None:
    contract = world.ledger.identity.contract
    coin = world.deploy(world.stranger, assets["CallingCoin"])
    actor = world.deploy(world.stranger, assets["Actor"])
    terms = (coin, PRICE, DAY, 0, 0, 7)
    others, own = world.mint().token, world.mint().token
    world.send(world.maker, "offer", others, terms)
    world.transact(world.stranger, coin, arguments("mint(address,uint256)", world.licensee.address, PRICE))
    world.ledger.buy(world.licensee, others)
    world.ledger.transfer(world.maker, own, actor)
    for target, call in (
        (contract, encode_call("offer", (own, terms))),
        (coin, arguments("approve(address,uint256)", contract, PRICE)),
    ):
        world.transact(world.stranger, actor, act(target, call))
    world.transact(world.stranger, coin, arguments("mint(address,uint256)", actor, PRICE))
    world.transact(world.stranger, actor, prepare(contract, encode_call("withdraw", (coin, actor))))
    # The ledger has another's coins, so the withdrawal inside succeeds, and the purchase around it cannot.
    with pytest.raises(Reverted) as caught:
        world.transact(world.stranger, actor, act(contract, encode_call("buy", (own, 1, PRICE))))
    assert "too little was paid" in str(refusal(caught.value.data))
    assert world.ledger.owed(actor, coin) == 0
    assert world.ledger.withdraw(world.maker, currency=coin) == PRICE


@pytest.mark.parametrize("kind", ["Miser", "Coin"])
def test_account_that_takes_no_money_stays_owed_and_blocks_nobody(
    world: World, assets: dict[str, bytes], kind: str
) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    miser = world.deploy(world.stranger, assets["Miser"])
    overpaying(world, token, miser, 3)
    receiver = miser if kind == "Miser" else world.deploy(world.stranger, assets[kind])
    call = act(world.ledger.identity.contract, encode_call("withdraw", (NATIVE, receiver)))
    with pytest.raises(Reverted) as caught:
        world.transact(world.stranger, miser, call)
    assert "does not accept money" in str(refusal(caught.value.data))
    assert world.ledger.owed(miser) == 2 * PRICE
    assert world.ledger.withdraw(world.maker) == PRICE
    elsewhere = "0x" + "5b" * 20
    before = world.ledger.balance(elsewhere)
    call = act(world.ledger.identity.contract, encode_call("withdraw", (NATIVE, elsewhere)))
    world.transact(world.stranger, miser, call)
    assert world.ledger.balance(elsewhere) == before + 2 * PRICE


def test_refund_to_an_account_that_takes_no_money_does_not_stop_a_revocation(
    world: World, assets: dict[str, bytes]
) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY))
    miser = world.deploy(world.stranger, assets["Miser"])
    overpaying(world, token, miser, 1)
    revoked = world.ledger.revoke(world.maker, token, miser, reason="x")
    assert world.ledger.owed(miser) == revoked.refund > 0
    assert not world.ledger.has_licence(token, miser)


def test_plain_money_is_refused_so_that_none_is_lost(world: World) -> None:
    with pytest.raises(Reverted):
        world.transact(world.stranger, world.ledger.identity.contract, b"", PRICE)
