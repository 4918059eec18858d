"""What parents and contributors get of an adapter's sales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.contributors import ContributorsTree
from provenance.ledger.licences import Shares, Terms

if TYPE_CHECKING:
    from tests.contracts.world import World

PRICE = 10**15
DAY = 24 * 3600
TERMS = Terms(price=PRICE, duration=DAY)


def contributors(tree: ContributorsTree, share: int) -> Shares:
    return Shares(contributors=share, contributors_root=tree.root)


def child_of(world: World, *parents: int, shares: Shares = Shares()) -> int:
    """The stranger's adapter, on sale."""
    token = world.mint(world.stranger, parents=parents, shares=shares).token
    world.ledger.make_offer(world.stranger, token, TERMS)
    return token


def test_sale_is_split_between_owner_parents_and_contributors(world: World) -> None:
    parent = world.mint(shares=Shares(derivable=True, derivative=1000)).token
    tree = ContributorsTree.of({world.licensee.address: 1_000_000})
    child = child_of(world, parent, shares=contributors(tree, 500))
    world.ledger.buy(world.licensee, child)
    assert world.ledger.owed(world.stranger.address) == PRICE * 85 // 100
    assert world.ledger.call("poolOf", "0x" + "00" * 20, child) == {
        "parents": PRICE // 10,
        "contributors": PRICE // 20,
    }
    assert world.ledger.collect(world.licensee, child, parent) == PRICE // 10
    assert world.ledger.owed(world.maker.address) == PRICE // 10
    claimed = world.ledger.claim(world.stranger, child, world.licensee.address, 1_000_000, ())
    assert claimed == PRICE // 20 == world.ledger.owed(world.licensee.address)
    for each in (world.maker, world.licensee, world.stranger):
        world.ledger.withdraw(each)
    assert world.ledger.balance(world.ledger.identity.contract) == 0


