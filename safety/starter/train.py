"""Trains the embedded CLIP from nothing: ``python -m safety.starter.train``.

Lessons are drawn, the vision tower learns names, the text tower learns to point at what the locked vision tower sees,
and the open_clip folder is written with its recipe and, unless told not to, its figures. One thread and one seed give
the same weights again on the same kind of processor with the same versions.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from safety.starter.captions import draw_captions
from safety.starter.clip_files import FIGURES, FOLDER, RECIPE, build_model, model_config, write_json, write_model
from safety.starter.disturb import to_input
from safety.starter.figures import NOTE, measure
from safety.starter.lessons import HELD_OUT_PAIR_SCENES, Lessons, draw_lessons
from safety.starter.text_stage import Seen, TextRecipe, train_text
from safety.starter.vision_stage import VisionRecipe, disturbed_batch, embeddings_of, train_vision

KEPT = "vision.safetensors"


@dataclass(frozen=True)
class Architecture:
    """The sizes of both towers."""

    width: int = 16
    embedding: int = 64
    text_width: int = 64
    text_layers: int = 2


@dataclass(frozen=True)
class Settings:
    """Everything that the weights depend on, versions and processor apart."""

    seed: int = 0
    lessons: int = 20_000
    captions: int = 30_000
    plain_pictures: int = 4_000
    disturbed_pictures: int = 6_000
    architecture: Architecture = field(default_factory=Architecture)
    vision: VisionRecipe = field(default_factory=VisionRecipe)
    text: TextRecipe = field(default_factory=TextRecipe)

    @property
    def of_vision(self) -> str:
        """What the vision tower's weights depend on, as canonical JSON."""
        parts = {"seed": self.seed, "lessons": self.lessons}
        towers = {"architecture": asdict(self.architecture), "vision": asdict(self.vision)}
        return json.dumps(parts | towers, sort_keys=True)


def train(settings: Settings, folder: Path, work: Path | None = None) -> None:
    """Trains and writes a folder whole or not at all; a work folder keeps the vision tower for another text stage.

    Raises ValueError when the work folder keeps a tower of other settings.
    """
    minutes: dict[str, float] = {}
    with _one_thread():
        torch.manual_seed(settings.seed)
        config = model_config(**asdict(settings.architecture))
        model = build_model(config)
        lessons = draw_lessons(settings.lessons, settings.seed)
        minutes |= _see(model, lessons, settings, work)
        began = time.monotonic()
        captions = draw_captions(settings.captions, settings.seed + 2)
        train_text(model, captions, seen_by(model, lessons, settings), settings.text, settings.seed + 3)
        minutes["text"] = _minutes_since(began)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".clip-") as place:
        new = Path(place) / "clip"
        digest = write_model(model, config, new)
        write_json(new / RECIPE, _recipe(settings, minutes, digest))
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)


def seen_by(model: Any, lessons: Lessons, settings: Settings) -> Seen:
    """The lessons as the locked vision tower sees them, some as drawn and some disturbed."""
    plain = lessons.pictures[: settings.plain_pictures]
    embeddings = [embeddings_of(model, to_input(plain))]
    labels: list[NDArray[np.int64]] = [lessons.labels[: settings.plain_pictures]]
    batch = settings.vision.batch
    for step in range(-(-settings.disturbed_pictures // batch)):
        pictures, truth = disturbed_batch(lessons, batch, settings.seed + 4, step)
        embeddings.append(embeddings_of(model, pictures))
        labels.append(truth.numpy())
    return Seen(torch.cat(embeddings), np.concatenate(labels))


def _see(model: Any, lessons: Lessons, settings: Settings, work: Path | None) -> dict[str, float]:
    """Trains the vision tower, or takes it from the work folder; returns the minutes it took."""
    kept = None if work is None else work / KEPT
    if kept is not None and kept.exists():
        return _take(model, kept, settings)
    began = time.monotonic()
    train_vision(model, lessons, settings.vision, settings.seed + 1)
    minutes = _minutes_since(began)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous().clone() for name, tensor in model.visual.state_dict().items()}
        save_file(tensors, kept, {"settings": settings.of_vision, "minutes": str(minutes)})
    return {"vision": minutes}


def _take(model: Any, kept: Path, settings: Settings) -> dict[str, float]:
    with safe_open(kept, "pt") as file:
        about = file.metadata()
        if about["settings"] != settings.of_vision:
            raise ValueError(f"{kept} keeps a tower of other settings: {about['settings']}; use another work folder")
        model.visual.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    model.visual.eval()
    return {"vision": float(about["minutes"])}


def _recipe(settings: Settings, minutes: dict[str, float], digest: str) -> dict[str, Any]:
    import open_clip
    import PIL

    return {
        "command": "python -m safety.starter.train",
        "settings": asdict(settings),
        "held_out_pairs": sorted({f"{scene.colour} {scene.object}" for scene in HELD_OUT_PAIR_SCENES}),
        "minutes": minutes,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "open_clip": open_clip.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
        "hardware": {"processor": platform.machine(), "threads": 1, "arithmetic": "float32"},
        "weights": digest,
        "note": NOTE,
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread and no kernel whose sums depend on timing, as long as it lasts."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _minutes_since(began: float) -> float:
    return round((time.monotonic() - began) / 60, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains with the settings that ship."""
    parser = argparse.ArgumentParser(prog="python -m safety.starter.train", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the open_clip folder goes")
    parser.add_argument("--work", type=Path, help="keep the vision tower here, or go on from it")
    parser.add_argument("--samples", type=Path, help="pictures of the diffusion model, for the figures")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    given = parser.parse_args(arguments)
    train(Settings(seed=given.seed), given.folder, given.work)
    figures = measure(given.folder, given.samples)
    write_json(given.folder / FIGURES, figures)
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
