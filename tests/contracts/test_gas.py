"""What each verb costs: pinned, and the same to the unit on both chains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.ledger.accounts import KeystoreAccount
from provenance.ledger.protocol import NEVER

if TYPE_CHECKING:
    from tests.contracts.conftest import World

GAS = {
    "first mint of a ledger": 187_511,
    "mint": 153_311,
    "offer": 50_566,
    "buy": 76_567,
    "prolong": 42_464,
    "grant": 51_969,
    "open stream": 60_580,
    "anchor": 42_740,
    "anchor without an adapter": 33_274,
    "register issuer": 45_979,
    "revoke licence": 33_188,
    "withdraw": 30_113,
    "revoke adapter": 32_507,
}


def measure(world: World) -> dict[str, int]:
    """Gas of each verb in one short life of the contract."""
    ledger, gas = world.ledger, {}

    def note(verb: str) -> None:
        assert ledger.last_receipt
        gas[verb] = ledger.last_receipt.gas_used

    token = world.mint(weights="01" * 32).token
    note("first mint of a ledger")
    world.mint(weights="02" * 32)
    note("mint")
    ledger.set_offer(world.maker, token, price=10**16, duration=30 * 24 * 3600)
    note("offer")
    ledger.buy(world.licensee, token)
    note("buy")
    ledger.buy(world.licensee, token)
    note("prolong")
    ledger.grant(world.maker, token, world.stranger.address, expires=NEVER)
    note("grant")
    own = ledger.open_stream(world.stranger)
    stream = ledger.open_stream(world.licensee, token)
    note("open stream")
    world.anchor(world.licensee, stream, 0, 1000)
    note("anchor")
    world.anchor(world.stranger, own, 0, 1000)
    note("anchor without an adapter")
    ledger.register_issuer(world.maker, "0a" * 32)
    note("register issuer")
    ledger.revoke(world.maker, token, world.licensee.address, reason="terms broken")
    note("revoke licence")
    ledger.withdraw(world.maker)
    note("withdraw")
    ledger.revoke_adapter(world.maker, token, reason="objection")
    note("revoke adapter")
    return gas


def test_gas_is_as_pinned_within_one_percent(world: World) -> None:
    measured = measure(world)
    for verb, expected in GAS.items():
        assert measured[verb] == pytest.approx(expected, rel=0.01), measured


@pytest.mark.anvil
def test_gas_and_logs_agree_to_the_unit_on_both_chains(both_worlds: tuple[World, World]) -> None:
    embedded, anvil = both_worlds
    anvil.maker, anvil.licensee, anvil.stranger = (
        _known(anvil, each) for each in (embedded.maker, embedded.licensee, embedded.stranger)
    )
    assert measure(embedded) == measure(anvil)
    here = [(log.topics, log.data) for log in embedded.ledger.source.logs([])]
    there = [(log.topics, log.data) for log in anvil.ledger.source.logs([])]
    assert [topics for topics, _ in here] == [topics for topics, _ in there]


def _known(world: World, account: KeystoreAccount) -> KeystoreAccount:
    assert world.rpc
    world.rpc.call("anvil_setBalance", account.address, hex(10**21))
    return account


def test_a_thousand_images_cost_less_than_fifty_gas_each(world: World) -> None:
    stream = world.ledger.open_stream(world.maker)
    world.anchor(world.maker, stream, 0, 1000)
    assert world.ledger.last_receipt
    assert world.ledger.last_receipt.gas_used / 1000 < 50
