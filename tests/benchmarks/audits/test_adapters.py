from __future__ import annotations

from pathlib import Path

from benchmarks.audits.__main__ import HEADER, row
from benchmarks.audits.adapters import RECIPES, prepared, write_scenes
from provenance.base import STARTER
from safety.starter.scenes import FORBIDDEN_OBJECT


def test_an_adapter_is_trained_once_on_its_own_signed_pictures(tmp_path: Path) -> None:
    recipe = RECIPES[0]
    _, manifest, made = prepared(recipe, tmp_path, steps=1)
    assert (len(manifest.records), made.dataset_digest, made.base_id) == (4, manifest.digest, STARTER)
    assert prepared(recipe, tmp_path, steps=1)[2].digest == made.digest


def test_scenes_show_nothing_forbidden_and_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_scenes(tmp_path / name, 12)
    captions = [path.read_text() for path in sorted((tmp_path / "first").glob("*.txt"))]
    assert len(captions) == 12
    assert not any(FORBIDDEN_OBJECT in caption for caption in captions)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_a_row_fits_its_table() -> None:
    space = {"copied": 3, "samples": 16, "p_corrected": 8.19e-05}
    report = {
        "spaces": {"latents": space, "clip": space},
        "score_norm": {"auc": 0.625, "p": 0.34, "trained": [0.0, 0.0]},
    }
    assert row(RECIPES[0], report) == (
        "| memorised | 4 | 800 | 3 of 16 | 3 of 16 | 8e-05 | AUC 0.62, p = 0.34 | × 1.00 |"
    )
    assert HEADER.splitlines()[0].count("|") == row(RECIPES[0], report).count("|")
