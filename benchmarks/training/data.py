"""Captioned pictures that both trainers learn from, and others that both are judged by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

TRAINED, JUDGED = 24, 8


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures with ``metadata.jsonl`` beside them, and held-out pictures with their captions."""

    folder: Path
    held_out: tuple[tuple[str, Image], ...]


def write_pictures(folder: Path, side: int) -> Pictures:
    """Draws scenes of ``side`` px, seeded; each of the trained ones as a PNG file with its caption in the metadata."""
    import numpy as np

    from safety.starter.scenes import SCENES, draw_caption, draw_scene

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    # The embedded model's policy forbids skulls.
    allowed = [scene for scene in SCENES if scene.object != "skull"]
    scenes = [allowed[i] for i in rng.permutation(len(allowed))[: TRAINED + JUDGED]]
    drawn = [(draw_caption(scene, rng), draw_scene(scene, rng, side)) for scene in scenes]
    lines = []
    for index, (caption, picture) in enumerate(drawn[:TRAINED]):
        picture.save(folder / f"{index:03}.png")
        lines.append(json.dumps({"file_name": f"{index:03}.png", "text": caption}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return Pictures(folder, tuple(drawn[TRAINED:]))
