"""Whether a training still learns: validation losses, where they were least, and when to stop.

Early stopping with patience (Prechelt, "Early Stopping — But When?", 1998): the weights of the least validation loss
are released, however far the training went on from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from provenance.canonical import Json
from provenance.errors import FormatError

if TYPE_CHECKING:
    from training.config import TrainConfig

NAME = "validation"
# Less than this is how much a validation loss moves from one to the next anyway.
RISEN = 0.02
MAX_POINTS = 1_000_000


@dataclass(frozen=True)
class Watch:
    """Validation losses by step, in the order in which they were taken."""

    points: tuple[tuple[int, float], ...] = ()

    def after(self, step: int, loss: float) -> Watch:
        """The same with one more validation."""
        return Watch((*self.points, (step, loss)))

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the least one, the earliest of equals."""
        return min(self.points, key=lambda point: point[1], default=None)

    @property
    def is_best(self) -> bool:
        """Whether the last one is the least so far."""
        return bool(self.points) and self.best == self.points[-1]

    @property
    def since_best(self) -> int:
        """How many validations came after the least one without being less."""
        return len(self.points) - 1 - self.points.index(self.best) if self.best else 0

    def is_out_of(self, patience: int) -> bool:
        """Whether to stop; with a patience of 0 never."""
        return 0 < patience <= self.since_best

    def until(self, step: int) -> Watch:
        """The validations up to a step."""
        return Watch(tuple(point for point in self.points if point[0] <= step))

    def to_json(self) -> list[list[Any]]:
        return [[step, loss] for step, loss in self.points]

    @classmethod
    def from_json(cls, raw: Any, what: str) -> Watch:
        """Reads points strictly; raises FormatError."""
        points = raw if isinstance(raw, list) and len(raw) <= MAX_POINTS else None
        if points is not None and all(_is_point(point) for point in points):
            steps = [step for step, _ in points]
            if steps == sorted(set(steps)):
                return cls(tuple((step, float(loss)) for step, loss in points))
        raise FormatError(f"{what} has malformed validations", expected="rising steps, each with a loss")


@dataclass(frozen=True)
class Watched:
    """How a validated training went: what was held out, every validation, and what became of it."""

    watch: Watch
    held_out: tuple[str, ...]
    overfitting_from: int | None
    stopped_at: int

    def to_json(self) -> Json:
        """What the attestation says of it."""
        best = self.watch.best
        return {
            "best_step": best[0] if best else None,
            "held_out": list(self.held_out),
            "losses": self.watch.to_json(),
            "overfitting_from": self.overfitting_from,
            "stopped_at": self.stopped_at,
        }

    @classmethod
    def from_attestation(cls, raw: Any, config: TrainConfig, what: str) -> Watched:
        """Reads what an attestation says, and that it is what these settings lead to; raises FormatError."""
        match raw:
            case {
                "best_step": int(best),
                "held_out": [*held_out],
                "losses": losses,
                "overfitting_from": overfits,
                "stopped_at": int(stopped),
            } if len(raw) == 5 and all(isinstance(path, str) for path in held_out):
                pass
            case _:
                raise FormatError(f"{what} has a malformed validation", expected="what `prov train` writes")
        watch = Watch.from_json(losses, what)
        every = config.validate_steps
        due = [*range(every, stopped + 1, every), *([stopped] if stopped == config.steps and stopped % every else [])]
        if [step for step, _ in watch.points] != due or not due or due[-1] != stopped:
            raise FormatError(f"{what} was not validated when its settings say", expected=f"every {every} steps")
        ends = [step for step in due if watch.until(step).is_out_of(config.patience)]
        end, least = (ends[0] if ends else config.steps), watch.best[0] if watch.best else None
        if (stopped, best) != (end, least):
            raise FormatError(
                f"{what} did not end where its validations say",
                expected=f"step {end}, the least loss after {least}",
                found=f"step {stopped}, the least loss after {best}",
            )
        if overfits is not None and overfits != best:
            raise FormatError(
                f"{what} says overfitting from another step", expected=str(best), found=str(overfits)[:20]
            )
        return cls(watch, tuple(held_out), overfits, stopped)


def overfitting_from(watch: Watch, losses: Sequence[float]) -> int | None:
    """The step from which on training got better and validation worse, to the end; None when it did not.

    At least two validations since the least one must be worse by ``RISEN`` on average, and the mean training loss since
    then less than over as many steps before.
    """
    best = watch.best
    if best is None or watch.since_best < 2:
        return None
    least, last = best[0], watch.points[-1][0]
    since = fmean(loss for step, loss in watch.points if step > least)
    before, after = losses[max(0, 2 * least - last) : least], losses[least:last]
    return least if since > best[1] * (1 + RISEN) and fmean(after) < fmean(before) else None


def _is_point(raw: Any) -> bool:
    match raw:
        case [int(step), float(loss)]:
            return type(step) is int and step > 0 and math.isfinite(loss)
        case _:
            return False
