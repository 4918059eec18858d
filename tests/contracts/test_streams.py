"""Streams, batches and issuers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerLookupError, LedgerRefused
from provenance.ledger.protocol import ANCHOR_GRACE, NEVER, SERIAL_LIMIT

if TYPE_CHECKING:
    from tests.contracts.conftest import World

DAY = 24 * 3600


def test_streams_run_from_one_and_belong_to_who_opened_them(world: World) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER)
    opened = [
        world.ledger.open_stream(world.stranger),
        world.ledger.open_stream(world.maker, token),
        world.ledger.open_stream(world.licensee, token),
    ]
    assert [each.stream for each in opened] == [1, 2, 3]
    assert [each.token for each in opened] == [0, token, token]
    assert [each.holder for each in opened] == [each.address for each in (world.stranger, world.maker, world.licensee)]
    assert world.ledger.streams() == tuple(opened)
    assert world.ledger.streams(world.licensee.address) == (opened[2],)
    assert world.ledger.stream(2) == opened[1]


def test_stream_needs_a_licence(world: World) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused, match="may not use adapter"):
        world.ledger.open_stream(world.stranger, token)
    with pytest.raises(LedgerRefused, match="may not use adapter"):
        world.ledger.open_stream(world.stranger, 99)


def test_batches_follow_one_another_and_are_found_by_serial(world: World) -> None:
    stream = world.ledger.open_stream(world.maker)
    assert world.ledger.next_serial(stream.stream) == 0
    batches = (world.anchor(world.maker, stream, 0, 3), world.anchor(world.maker, stream, 3, 1))
    assert world.ledger.batches(stream.stream) == batches
    assert world.ledger.next_serial(stream.stream) == 4
    assert [world.ledger.batch_covering(stream.stream, serial) for serial in (0, 2, 3, 4)] == [
        batches[0],
        batches[0],
        batches[1],
        None,
    ]
    assert batches[0].root == "ab" * 32
    assert batches[0].cid == world.cid


@pytest.mark.parametrize("first", [0, 2, 4])
def test_gaps_and_overlaps_are_refused(world: World, first: int) -> None:
    stream = world.ledger.open_stream(world.maker)
    world.anchor(world.maker, stream, 0, 3)
    with pytest.raises(LedgerRefused, match="does not follow"):
        world.anchor(world.maker, stream, first, 1)


def test_only_the_holder_anchors(world: World) -> None:
    stream = world.ledger.open_stream(world.maker)
    with pytest.raises(LedgerRefused, match="does not belong"):
        world.anchor(world.stranger, stream)


def test_batch_without_records_root_or_cid_is_refused(world: World) -> None:
    stream = world.ledger.open_stream(world.maker).stream
    root, cid = "ab" * 32, world.cid
    for count, other_root, other_cid in ((0, root, cid), (1, "00" * 32, cid), (1, root, ""), (1, root, "b" * 129)):
        with pytest.raises(LedgerRefused):
            world.ledger.anchor(world.maker, stream=stream, first=0, count=count, root=other_root, cid=other_cid)


def test_serials_stay_below_28_bits(world: World) -> None:
    stream = world.ledger.open_stream(world.maker)
    with pytest.raises(LedgerRefused, match="cannot have"):
        world.anchor(world.maker, stream, 0, SERIAL_LIMIT + 1)
    world.anchor(world.maker, stream, 0, SERIAL_LIMIT)
    with pytest.raises(LedgerRefused, match="cannot have"):
        world.anchor(world.maker, stream, SERIAL_LIMIT, 1)


def test_unknown_stream_is_a_lookup_error(world: World) -> None:
    for question in (world.ledger.stream, world.ledger.batches, world.ledger.next_serial):
        with pytest.raises(LedgerLookupError, match="no stream 5"):
            question(5)
    stream = world.ledger.open_stream(world.maker)
    with pytest.raises(LedgerLookupError, match="no stream"):
        world.ledger.anchor(world.maker, stream=stream.stream + 1, first=0, count=1, root="ab" * 32, cid=world.cid)


def test_what_was_made_under_a_licence_can_be_anchored_for_a_week_after_it(world: World) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY)
    stream = world.ledger.open_stream(world.licensee, token)
    world.advance(DAY + ANCHOR_GRACE - 3600)
    world.anchor(world.licensee, stream, 0)
    world.advance(2 * 3600)
    with pytest.raises(LedgerRefused, match="has ended"):
        world.anchor(world.licensee, stream, 1)
    world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY)
    world.anchor(world.licensee, stream, 1)


@pytest.mark.parametrize("end", ["licence revoked", "adapter withdrawn", "adapter sold"])
def test_grace_runs_from_the_end_whatever_ended_it(world: World, end: str) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER)
    holder = world.maker if end == "adapter sold" else world.licensee
    stream = world.ledger.open_stream(holder, token)
    if end == "licence revoked":
        world.ledger.revoke(world.maker, token, world.licensee.address, reason="terms broken")
    elif end == "adapter withdrawn":
        world.ledger.revoke_adapter(world.maker, token, reason="objection")
    else:
        world.ledger.transfer(world.maker, token, world.stranger.address)
    assert not world.ledger.has_licence(token, holder.address)
    world.advance(ANCHOR_GRACE - 3600)
    world.anchor(holder, stream, 0)
    world.advance(2 * 3600)
    with pytest.raises(LedgerRefused, match="has ended"):
        world.anchor(holder, stream, 1)


def test_stream_without_an_adapter_never_closes(world: World) -> None:
    stream = world.ledger.open_stream(world.stranger)
    world.advance(1000 * DAY)
    assert world.anchor(world.stranger, stream).count == 1


def test_account_registers_its_roots_and_registering_twice_is_harmless(world: World) -> None:
    assert world.ledger.issuers(world.maker.address) == frozenset()
    world.ledger.register_issuer(world.maker, "0a" * 32)
    before = world.ledger.head()
    assert world.ledger.register_issuer(world.maker, "0a" * 32) == {"0a" * 32}
    assert world.ledger.head() == before
    assert world.ledger.register_issuer(world.maker, "0b" * 32) == {"0a" * 32, "0b" * 32}
    assert world.ledger.issuers(world.stranger.address) == frozenset()
    assert world.ledger.call("isIssuer", world.maker.address, "0b" * 32) is True
    with pytest.raises(LedgerRefused, match="already registered"):
        world.ledger._send("IssuerRegistered", world.maker, "registerIssuer", "0a" * 32)
    with pytest.raises(LedgerRefused, match="must be named"):
        world.ledger.register_issuer(world.maker, "00" * 32)
