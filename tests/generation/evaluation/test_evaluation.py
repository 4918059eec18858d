"""Evaluations on the starter base, with an adapter that changes nothing and against pictures the base has drawn."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

import generation.screening
from generation.adapters import Adapter
from generation.audit.drawing import Draw, Progress, Studio
from generation.audit.model import AuditedModel
from generation.errors import GenerationError, PromptBlocked
from generation.evaluation import drawing
from generation.evaluation.drawing import Gallery
from generation.evaluation.evaluation import Asked, Evaluated, evaluate
from generation.evaluation.features import clip_features, open_features
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample
from provenance.base import resolve_base
from provenance.canonical import parse_json, sha256_hex
from provenance.evaluation import parse_report
from provenance.home import Home
from provenance.manifest import DatasetManifest
from safety.clip_model import open_clip_model
from safety.policy import Policy
from safety.prompt_stages import open_prompt_filter
from tests.generation.audit.conftest import dataset_of as dataset_of
from tests.generation.audit.conftest import home as home
from tests.generation.audit.conftest import quiet as quiet
from tests.generation.audit.conftest import starter as starter
from tests.generation.audit.conftest import studio as studio
from tests.safety.tiny_clip import policy_for
from tests.training.tiny_bases import save_tiny_pipeline

PROMPTS = ("a red fish in the desert", "a blue house at night", "a green star in the snow")
DatasetOf = Callable[[Sequence[np.ndarray], Sequence[str]], DatasetManifest]
Quiet = Callable[[str], Progress]


def adapter(starter: AuditedModel, size: float) -> AuditedModel:
    """An adapter on what the starter's denoiser takes from captions, whose change has the given size."""
    draw, tensors = np.random.default_rng(0), dict[str, np.ndarray]()
    with safe_open(starter.base.folder / "unet" / "diffusion_pytorch_model.safetensors", "np") as file:
        for name in file.keys():  # noqa: SIM118
            if not name.endswith("attn2.to_v.weight"):
                continue
            rows, columns = file.get_slice(name).get_shape()
            layer = f"unet.{name.removesuffix('.weight')}"
            tensors[f"{layer}.lora_A.weight"] = draw.standard_normal((2, columns)).astype(np.float32)
            tensors[f"{layer}.lora_B.weight"] = (size * draw.standard_normal((rows, 2))).astype(np.float32)
    data = save(tensors)
    return AuditedModel("captions", starter.base, Adapter(data), sha256_hex(data), dataset="d" * 64)


@pytest.fixture
def gallery(studio: Studio, tmp_path: Path) -> Gallery:
    return Gallery(studio, clip_features("tiny", studio.clip), tmp_path / "drawn")


@pytest.fixture
def drawn(starter: AuditedModel, studio: Studio, dataset_of: DatasetOf) -> DatasetManifest:
    """A dataset of the very pictures that the base draws of the prompts, twice each."""
    draws = Asked(PROMPTS, "file", 6, 0).draws
    pipeline = load_pipeline(starter.base, None)
    prompts, seeds = [draw.prompt for draw in draws], [draw.seed for draw in draws]
    return dataset_of(sample(pipeline, prompts, seeds, studio.how, starter.base.output_scale), prompts)


def evaluated(
    model: AuditedModel, manifest: DatasetManifest, gallery: Gallery, quiet: Quiet, count: int = 6
) -> Evaluated:
    asked = Asked(PROMPTS, "file", count, 0)
    return evaluate(model, manifest, gallery, asked, memorisation=None, progress=quiet)


