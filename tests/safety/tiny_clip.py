"""A tiny random open_clip model as a folder: real towers and tokenizer, no knowledge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from safety.policy import DEFAULT_POLICY, Policy

CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESSING = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
WEIGHTS = "open_clip_model.safetensors"


def save_tiny_clip(folder: Path, change: Callable[[dict[str, Any]], None] = lambda state: None, **config: Any) -> Path:
    """Writes the model, with its weights changed in place and the top of its configuration replaced where asked."""
    from safetensors.torch import load, save_file

    folder.mkdir(parents=True, exist_ok=True)
    content = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESSING} | config
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    state = load(_weights())
    change(state)
    save_file(state, folder / WEIGHTS)
    return folder


def copy_of(folder: Path, to: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(folder, to))


def policy_for(
    folder: Path | str, block: float = 0.5, text: float | None = None, pretrained: str | None = None
) -> Policy:
    """Two concepts of the default policy on a model, a folder or any name of one, with these thresholds."""
    value = yaml.safe_load(DEFAULT_POLICY.read_bytes())
    value["filter"] = {"kind": "open_clip", "model": f"local-dir:{folder}" if isinstance(folder, Path) else folder}
    if pretrained:
        value["filter"]["pretrained"] = pretrained
    value["concepts"] = {name: value["concepts"][name] for name in ("sexual-content", "violence")}
    for concept in value["concepts"].values():
        concept["thresholds"] = {"open_clip": block}
        if text is not None:
            concept["thresholds"]["open_clip_text"] = {"warn": text / 2, "block": text}
    return Policy.parse(yaml.safe_dump(value).encode())


@lru_cache(maxsize=1)
def _weights() -> bytes:
    import open_clip
    import torch
    from safetensors.torch import save

    with torch.random.fork_rng():
        torch.manual_seed(3)
        return bytes(save(open_clip.CLIP(**CONFIG).state_dict()))
