"""What the frozen parts of the base make of the dataset, computed once: latents and text embeddings.

Latents are kept as mean and deviation, so that every step can sample them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from training.dataset.buckets import Sides
from training.dataset.latent_store import Latents
from training.dataset.masks import latent_mask
from training.dataset.prior import draw_prior
from training.dataset.shelves import Shelf
from training.dataset.storage import empty_tensor
from training.dataset.stream import Stream
from training.dataset.tags import arrange_captions
from training.dataset.views import read_views, view_facts
from training.draws import draw_seed, generator
from training.families.protocol import Embedded, Family
from training.layout import lay_out

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig


@dataclass(frozen=True)
class Slot:
    """One place of a batch: which view of which item it shows, and under which row of the captions.

    ``sample`` counts within the step: with seed and step it names every draw of this place.
    """

    sample: int
    item: int
    view: int
    row: int
    is_prior: bool = False


@dataclass(frozen=True)
class Cache:
    """A dataset as tensors: what every batch of a training is made of.

    Items are the pictures of the dataset, in the order of its records, and then those of the prior. ``places[n]`` is
    the shelf of item ``n`` and where on it; ``rows[n]`` are the rows of ``captions`` and ``texts`` that it may be shown
    under, the last row being no caption. ``prior`` are its items for each group of the stream, or nothing;
    ``held_out`` are the items that no batch shows.
    """

    config: TrainConfig
    shelves: tuple[Shelf, ...]
    places: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, ...], ...]
    captions: tuple[str, ...]
    texts: Embedded
    stream: Stream
    prior: tuple[tuple[int, ...], ...] = ()
    held_out: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.trained)

    @cached_property
    def trained(self) -> tuple[int, ...]:
        """The pictures of the dataset that batches show, rising."""
        return tuple(sorted(chain.from_iterable(self.stream.groups)))

    @property
    def without_caption(self) -> int:
        """The row that stands for no caption."""
        return len(self.captions) - 1

    def plan(self, step: int, part: int) -> list[Slot]:
        """What the ``part``-th batch of a step shows: pictures of one size; all of it follows from the seed.

        With a prior there are as many samples of it behind those of the dataset, numbered after all those of the step.
        """
        config = self.config
        group, ordinal = self.stream.turn(step * config.accumulate + part)
        first, size = part * config.batch_size, config.batch_size
        slots = [self.slot(step, first + i, item) for i, item in enumerate(self.stream.batch(group, ordinal))]
        if self.prior:
            known, first = self.prior[group], config.accumulate * size + first
            items = [known[place % len(known)] for place in range(ordinal * size, (ordinal + 1) * size)]
            slots += [self.slot(step, first + i, item, is_prior=True) for i, item in enumerate(items)]
        return slots

    def held_out_slots(self, limit: int) -> Iterator[list[Slot]]:
        """The first view of up to ``limit`` items held out, evenly picked, in batches of one size of picture."""
        number = min(limit, len(self.held_out))
        items = [self.held_out[i * len(self.held_out) // number] for i in range(number)]
        slots = [Slot(sample, item, 0, self.rows[item][0]) for sample, item in enumerate(items)]
        slots.sort(key=lambda slot: self.places[slot.item][0])
        for _, alike in groupby(slots, key=lambda slot: self.places[slot.item][0]):
            mates = list(alike)
            for first in range(0, len(mates), self.config.batch_size):
                yield mates[first : first + self.config.batch_size]

    def slot(self, step: int, sample: int, item: int, *, is_prior: bool = False) -> Slot:
        """One place of a batch that shows an item: its view and caption follow from seed, step and sample."""
        import torch

        config = self.config
        shelf, _ = self.places[item]
        view = draw_seed(config.seed, step, sample, "which view") % self.shelves[shelf].means.shape[1]
        drop = torch.rand((), generator=generator(config.seed, step, sample, "caption")) < config.caption_dropout
        rows = self.rows[item]
        row = rows[draw_seed(config.seed, step, sample, "which order") % len(rows)]
        return Slot(sample, item, view, self.without_caption if drop else row, is_prior)

    def latents(self, item: int, view: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of a view's latents, ``(C, h, w) float32`` before scaling."""
        shelf, index = self._place(item)
        return shelf.means[index, view], shelf.deviations[index, view]

    def mask(self, item: int, view: int) -> torch.Tensor | None:
        """How much each latent pixel of a view counts, ``(h, w) float32`` in 0…1, or None where all count alike."""
        shelf, index = self._place(item)
        return None if shelf.masks is None else shelf.masks[index, view]

    def time_ids(self, item: int, view: int) -> torch.Tensor:
        """Original size, crop and target size of a view in px, ``(6,) float32``, as SDXL is told."""
        shelf, index = self._place(item)
        return shelf.time_ids[index, view]

    def text(self, rows: Sequence[int]) -> Embedded:
        """What the text encoders made of some captions, by their rows."""
        pooled = self.texts.pooled
        return Embedded(self.texts.embeddings[list(rows)], None if pooled is None else pooled[list(rows)])

    def _place(self, item: int) -> tuple[Shelf, int]:
        shelf, index = self.places[item]
        return self.shelves[shelf], index