def test_an_adapter_that_changes_nothing_changes_no_figure(
    starter: AuditedModel, drawn: DatasetManifest, gallery: Gallery, quiet: Quiet, tmp_path: Path
) -> None:
    made = evaluated(adapter(starter, 0.0), drawn, gallery, quiet)
    claim = made.evaluation.value
    for name in ("fid", "kid", "cmmd", "clip_score"):
        assert claim[name]["before"] == claim[name]["after"]
    for name in ("cmmd", "clip_score"):
        assert claim[name]["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert abs(claim["fid"]["before"]) < 1e-4
    assert claim["cmmd"]["before"]["biased"] == pytest.approx(0, abs=1e-4)
    assert claim["warnings"] == [
        "fid_singular",
        "kid_few",
        "features_not_fid",
        "few_prompts",
        "memorisation_not_measured",
    ]
    made.write(tmp_path / "out", {})
    assert parse_report((tmp_path / "out" / "evaluation.json").read_bytes()) == made.evaluation
    named = parse_json(made.report, "the report")["pictures"]
    assert set(named) == {"figures.png", "clip-scores.png", "sheet.png"}
    for name, digest in named.items():
        data = (tmp_path / "out" / name).read_bytes()
        assert sha256_hex(data) == digest
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()


def test_an_adapter_that_spoils_the_pictures_moves_away_from_them(
    starter: AuditedModel, drawn: DatasetManifest, studio: Studio, quiet: Quiet, tmp_path: Path
) -> None:
    looking = Gallery(studio, open_features("starter", "cpu"), tmp_path / "drawn")
    claim = evaluated(adapter(starter, 1.0), drawn, looking, quiet).evaluation.value
    assert claim["fid"]["after"] > 0.01 > abs(claim["fid"]["before"])
    assert claim["cmmd"]["after"]["biased"] > claim["cmmd"]["before"]["biased"] + 1e-5
    assert (claim["features"]["name"], claim["features"]["dimensions"]) == ("starter", 64)
    assert claim["reference"]["trained_on"] is False


def test_a_stopped_evaluation_draws_only_what_is_missing(
    starter: AuditedModel, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "BATCH", 2)
    draws = Asked(PROMPTS, "file", 4, 0).draws

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.draw(starter, draws, stop)
    counted = []
    real = drawing.sample

    def counting(*arguments: Any) -> Any:
        counted.append(len(arguments[1]))
        return real(*arguments)

    monkeypatch.setattr(drawing, "sample", counting)
    first = gallery.draw(starter, draws, lambda done, total: None)
    assert counted == [2]
    again = gallery.draw(starter, draws, lambda done, total: None)
    assert counted == [2]
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in drawing.ARRAYS)


def test_a_blocked_prompt_is_never_drawn(
    starter: AuditedModel, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("nothing is to be drawn")

    monkeypatch.setattr(drawing, "load_pipeline", refuse)
    with pytest.raises(PromptBlocked):
        gallery.draw(starter, Asked((*PROMPTS, "a red skull at night"), "file", 4, 0).draws, lambda done, total: None)


def test_blocked_pictures_are_in_no_figure(
    starter: AuditedModel, drawn: DatasetManifest, gallery: Gallery, quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gallery.studio.blocked

    def first_of_each(prompts: Sequence[str], pictures: Sequence[np.ndarray]) -> np.ndarray:
        found = real(prompts, pictures)
        found[0] = True
        return found

    monkeypatch.setattr(gallery.studio, "blocked", first_of_each)
    made = evaluated(adapter(starter, 0.0), drawn, gallery, quiet)
    claim = made.evaluation.value
    assert (claim["blocked"], claim["compared"]) == ({"before": 1, "after": 1}, 5)
    assert "pictures_blocked" in claim["warnings"]
    assert [entry["pictures"] for entry in parse_json(made.report, "the report")["prompts"]] == [1, 2, 2]
    assert claim["fid"]["before"] > 0


def test_a_base_without_an_adapter_is_refused(
    starter: AuditedModel, drawn: DatasetManifest, gallery: Gallery, quiet: Quiet
) -> None:
    with pytest.raises(GenerationError, match="no adapter"):
        evaluated(starter, drawn, gallery, quiet)


def test_captions_are_asked_in_turn_and_evenly_where_there_are_too_many() -> None:
    asked = Asked.of_captions(["b", "a", "b", "c"], 7, 5)
    assert [draw.prompt for draw in asked.draws] == ["a", "b", "c", "a", "b", "c", "a"]
    assert [draw.seed for draw in asked.draws] == list(range(5, 12))
    few = Asked.of_captions([f"{number:03}" for number in range(100)], 3, 0)
    assert few.prompts == ("000", "049", "099")


def test_prompts_are_screened_as_of_the_base_that_is_looked_at(
    home: Home, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(policy: Policy, device: str, base: str) -> Any:
        asked.append(base)
        return open_prompt_filter(policy, device, base=base)

    asked: list[str] = []
    monkeypatch.setattr(generation.screening, "open_prompt_filter", opened)
    policy, looking = policy_for(clip_folder, 0.999), open_clip_model(f"local-dir:{clip_folder}")
    Studio(home, policy, looking, "local:another", Sampling(2, 3.0), tmp_path).require_allowed(["a dot"])
    assert asked == ["local:another"]


@pytest.mark.parametrize("kind", ["sd2", "sdxl", "sd3"])
def test_bases_of_every_kind_are_drawn_from(kind: str, home: Home, clip_folder: Path, tmp_path: Path) -> None:
    base = resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind)))
    policy, looking = policy_for(clip_folder, 0.999), open_clip_model(f"local-dir:{clip_folder}")
    studio = Studio(home, policy, looking, base.id, Sampling(2, 3.0), tmp_path / "work")
    gallery = Gallery(studio, clip_features("tiny", looking), tmp_path / "work")
    seen = gallery.draw(AuditedModel(base.id, base), [Draw("a dot", 1), Draw("a dot", 2)], lambda done, total: None)
    assert seen.features.shape == (2, 16)
    assert not seen.blocked.any()
    assert not np.array_equal(seen.views[0], seen.views[1])
