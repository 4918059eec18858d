"""The pictures a model was trained on, as an audit compares with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.audit.drawing import Progress, view_of
from generation.audit.latents import latents_of
from generation.audit.model import AuditedModel
from generation.errors import GenerationError
from generation.loading import load_pipeline
from provenance.images import decode_image
from safety.clip_model import ClipModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from provenance.manifest import DatasetManifest
    from provenance.records import Record

CHUNK = 16


@dataclass(frozen=True)
class TrainingPictures:
    """N pictures of a verified dataset: ``latents`` (N, L) as in ``latents_of``, ``clip`` (N, D) of length 1."""

    manifest: DatasetManifest
    latents: NDArray[np.float32]
    clip: NDArray[np.float32]

    @property
    def kinds(self) -> list[str]:
        """The digest of each picture's bytes."""
        return [record.sha256 for record in self.manifest.records]

    def view(self, number: int) -> NDArray[np.uint8]:
        """A small view of one picture, decoded from its verified bytes."""
        return view_of(_decoded(self.manifest, self.manifest.records[number]))


def require_trained_on(model: AuditedModel, manifest: DatasetManifest) -> None:
    """Raises GenerationError when an adapter's attestation names another dataset than this."""
    if model.adapter is not None and model.dataset != manifest.digest:
        raise GenerationError(
            "the adapter was trained on another dataset",
            expected=f"dataset {model.dataset}",
            found=f"dataset {manifest.digest} ({manifest.name})",
            fix="give the dataset release it was trained on with --dataset",
        )


def look_at(model: AuditedModel, manifest: DatasetManifest, clip: ClipModel, progress: Progress) -> TrainingPictures:
    """Decodes every picture once, from the bytes that were signed; raises DatasetError or ImageRefused."""
    pipeline: Any = load_pipeline(model.base, None)
    latents, directions, done = [], [], 0
    for chunk in _chunks(manifest.records):
        pictures = [_decoded(manifest, record) for record in chunk]
        latents.append(latents_of(pipeline, pictures))
        directions.append(clip.images(pictures))
        done += len(chunk)
        progress(done, len(manifest.records))
    return TrainingPictures(manifest, np.concatenate(latents), np.concatenate(directions))


def _chunks(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for start in range(0, len(records), CHUNK):
        yield records[start : start + CHUNK]


def _decoded(manifest: DatasetManifest, record: Record) -> NDArray[np.uint8]:
    return np.asarray(decode_image(manifest.read(record), record.path), np.uint8)
