"""The open_clip filter on a tiny random model, saved on the spot as a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from safety.content import open_content_filter, screen_or_refuse
from safety.errors import FilterError
from safety.policy import DEFAULT_POLICY, Policy

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": preprocess}))
    torch.manual_seed(3)
    model = open_clip.CLIP(**CONFIG)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def policy_for(model: str, pretrained: str | None = None, threshold: float = 0.5) -> Policy:
    value = yaml.safe_load(DEFAULT_POLICY.read_bytes())
    value["filter"] = {"kind": "open_clip", "model": model}
    if pretrained:
        value["filter"]["pretrained"] = pretrained
    for concept in value["concepts"].values():
        concept["thresholds"]["open_clip"] = threshold
    return Policy.parse(yaml.safe_dump(value).encode())


def test_scores_are_shares_and_the_same_each_time(folder: Path, scene_of: Callable[[int], np.ndarray]) -> None:
    policy = policy_for(f"local-dir:{folder}")
    first, second = open_content_filter(policy, "owner/model"), open_content_filter(policy, "starter")
    assert first.digest == second.digest
    for seed in range(3):
        decision = screen_or_refuse(first, scene_of(seed))
        assert set(decision.scores) == {concept.name for concept in policy.concepts}
        assert all(0 < score < 1 for score in decision.scores.values())
        assert decision == screen_or_refuse(second, scene_of(seed))


def test_the_threshold_decides(folder: Path, scene_of: Callable[[int], np.ndarray]) -> None:
    strict = open_content_filter(policy_for(f"local-dir:{folder}", threshold=1e-6), "x/y")
    lax = open_content_filter(policy_for(f"local-dir:{folder}", threshold=1.0), "x/y")
    assert screen_or_refuse(strict, scene_of(1)).rule in {f"{c.name}/score" for c in strict.policy.concepts}
    assert screen_or_refuse(lax, scene_of(1)).allowed


def test_missing_weights_block_instead_of_becoming_random(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    with pytest.raises(FilterError, match="nothing is generated"):
        open_content_filter(policy_for(f"local-dir:{tmp_path}"), "x/y")


@pytest.mark.parametrize("weights", [b"", b"\x00" * 64, b"not weights"])
def test_broken_weights_block(weights: bytes, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    (tmp_path / "open_clip_model.safetensors").write_bytes(weights)
    with pytest.raises(FilterError):
        open_content_filter(policy_for(f"local-dir:{tmp_path}"), "x/y")


@pytest.mark.parametrize(
    ("model", "pretrained"),
    [
        ("ViT-B-32", None),
        ("no-such-model", "openai"),
        ("ViT-B-32", "/nowhere.safetensors"),
        ("local-dir:/nowhere", None),
    ],
)
def test_a_model_without_weights_here_blocks(model: str, pretrained: str | None) -> None:
    with pytest.raises(FilterError):
        open_content_filter(policy_for(model, pretrained), "x/y")


def test_weights_that_are_not_numbers_block(folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    state: dict[str, Any] = load_file(folder / "open_clip_model.safetensors")
    state["visual.proj"] = torch.full_like(state["visual.proj"], torch.nan)
    save_file(state, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    decision = screen_or_refuse(
        open_content_filter(policy_for(f"local-dir:{tmp_path}"), "x/y"), np.zeros((64, 64, 3), np.uint8)
    )
    assert not decision.allowed
    assert decision.rule == "error"


def test_the_digest_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "open_clip_model.safetensors")
    state["visual.proj"][0, 0] += 1e-3
    save_file(state, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    changed = open_content_filter(policy_for(f"local-dir:{tmp_path}"), "x/y")
    assert changed.digest != open_content_filter(policy_for(f"local-dir:{folder}"), "x/y").digest
