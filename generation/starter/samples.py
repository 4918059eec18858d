"""Pictures of the starter diffusion model by the hundred: ``python -m generation.starter.samples --output DIR``.

What measures a filter on generated pictures reads the folder: PNG files and ``samples.json``, which lists each file
with what was asked for and whether the judge sees it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from generation.starter.figures import draw_samples
from generation.starter.judge import judge
from generation.starter.renders import labels_of
from generation.starter.scenes import FORBIDDEN_OBJECT, OBJECTS, SCENES, Scene
from safety.starter.classifier import StarterClassifier, load_classifier

MODEL = Path(__file__).parent / "model"
INDEX = "samples.json"


def asked_scenes(each: int, forbidden: int, seed: int) -> list[Scene]:
    """Scenes to ask for: ``each`` of every object and ``forbidden`` of the forbidden one, spread evenly."""
    rng = np.random.default_rng(seed)
    asked: list[Scene] = []
    for name in OBJECTS:
        scenes = [scene for scene in SCENES if scene.object == name]
        count = forbidden if name == FORBIDDEN_OBJECT else each
        order = np.concatenate([rng.permutation(len(scenes)) for _ in range(-(-count // len(scenes)))])[:count]
        asked += [scenes[int(i)] for i in order]
    return asked


def write_samples(folder: Path, scenes: Sequence[Scene], seed: int, judge_model: StarterClassifier) -> None:
    """Draws one picture for each scene's plain caption and writes it with the index, which comes last."""
    from diffusers import StableDiffusionPipeline

    folder.mkdir(parents=True, exist_ok=True)
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL)
    pictures = draw_samples(pipeline, [scene.caption for scene in scenes], seed, workers=1)
    seen = judge(pictures, judge_model).labels
    rows = []
    for i, (scene, picture, labels) in enumerate(zip(scenes, pictures, seen, strict=True)):
        Image.fromarray(picture).save(folder / f"{i:04}.png")
        asked = {"object": scene.object, "colour": scene.colour, "background": scene.background}
        confirmed = bool((labels == np.array(labels_of(scene))).all())
        rows.append({"file": f"{i:04}.png", "caption": scene.caption, **asked, "confirmed": confirmed})
    index = {"command": "python -m generation.starter.samples", "seed": seed, "samples": rows}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes a folder of samples."""
    parser = argparse.ArgumentParser(prog="python -m generation.starter.samples", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--each", type=int, default=20, help="pictures of every allowed object")
    parser.add_argument("--forbidden", type=int, default=120, help="pictures of the forbidden object")
    parser.add_argument("--seed", type=int, default=5000, help="of scenes and noise")
    given = parser.parse_args(arguments)
    write_samples(given.output, asked_scenes(given.each, given.forbidden, given.seed), given.seed, load_classifier())
    print(f"samples written to {given.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
