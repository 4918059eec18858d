from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from provenance.parallel import MAX_WORKERS, in_order


def test_results_come_in_order() -> None:
    assert list(in_order(lambda number: number * 2, range(1000))) == list(range(0, 2000, 2))


def test_items_are_drawn_in_the_calling_thread_and_only_a_few_ahead() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            assert threading.current_thread() is caller
            drawn.append(number)
            yield number

    caller = threading.current_thread()
    for done, _ in enumerate(in_order(str, items()), start=1):
        assert len(drawn) <= done + 2 * MAX_WORKERS + 1
    assert len(drawn) == 100


def test_first_error_ends_the_work() -> None:
    def fail_at_ten(number: int) -> int:
        if number == 10:
            raise ValueError("ten")
        return number

    results = in_order(fail_at_ten, range(10_000))
    with pytest.raises(ValueError, match="ten"):
        list(results)
