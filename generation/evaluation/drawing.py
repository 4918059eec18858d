"""The pictures of an evaluation: drawn, screened, looked at and let go, as those of an audit are.

What is kept of a batch lies beside the report until that is written, under the digest of everything that decides it,
so that a stopped evaluation goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.audit.drawing import Draw, Progress, Studio, read_arrays, view_of, write_arrays
from generation.audit.model import AuditedModel
from generation.evaluation.features import Extractor
from generation.loading import load_pipeline
from generation.sampling import sample
from provenance.canonical import canonical_json, sha256_hex
from safety.clip_model import ClipModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 8
LAYOUT = "urn:prov:evaluation-drawn:v1"
ARRAYS = ("blocked", "clip", "features", "views")


@dataclass(frozen=True)
class Seen:
    """What is kept of S pictures, in the order they were asked for.

    ``blocked`` (S,) bool says which the policy blocked: their other rows are zero. ``clip`` (S, D) are directions of
    length 1, ``features`` (S, F) the extractor's, ``views`` (S, 128, 128, 3) uint8.
    """

    blocked: NDArray[np.bool_]
    clip: NDArray[np.float32]
    features: NDArray[np.float32]
    views: NDArray[np.uint8]


class Gallery:
    """Draws for an evaluation in a studio, and looks at the pictures with an extractor too."""

    def __init__(self, studio: Studio, extractor: Extractor, work: Path) -> None:
        """``work`` is the folder for what is measured already."""
        self.studio = studio
        self.extractor = extractor
        self._work = work

    def draw(self, model: AuditedModel, draws: Sequence[Draw], progress: Progress) -> Seen:
        """Draws everything, or takes up what was measured before; raises PromptBlocked before anything is drawn."""
        self.studio.require_allowed([each.prompt for each in draws])
        parts, pipeline = [], None
        for start in range(0, len(draws), BATCH):
            batch = draws[start : start + BATCH]
            path = self._work / f"{self._name(model, batch)}.npz"
            kept = read_arrays(path, ARRAYS, len(batch))
            if kept is None:
                pipeline = pipeline or load_pipeline(model.base, model.adapter)
                kept = self._measured(pipeline, model, batch)
                write_arrays(path, kept)
            parts.append(kept)
            progress(start + len(batch), len(draws))
        return Seen(**{name: np.concatenate([part[name] for part in parts]) for name in ARRAYS})

    def _measured(self, pipeline: Any, model: AuditedModel, batch: Sequence[Draw]) -> dict[str, np.ndarray]:
        prompts, seeds = [each.prompt for each in batch], [each.seed for each in batch]
        pictures = sample(pipeline, prompts, seeds, self.studio.how, model.base.output_scale)
        blocked = self.studio.blocked(prompts, pictures)
        clip, features = looked_at(pictures, self.studio.clip, self.extractor)
        views = np.stack([view_of(picture) for picture in pictures])
        for rows in (clip, features, views):
            rows[blocked] = 0
        return {"blocked": blocked, "clip": clip, "features": features, "views": views}

    def _name(self, model: AuditedModel, batch: Sequence[Draw]) -> str:
        """The SHA-256 of everything that decides what is measured of a batch."""
        return sha256_hex(
            canonical_json(
                {
                    "layout": LAYOUT,
                    "studio": self.studio.identity(model),
                    "features": self.extractor.digest,
                    "draws": [[each.prompt, str(each.seed)] for each in batch],
                }
            )
        )


def looked_at(
    pictures: Sequence[NDArray[np.uint8]], clip: ClipModel, extractor: Extractor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Directions (N, D) and features (N, F) of pictures; one look where both are of the same weights."""
    directions = clip.images(pictures)
    same = extractor.digest == clip.digest
    return directions, directions.copy() if same else extractor.features(pictures)
