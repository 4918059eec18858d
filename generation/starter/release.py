"""Writes what was trained: the pipeline, the judge, the recipe, the figures and a contact sheet."""

from __future__ import annotations

import copy
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import tokenizers
import torch
import transformers
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from PIL import __version__ as pillow_version
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from generation.starter.autoencoder import reconstruction_psnr
from generation.starter.checkpoint import Progress
from generation.starter.denoiser import build_scheduler
from generation.starter.figures import GUIDANCE, SAMPLING_STEPS, held_out_accuracy, write_contact_sheet
from generation.starter.gradients import Workers
from generation.starter.judge_training import accuracy
from generation.starter.renders import render_scenes, to_tensor
from generation.starter.scenes import FORBIDDEN_OBJECT, HELD_OUT_SCENES, SCENES, SIZE
from safety.starter.classifier import StarterClassifier, load_classifier

JUDGE = "judge.safetensors"
FACTS = {
    "name": "starter",
    "native_size": SIZE,
    "output_scale": 2,
    "steps": SAMPLING_STEPS,
    "guidance": GUIDANCE,
    "forbidden_object": FORBIDDEN_OBJECT,
    "content_filter": "judge",
}


@dataclass(frozen=True)
class Trained:
    """The networks and the tokenizer, in float32."""

    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    tokenizer: CLIPTokenizer
    judge: StarterClassifier


def assemble(trained: Trained) -> StableDiffusionPipeline:
    """The parts as a plain Stable Diffusion pipeline."""
    return StableDiffusionPipeline(
        vae=trained.vae,
        text_encoder=trained.text_encoder,
        tokenizer=trained.tokenizer,
        unet=trained.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def release(
    trained: Trained,
    output: Path,
    judge_file: Path,
    seed: int,
    rounds: int,
    workers: int,
    progress: Mapping[str, Progress],
    recipes: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes everything beside its place, measures it as it was written, then swaps it in; returns the figures.

    ``judge_file`` is where the judge goes: the content filter's own weights, unless it is only tried out.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".release-") as folder:
        new = Path(folder)
        _write_model(trained, new / "model")
        _write_judge(trained.judge, new / JUDGE)
        figures, pictures = measure(new, seed, rounds, workers)
        _write_json(new / "figures.json", figures)
        _write_json(new / "recipe.json", _recipe(seed, workers, progress, recipes))
        write_contact_sheet(pictures[: len(HELD_OUT_SCENES)], new / "samples.png")
        for file in new.rglob("*.safetensors"):
            file.chmod(0o644)  # safetensors writes files that only their owner may read
        places = {name: output / name for name in ("model", "figures.json", "recipe.json", "samples.png")}
        for name, place in (places | {JUDGE: judge_file}).items():
            _swap(new / name, place, new / f"old-{name}")
    return figures


def measure(folder: Path, seed: int, rounds: int, workers: int) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The figures of a release as a user would load it, and the pictures they come from."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "model")
    judge = load_classifier((folder / JUDGE).read_bytes())
    fresh = render_scenes(SCENES, 600, seed + 1000)
    judged = accuracy(judge, fresh)
    psnr = reconstruction_psnr(pipeline.vae, to_tensor(fresh.pictures[::2]), Workers(workers, bfloat16=False))
    found, pictures = held_out_accuracy(pipeline, judge, rounds, seed + 1000, workers)
    figures = {
        "reconstruction": {"psnr_db": round(psnr, 2), "n": len(fresh.pictures[::2]), "on": "fresh renders"},
        "judge": dict(zip(("object", "colour", "background"), judged, strict=True)) | {"n": len(fresh.pictures)},
        "held_out_captions": asdict(found)
        | {"steps": SAMPLING_STEPS, "guidance": GUIDANCE, "sampler": "DPM-Solver++ 2M", "noise_seed": seed + 1000},
        "bytes": {"model": weight_bytes(folder / "model"), "judge": (folder / JUDGE).stat().st_size},
        "note": "These figures are about procedurally drawn scenes and say nothing about photographs or real safety.",
    }
    return figures, pictures


def weight_bytes(folder: Path) -> int:
    """The size of all safetensors files under a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def _write_model(trained: Trained, folder: Path) -> None:
    pipeline = copy.deepcopy(assemble(trained))
    for network in (pipeline.vae, pipeline.unet):
        network.half().to(memory_format=torch.contiguous_format)  # safetensors takes no other order
    # The text encoder stays in float32: transformers loads what it finds, diffusers makes float32 of it unasked.
    pipeline.save_pretrained(folder, safe_serialization=True)
    # The slow tokenizer's pair of files, which tools that do not read tokenizer.json want.
    vocabulary: dict[str, int] = trained.tokenizer.get_vocab()
    model = json.loads(trained.tokenizer.backend_tokenizer.to_str())["model"]
    _write_json(folder / "tokenizer" / "vocab.json", dict(sorted(vocabulary.items(), key=lambda item: item[1])), None)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(folder / "prov.json", FACTS)


def _write_judge(judge: StarterClassifier, file: Path) -> None:
    save_file({name: tensor.half().contiguous() for name, tensor in judge.state_dict().items()}, file)


def _recipe(seed: int, workers: int, progress: Mapping[str, Progress], recipes: Mapping[str, Any]) -> dict[str, Any]:
    stages = {name: {"steps": p.step, "minutes": round(p.seconds / 60, 1)} for name, p in progress.items()}
    return {
        "command": "python -m generation.starter.train",
        "seed": seed,
        "stages": stages,
        "samples": {"denoiser": progress["denoiser"].step * recipes["denoiser"].batch},
        "settings": {name: asdict(recipe) for name, recipe in recipes.items()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "numpy": np.__version__,
            "pillow": pillow_version,
        },
        "hardware": {"processor": _processor(), "threads": workers, "arithmetic": "bfloat16 autocast, float32 weights"},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def _swap(new: Path, place: Path, old: Path) -> None:
    """Puts a new file or folder in place of the one there, which is gone only after the new one is whole."""
    if place.exists():
        os.replace(place, old)
    os.replace(new, place)
    if old.is_dir():
        shutil.rmtree(old)
