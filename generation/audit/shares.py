"""What pictures of a grid show: shares of an attribute's values, with intervals and tests against balance.

Every picture counts for the value it is nearest to. Pictures of one share come from several cells; a binomial interval
is then too wide rather than too narrow (Hoeffding, Annals of Mathematical Statistics 27, 1956). All intervals of one
attribute hold together with the stated confidence (Bonferroni); p-values are corrected for their number (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from provenance.canonical import Json
from safety.intervals import Interval, clopper_pearson, paired_difference, paired_test

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLINGS = 20_000
ALL = ("all", "all")


@dataclass(frozen=True)
class Seen:
    """What S pictures show of one attribute with V values: ``choice`` (S,) and ``certainty`` (S,), the softmax of it.

    ``choice`` is -1 for a picture that was blocked. ``groups`` has a mask (S,) for each axis and value of the grid.
    """

    values: tuple[str, ...]
    choice: NDArray[np.int64]
    certainty: NDArray[np.float64]
    groups: Mapping[tuple[str, str], NDArray[np.bool_]]


@dataclass(frozen=True)
class Share:
    """How many of the pictures of a group show a value."""

    group: tuple[str, str]
    value: str
    hits: int
    n: int
    interval: Interval
    expected: float

    @property
    def unbalanced(self) -> bool:
        """Whether balance lies outside the interval, which holds for all shares together."""
        return not self.interval.low <= self.expected <= self.interval.high

    def to_json(self) -> Json:
        """The share as plain values."""
        return {
            "axis": self.group[0],
            "of": self.group[1],
            "value": self.value,
            "hits": self.hits,
            "n": self.n,
            "share": round(self.hits / self.n, 6),
            "interval": [round(self.interval.low, 6), round(self.interval.high, 6)],
            "unbalanced": self.unbalanced,
        }


@dataclass(frozen=True)
class Difference:
    """A share with an adapter less the same with its base alone, over pairs of one prompt and seed."""

    group: tuple[str, str]
    value: str
    gained: int
    lost: int
    n: int
    interval: Interval
    p: float
    corrected: float = field(default=1.0)

    def to_json(self) -> Json:
        """The difference as plain values."""
        return {
            "axis": self.group[0],
            "of": self.group[1],
            "value": self.value,
            "gained": self.gained,
            "lost": self.lost,
            "n": self.n,
            "difference": round((self.gained - self.lost) / self.n, 6),
            "interval": [round(self.interval.low, 6), round(self.interval.high, 6)],
            "p": self.p,
            "p_corrected": self.corrected,
        }


def shares(seen: Seen, confidence: float = CONFIDENCE) -> list[Share]:
    """The shares of every value, over all pictures and over those of each axis value."""
    groups = _groups(seen)
    each = 1 - (1 - confidence) / (len(groups) * len(seen.values))
    found = []
    for name, mask in groups.items():
        counts = np.bincount(seen.choice[mask], minlength=len(seen.values))
        n = int(counts.sum())
        for value, hits in zip(seen.values, counts, strict=True):
            interval = clopper_pearson(int(hits), n, each)
            found.append(Share(name, value, int(hits), n, interval, 1 / len(seen.values)))
    return found


def balance_p(seen: Seen, seed: int) -> float:
    """The p-value of all values being equally likely, by the chi-square distance of simulated counts."""
    choice = seen.choice[seen.choice >= 0]
    counts = np.bincount(choice, minlength=len(seen.values))
    equal = np.full(len(seen.values), 1 / len(seen.values))
    drawn = np.random.default_rng(seed).multinomial(len(choice), equal, size=RESAMPLINGS)
    expected = len(choice) * equal

    def distance(observed: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray((np.square(observed - expected) / expected).sum(axis=-1))

    return _tail(distance(drawn), float(distance(counts)))


def association_p(seen: Seen, axis: str, seed: int) -> float:
    """The p-value of an attribute having nothing to do with an axis, by permuting what pictures show."""
    kept = seen.choice >= 0
    masks = [mask[kept] for (name, _), mask in seen.groups.items() if name == axis]
    rows = np.stack(masks).astype(np.float64)
    choice = seen.choice[kept]
    shown = np.eye(len(seen.values))[choice]
    expected = np.outer(rows.sum(axis=1), shown.sum(axis=0)) / len(choice)
    possible = expected > 0
    draw = np.random.default_rng(seed)

    def distance(table: NDArray[np.float64]) -> float:
        return float((np.square(table - expected)[possible] / expected[possible]).sum())

    found = distance(rows @ shown)
    permuted = np.array([distance(rows @ shown[draw.permutation(len(choice))]) for _ in range(RESAMPLINGS // 10)])
    return _tail(permuted, found)


def differences(adapter: Seen, base: Seen, confidence: float = CONFIDENCE) -> list[Difference]:
    """What an adapter changes in every share, over the pictures that neither had blocked."""
    both = (adapter.choice >= 0) & (base.choice >= 0)
    groups = {name: mask & both for name, mask in _groups(adapter).items()}
    groups = {name: mask for name, mask in groups.items() if mask.any()}
    each = 1 - (1 - confidence) / (len(groups) * len(adapter.values))
    found = []
    for name, mask in groups.items():
        for number, value in enumerate(adapter.values):
            now, before = adapter.choice[mask] == number, base.choice[mask] == number
            gained, lost, n = int((now & ~before).sum()), int((before & ~now).sum()), int(mask.sum())
            interval = paired_difference(gained, lost, n, each)
            found.append(Difference(name, value, gained, lost, n, interval, paired_test(gained, lost)))
    corrected = holm([each.p for each in found])
    return [
        Difference(d.group, d.value, d.gained, d.lost, d.n, d.interval, d.p, p)
        for d, p in zip(found, corrected, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, so that the least of them bounds the chance of any false claim."""
    corrected, reached = [0.0] * len(p_values), 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (len(p_values) - place) * p_values[number]))
        corrected[number] = reached
    return corrected


def _groups(seen: Seen) -> dict[tuple[str, str], NDArray[np.bool_]]:
    kept = seen.choice >= 0
    groups = {ALL: kept, **{name: mask & kept for name, mask in seen.groups.items()}}
    return {name: mask for name, mask in groups.items() if mask.any()}


def _tail(drawn: NDArray[np.float64], found: float) -> float:
    return float((1 + (drawn >= found - 1e-9).sum()) / (1 + len(drawn)))
