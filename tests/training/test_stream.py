from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from training.dataset.stream import Stream
from training.draws import item_at


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    sizes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5))
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    groups = tuple(tuple(range(start, start + size)) for start, size in zip(starts, sizes, strict=True))
    return Stream(groups, draw(st.integers(0, 3)), draw(st.integers(1, 9)))


@given(streams())
@settings(max_examples=60, deadline=None)
def test_a_batch_holds_items_of_one_group_and_every_item_is_seen_equally_often(stream: Stream) -> None:
    items = sum(len(group) for group in stream.groups)
    # As many epochs as a batch has places are as many batches as there are items.
    seen: Counter[int] = Counter()
    for number in range(2 * items):
        batch = stream.batch(*stream.turn(number))
        assert len(batch) == stream.batch_size
        assert any(set(batch) <= set(group) for group in stream.groups)
        seen.update(batch)
    assert set(seen.values()) == {2 * stream.batch_size}


@given(streams(), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_any_batch_is_known_without_those_before_it(stream: Stream, number: int) -> None:
    anew = Stream(stream.groups, stream.seed, stream.batch_size)
    assert anew.batch(*anew.turn(number)) == stream.batch(*stream.turn(number))


def test_within_a_group_no_item_is_seen_twice_before_all_were_seen_once() -> None:
    stream = Stream((tuple(range(5)), (5, 6, 7)), seed=1, batch_size=4)
    seen = [item for number in range(24) for item in stream.batch(*stream.turn(number)) if item < 5]
    assert len(seen) == 60
    for epoch in range(12):
        assert sorted(seen[epoch * 5 : epoch * 5 + 5]) == [0, 1, 2, 3, 4]


def test_groups_take_turns_in_an_order_that_the_seed_draws() -> None:
    groups = (tuple(range(40)), tuple(range(40, 80)))

    def turns(seed: int) -> list[int]:
        stream = Stream(groups, seed, 4)
        return [int(stream.batch(*stream.turn(number))[0] >= 40) for number in range(20)]

    assert sum(turns(1)) == 10
    assert turns(1) == turns(1) != turns(2)
    # Not one group after the other.
    assert turns(1) not in ([0] * 10 + [1] * 10, [1] * 10 + [0] * 10)


def test_with_one_group_the_stream_is_one_endless_row_of_permutations() -> None:
    stream = Stream((tuple(range(7)),), seed=3, batch_size=4)
    seen = [item for number in range(14) for item in stream.batch(*stream.turn(number))]
    assert seen == [item_at(3, position, 7) for position in range(56)]
    assert sorted(seen[7:14]) == list(range(7))
