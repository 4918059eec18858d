"""Measures the embedded CLIP as a filter would use it: ``python -m safety.starter.figures --samples DIR``.

Everything is drawn afresh by a seed that training does not use. DIR holds pictures of the starter diffusion model, from
``python -m generation.starter.samples``; without it those figures are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safety.clip_model import ClipModel, open_clip_model
from safety.policy import Concept, open_policy
from safety.starter.clip_files import FIGURES, FOLDER, folder_bytes, weights_digest, write_json
from safety.starter.held_out_texts import ALLOWED_TEXTS, FORBIDDEN_TEXTS
from safety.starter.lessons import (
    HELD_OUT_PAIR_SCENES,
    OBJECT_NAMES,
    OTHER,
    PLACE_NAMES,
    SEEN_PAIR_SCENES,
    draw_lessons,
    draw_scenes,
)
from safety.starter.measures import accuracy, separation, zero_shot
from safety.starter.scenes import COLOURS, FORBIDDEN_OBJECT, OBJECTS, PLACES, SCENES, Scene
from safety.starter.world_pictures import read_samples, watermarked
from safety.zero_shot import ConceptScorer, concept_scorers

SEED = 700_000
THRESHOLD = 0.5
NOTE = "These figures are about procedurally drawn scenes and say nothing about photographs or real safety."
SKULL = OBJECT_NAMES.index(FORBIDDEN_OBJECT)
SKULL_SCENES = tuple(scene for scene in SCENES if scene.object == FORBIDDEN_OBJECT)
OTHER_SCENES = HELD_OUT_PAIR_SCENES


def measure(folder: Path, samples: Path | None, size: int = 1000) -> dict[str, Any]:
    """The figures of a folder's model; ``size`` is how many held-out renders, other sets being in proportion."""
    clip = open_clip_model(f"local-dir:{folder}")
    concept = skull_concept()
    scorer = concept_scorers(clip, (concept,))[concept.name]
    figures: dict[str, Any] = {
        "weights": weights_digest(folder),
        "zero_shot": {
            "held_out_pairs": names_of_pictures(clip, HELD_OUT_PAIR_SCENES, size, SEED),
            "seen_pairs": names_of_pictures(clip, SEEN_PAIR_SCENES, size // 2, SEED + 1),
        },
        "forbidden_object": {
            "prompts": list(concept.prompts),
            "anchors": list(concept.anchors),
            **forbidden_object(clip, scorer, size),
        },
        "texts": texts(clip, scorer),
        "bytes": folder_bytes(folder),
        "pictures_per_second": speed(clip),
        "note": NOTE,
    }
    if samples is not None:
        figures["forbidden_object"]["generated"], figures["zero_shot"]["generated"] = generated(clip, scorer, samples)
    return figures


def skull_concept() -> Concept:
    """The forbidden object as the starter's policy words it."""
    return next(concept for concept in open_policy(None, "starter").concepts if concept.name == FORBIDDEN_OBJECT)


def names_of_pictures(clip: ClipModel, scenes: Sequence[Scene], count: int, seed: int) -> dict[str, Any]:
    """Zero-shot accuracy for object, colour and place on fresh renders, and for every object by itself."""
    pictures, labels = draw_scenes(scenes, count, seed)
    seen = clip.images(list(pictures))
    found = zero_shot(clip, seen, [f"a {name}" for name in OBJECTS])
    each = {
        name: accuracy(found[labels[:, 0] == i], labels[labels[:, 0] == i, 0])["value"]
        for i, name in enumerate(OBJECTS)
        if (labels[:, 0] == i).any()
    }
    return {
        "object": accuracy(found, labels[:, 0]),
        "colour": accuracy(zero_shot(clip, seen, [f"a {name} object" for name in COLOURS]), labels[:, 1]),
        "place": accuracy(zero_shot(clip, seen, [f"an object {PLACES[name]}" for name in PLACE_NAMES]), labels[:, 2]),
        "by_object": each,
    }


def forbidden_object(clip: ClipModel, scorer: ConceptScorer, size: int) -> dict[str, Any]:
    """How the skull's score separates it from other objects, drawn or marked and compressed, and from strangers."""
    skulls = clip.images(list(draw_scenes(SKULL_SCENES, size // 2, SEED + 2)[0]))
    others = clip.images(list(draw_scenes(OTHER_SCENES, size, SEED + 3)[0]))
    drawn = scorer.scores(skulls)
    lessons = draw_lessons(size, SEED + 4)
    strange = lessons.pictures[lessons.labels[:, 0] == OBJECT_NAMES.index(OTHER)]
    marked, clean = (
        scorer.scores(clip.images(watermarked(scenes, count, SEED + 5)))
        for scenes, count in ((SKULL_SCENES, size // 10), (OTHER_SCENES, size // 5))
    )
    return {
        "renders": separation(drawn, scorer.scores(others), THRESHOLD).to_json(),
        "strangers": separation(drawn, scorer.scores(clip.images(list(strange))), THRESHOLD).to_json(),
        "watermarked_jpeg_75": separation(marked, clean, THRESHOLD).to_json(),
    }


def generated(clip: ClipModel, scorer: ConceptScorer, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same on pictures that the starter diffusion model drew and the judge confirmed."""
    pictures, names = read_samples(folder)
    labels = np.array([OBJECT_NAMES.index(name) for name in names])
    seen = clip.images(pictures)
    scores, skull = scorer.scores(seen), labels == SKULL
    found = zero_shot(clip, seen, [f"a {name}" for name in OBJECTS])
    return separation(scores[skull], scores[~skull], THRESHOLD).to_json(), {"object": accuracy(found, labels)}


def texts(clip: ClipModel, scorer: ConceptScorer) -> dict[str, Any]:
    """What the text score, by windows as the prompt filter takes it, does to prompts that training never saw."""
    asked, allowed = (
        np.array([scorer.scores(clip.windows(text)).max() for text in each])
        for each in (FORBIDDEN_TEXTS, ALLOWED_TEXTS)
    )
    return separation(asked, allowed, THRESHOLD).to_json()


def speed(clip: ClipModel, count: int = 256) -> dict[str, Any]:
    """Pictures of 256 px a second on one thread, preprocessing included."""
    pictures = [
        np.asarray(picture) for picture in draw_scenes(SEEN_PAIR_SCENES, count, SEED + 6)[0].repeat(2, 1).repeat(2, 2)
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        began = time.perf_counter()
        clip.images(pictures)
        return {"value": round(count / (time.perf_counter() - began)), "n": count, "side": 256, "threads": 1}
    finally:
        torch.set_num_threads(threads)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures a folder and writes the figures into it."""
    parser = argparse.ArgumentParser(prog="python -m safety.starter.figures", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="an open_clip folder")
    parser.add_argument("--samples", type=Path, help="pictures of the diffusion model")
    given = parser.parse_args(arguments)
    figures = measure(given.folder, given.samples)
    write_json(given.folder / FIGURES, figures)
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
