"""What each operation costs: as committed, below its ceiling or explained, and the same on both chains."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from contracts.compile import can_compile
from tests.contracts.gas_life import Life
from tests.contracts.gas_table import (
    CODE_OF_OTHERS,
    PAGE,
    PAYS_FOR,
    TABLE,
    Table,
    ceiling_of,
    main,
    measure,
    moved,
    page_bytes,
    per_image,
    read_table,
    table_bytes,
)

if TYPE_CHECKING:
    from provenance.ledger.protocol import Log
    from tests.contracts.world import World


@pytest.fixture(scope="module")
def found() -> Table:
    return measure(with_contracts=can_compile())


def test_gas_is_as_committed_within_one_percent(found: Table) -> None:
    assert moved(found, read_table()) == []


def test_every_committed_row_was_measured(found: Table) -> None:
    left_out = [] if can_compile() else [n for n in read_table() if any(word in n for word in CODE_OF_OTHERS)]
    assert sorted([*found, *left_out]) == sorted(read_table())


def test_figure_that_moves_is_named() -> None:
    assert moved({"a": 102, "b": 101}, {"a": 100, "b": 100}) == ["a: 100 committed, 102 measured"]


def test_rows_are_below_their_ceiling_or_say_what_they_pay_for(found: Table) -> None:
    above = {name for name, gas in found.items() if gas > (ceiling_of(name) or gas)}
    assert above <= set(PAYS_FOR)


@pytest.mark.parametrize(
    ("operation", "ceiling"),
    [
        ("mint", 175_000),
        ("buy: first purchase", 80_000),
        ("buy: first purchase, with a quota", 80_000),
        ("buy: renewal", 50_000),
        ("settle", 35_000),
        ("anchor", 75_000),
        ("anchor: with a quota", 75_000),
    ],
)
def test_plain_operations_are_below_their_ceiling(found: Table, operation: str, ceiling: int) -> None:
    assert found[operation] <= ceiling == ceiling_of(operation)


def test_what_first_slots_cost_is_what_the_page_says(found: Table) -> None:
    for first, later in (
        ("mint: an account's first", "mint"),
        ("buy: first purchase, very first sale", "buy: first purchase"),
    ):
        # A slot that was zero costs 22,100 to write, another 5,000.
        assert found[first] - found[later] == pytest.approx(17_100, abs=30)


def test_image_of_a_batch_costs_next_to_nothing(found: Table) -> None:
    gas = per_image(found)
    assert gas["1000"] <= 75
    assert gas["1000000"] <= 0.08


def test_files_are_the_ones_that_the_command_writes() -> None:
    committed = read_table()
    assert TABLE.read_bytes() == table_bytes(committed)
    assert PAGE.read_bytes() == page_bytes(committed)
    assert json.loads(TABLE.read_bytes())["perImage"] == per_image(committed)


def test_unknown_argument_of_the_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fast"]) == 2
    assert "--write" in capsys.readouterr().err


@pytest.mark.anvil
def test_gas_and_logs_agree_to_the_unit_and_the_byte_on_both_chains(
    twins: tuple[World, World], assets: dict[str, bytes]
) -> None:
    here, there = twins
    ids = [(each.ledger.identity.chain_id, each.ledger.identity.contract) for each in twins]
    assert ids[0] == ids[1]
    assert Life(here, assets).run() == Life(there, assets).run()
    ours, theirs = (logs_of(each) for each in twins)
    assert len(ours) > 100
    assert ours == theirs


def logs_of(world: World) -> list[tuple[int, int, tuple[str, ...], str]]:
    def told(log: Log) -> tuple[int, int, tuple[str, ...], str]:
        return log.block, log.timestamp, log.topics, log.data

    return [told(each) for each in world.ledger.source.logs([])]
