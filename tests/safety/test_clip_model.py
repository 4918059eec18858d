"""Loading open_clip models: what is given, and everything that is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safety.clip_model import ClipModel, forget_models, open_clip_model, unit_rows
from safety.errors import FilterError
from tests.safety.tiny_clip import CONFIG, PREPROCESSING, WEIGHTS, copy_of, save_tiny_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipModel:
    return open_clip_model(f"local-dir:{folder}")


def test_directions_have_length_1_and_do_not_depend_on_their_batch(clip: ClipModel) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (side, side + 7, 3), dtype=np.uint8) for side in range(30, 70)]
    together = clip.images(pictures)
    assert together.shape == (40, 16)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)
    alone = np.concatenate([clip.images([picture]) for picture in pictures])
    assert np.abs(together - alone).max() < 1e-5
    texts = [f"a red fish {number}" for number in range(40)]
    assert np.abs(clip.texts(texts) - np.concatenate([clip.texts([text]) for text in texts])).max() < 1e-5
    assert clip.images([]).shape[0] == clip.texts([]).shape[0] == 0


def test_scale_is_the_models_own_and_at_most_100(tmp_path: Path, clip: ClipModel) -> None:
    assert clip.scale == pytest.approx(1 / 0.07, rel=1e-5)

    def louder(state: dict[str, Any]) -> None:
        state["logit_scale"] += 5

    assert open_clip_model(f"local-dir:{save_tiny_clip(tmp_path / 'loud', louder)}").scale == 100


def test_a_model_is_loaded_once_until_it_changes(tmp_path: Path, folder: Path) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    first = open_clip_model(f"local-dir:{copy}")
    assert open_clip_model(f"local-dir:{copy}") is first
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.4, 0.5, 0.5]
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    assert open_clip_model(f"local-dir:{copy}").digest != first.digest
    forget_models()
    assert open_clip_model(f"local-dir:{folder}").digest == first.digest


def test_the_digest_follows_weights_preprocessing_and_architecture(tmp_path: Path, clip: ClipModel) -> None:
    def moved(state: dict[str, Any]) -> None:
        state["visual.proj"][0, 0] += 1e-3

    other = [
        save_tiny_clip(tmp_path / "weights", moved),
        save_tiny_clip(tmp_path / "preprocessing", preprocess_cfg={**PREPROCESSING, "std": [0.4, 0.5, 0.5]}),
        save_tiny_clip(tmp_path / "architecture", model_cfg={**CONFIG, "quick_gelu": True}),
    ]
    digests = {open_clip_model(f"local-dir:{each}").digest for each in other}
    assert len(digests) == 3
    assert clip.digest not in digests
    assert open_clip_model(f"local-dir:{save_tiny_clip(tmp_path / 'same')}").digest == clip.digest


def test_the_digest_follows_the_tokenizer(tmp_path: Path, clip: ClipModel) -> None:
    from open_clip.tokenizer import default_bpe

    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")
    lines[1], lines[2] = lines[2], lines[1]
    (tmp_path / "merges.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    text = {**CONFIG["text_cfg"], "tokenizer_kwargs": {"bpe_path": str(tmp_path / "merges.txt.gz")}}
    other = save_tiny_clip(tmp_path / "other", model_cfg={**CONFIG, "text_cfg": text})
    same = {**CONFIG["text_cfg"], "tokenizer_kwargs": {}}
    plain = save_tiny_clip(tmp_path / "plain", model_cfg={**CONFIG, "text_cfg": same})
    digests = {open_clip_model(f"local-dir:{each}").digest for each in (other, plain)} | {clip.digest}
    assert len(digests) == 3


def test_a_truncated_tokenizer_is_refused(tmp_path: Path) -> None:
    from open_clip.tokenizer import default_bpe

    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")[:2000]
    (tmp_path / "merges.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    text = {**CONFIG["text_cfg"], "tokenizer_kwargs": {"bpe_path": str(tmp_path / "merges.txt.gz")}}
    folder = save_tiny_clip(tmp_path / "model", model_cfg={**CONFIG, "text_cfg": text})
    with pytest.raises(FilterError) as refusal:
        open_clip_model(f"local-dir:{folder}")
    assert "2513 tokens for a text tower of 49408" in str(refusal.value)


@pytest.mark.parametrize("weights", [None, b"", b"\x00" * 64, b"not weights", "cut"])
def test_missing_or_broken_weights_are_refused(weights: bytes | str | None, folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    if weights is None:
        (copy / WEIGHTS).unlink()
    else:
        whole = (copy / WEIGHTS).read_bytes()
        (copy / WEIGHTS).write_bytes(weights if isinstance(weights, bytes) else whole[: len(whole) // 2])
    with pytest.raises(FilterError, match="nothing is generated"):
        open_clip_model(f"local-dir:{copy}")


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    def widened(state: dict[str, Any]) -> None:
        import torch

        state["visual.proj"] = torch.zeros(32, 17)

    with pytest.raises(FilterError, match="nothing is generated") as refusal:
        open_clip_model(f"local-dir:{save_tiny_clip(tmp_path / 'model', widened)}")
    assert "visual.proj" in str(refusal.value)


def test_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    def without(state: dict[str, Any]) -> None:
        del state["text_projection"]

    with pytest.raises(FilterError):
        open_clip_model(f"local-dir:{save_tiny_clip(tmp_path / 'model', without)}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_scale_that_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    def broken(state: dict[str, Any]) -> None:
        state["logit_scale"].fill_(value)

    with pytest.raises(FilterError, match="nothing is generated"):
        open_clip_model(f"local-dir:{save_tiny_clip(tmp_path / 'model', broken)}")


def test_a_pickle_is_refused_even_if_it_would_load(tmp_path: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    copy = copy_of(folder, tmp_path / "copy")
    torch.save(load_file(copy / WEIGHTS), copy / "open_clip_pytorch_model.bin")
    (copy / WEIGHTS).unlink()
    with pytest.raises(FilterError, match="cannot be loaded") as refusal:
        open_clip_model(f"local-dir:{copy}")
    assert "safetensors" in str(refusal.value)
    with pytest.raises(FilterError) as refusal:
        open_clip_model("ViT-B-32", str(copy / "open_clip_pytorch_model.bin"))
    assert "not a safetensors file" in str(refusal.value)


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"model_cfg": {}}', b"\xff"])
def test_a_broken_configuration_is_refused(config: bytes, folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    (copy / "open_clip_config.json").write_bytes(config)
    with pytest.raises(FilterError):
        open_clip_model(f"local-dir:{copy}")


@pytest.mark.parametrize(
    ("model", "pretrained"),
    [
        ("ViT-B-32", None),
        ("no-such-model", "openai"),
        ("ViT-B-32", "/nowhere.safetensors"),
        ("local-dir:/nowhere", None),
        ("local-dir:", None),
        ("local-dir:" + "x" * 300, None),
        ("ViT-B-32", "x" * 300),
        ("", None),
    ],
)
def test_a_model_without_weights_here_is_refused(model: str, pretrained: str | None) -> None:
    with pytest.raises(FilterError, match="nothing is generated"):
        open_clip_model(model, pretrained)


def test_a_hub_that_cannot_be_reached_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FilterError, match="nothing is generated"):
        open_clip_model("hf-hub:owner/name")


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(FilterError):
        open_clip_model(f"local-dir:{folder}", device="toaster")


def test_weights_for_another_activation_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import open_clip.factory
    from safetensors.torch import save_file

    save_file(open_clip.create_model("ViT-S-32-alt").state_dict(), tmp_path / "small.safetensors")
    assert open_clip_model("ViT-S-32-alt", str(tmp_path / "small.safetensors")).scale > 1
    monkeypatch.setattr(open_clip.factory, "get_pretrained_cfg", lambda *_: {"quick_gelu": True})
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(tmp_path / "small.safetensors"))
    with pytest.raises(FilterError) as refusal:
        open_clip_model("ViT-S-32-alt", "a-tag")
    assert "QuickGELU mismatch" in str(refusal.value)


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_direction_must_point_somewhere(row: list[float]) -> None:
    with pytest.raises(FilterError, match="no direction"):
        unit_rows(np.array([[1.0, 0.0], row], np.float32))
    assert unit_rows(np.array([[3.0, 4.0]], np.float32)) == pytest.approx(np.array([[0.6, 0.8]]))


def test_a_callers_autocast_does_not_move_a_direction(clip: ClipModel) -> None:
    import torch

    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    plain = clip.images([picture]), clip.texts(["a fish"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = clip.images([picture]), clip.texts(["a fish"])
    assert all((a == b).all() for a, b in zip(plain, cast, strict=True))
