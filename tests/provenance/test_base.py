from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from provenance import base as base_module
from provenance.base import COMPONENTS, WEIGHT_STEMS, base_digest, resolve_base
from provenance.errors import BaseRefused, BaseUnavailable, FormatError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder laid out like Stable Diffusion 1.5, with a few bytes for each file."""
    folder = tmp_path / "dreams"
    files = {
        "model_index.json": json.dumps({"_class_name": "StableDiffusionPipeline"}),
        "README.md": "a model card",
        "scheduler/scheduler_config.json": "{}",
        "text_encoder/config.json": "{}",
        "text_encoder/model.safetensors": "text",
        "tokenizer/merges.txt": "#version: 0.2",
        "tokenizer/vocab.json": "{}",
        "unet/config.json": "{}",
        "unet/diffusion_pytorch_model.safetensors": "unet",
        "vae/config.json": "{}",
        "vae/diffusion_pytorch_model.safetensors": "vae",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An offline hub client with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_folder_is_described_without_its_path(folder: Path) -> None:
    model = resolve_base(str(folder))
    assert (model.id, model.family, model.output_scale) == ("local:dreams", "sd1", 1)
    assert model.folder == folder.resolve()
    assert model.digest == base_digest(folder)


def test_the_digest_is_that_of_a_sorted_list_of_files(folder: Path) -> None:
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "README.md")
    listed = [{"name": n, "sha256": hashlib.sha256((folder / n).read_bytes()).hexdigest()} for n in names]
    expected = hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).hexdigest()
    assert base_digest(folder) == expected


def test_what_is_never_loaded_does_not_count(folder: Path) -> None:
    before = base_digest(folder)
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_text("half")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_text("pickle")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors.index.json").write_text("{}")
    (folder / "v1-5-pruned.safetensors").write_text("everything")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "config.json").write_text("{}")
    (folder / "README.md").write_text("another card")
    assert base_digest(folder) == before


@pytest.mark.parametrize(
    "name", ["model_index.json", "unet/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"]
)
def test_every_loaded_file_counts(folder: Path, name: str) -> None:
    before = base_digest(folder)
    (folder / name).write_text((folder / name).read_text() + " ")
    assert base_digest(folder) != before


def test_shards_count_with_their_index(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text("{}")
    (folder / "unet" / "diffusion_pytorch_model-00001-of-00002.safetensors").write_text("a")
    before = base_digest(folder)
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").write_text("b")
    assert base_digest(folder) != before


def test_sdxl_has_two_text_encoders(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    with pytest.raises(BaseRefused, match="has no text_encoder_2/"):
        resolve_base(str(folder))
    shutil.copytree(folder / "text_encoder", folder / "text_encoder_2")
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_2")
    assert resolve_base(str(folder)).family == "sdxl"


def _become(folder: Path, kind: str, *components: str) -> None:
    """Rewrites the index, with further components of a few bytes."""
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    for component in components:
        (folder / component).mkdir()
        (folder / component / "config.json").write_text("{}")
        if component in WEIGHT_STEMS:
            (folder / component / f"{WEIGHT_STEMS[component]}.safetensors").write_text(component)


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"cross_attention_dim": 768}, "sd1"),
        ({"use_linear_projection": False}, "sd1"),
        ({"use_linear_projection": True, "cross_attention_dim": 1024}, "sd2"),
        ({"use_linear_projection": 1}, "sd1"),
    ],
)
def test_linear_projections_in_the_unet_tell_sd2_from_sd1(folder: Path, config: dict[str, int], family: str) -> None:
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    assert resolve_base(str(folder)).family == family


def test_an_unet_config_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")
    with pytest.raises(FormatError, match=r"unet/config\.json is not valid JSON"):
        resolve_base(str(folder))


def test_sd3_needs_its_transformer_and_both_clip_encoders(folder: Path) -> None:
    _become(folder, "StableDiffusion3Pipeline", "text_encoder_2", "tokenizer_2")
    with pytest.raises(BaseRefused, match="has no transformer/"):
        resolve_base(str(folder))
    _become(folder, "StableDiffusion3Pipeline", "transformer")
    shutil.rmtree(folder / "unet")
    model = resolve_base(str(folder))
    assert (model.family, model.absent) == ("sd3", ("text_encoder_3", "tokenizer_3"))
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(BaseRefused, match="has no text_encoder_2/"):
        resolve_base(str(folder))


def test_t5_counts_in_the_digest_only_where_the_pipeline_loads_it(folder: Path) -> None:
    _become(folder, "StableDiffusion3Pipeline", "text_encoder_2", "tokenizer_2", "transformer")
    without = base_digest(folder)
    _become(folder, "StableDiffusion3Pipeline", "text_encoder_3", "tokenizer_3")
    model = resolve_base(str(folder))
    assert model.absent == ()
    assert model.digest != without
    (folder / "tokenizer_3" / "spiece.model").write_bytes(b"vocabulary")
    assert base_digest(folder) != model.digest

    index = {"_class_name": "StableDiffusion3Pipeline", "text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    model = resolve_base(str(folder))
    assert model.absent == ("text_encoder_3", "tokenizer_3")
    (folder / "text_encoder_3" / "config.json").write_text('{"changed": 1}')
    assert base_digest(folder) == model.digest


def test_a_video_base_has_an_image_encoder_and_no_text(folder: Path) -> None:
    for component in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / component)
    _become(folder, "StableVideoDiffusionPipeline", "feature_extractor")
    with pytest.raises(BaseRefused, match="has no image_encoder/"):
        resolve_base(str(folder))
    _become(folder, "StableVideoDiffusionPipeline", "image_encoder")
    assert resolve_base(str(folder)).family == "svd"


@pytest.mark.parametrize("family", sorted(COMPONENTS))
def test_a_hub_download_asks_for_every_component(
    family: str, folder: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[str] = []

    def download(_: str, *, allow_patterns: list[str], **__: object) -> str:
        asked.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    resolve_base("owner/name")
    for component in COMPONENTS[family]:
        assert f"{component}/*.json" in asked
        assert component not in WEIGHT_STEMS or f"{component}/{WEIGHT_STEMS[component]}.safetensors" in asked
    assert not any(fnmatch(f"unet/diffusion_pytorch_model.{kind}", p) for p in asked for kind in ("bin", "ckpt"))


@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pt"])
def test_weights_that_are_only_a_pickle_are_refused(folder: Path, suffix: str) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(suffix))
    with pytest.raises(BaseRefused, match="pickle, which can run code") as refusal:
        resolve_base(str(folder))
    assert "save_pretrained" in str(refusal.value)


@pytest.mark.parametrize(("name", "pickle"), [("model.ckpt", True), ("model.safetensors", False)])
def test_a_single_file_checkpoint_is_refused(tmp_path: Path, name: str, pickle: bool) -> None:
    (tmp_path / name).write_text("weights")
    for given in (tmp_path / name, tmp_path):
        with pytest.raises(BaseRefused, match="single-file checkpoint") as refusal:
            resolve_base(str(given))
        assert ("run code" in str(refusal.value)) == pickle


@pytest.mark.parametrize("index", ["{}", "[]", '{"_class_name": "FluxPipeline"}'])
def test_a_pipeline_of_another_kind_is_refused(folder: Path, index: str) -> None:
    (folder / "model_index.json").write_text(index)
    with pytest.raises(BaseRefused):
        resolve_base(str(folder))


@pytest.mark.parametrize("name", ["no such thing", "../up/down/there", "owner/name/file", ""])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(BaseRefused):
        resolve_base(name if name else "nothing")


def test_a_hub_id_that_is_not_here_says_what_to_do_offline(hub: Path) -> None:
    with pytest.raises(BaseUnavailable, match="owner/name is not on this machine") as refusal:
        resolve_base("owner/name")
    assert refusal.value.exit_code == 3
    assert "--base" in (refusal.value.fix or "")


@pytest.mark.parametrize("name", ["owner/name", "owner/name@main", f"owner/name@{COMMIT}", f"hf:owner/name@{COMMIT}"])
def test_a_hub_id_in_the_local_cache_is_named_by_its_commit(hub: Path, folder: Path, name: str) -> None:
    repository = hub / "models--owner--name"
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    model = resolve_base(name)
    assert model.id == f"hf:owner/name@{COMMIT}"
    assert model.digest == base_digest(folder)


def test_the_embedded_model_is_found_by_name_and_by_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "embedding").mkdir()
    (tmp_path / "embedding" / "__init__.py").touch()
    shutil.move(folder, tmp_path / "embedding" / "model")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(base_module, "EMBEDDED", {"starter": ("embedding", "model")})
    model = resolve_base("starter")
    assert (model.id, model.output_scale) == ("starter", 2)
    assert resolve_base(str(tmp_path / "embedding" / "model")) == model


def test_a_missing_embedded_model_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_module, "EMBEDDED", {"starter": ("provenance", "nowhere")})
    with pytest.raises(BaseUnavailable, match="starter model is missing"):
        resolve_base("starter")
