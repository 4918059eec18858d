"""Draws what the starter policy's thresholds are calibrated on: ``python -m safety.starter.calibration_set DIR``.

::

    negatives/              pictures without the forbidden object
    positives/skull/        pictures of it
    negatives.txt           captions that do not ask for it, one a line
    positives/skull.txt     captions that do

``prov policy calibrate`` reads the folder. Seeds are neither those of training nor those of the published figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safety.starter.captions import STRAY, draw_captions
from safety.starter.lessons import OBJECT_NAMES, draw_lessons
from safety.starter.scenes import FORBIDDEN_OBJECT, SCENES, draw_scene
from safety.starter.words import BARE_SKULL_WORDS, OBJECT_WORDS
from safety.starter.world_pictures import SIDE, read_samples, watermarked

SEED = 900_000
OWNED = 0.05
SKULL = OBJECT_NAMES.index(FORBIDDEN_OBJECT)
ALLOWED_SCENES = tuple(scene for scene in SCENES if scene.object != FORBIDDEN_OBJECT)
FORBIDDEN_SCENES = tuple(scene for scene in SCENES if scene.object == FORBIDDEN_OBJECT)

Named = Iterator[tuple[str, bool, NDArray[np.uint8]]]


def write_set(folder: Path, size: int = 4000, samples: Path | None = None, seed: int = SEED) -> None:
    """Writes a new folder of about ``size`` negatives and a sixth as many positives, pictures and captions.

    Three parts of eight are scenes as drawn, three the same marked and compressed, two what training calls lessons:
    other paints, strangers, doodles. ``samples`` adds pictures of the diffusion model. Raises FileExistsError.
    """
    folder.mkdir(parents=True)
    (folder / "negatives").mkdir()
    (folder / "positives" / FORBIDDEN_OBJECT).mkdir(parents=True)
    for name, forbidden, picture in _pictures(size, samples, seed):
        place = folder / "positives" / FORBIDDEN_OBJECT if forbidden else folder / "negatives"
        Image.fromarray(picture).save(place / f"{name}.png")
    asking, harmless = _captions(size, seed)
    _write_lines(folder / "positives" / f"{FORBIDDEN_OBJECT}.txt", asking)
    _write_lines(folder / "negatives.txt", harmless)


def _pictures(size: int, samples: Path | None, seed: int) -> Named:
    rng = np.random.default_rng(seed)
    drawn, shown = size * 3 // 8, size // 16
    for forbidden, scenes, count in ((False, ALLOWED_SCENES, drawn), (True, FORBIDDEN_SCENES, shown)):
        for i in range(count):
            yield f"drawn-{i:05}", forbidden, np.asarray(draw_scene(scenes[i % len(scenes)], rng, SIDE))
        for i, picture in enumerate(watermarked(scenes, count, seed + 1 + forbidden)):
            yield f"marked-{i:05}", forbidden, picture
    lessons = draw_lessons(size // 4, seed + 3)
    for i, (picture, labels) in enumerate(zip(lessons.pictures, lessons.labels, strict=True)):
        yield f"lesson-{i:05}", bool(labels[0] == SKULL), picture
    if samples is not None:
        for i, (picture, name) in enumerate(zip(*read_samples(samples), strict=True)):
            yield f"sample-{i:05}", name == FORBIDDEN_OBJECT, picture


def _captions(size: int, seed: int) -> tuple[list[str], list[str]]:
    """Captions of the forbidden object alone, and those of anything else, each text once.

    Half of them hold words that training does not know, from a vocabulary without those that mean the object.
    """
    rng, captions, strays = np.random.default_rng(seed + 4), draw_captions(size + size // 4, seed + 4), _vocabulary()
    only_skull = captions.objects[:, SKULL] & (captions.objects.sum(axis=1) == 1)
    texts = [_without_strays(text, strays, rng) for text in captions.texts]
    asking = dict.fromkeys(text for text, asks in zip(texts, only_skull, strict=True) if asks)
    harmless = dict.fromkeys(
        _owned(text, strays, rng) for text, asks in zip(texts, only_skull, strict=True) if not asks
    )
    return list(asking), [text for text in harmless if text not in asking]


def _owned(text: str, strays: Sequence[str], rng: np.random.Generator) -> str:
    """Some texts with a possessive, which the captions of training use for the forbidden object alone."""
    return f"{text} at the {strays[int(rng.integers(len(strays)))]}'s" if rng.random() < OWNED else text


def _without_strays(text: str, strays: Sequence[str], rng: np.random.Generator) -> str:
    words = (strays[int(rng.integers(len(strays)))] if word == STRAY else word for word in text.split(" "))
    return " ".join(words)


def _vocabulary() -> list[str]:
    """Whole words of four to twelve letters that open_clip's tokenizer knows, but for those of the forbidden object."""
    from open_clip.tokenizer import SimpleTokenizer

    meant = {part for text in (*OBJECT_WORDS[FORBIDDEN_OBJECT], *BARE_SKULL_WORDS) for part in text.split()}
    forbidden = meant | {f"{word}s" for word in meant}
    pieces = (piece.removesuffix("</w>") for piece in SimpleTokenizer().encoder if piece.endswith("</w>"))
    words = (word for word in pieces if 4 <= len(word) <= 12 and word.isascii() and word.isalpha())
    return [word for word in words if word not in forbidden]


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the set that the shipped thresholds come from."""
    parser = argparse.ArgumentParser(prog="python -m safety.starter.calibration_set", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--size", type=int, default=4000, help="about how many negatives")
    parser.add_argument(
        "--samples", type=Path, help="pictures of the diffusion model: python -m generation.starter.samples"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args(arguments)
    write_set(given.folder, given.size, given.samples, given.seed)
    print(f"calibration set written to {given.folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
