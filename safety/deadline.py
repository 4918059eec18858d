"""An answer within its time: what hangs is given up, and its silence is a failure."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

from safety.errors import FilterError

Answer = TypeVar("Answer")

# Seconds for one picture or prompt: many times what the largest open_clip models need on one core.
DEADLINE = 60.0


def answer_within(seconds: float, ask: Callable[[], Answer]) -> Answer:
    """The answer of ``ask``, or what it raises; FilterError when neither comes within ``seconds``.

    ``ask`` runs in a thread of its own, which ends with it. One that hangs cannot be stopped: it is left behind, and
    does not keep the program from ending.
    """
    asking = _Asking(ask)
    asking.start()
    asking.join(seconds)
    if asking.is_alive():
        raise FilterError(f"no answer within {seconds:g} seconds")
    if asking.raised is not None:
        raise asking.raised
    return asking.answers[0]


class _Asking(Thread, Generic[Answer]):
    def __init__(self, ask: Callable[[], Answer]) -> None:
        super().__init__(name="safety filter", daemon=True)
        self._ask = ask
        self.answers: list[Answer] = []
        self.raised: Exception | None = None

    def run(self) -> None:
        try:
            self.answers.append(self._ask())
        except Exception as error:
            self.raised = error
        except BaseException as error:
            # SystemExit and the like would end this thread silently, and leave no answer to give.
            self.raised = FilterError(f"it stopped with {type(error).__name__}")
