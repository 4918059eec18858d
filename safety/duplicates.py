"""Pictures that are there more than once: the same bytes, the same look (PDQ), or the same content (CLIP).

Limits, measured on copies and on pairs of different pictures (photographs: 18 that ship with scikit-image and
scikit-learn, 153 pairs; starter world: 600 scenes, 179,700 pairs; see ``docs/safety.md``):
- ``PDQ_LIMIT`` is the one that PDQ's authors give. JPEG 50 and 20, brightness × 1.2, contrast × 0.8, noise of 10
  levels, greyscale, mirroring and quarter turns stay within it for every photograph, doubling for all, halving for 16
  of 18, a crop to 95 % for 10, to 90 % or less for none: a cropped copy is CLIP's to find. The closest other
  photographs are 102 bits apart; of the flat, similar scenes of the starter world 31 pairs are within it, such as
  the same drawing in another colour of the same brightness.
- ``CLIP_LIMIT`` is a cosine, and what it finds depends on the model. With the starter CLIP, crops to 90 % of the area
  are within it for 16 of 18 photographs and 99 % of 300 scenes, to 80 % for 11 and 91 %; of different photographs none,
  of the scenes 0.2 % of all pairs: pictures of one caption are one thing to a model that learnt captions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from safety.pdq import BITS, PdqHash

if TYPE_CHECKING:
    from numpy.typing import NDArray

PDQ_LIMIT = 31
CLIP_LIMIT = 0.99
# Rows that are compared with everything at once: 512 × 100,000 float32 are 200 MB.
BLOCK = 512


@dataclass(frozen=True)
class Group:
    """Pictures that hang together, by index; every one is at least as close as ``furthest`` to another of them."""

    members: tuple[int, ...]
    furthest: float


def exact_groups(digests: Sequence[str]) -> list[Group]:
    """Groups of two or more equal digests, in order of their first."""
    places: dict[str, list[int]] = {}
    for index, digest in enumerate(digests):
        places.setdefault(digest, []).append(index)
    return [Group(tuple(members), 0.0) for members in places.values() if len(members) > 1]


def groups_by_pdq(hashes: Sequence[PdqHash], limit: int = PDQ_LIMIT) -> list[Group]:
    """Groups in which each hash is within ``limit`` bits of another in some orientation; ``furthest`` is in bits."""
    if not hashes:
        return []
    upright = _signs(np.stack([each.bits for each in hashes]))
    turned = [
        _signs(np.stack([each.orientations[way] for each in hashes])) for way in range(len(hashes[0].orientations))
    ]

    def closeness(rows: slice) -> NDArray[np.float32]:
        best = upright[rows] @ turned[0].T
        for other in turned[1:]:
            np.maximum(best, upright[rows] @ other.T, out=best)
        return best

    groups = _groups(len(hashes), closeness, BITS - 2 * limit)
    return [Group(group.members, (BITS - group.furthest) / 2) for group in groups]


def groups_by_direction(directions: NDArray[np.float32], limit: float = CLIP_LIMIT) -> list[Group]:
    """Groups in which each direction (N, D), of length 1, has a cosine of at least ``limit`` to another."""
    return _groups(len(directions), lambda rows: directions[rows] @ directions.T, limit)


def _signs(bits: NDArray[np.bool_]) -> NDArray[np.float32]:
    # Of ±1 vectors the product is the number of bits minus twice those that differ.
    return np.where(bits, np.float32(1), np.float32(-1))


def _groups(count: int, closeness: Callable[[slice], NDArray[np.float32]], least: float) -> list[Group]:
    """Connected components of pairs with a closeness of at least ``least``."""
    labels = np.arange(count)
    nearest = np.full(count, -np.inf)
    for start, block in _blocks(count, closeness):
        rows = np.arange(start, start + len(block))
        # How close a picture is to itself says nothing.
        block[np.arange(len(block)), rows] = -np.inf
        nearest[rows] = block.max(axis=1)
        for row in np.flatnonzero(nearest[rows] >= least):
            touched = np.unique(labels[np.append(np.flatnonzero(block[row] >= least), start + row)])
            if len(touched) > 1:
                labels[np.isin(labels, touched)] = touched[0]
    found: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(index)
    return [Group(tuple(m), float(nearest[m].min())) for m in found.values() if len(m) > 1]


def _blocks(count: int, closeness: Callable[[slice], NDArray[np.float32]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, count, BLOCK):
        yield start, closeness(slice(start, min(start + BLOCK, count)))
