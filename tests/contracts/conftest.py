"""The contract on both chains: every test that takes ``world`` runs on the embedded chain and on anvil."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.anvil import Anvil, find_anvil, running_anvil
from contracts.compile import can_compile
from tests.contracts.solidity import compile_assets
from tests.contracts.world import START, World, anvil_world, embedded_world, known_account, twin_of


def _require_anvil() -> None:
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    _require_anvil()
    with running_anvil() as node:
        yield node


@pytest.fixture(params=["embedded", pytest.param("anvil", marks=pytest.mark.anvil)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "embedded":
        made = embedded_world(tmp_path)
    else:
        made = anvil_world(tmp_path, request.getfixturevalue("anvil"))
    yield made
    made.ledger.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[World]:
    made = embedded_world(tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[World, World]]:
    """One ledger on both chains, down to the chain id and the time."""
    _require_anvil()
    here = embedded_world(tmp_path / "embedded", known_account)
    chain_id = str(here.ledger.identity.chain_id)
    with running_anvil("--chain-id", chain_id, "--timestamp", str(START)) as node:
        there = twin_of(here, tmp_path / "anvil", node)
        yield here, there
        there.ledger.close()
    here.ledger.close()


@pytest.fixture(scope="session")
def assets() -> dict[str, bytes]:
    """The code of the contracts in ``tests/contracts/assets``, by name."""
    if not can_compile():
        pytest.skip("Node, solc or OpenZeppelin is missing: run `npm install --no-save` in contracts/")
    return compile_assets()
