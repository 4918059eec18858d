"""How near pictures lie to a set of others, and how near that set's own members lie to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 512


@dataclass(frozen=True)
class Nearest:
    """For each of S queries the nearest of N points: its number (S,) int64 and root mean square distance (S,)."""

    index: NDArray[np.int64]
    distance: NDArray[np.float64]


def nearest(
    queries: NDArray[np.float32], points: NDArray[np.float32], apart: Sequence[Sequence[int]] | None = None
) -> Nearest:
    """The nearest of ``points`` (N, L) to each of ``queries`` (S, L), which may not take a point in its ``apart[s]``.

    A query that may take no point is infinitely far from number -1.
    """
    index, distance = np.full(len(queries), -1, np.int64), np.full(len(queries), np.inf)
    squares = np.einsum("nl,nl->n", points, points, dtype=np.float64)
    for start in range(0, len(queries), CHUNK):
        some = queries[start : start + CHUNK]
        found = squares - 2.0 * (some @ points.T).astype(np.float64)
        for row, taken in enumerate(apart[start : start + CHUNK] if apart is not None else ()):
            found[row, list(taken)] = np.inf
        best = found.argmin(axis=1)
        here = np.isfinite(found[np.arange(len(some)), best])
        # The expansion above cancels for close pairs, so the distance that counts is taken from the vectors themselves.
        exact = np.sqrt(np.square(some.astype(np.float64) - points[best]).mean(axis=1))
        index[start : start + CHUNK] = np.where(here, best, -1)
        distance[start : start + CHUNK] = np.where(here, exact, np.inf)
    return Nearest(index, distance)


def leave_one_out(points: NDArray[np.float32], kinds: Sequence[str], most: int) -> NDArray[np.float64]:
    """Distances of at most ``most`` points, spread evenly, each to its nearest among the points of another kind.

    Points of one kind are the same picture (equal digests): a picture that lies twice in a set must not make the set
    look dense. Empty when all points are of one kind.
    """
    members: dict[str, list[int]] = {}
    for number, kind in enumerate(kinds):
        members.setdefault(kind, []).append(number)
    if len(members) < 2:
        return np.zeros(0)
    firsts = [numbers[0] for numbers in members.values()]
    chosen = [firsts[int(i)] for i in np.linspace(0, len(firsts) - 1, min(most, len(firsts)))]
    return nearest(points[chosen], points, [members[kinds[i]] for i in chosen]).distance


def ranks(distances: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each distance, (1 + references at most as far) / (1 + references).

    This is a p-value when the distance is one more draw of the references' kind; it is never below 1 / (1 + R).
    """
    below = np.searchsorted(np.sort(reference), distances, side="right")
    return np.asarray((1.0 + below) / (1.0 + len(reference)), np.float64)
