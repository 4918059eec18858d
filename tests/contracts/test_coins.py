"""Prices in ERC-20 coins: good ones, and ones that lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.contributors import ContributorsTree
from provenance.ledger.licences import NATIVE, NEVER, Shares, Terms, Voucher
from tests.contracts.solidity import arguments

if TYPE_CHECKING:
    from provenance.ledger.accounts import KeystoreAccount
    from tests.contracts.world import World

PRICE = 10**6
DAY = 24 * 3600


def coin_of(world: World, assets: dict[str, bytes], name: str = "Coin") -> str:
    """A coin of which licensee and maker have ten prices each."""
    coin = world.deploy(world.stranger, assets[name])
    for account in (world.licensee, world.maker):
        world.transact(world.stranger, coin, arguments("mint(address,uint256)", account.address, 10 * PRICE))
    return coin


def balance(world: World, coin: str, account: str) -> int:
    return int.from_bytes(world.view(coin, arguments("balanceOf(address)", account)), "big")


def allowance(world: World, coin: str) -> int:
    question = arguments("allowance(address,address)", world.licensee.address, world.ledger.identity.contract)
    return int.from_bytes(world.view(coin, question), "big")


def approve(world: World, account: KeystoreAccount, coin: str, amount: int) -> None:
    world.transact(account, coin, arguments("approve(address,uint256)", world.ledger.identity.contract, amount))


def test_licence_is_bought_with_a_coin_and_its_owner_takes_it(world: World, assets: dict[str, bytes]) -> None:
    coin, contract = coin_of(world, assets), world.ledger.identity.contract
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    assert world.ledger.buy(world.licensee, token).offer == 1
    assert balance(world, coin, contract) == world.ledger.owed(world.maker.address, coin) == PRICE
    assert world.ledger.owed(world.maker.address) == 0
    assert world.ledger.withdraw(world.maker, currency=coin, to=world.stranger.address) == PRICE
    assert balance(world, coin, world.stranger.address) == PRICE
    assert balance(world, coin, contract) == 0


def test_unused_time_is_refunded_in_the_coin_it_was_paid_in(world: World, assets: dict[str, bytes]) -> None:
    coin = coin_of(world, assets)
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    bought = world.ledger.buy(world.licensee, token)
    world.ledger.withdraw(world.maker, currency=coin)
    world.advance(DAY // 2)
    revoked = world.ledger.revoke(world.maker, token, world.licensee.address, reason="x")
    assert revoked.revoked_at
    assert revoked.refund == PRICE * (bought.expires - revoked.revoked_at) // DAY
    assert world.ledger.owed(world.licensee.address, coin) == revoked.refund
    assert balance(world, coin, world.ledger.identity.contract) == revoked.refund
    assert world.ledger.withdraw(world.licensee, currency=coin) == revoked.refund


def test_voucher_parents_and_contributors_are_paid_in_the_coin(world: World, assets: dict[str, bytes]) -> None:
    coin = coin_of(world, assets)
    tree = ContributorsTree.of({world.maker.address: 1_000_000})
    parent = world.mint(world.stranger, shares=Shares(derivable=True, derivative=1000)).token
    shares = Shares(contributors=2000, contributors_root=tree.root)
    child = world.mint(parents=(parent,), shares=shares).token
    terms = Terms(price=PRICE, duration=DAY, currency=coin)
    voucher = Voucher(child, world.licensee.address, terms, nonce=1, deadline=NEVER)
    world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))
    assert world.ledger.collect(world.maker, child, parent, currency=coin) == PRICE // 10
    assert world.ledger.claim(world.maker, child, world.maker.address, 1_000_000, (), currency=coin) == PRICE // 5
    assert world.ledger.owed(world.stranger.address, coin) == PRICE // 10
    assert world.ledger.owed(world.maker.address, coin) == PRICE * 9 // 10
    with pytest.raises(LedgerRefused, match="no share"):
        world.ledger.collect(world.maker, child, parent)


def test_coin_and_the_chains_own_money_are_not_mixed_up(world: World, assets: dict[str, bytes]) -> None:
    coin = coin_of(world, assets)
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    approve(world, world.licensee, coin, PRICE)
    with pytest.raises(LedgerRefused, match=f"the price is in a token, but {PRICE} wei"):
        world.ledger._send("LicenceGranted", world.licensee, "buy", token, 1, PRICE, value=PRICE)
    world.ledger.buy(world.licensee, token)
    with pytest.raises(LedgerRefused, match="nothing in the chain's own money"):
        world.ledger.withdraw(world.maker)


def test_buyer_without_the_coin_gets_nothing(world: World, assets: dict[str, bytes]) -> None:
    coin = coin_of(world, assets)
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    with pytest.raises(LedgerRefused, match=f"may take 0 of the token's smallest unit, and needs {PRICE}"):
        world.ledger._send("LicenceGranted", world.licensee, "buy", token, 1, PRICE)
    with pytest.raises(LedgerRefused, match=f"has 0 of the token's smallest unit, and needs {PRICE}"):
        world.ledger.buy(world.stranger, token)
    assert world.ledger.licences(token) == ()


def test_buyer_pays_in_no_other_currency_than_it_agreed_to(world: World, assets: dict[str, bytes]) -> None:
    """A number that is cheap in the chain's own money may be dear in a coin, and the other way round."""
    coin = coin_of(world, assets)
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    with pytest.raises(LedgerRefused, match="another currency") as raised:
        world.ledger.buy(world.licensee, token, max_price=PRICE, currency=NATIVE)
    assert raised.value.expected == "the chain's own money"
    voucher = Voucher(token, world.licensee.address, Terms(price=PRICE, duration=DAY), nonce=1, deadline=NEVER)
    signature = world.sign_voucher(world.maker, voucher)
    with pytest.raises(LedgerRefused, match="another currency"):
        world.ledger.redeem(world.licensee, voucher, signature, max_price=PRICE, currency=coin)
    with pytest.raises(LedgerRefused, match="costs more than agreed"):
        world.ledger.redeem(world.licensee, voucher, signature, max_price=PRICE - 1, currency=NATIVE)
    assert allowance(world, coin) == 0
    assert world.ledger.buy(world.licensee, token, max_price=PRICE, currency=coin).offer == 1


