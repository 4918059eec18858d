"""Drawing ahead: while one batch is screened, marked, signed and recorded, the next is drawn in a thread of its own.

One batch ahead and no more: memory holds two batches, and what a batch leaves to the next, such as serials of blocked
pictures, is the same however fast either side is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Plan = TypeVar("Plan")
Drawn = TypeVar("Drawn")

AHEAD = 1


class Abandoned(Exception):
    """Whoever waits for a batch is gone, so it is not drawn to its end."""


def drawn_ahead(
    plans: Iterable[Plan], draw: Callable[[Plan, Event], Drawn]
) -> Generator[tuple[Plan, Drawn], None, None]:
    """Every plan with what ``draw`` made of it, in their order; raises what ``draw`` raises, in its place.

    Plans are taken in the caller's thread, ``draw`` runs in one other. When the caller stops early, by an error, by
    Ctrl-C or by closing this iterator, the event that ``draw`` was given is set, and what is being drawn is waited for.
    """
    stop, waiting = Event(), deque[tuple[Plan, Future[Drawn]]]()
    sampler = ThreadPoolExecutor(1, thread_name_prefix="sampler")
    try:
        for plan in plans:
            waiting.append((plan, sampler.submit(draw, plan, stop)))
            if len(waiting) > AHEAD:
                yield _awaited(waiting)
        while waiting:
            yield _awaited(waiting)
    finally:
        stop.set()
        sampler.shutdown(cancel_futures=True)


def _awaited(waiting: deque[tuple[Plan, Future[Drawn]]]) -> tuple[Plan, Drawn]:
    plan, future = waiting.popleft()
    return plan, future.result()
