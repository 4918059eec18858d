"""Which pictures a training has, and at which sides each is shown, before any of them is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from training.dataset.buckets import Sides, sides_of
from training.dataset.prior import prior_counts
from training.validation import choose_held_out

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig

Group = tuple[Sides, tuple[int, ...]]
"""Items that are shown at the same sides."""


@dataclass(frozen=True)
class Layout:
    """Items by their sides: ``pictures`` are the dataset's, numbered as its records, ``prior`` those that follow.

    ``trained`` are the pictures without ``held_out``; ``prior`` has a group for each group of ``trained``, or none.
    """

    pictures: tuple[Group, ...]
    trained: tuple[Group, ...]
    prior: tuple[Group, ...]
    held_out: tuple[int, ...]

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """For each item its shelf, of ``pictures`` and then ``prior``, and its place there."""
        found = {
            item: (shelf, place)
            for shelf, (_, items) in enumerate(chain(self.pictures, self.prior))
            for place, item in enumerate(items)
        }
        return tuple(found[item] for item in range(len(found)))


def lay_out(manifest: DatasetManifest, size: int, config: TrainConfig) -> Layout:
    """Sorts a dataset for pictures of ``size``² px; raises TrainingError when it cannot be sorted so."""
    sides = sides_of(manifest, size, config)
    held_out = choose_held_out(manifest.records, config)
    pictures = tuple((each, tuple(i for i, own in enumerate(sides) if own == each)) for each in sorted(set(sides)))
    left = ((each, tuple(item for item in items if item not in held_out)) for each, items in pictures)
    trained = tuple((each, items) for each, items in left if items)
    prior, first = [], len(sides)
    if config.prior_prompts:
        counts = prior_counts([len(items) for _, items in trained], config)
        for (each, _), count in zip(trained, counts, strict=True):
            prior.append((each, tuple(range(first, first + count))))
            first += count
    return Layout(pictures, trained, tuple(prior), held_out)
