"""How many images a licence allows, and how they are counted: reported, consumed, anchored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.licences import NEVER, Terms, Usage
from provenance.ledger.typed_data import usage_typed_data

if TYPE_CHECKING:
    from tests.contracts.world import World

DAY = 24 * 3600
LIMITED = Terms(price=5, duration=DAY, quota=100)


@pytest.fixture
def token(world: World) -> int:
    made = world.offered(LIMITED)
    world.ledger.buy(world.licensee, made)
    return made


def settle(world: World, token: int, used: int) -> None:
    usage = Usage(token, world.licensee.address, used)
    world.ledger.settle(world.maker, usage, world.sign_usage(world.licensee, usage))


def test_report_is_the_total_so_far_and_anyone_settles_it(world: World, token: int) -> None:
    usage = Usage(token, world.licensee.address, 60)
    held = world.ledger.settle(world.stranger, usage, world.sign_usage(world.licensee, usage))
    assert held
    assert (held.used, held.anchored, held.left) == (60, 0, 40)
    assert world.ledger.call("licenceOf", token, world.licensee.address)["used"] == 60


def test_report_is_settled_once_and_never_taken_back(world: World, token: int) -> None:
    settle(world, token, 60)
    for used in (60, 59, 0):
        with pytest.raises(LedgerRefused, match="60 images are on record"):
            settle(world, token, used)
    settle(world, token, 61)


def test_report_must_be_signed_by_who_made_the_images_for_this_ledger(world: World, token: int) -> None:
    usage = Usage(token, world.licensee.address, 60)
    elsewhere = replace(world.ledger.identity, chain_id=world.ledger.identity.chain_id + 1)
    for signature in (
        world.sign_usage(world.maker, usage),
        world.sign_usage(world.licensee, replace(usage, used=61)),
        world.licensee.sign_typed_data(usage_typed_data(elsewhere, usage)),
        b"",
    ):
        with pytest.raises(LedgerRefused, match="signature is not one of"):
            world.ledger.settle(world.maker, usage, signature)


def test_quota_ends_a_licence_and_a_renewal_goes_on(world: World, token: int) -> None:
    settle(world, token, 100)
    assert not world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.call("hasLicense", token, world.licensee.address) is False
    renewed = world.ledger.buy(world.licensee, token)
    assert (renewed.quota, renewed.left) == (200, 100)
    assert world.ledger.has_licence(token, world.licensee.address)


def test_report_above_the_quota_is_on_record_all_the_same(world: World, token: int) -> None:
    settle(world, token, 150)
    held = world.ledger.licence(token, world.licensee.address)
    assert held
    assert (held.used, held.left) == (150, 0)
    assert not world.ledger.has_licence(token, world.licensee.address)


def test_renewal_after_the_end_counts_on_from_what_was_used(world: World, token: int) -> None:
    settle(world, token, 30)
    world.advance(40 * DAY)
    again = world.ledger.buy(world.licensee, token)
    assert again.used == 30
    assert again.left is not None
    assert again.left >= 100


def test_consumed_images_stay_within_the_quota(world: World, token: int) -> None:
    held = world.ledger.consume(world.licensee, token, 99)
    assert held
    assert held.used == 99
    with pytest.raises(LedgerRefused, match="allows 100 images in all; this would make 101"):
        world.ledger.consume(world.licensee, token, 2)
    world.ledger.consume(world.licensee, token, 1)
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.consume(world.licensee, token, 1)


def test_only_a_licensee_or_the_owner_consumes(world: World, token: int) -> None:
    with pytest.raises(LedgerRefused, match="no valid licence"):
        world.ledger.consume(world.stranger, token, 1)
    assert world.ledger.consume(world.maker, token, 5) is None
    assert world.ledger.call("licenceOf", token, world.maker.address)["used"] == 5
    with pytest.raises(LedgerRefused, match="says nothing new"):
        world.ledger.consume(world.maker, token, 0)


def test_anchored_images_count_against_the_quota(world: World, token: int) -> None:
    stream = world.ledger.open_stream(world.licensee, token)
    world.anchor(world.licensee, stream, 0, 70)
    held = world.ledger.licence(token, world.licensee.address)
    assert held
    assert (held.anchored, held.used, held.left) == (70, 0, 30)
    with pytest.raises(LedgerRefused, match="allows 100 images in all; this would make 101"):
        world.anchor(world.licensee, stream, 70, 31)
    world.anchor(world.licensee, stream, 70, 30)
    assert not world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.call("hasLicense", token, world.licensee.address) is False


def test_images_that_were_reported_and_then_anchored_count_once(world: World, token: int) -> None:
    stream = world.ledger.open_stream(world.licensee, token)
    settle(world, token, 80)
    world.anchor(world.licensee, stream, 0, 80)
    held = world.ledger.licence(token, world.licensee.address)
    assert held
    assert (held.usage, held.left) == (80, 20)


def test_quota_is_shared_by_all_streams_of_a_licence(world: World, token: int) -> None:
    first, second = (world.ledger.open_stream(world.licensee, token) for _ in range(2))
    world.anchor(world.licensee, first, 0, 60)
    with pytest.raises(LedgerRefused, match="this would make 120"):
        world.anchor(world.licensee, second, 0, 60)


def test_licence_without_a_quota_counts_only_reports(world: World) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER)
    stream = world.ledger.open_stream(world.licensee, token)
    world.anchor(world.licensee, stream, 0, 1000)
    settle(world, token, 2**32 - 1)
    held = world.ledger.licence(token, world.licensee.address)
    assert held
    assert (held.anchored, held.used, held.left) == (0, 2**32 - 1, None)
    assert world.ledger.has_licence(token, world.licensee.address)


def test_renewal_with_a_quota_that_was_overdrawn_still_buys_something(world: World, token: int) -> None:
    settle(world, token, 250)
    renewed = world.ledger.buy(world.licensee, token)
    assert renewed.left == 100