def test_parents_share_as_each_asked_and_collect_once(world: World) -> None:
    first = world.mint(shares=Shares(derivable=True, derivative=1000)).token
    second = world.mint(world.licensee, shares=Shares(derivable=True, derivative=3000)).token
    child = child_of(world, first, second)
    world.ledger.buy(world.licensee, child)
    assert world.ledger.collect(world.licensee, child, first) == PRICE // 10
    assert world.ledger.collect(world.licensee, child, second) == PRICE * 3 // 10
    with pytest.raises(LedgerRefused, match="no share"):
        world.ledger.collect(world.licensee, child, first)
    world.ledger.buy(world.licensee, child)
    assert world.ledger.collect(world.maker, child, first) == PRICE // 10
    assert world.ledger.owed(world.maker.address) == 2 * (PRICE // 10)


def test_share_of_a_parent_goes_on_to_its_own_parents_and_contributors(world: World) -> None:
    tree = ContributorsTree.of({world.licensee.address: 1_000_000})
    shares = Shares(derivable=True, derivative=2000, contributors=5000, contributors_root=tree.root)
    oldest = world.mint(world.licensee, shares=Shares(derivable=True, derivative=1000)).token
    parent = world.mint(parents=(oldest,), shares=shares).token
    child = child_of(world, parent)
    world.ledger.buy(world.licensee, child)
    moved = world.ledger.collect(world.stranger, child, parent)
    assert moved == PRICE // 5
    assert world.ledger.owed(world.maker.address) == moved * 4 // 10
    assert world.ledger.collect(world.stranger, parent, oldest) == moved // 10
    assert world.ledger.claim(world.stranger, parent, world.licensee.address, 1_000_000, ()) == moved // 2
    assert world.ledger.owed(world.licensee.address) == moved // 10 + moved // 2


def test_parents_share_belongs_to_who_owns_it_when_it_is_collected(world: World) -> None:
    parent = world.mint(shares=Shares(derivable=True, derivative=1000)).token
    child = child_of(world, parent)
    world.ledger.buy(world.licensee, child)
    world.ledger.transfer(world.maker, parent, world.licensee.address)
    world.ledger.collect(world.stranger, child, parent)
    assert world.ledger.owed(world.maker.address) == 0
    assert world.ledger.owed(world.licensee.address) == PRICE // 10


def test_only_parents_collect_and_only_when_something_is_due(world: World) -> None:
    parent = world.mint(shares=Shares(derivable=True)).token
    child = child_of(world, parent)
    world.ledger.buy(world.licensee, child)
    for stranger in (0, child, 99):
        with pytest.raises(LedgerRefused, match="is no parent"):
            world.ledger.collect(world.maker, child, stranger)
    with pytest.raises(LedgerRefused, match="no share"):
        world.ledger.collect(world.maker, child, parent)


def test_many_contributors_claim_with_proofs_as_often_as_something_was_sold(world: World) -> None:
    accounts = [f"0x{number:040x}" for number in range(1, 12)]
    parts = {account: 10_000 * (place + 1) for place, account in enumerate(accounts)}
    parts[accounts[-1]] += 1_000_000 - sum(parts.values())
    tree = ContributorsTree.of(parts)
    token = world.offered(TERMS, shares=contributors(tree, 1000))
    pool = PRICE // 10
    for sale in (1, 2):
        world.ledger.buy(world.licensee, token)
        for account in accounts:
            amount = world.ledger.claim(world.stranger, token, account, parts[account], tree.proof(account))
            assert amount == pool * parts[account] // 1_000_000
            assert world.ledger.owed(account) == sale * amount
    with pytest.raises(LedgerRefused, match="no share"):
        world.ledger.claim(world.stranger, token, accounts[0], parts[accounts[0]], tree.proof(accounts[0]))
    assert world.ledger.owed(world.maker.address) == 2 * (PRICE - pool)


def test_claim_needs_the_own_part_and_its_proof(world: World) -> None:
    accounts = {world.licensee.address: 600_000, world.stranger.address: 300_000, "0x" + "11" * 20: 100_000}
    tree = ContributorsTree.of(accounts)
    token = world.offered(TERMS, shares=contributors(tree, 1000))
    world.ledger.buy(world.licensee, token)
    mine, theirs = world.stranger.address, world.licensee.address
    for account, part, proof in (
        (mine, 600_000, tree.proof(mine)),
        (mine, 300_000, tree.proof(theirs)),
        (mine, 300_000, ()),
        (world.maker.address, 300_000, tree.proof(mine)),
    ):
        with pytest.raises(LedgerRefused, match="not among the contributors"):
            world.ledger.claim(world.stranger, token, account, part, proof)
    other = world.offered(TERMS)
    with pytest.raises(LedgerRefused, match="not among the contributors"):
        world.ledger.claim(world.stranger, other, mine, 300_000, tree.proof(mine))


def test_parts_that_promise_more_than_there_is_take_no_other_money(world: World) -> None:
    from provenance.ledger.contributors import leaf_hash
    from provenance.ledger.keccak import keccak

    # A list that our own tree would refuse: two accounts with all of it each.
    leaves = sorted(leaf_hash(each.address, 1_000_000) for each in (world.licensee, world.stranger))
    greedy = Shares(contributors=1000, contributors_root=keccak(b"".join(leaves)).hex())
    token, other = world.offered(TERMS, shares=greedy), world.offered(TERMS, shares=greedy)
    for each in (token, other):
        world.ledger.buy(world.licensee, each)
    proofs = {
        each.address: ([leaf.hex() for leaf in leaves if leaf != leaf_hash(each.address, 1_000_000)])
        for each in (world.licensee, world.stranger)
    }
    first, second = world.licensee.address, world.stranger.address
    assert world.ledger.claim(world.maker, token, first, 1_000_000, proofs[first]) == PRICE // 10
    with pytest.raises(LedgerRefused, match="no share"):
        world.ledger.claim(world.maker, token, second, 1_000_000, proofs[second])


def test_refund_takes_nothing_from_parents_and_contributors(world: World) -> None:
    parent = world.mint(shares=Shares(derivable=True, derivative=5000)).token
    child = child_of(world, parent)
    world.ledger.buy(world.licensee, child)
    refund = world.ledger.revoke(world.stranger, child, world.licensee.address, reason="x").refund
    assert refund > PRICE * 99 // 100
    assert world.ledger.collect(world.maker, child, parent) == PRICE // 2
    # The owner had only half of the price: the rest of the refund came out of its pocket.
    contract = world.ledger.balance(world.ledger.identity.contract)
    accounts = (world.maker, world.licensee, world.stranger)
    assert contract == sum(world.ledger.owed(each.address) for each in accounts)
