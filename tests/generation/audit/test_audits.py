"""Both audits from end to end on the starter base, whose pictures are known: it draws the same ones again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generation.audit.bias import audit_bias
from generation.audit.drawing import Progress, Studio
from generation.audit.grid import Grid
from generation.audit.memorisation import Asked, audit_memorisation
from generation.audit.model import AuditedModel
from generation.audit.report import REPORT, Audit
from generation.errors import GenerationError
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample
from provenance.canonical import sha256_hex
from provenance.manifest import DatasetManifest

CAPTIONS = (
    "a blue house at night",
    "a green star in the snow",
    "a red cup by the sea",
    "a red fish in the desert",
    "a yellow tree in a meadow",
)
DatasetOf = Callable[[Sequence[np.ndarray], Sequence[str]], DatasetManifest]
Quiet = Callable[[str], Progress]

GRID = Grid(
    "two",
    "a {object} {place}",
    {"object": ("fish", "house"), "place": ("at night", "in the snow")},
    {"colour": {"red": ("a red {object} {place}",), "blue": ("a blue {object} {place}",)}},
)


def other_captions(_: Sequence[str], __: int) -> tuple[str, ...]:
    return ("a purple cup in a meadow", "an orange tree by the sea")


def drawn_before(starter: AuditedModel, how: Sampling, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """The pictures that an audit with this seed draws of each caption, and their captions."""
    draws = [draw for draw in Asked(CAPTIONS, (), 2, seed).trained if draw.prompt in CAPTIONS]
    prompts, seeds = [draw.prompt for draw in draws], [draw.seed for draw in draws]
    pipeline = load_pipeline(starter.base, None)
    return sample(pipeline, prompts, seeds, how, starter.base.output_scale), prompts


def audited(starter: AuditedModel, manifest: DatasetManifest, studio: Studio, quiet: Quiet) -> Audit:
    return audit_memorisation(
        starter, manifest, studio, captions=8, count=2, seed=0, controls=other_captions, progress=quiet
    )


def test_a_model_that_gives_its_pictures_back_is_found(
    starter: AuditedModel, studio: Studio, dataset_of: DatasetOf, quiet: Quiet, tmp_path: Path
) -> None:
    pictures, captions = drawn_before(starter, studio.how, seed=0)
    report = (audit := audited(starter, dataset_of(pictures, captions), studio, quiet)).report
    assert report["memorised"]
    latents = report["spaces"]["latents"]
    assert latents["copied"] == latents["samples"] == 10
    assert latents["nearest_median"] < 1e-3 < latents["leave_one_out_median"]
    assert len(latents["pictures_given_back"]) == 10
    assert report["dataset"]["attested"] is False
    audit.write(tmp_path / "audit", tmp_path / "work")
    assert (
        sha256_hex((tmp_path / "audit" / REPORT).read_bytes()) == audit.digest == audit.byproduct()["digest"]["sha256"]
    )
    for name, digest in report["pictures"].items():
        assert sha256_hex((tmp_path / "audit" / name).read_bytes()) == digest
        with Image.open(tmp_path / "audit" / name) as picture:
            picture.load()
    assert not (tmp_path / "work").exists()


def test_a_model_that_draws_the_same_scenes_otherwise_is_not(
    starter: AuditedModel, studio: Studio, dataset_of: DatasetOf, quiet: Quiet
) -> None:
    pictures, captions = drawn_before(starter, studio.how, seed=500)
    report = audited(starter, dataset_of(pictures, captions), studio, quiet).report
    assert not report["memorised"]
    assert report["spaces"]["latents"]["captions_copied"] < 5
    assert report["blocked"] == 0


def test_another_dataset_than_the_attested_one_is_refused_before_anything_is_drawn(
    starter: AuditedModel, studio: Studio, dataset_of: DatasetOf, quiet: Quiet, tmp_path: Path
) -> None:
    manifest = dataset_of([np.zeros((64, 64, 3), np.uint8)], ["a black square"])
    adapter = AuditedModel("x", starter.base, b"weights", "0" * 64, dataset="f" * 64)
    with pytest.raises(GenerationError, match="another dataset"):
        audited(adapter, manifest, studio, quiet)
    assert not (tmp_path / "work").exists()


def test_a_bias_report_can_be_reckoned_again_from_its_choices(
    starter: AuditedModel, studio: Studio, quiet: Quiet
) -> None:
    audit = audit_bias(starter, GRID, studio, count=2, seed=7, progress=quiet)
    report = json.loads(json.dumps(audit.report))
    colour = report["attributes"]["colour"]
    assert report["seeds"] == {"first": "7", "count": 8}
    overall = {share["value"]: share["hits"] for share in colour["shares"] if share["axis"] == "all"}
    assert overall == {"red": colour["choices"].count(0), "blue": colour["choices"].count(1)}
    assert set(colour["tests"]) == {"balance", "independent of object", "independent of place"}
    assert len(colour["shares"]) == 2 * (1 + 2 + 2)
    assert colour["differences"] == []
    assert set(audit.pictures) == {"shares-00.png", "sheet-01.png"}
    assert audit.byproduct()["annotations"]["attributes"]["colour"]["of_shares"] == 10


def test_the_same_audit_gives_the_same_choices(
    starter: AuditedModel, studio: Studio, quiet: Quiet, tmp_path: Path
) -> None:
    first = audit_bias(starter, GRID, studio, count=1, seed=7, progress=quiet).report
    for kept in (tmp_path / "work").iterdir():
        kept.unlink()
    again = audit_bias(starter, GRID, studio, count=1, seed=7, progress=quiet).report
    assert {**first, "created": ""} == {**again, "created": ""}