def test_allowance_that_is_there_is_used_and_one_that_is_too_small_is_replaced(
    world: World, assets: dict[str, bytes]
) -> None:
    """A purchase that failed leaves its approval behind; the oldest coins change none that is not zero."""
    coin = coin_of(world, assets, "OldCoin")
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    approve(world, world.licensee, coin, PRICE - 1)
    world.ledger.buy(world.licensee, token)
    assert allowance(world, coin) == 0
    approve(world, world.licensee, coin, 2 * PRICE)
    before = world.ledger.head().block
    world.ledger.buy(world.licensee, token)
    assert world.ledger.head().block == before + 1
    assert allowance(world, coin) == PRICE


def test_coin_that_says_why_it_does_not_pay_is_heard(world: World, assets: dict[str, bytes]) -> None:
    coin = world.deploy(world.stranger, assets["OldCoin"])
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    with pytest.raises(LedgerRefused, match="says: OldCoin: not enough\ufffd"):
        world.ledger.buy(world.licensee, token)


def test_currency_that_is_no_contract_is_refused(world: World) -> None:
    token = world.offered(Terms(price=PRICE, duration=DAY, currency="0x" + "c0" * 20))
    with pytest.raises(LedgerRefused):
        world.ledger._send("LicenceGranted", world.licensee, "buy", token, 1, PRICE)
    assert world.ledger.licences(token) == ()


def test_coin_that_says_nothing_pays_all_the_same(world: World, assets: dict[str, bytes]) -> None:
    coin = coin_of(world, assets, "SilentCoin")
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    world.ledger.buy(world.licensee, token)
    assert world.ledger.withdraw(world.maker, currency=coin) == PRICE
    assert balance(world, coin, world.ledger.identity.contract) == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("FeeCoin", "too little was paid"),
        ("EmptyCoin", "too little was paid"),
        ("FalseCoin", "did not move the money"),
    ],
)
def test_coin_that_does_not_pay_in_full_buys_nothing(
    world: World, assets: dict[str, bytes], name: str, reason: str
) -> None:
    coin = coin_of(world, assets, name)
    token = world.offered(Terms(price=PRICE, duration=DAY, currency=coin))
    with pytest.raises(LedgerRefused, match=reason):
        world.ledger.buy(world.licensee, token)
    assert world.ledger.licences(token) == ()
    assert world.ledger.owed(world.maker.address, coin) == 0


def test_hostile_coin_touches_no_other_books(world: World, assets: dict[str, bytes]) -> None:
    good, bad = coin_of(world, assets), coin_of(world, assets, "FeeCoin")
    paid = Terms(price=PRICE, duration=DAY, currency=good)
    token = world.offered(paid)
    world.ledger.make_offer(world.maker, token, replace(paid, currency=bad))
    world.ledger.make_offer(world.maker, token, replace(paid, currency=NATIVE))
    world.ledger.buy(world.licensee, token, number=1)
    world.ledger.buy(world.stranger, token, number=3)
    with pytest.raises(LedgerRefused):
        world.ledger.buy(world.maker, token, number=2)
    assert world.ledger.withdraw(world.maker) == PRICE
    assert world.ledger.withdraw(world.maker, currency=good) == PRICE
    with pytest.raises(LedgerRefused, match="owes"):
        world.ledger.withdraw(world.maker, currency=bad)
