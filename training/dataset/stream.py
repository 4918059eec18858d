"""Which items every batch holds: an endless stream, each batch of items whose pictures have one size.

Every group of equally sized items has an endless stream of its own, in which each of its epochs is a permutation, cut
into batches without regard to where an epoch ends: what does not fill a batch is carried into the next. An epoch of
the whole takes from every group as many batches as it is due by then, and draws the order of the groups. So every item
is seen equally often, however small its group is, and the batch of any step is known without those before it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property, lru_cache

from training.draws import generator, item_at


@dataclass(frozen=True)
class Stream:
    """The order in which items are seen; ``groups`` are the items by size of picture, each not empty."""

    groups: tuple[tuple[int, ...], ...]
    seed: int
    batch_size: int

    def batch(self, group: int, ordinal: int) -> tuple[int, ...]:
        """The items of a group's batch, counted from its first."""
        items, first = self.groups[group], ordinal * self.batch_size
        places = range(first, first + self.batch_size)
        return tuple(items[item_at(self.seed, place, len(items), group)] for place in places)

    def turn(self, number: int) -> tuple[int, int]:
        """Whose turn a batch is, counted from the first of the training: its group, and which of the group's it is."""
        if len(self.groups) == 1:
            return 0, number
        # After as many epochs as a batch has places, every group has had a whole number of batches.
        period, rest = divmod(number, sum(len(items) for items in self.groups))
        epoch = bisect_right(self._batches_before, rest) - 1
        place = rest - self._batches_before[epoch]
        epoch += period * self.batch_size
        order = _order(self.seed, epoch, tuple(self._due(g, epoch + 1) - self._due(g, epoch) for g in self._all))
        return order[place], self._due(order[place], epoch) + order[:place].count(order[place])

    @property
    def _all(self) -> range:
        return range(len(self.groups))

    def _due(self, group: int, epochs: int) -> int:
        """Batches that a group is due after some epochs, to the nearest whole one."""
        return (epochs * len(self.groups[group]) + self.batch_size // 2) // self.batch_size

    @cached_property
    def _batches_before(self) -> list[int]:
        """Of each epoch of a period, the number of batches before it in that period."""
        totals = (sum(self._due(g, epoch) for g in self._all) for epoch in range(self.batch_size))
        return list(totals)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, batches: tuple[int, ...]) -> list[int]:
    import torch

    turns = torch.repeat_interleave(torch.arange(len(batches)), torch.tensor(batches))
    drawn = torch.randperm(len(turns), generator=generator(seed, epoch, 0, "order of groups"))
    order: list[int] = turns[drawn].tolist()
    return order
