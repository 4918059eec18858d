"""The pictures of a dataset, as an evaluation compares with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from generation.audit.drawing import Progress, view_of
from generation.evaluation.drawing import looked_at
from generation.evaluation.features import Extractor
from provenance.errors import UsageError
from provenance.images import decode_image
from safety.clip_model import ClipModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from provenance.manifest import DatasetManifest

CHUNK = 16


@dataclass(frozen=True)
class Reference:
    """M pictures of a verified dataset: ``clip`` (M, D) of length 1, ``features`` (M, F) of the extractor."""

    manifest: DatasetManifest
    clip: NDArray[np.float32]
    features: NDArray[np.float32]

    def view(self, number: int) -> NDArray[np.uint8]:
        """A small view of one picture, decoded from its verified bytes."""
        return view_of(_decoded(self.manifest, number))


def look_at(manifest: DatasetManifest, clip: ClipModel, extractor: Extractor, progress: Progress) -> Reference:
    """Decodes every picture once, from the bytes that were signed; raises DatasetError, ImageRefused or UsageError."""
    count = len(manifest.records)
    if count < 2:
        raise UsageError("one picture is no distribution", expected="a dataset of two pictures at least", found="1")
    directions: list[NDArray[np.float32]] = []
    features: list[NDArray[np.float32]] = []
    for start in range(0, count, CHUNK):
        pictures = [_decoded(manifest, number) for number in range(start, min(start + CHUNK, count))]
        for rows, kept in zip(looked_at(pictures, clip, extractor), (directions, features), strict=True):
            kept.append(rows)
        progress(min(start + CHUNK, count), count)
    return Reference(manifest, np.concatenate(directions), np.concatenate(features))


def _decoded(manifest: DatasetManifest, number: int) -> NDArray[np.uint8]:
    record = manifest.records[number]
    return np.asarray(decode_image(manifest.read(record), record.path), np.uint8)