def build_cache(
    family: Family,
    manifest: DatasetManifest,
    config: TrainConfig,
    spill: Path,
    progress: Callable[[int, int], None],
    kept: Latents | None = None,
) -> Cache:
    """Reads, decodes and encodes every item once; ``spill`` is the folder for a cache that outgrows memory.

    What ``kept`` has from an earlier training is not encoded again.
    """
    layout = lay_out(manifest, family.side, config)
    captions = arrange_captions([record.caption for record in manifest.records], config)
    done, places = count(1), layout.places

    def report() -> None:
        progress(next(done), len(captions.rows) + len(places))

    texts = _encode_text(family, captions.rows, spill, report)
    encoder = _Encoder(family, manifest, config, spill, kept)
    shelves = [encoder.shelf(sides, items, report) for sides, items in layout.pictures]
    shelves += draw_prior(family, config, [(sides, len(items)) for sides, items in layout.prior], report, kept)
    if kept is not None:
        kept.store.prune()
    prior = range(len(manifest.records), len(places))
    return Cache(
        config=config,
        shelves=tuple(shelves),
        places=places,
        rows=(*captions.of_item, *((captions.of_prior[i % len(captions.of_prior)],) for i in range(len(prior)))),
        captions=captions.rows,
        texts=texts,
        stream=Stream(tuple(items for _, items in layout.trained), config.seed, config.batch_size),
        prior=tuple(items for _, items in layout.prior),
        held_out=layout.held_out,
    )


@dataclass(frozen=True)
class _Encoder:
    """The autoencoder at work on a dataset."""

    family: Family
    manifest: DatasetManifest
    config: TrainConfig
    spill: Path
    kept: Latents | None

    def shelf(self, sides: Sides, items: Sequence[int], report: Callable[[], None]) -> Shelf:
        """Encodes items that are shown at the same sides."""
        first = self._shown(items[0], sides)
        shelf = self._room(len(items), first)
        for index, item in enumerate(items):
            shelf.put(index, first if index == 0 else self._shown(item, sides))
            report()
        return shelf

    def _shown(self, item: int, sides: Sides) -> Shelf:
        """One item's views, without the first dimension: encoded, or as they were kept."""
        if self.kept is None:
            return self._encoded(item, sides)
        facts = {"picture": self.manifest.records[item].sha256} | view_facts(item, sides, self.config)
        found = self.kept.get(facts)
        if found is not None:
            return Shelf(**found)
        made = self._encoded(item, sides)
        self.kept.put(facts, made.tensors())
        return made

    def _encoded(self, item: int, sides: Sides) -> Shelf:
        import torch

        views = read_views(self.manifest, self.manifest.records[item], item, sides, self.config)
        mean, deviation = self.family.encode_pixels(torch.stack([view.pixels for view in views]))
        alphas = [view.alpha for view in views if view.alpha is not None]
        masks = latent_mask(torch.stack(alphas), mean.shape[-2:], self.config.mask_floor) if alphas else None
        return Shelf(mean, deviation, torch.tensor([view.time_ids for view in views]).float(), masks)

    def _room(self, count: int, like: Shelf) -> Shelf:
        means, deviations = (empty_tensor((count, *like.means.shape), self.spill) for _ in range(2))
        masks = None if like.masks is None else empty_tensor((count, *like.masks.shape), self.spill)
        return Shelf(means, deviations, empty_tensor((count, *like.time_ids.shape), self.spill), masks)


def _encode_text(family: Family, captions: Sequence[str], spill: Path, report: Callable[[], None]) -> Embedded:
    """The captions' embeddings by row; the last row is no caption at all, as guidance takes it."""
    import torch

    with torch.no_grad():
        nothing = family.embed_nothing()
        embeddings = empty_tensor((len(captions), *nothing.embeddings.shape[1:]), spill)
        pooled = None if nothing.pooled is None else empty_tensor((len(captions), *nothing.pooled.shape[1:]), spill)
        # One at a time: in larger batches the last bits of a row depend on the rows beside it.
        for row, caption in enumerate(chain((family.embed([text]) for text in captions[:-1]), [nothing])):
            embeddings[row] = caption.embeddings[0]
            if pooled is not None and caption.pooled is not None:
                pooled[row] = caption.pooled[0]
            report()
    return Embedded(embeddings, pooled)
