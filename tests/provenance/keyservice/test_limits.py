"""Each name may ask so often and no more, and a flood of names costs no memory."""

from __future__ import annotations

from provenance.keyservice import limits
from provenance.keyservice.limits import RateLimit, peer_name


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_and_then_a_steady_rate() -> None:
    clock = Clock()
    limit = RateLimit(burst=3, per_minute=6, clock=clock)
    assert [limit.take("a").wait for _ in range(3)] == [0, 0, 0]
    refused = limit.take("a")
    assert 9.9 < refused.wait <= 10
    clock.now += 9
    assert limit.take("a").wait > 0
    clock.now += 1.1
    assert limit.take("a").wait == 0
    assert limit.take("a").wait > 0


def test_waiting_never_saves_up_more_than_a_burst() -> None:
    clock = Clock()
    limit = RateLimit(burst=2, per_minute=60, clock=clock)
    limit.take("a")
    clock.now += 10_000
    assert [bool(limit.take("a").wait) for _ in range(3)] == [False, False, True]


def test_names_do_not_use_up_each_others() -> None:
    limit = RateLimit(burst=1, per_minute=1)
    assert limit.take("a").wait == 0
    assert limit.take("a").wait > 0
    assert limit.take("b").wait == 0


def test_only_the_first_of_a_run_of_refusals_is_new() -> None:
    clock = Clock()
    limit = RateLimit(burst=1, per_minute=60, clock=clock)
    limit.take("a")
    assert [limit.take("a").repeated for _ in range(3)] == [False, True, True]
    clock.now += 1
    assert limit.take("a").wait == 0
    assert not limit.take("a").repeated


def test_a_flood_of_names_is_forgotten() -> None:
    limit = RateLimit(burst=1, per_minute=1)
    for number in range(limits.CAPACITY + 100):
        limit.take(str(number))
    assert len(limit._buckets) == limits.CAPACITY


def test_a_host_with_many_addresses_is_one_peer() -> None:
    assert peer_name("2001:db8::1") == peer_name("2001:db8::ffff:1") != peer_name("2001:db8:0:1::1")
    assert peer_name("192.0.2.1") != peer_name("192.0.2.2")
    assert peer_name("::1") == "::/64"
    assert peer_name("unknown") == "unknown"
