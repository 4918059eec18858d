from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks.watermark.drawn import scene
from cli.bench import app

RUN = CliRunner()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    Image.fromarray(scene(3, 256)).save(folder / "scene.png")
    return folder


def bench(images: Path, out: Path, *more: str) -> list[str]:
    usual = [
        "watermark",
        "--images",
        str(images),
        "--backends",
        "dwtDctSvd",
        "--out",
        str(out),
        "--work",
        str(out / "work"),
    ]
    return [*usual, *more]


def test_a_run_writes_page_figures_and_plots(images: Path, tmp_path: Path) -> None:
    result = RUN.invoke(app, bench(images, tmp_path, "--quick", "--json"))
    assert result.exit_code == 0, result.output
    readings = json.loads(result.stdout)["systems"]["dwtDctSvd"]["readings"]["your pictures"]
    assert readings["none"] == {**readings["none"], "exact": 1, "n": 1, "wrong": 0}
    assert readings["rotation 30°"]["exact"] == 0
    page = (tmp_path / "watermark.md").read_text()
    assert "| none | 1/1 (21–100)" in page
    assert "| rotation 30° | 0/1 (0–79)" in page
    with Image.open(tmp_path / "watermark-attacks.png") as heat_map:
        assert heat_map.size[0] > 200
    assert json.loads((tmp_path / "watermark.json").read_text()) == json.loads(result.stdout)
    RUN.invoke(app, bench(images, tmp_path, "--null", "21"))
    later = json.loads((tmp_path / "watermark.json").read_text())
    assert later["null"]["systems"]["dwtDctSvd"]["decisions"] == 21
    assert later["systems"] == json.loads(result.stdout)["systems"]
    assert "## Null decisions" in (tmp_path / "watermark.md").read_text()


def test_a_folder_without_pictures_is_wrong_usage(tmp_path: Path) -> None:
    result = RUN.invoke(app, bench(tmp_path, tmp_path / "out"))
    assert result.exit_code == 2
    assert "no pictures" in result.stderr


def test_what_is_not_installed_is_said_before_anything_is_run(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else found(name))
    result = RUN.invoke(app, bench(images, tmp_path / "out"))
    assert result.exit_code == 3
    assert "sklearn" in result.stderr
    assert "prov[bench]" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_backend_is_wrong_usage(images: Path, tmp_path: Path) -> None:
    result = RUN.invoke(app, [*bench(images, tmp_path), "--backends", "dctOnly"])
    assert result.exit_code == 2
    assert "dctOnly" in result.stderr


def test_a_broken_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = RUN.invoke(app, bench(tmp_path, tmp_path / "out"))
    assert result.exit_code == 1
    assert "cut.png" in result.stderr
