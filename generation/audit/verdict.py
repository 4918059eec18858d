"""From distances to a verdict: which samples came too near to a training picture, and whether those are too many.

A sample is *copied* in a space when two things hold: it is nearer to a training picture than the training pictures are
to one another (leave-one-out), and nearer than two pictures that the base alone draws of one caption from different
seeds are to each other. The first alone would call every picture of a well-described scene a copy when a set is small
or varied; the second alone every picture of a set that is dense. Where a base is audited, there is nothing but its own
spread to compare with: if it draws one and the same picture from every seed, this does not find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from generation.audit.neighbours import Nearest, ranks
from safety.intervals import binomial_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_LEVEL = 0.01
VERDICT_LEVEL = 0.01


@dataclass(frozen=True)
class Space:
    """One space's findings for S samples: distances, both ranks, and which samples are copied (S,) bool.

    Of ``captions``, ``captions_copied`` have half their samples copied; ``p`` is the chance of so many when samples
    lie as near to training pictures as those of the base alone do to each other.
    """

    nearest: Nearest
    reference: NDArray[np.float64]
    spread: NDArray[np.float64]
    rank: NDArray[np.float64]
    spread_rank: NDArray[np.float64]
    copied: NDArray[np.bool_]
    captions_copied: int
    captions: int
    p: float

    @property
    def memorised(self) -> bool:
        """Whether more captions give copies than chance would."""
        return self.p <= VERDICT_LEVEL


def judge(
    found: Nearest,
    reference: NDArray[np.float64],
    spread: NDArray[np.float64],
    captions: Sequence[int],
    counted: NDArray[np.bool_],
) -> Space:
    """Judges samples by leave-one-out distances, and by the spread (P,); ``captions[s]`` numbers s's.

    Only the samples ``counted`` (S,) decide about captions.

    With R training pictures a rank is at least 1 / (1 + R), so in a small set the nearest of all counts as too near.
    """
    rank = ranks(found.distance, reference)
    spread_rank, level = ranks(found.distance, spread), _level(spread)
    copied = (rank <= _level(reference)) & (spread_rank <= level)
    numbers = np.asarray(captions)
    shares = [float(copied[(numbers == each) & counted].mean()) for each in sorted(set(numbers[counted].tolist()))]
    hits = sum(share >= 0.5 for share in shares)
    # A sample is copied by chance at the rate of its level, so by Markov half of a caption's are at twice that rate,
    # however much samples of one caption have in common.
    p = binomial_tail(hits, len(shares), min(1.0, 2 * level))
    return Space(found, reference, spread, rank, spread_rank, copied, hits, len(shares), p)


def _level(reference: NDArray[np.float64]) -> float:
    return max(SAMPLE_LEVEL, 1 / (1 + len(reference)))


def spread_of(rows: NDArray[np.float32], captions: Sequence[int], blocked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distances (P,) of every two samples (S, L) of one caption, without those that were blocked."""
    numbers, found = np.asarray(captions), []
    for each in sorted(set(captions)):
        some = rows[(numbers == each) & ~blocked].astype(np.float64)
        for first in range(len(some)):
            found += [float(np.sqrt(np.square(some[first] - some[second]).mean())) for second in range(first)]
    return np.array(found)
