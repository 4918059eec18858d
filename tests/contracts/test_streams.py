"""Streams and their batches: in order, under a licence or its grace, found by serial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerLookupError, LedgerRefused
from provenance.ledger.licences import NEVER, Terms
from provenance.ledger.protocol import OWNER_GRACE, SERIAL_LIMIT

if TYPE_CHECKING:
    from tests.contracts.world import World

HOUR = 3600
DAY = 24 * HOUR
ROOTS = [f"{number:064x}" for number in range(1, 201)]


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
    assert world.ledger.call("totalStreams") == 3


def test_stream_needs_a_licence(world: World) -> None:
    token = world.mint().token
    for wrong in (token, 99):
        with pytest.raises(LedgerRefused, match="may not use adapter"):
            world.ledger.open_stream(world.stranger, wrong)


def test_batches_follow_one_another_and_are_kept_as_anchored(world: World) -> None:
    stream = world.ledger.open_stream(world.maker).stream
    assert world.ledger.next_serial(stream) == 0
    batches = (world.anchor(world.maker, stream, 0, 3), world.anchor(world.maker, stream, 3, 1))
    assert world.ledger.batches(stream) == batches
    assert world.ledger.next_serial(stream) == 4
    assert (batches[0].root, batches[0].cid) == ("ab" * 32, world.cid)
    assert world.ledger.call("streamOf", stream) == {
        "holder": world.maker.address,
        "tokenId": 0,
        "next": 4,
        "batches": 2,
    }
    kept = world.ledger.call("batchOf", stream, 1)
    assert kept == {"end": 4, "blockNumber": batches[1].block, "root": "ab" * 23}
    assert world.ledger.call("batchOf", stream, 2)["end"] == 0


# A hundred batches on anvil take a quarter of a minute, and the search is the contract's own on both.
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_batch_that_covers_a_serial_is_found_among_any_number(world: World, count: int) -> None:
    stream = world.ledger.open_stream(world.maker).stream
    ends = []
    first = 0
    for place in range(count):
        size = place % 4 + 1
        world.ledger.anchor(world.maker, stream=stream, first=first, count=size, root=ROOTS[place], cid=world.cid)
        first += size
        ends.append(first)
    batches = world.ledger.batches(stream)
    serials = range(first) if count < 20 else (0, 1, first // 2, first - 2, first - 1)
    for serial in serials:
        covering = world.ledger.call("batchCovering", stream, serial)
        place = next(index for index, end in enumerate(ends) if end > serial)
        assert (covering["index"], covering["first"]) == (place, batches[place].first)
        assert covering["batch"] == world.ledger.call("batchOf", stream, place)
        assert covering["batch"]["root"] == batches[place].root[:46]
        assert covering["batch"]["end"] == ends[place]
        assert world.ledger.batch_covering(stream, serial) == batches[place]
    assert world.ledger.batch_covering(stream, first) is None
    with pytest.raises(LedgerLookupError, match=f"serial {first} of stream {stream} is not anchored"):
        world.ledger.call("batchCovering", stream, first)


def test_batch_that_covers_a_serial_is_found_among_a_hundred(embedded: World) -> None:
    stream = embedded.ledger.open_stream(embedded.maker).stream
    for place in range(100):
        embedded.ledger.anchor(
            embedded.maker, stream=stream, first=3 * place, count=3, root=ROOTS[place], cid=embedded.cid
        )
    for serial in (0, 1, 2, 3, 149, 150, 151, 296, 297, 299):
        covering = embedded.ledger.call("batchCovering", stream, serial)
        assert (covering["index"], covering["first"]) == (serial // 3, serial // 3 * 3)
        assert covering["batch"]["root"] == ROOTS[serial // 3][:46]


def test_serial_of_an_unknown_stream_is_a_lookup_error(world: World) -> None:
    with pytest.raises(LedgerLookupError, match="not anchored"):
        world.ledger.call("batchCovering", 5, 0)


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
    for count, other_root, other_cid, reason in (
        (0, root, cid, "cannot have 0 records"),
        (1, "00" * 32, cid, "must have a root"),
        (1, root, "", "empty or too long"),
        (1, root, "b" * 129, "empty or too long"),
    ):
        with pytest.raises(LedgerRefused, match=reason):
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
    with pytest.raises(LedgerLookupError, match="no stream 5"):
        world.anchor(world.maker, 5)


@pytest.mark.parametrize("grace", [0, 1, 30])
def test_what_was_made_under_a_licence_can_be_anchored_in_its_grace(world: World, grace: int) -> None:
    token = world.mint().token
    world.ledger.grant(
        world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY, terms=Terms(grace=grace)
    )
    stream = world.ledger.open_stream(world.licensee, token)
    world.anchor(world.licensee, stream, 0)
    world.advance(DAY + grace * DAY - HOUR)
    world.anchor(world.licensee, stream, 1)
    world.advance(2 * HOUR)
    with pytest.raises(LedgerRefused, match="has ended"):
        world.anchor(world.licensee, stream, 2)
    world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY)
    world.anchor(world.licensee, stream, 2)


@pytest.mark.parametrize("end", ["licence revoked", "licence renounced", "adapter sold"])
def test_grace_runs_from_the_end_whatever_ended_it(world: World, end: str) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER)
    holder = world.maker if end == "adapter sold" else world.licensee
    stream = world.ledger.open_stream(holder, token)
    if end == "licence revoked":
        world.ledger.revoke(world.maker, token, world.licensee.address, reason="terms broken")
    elif end == "licence renounced":
        world.ledger.renounce(world.licensee, token)
    else:
        world.ledger.transfer(world.maker, token, world.stranger.address)
    assert not world.ledger.has_licence(token, holder.address)
    world.advance(OWNER_GRACE - HOUR)
    world.anchor(holder, stream, 0)
    world.advance(2 * HOUR)
    with pytest.raises(LedgerRefused, match="has ended"):
        world.anchor(holder, stream, 1)


def test_licence_that_was_handed_on_leaves_no_grace(world: World) -> None:
    token = world.mint().token
    terms = Terms(transferable=True, quota=10)
    world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER, terms=terms)
    stream = world.ledger.open_stream(world.licensee, token)
    world.ledger.transfer_licence(world.licensee, token, world.stranger.address)
    world.advance(1)
    with pytest.raises(LedgerRefused, match="has ended"):
        world.anchor(world.licensee, stream, 0, 10)
    theirs = world.ledger.open_stream(world.stranger, token)
    world.anchor(world.stranger, theirs, 0, 10)


def test_withdrawal_of_an_adapter_closes_no_stream(world: World) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=NEVER)
    stream = world.ledger.open_stream(world.licensee, token)
    world.ledger.revoke_adapter(world.maker, token, reason="objection")
    world.anchor(world.licensee, stream)


def test_stream_without_an_adapter_never_closes(world: World) -> None:
    stream = world.ledger.open_stream(world.stranger)
    world.advance(1000 * DAY)
    assert world.anchor(world.stranger, stream).count == 1
