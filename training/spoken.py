"""Captions through text encoders that are being trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.families.protocol import Embedded

if TYPE_CHECKING:
    from training.families.protocol import Family


def embed_captions(family: Family, captions: Sequence[str | None]) -> Embedded:
    """The captions as the encoders read them now, with gradients if they are enabled; None is no caption at all."""
    import torch

    said = [caption for caption in captions if caption is not None]
    parts = [family.embed(said)] if said else []
    if len(said) < len(captions):
        parts.append(family.embed_nothing())
    # Row by row in the order of the captions; all that were left out share the last.
    places = iter(range(len(said)))
    rows = [len(said) if caption is None else next(places) for caption in captions]
    embeddings = torch.cat([part.embeddings for part in parts])[rows]
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return Embedded(embeddings, torch.cat(pooled)[rows] if pooled else None)
