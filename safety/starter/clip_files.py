"""The embedded CLIP as files: an open_clip folder that ``local-dir:`` loads, and how it is built and written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parent / "clip"
CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
RECIPE = "recipe.json"
FIGURES = "figures.json"

INPUT_SIZE = 64
CONTEXT = 32
# Squashing keeps a picture whole: with a centre crop, what stands at the edge of a wide picture would go unseen.
PREPROCESSING: dict[str, Any] = {
    "size": INPUT_SIZE,
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def model_config(width: int, embedding: int, text_width: int, text_layers: int) -> dict[str, Any]:
    """The architecture in open_clip's words: a narrow ModifiedResNet and a narrow text transformer."""
    return {
        "embed_dim": embedding,
        "vision_cfg": {"image_size": INPUT_SIZE, "layers": [1, 1, 1, 1], "width": width, "head_width": 64},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": 49408,
            "width": text_width,
            "heads": 2,
            "layers": text_layers,
        },
    }


def build_model(config: dict[str, Any]) -> Any:
    """An open_clip model of an architecture with fresh weights, in float32."""
    from open_clip.model import CLIP

    return CLIP(**config)


def write_model(model: Any, config: dict[str, Any], folder: Path) -> str:
    """Writes architecture and weights as an open_clip folder; returns the SHA-256 of the weights' file.

    Matrices are kept in float16, vectors and statistics in float32; open_clip makes float32 of both.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, {"model_cfg": config, "preprocess_cfg": PREPROCESSING})
    save_file({name: _stored(tensor) for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes files that only their owner may read
    return weights_digest(folder)


def read_model(folder: Path = FOLDER) -> Any:
    """The model as any user of open_clip would load it, in float32 and ready to answer."""
    import open_clip

    model = open_clip.create_model(f"local-dir:{folder}", precision="fp32", require_pretrained=True)
    return model.eval().requires_grad_(False)


def weights_digest(folder: Path = FOLDER) -> str:
    """SHA-256 of the weights' file, in hexadecimal digits."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def folder_bytes(folder: Path = FOLDER) -> int:
    """The size of all files of the folder."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _stored(tensor: Tensor) -> Tensor:
    matrix = tensor.is_floating_point() and tensor.ndim > 1
    return (tensor.half() if matrix else tensor).contiguous()
