"""Work on several processes, results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def performed(action: Callable[[Unit], Result], units: Sequence[Unit], jobs: int) -> Iterator[Result]:
    """The results of ``action`` on every unit, in any order; on this process when ``jobs`` is 1."""
    if jobs == 1:
        yield from map(action, units)
        return
    # Not fork: OpenCV's and onnxruntime's threads do not survive it.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(action, unit) for unit in units]):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
