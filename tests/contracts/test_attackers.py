"""Hostile contracts on a real node: none gets more than it is owed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from eth_utils.crypto import keccak

from contracts.anvil import Anvil
from contracts.artifact import FOLDER
from contracts.compile import SCRIPT, SETTINGS, can_compile
from provenance.ledger.refusals import Reverted, refusal
from provenance.ledger.rpc import RpcChain

if TYPE_CHECKING:
    from tests.contracts.conftest import World

pytestmark = [pytest.mark.anvil, pytest.mark.node]
SOURCE = Path(__file__).parent / "assets" / "Attackers.sol"
PRICE = 10**15


@pytest.fixture(scope="module")
def attackers() -> dict[str, bytes]:
    if not can_compile():
        pytest.skip("Node, solc or OpenZeppelin is missing: run `npm install --no-save` in contracts/")
    standard = {
        "language": "Solidity",
        "sources": {"Attackers.sol": {"content": SOURCE.read_text()}},
        "settings": {**SETTINGS, "outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
    }
    command = ["node", "-e", SCRIPT]
    done = subprocess.run(command, input=json.dumps(standard), capture_output=True, text=True, cwd=FOLDER, check=True)
    compiled = json.loads(done.stdout)["output"]["contracts"]["Attackers.sol"]
    return {name: bytes.fromhex(each["evm"]["bytecode"]["object"]) for name, each in compiled.items()}


@pytest.fixture
def node_world(anvil: Anvil, tmp_path: Path) -> Iterator[World]:
    from tests.contracts.conftest import anvil_world

    made = anvil_world(tmp_path, anvil)
    yield made
    made.ledger.close()


def word(value: int | str) -> bytes:
    return (value if isinstance(value, int) else int(value, 16)).to_bytes(32, "big")


def call(text: str, *values: int) -> bytes:
    return keccak(text=text)[:4] + b"".join(word(each) for each in values)


def test_reentering_withdraw_pays_once(node_world: World, attackers: dict[str, bytes]) -> None:
    world = node_world
    chain = world.ledger._transactor
    assert isinstance(chain, RpcChain)
    token = world.mint().token
    world.ledger.set_offer(world.maker, token, price=PRICE, duration=60)
    contract = world.ledger.identity.contract
    attacker = chain.transact(world.stranger, "", attackers["Reenter"] + word(contract), 0).contract
    chain.transact(world.stranger, attacker, call("run(uint256)", token), 5 * PRICE)
    assert world.ledger.balance(attacker) == 4 * PRICE
    assert world.ledger.owed(attacker) == 0
    assert world.ledger.balance(contract) == world.ledger.owed(world.maker.address) == PRICE
    assert world.ledger.has_licence(token, attacker)


def test_account_that_takes_no_money_stays_owed_and_blocks_nobody(
    node_world: World, attackers: dict[str, bytes]
) -> None:
    world = node_world
    chain = world.ledger._transactor
    assert isinstance(chain, RpcChain)
    token = world.mint().token
    world.ledger.set_offer(world.maker, token, price=PRICE, duration=60)
    miser = chain.transact(world.stranger, "", attackers["Miser"] + word(world.ledger.identity.contract), 0).contract
    chain.transact(world.stranger, miser, call("overpay(uint256)", token), 3 * PRICE)
    with pytest.raises(Reverted) as caught:
        chain.transact(world.stranger, miser, call("run(uint256)", token), 0)
    assert "does not accept money" in str(refusal(caught.value.data))
    assert world.ledger.owed(miser) == 2 * PRICE
    assert world.ledger.withdraw(world.maker) == PRICE
