"""`prov policy calibrate` on a tiny random model: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.policy import app
from safety.policy import Policy
from tests.safety.tiny_clip import policy_for, save_tiny_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

RUN = CliRunner()
CLAIM = ["--target-fpr", "0.2", "--confidence", "0.9", "--base", "owner/model"]


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray((rng.integers(0, 2, (4, 4, 3), dtype=np.uint8) * 200 + 20).repeat(16, 0).repeat(16, 1)).save(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy on a tiny model, 20 harmless pictures, and a few of each concept."""
    root = tmp_path_factory.mktemp("world")
    policy = policy_for(save_tiny_clip(root / "model"), text=0.9)
    (root / "policy.yaml").write_text(yaml.safe_dump(json.loads(policy.canonical)))
    for seed in range(20):
        draw(root / "harmless" / f"{seed}.png", seed)
    for seed in range(30, 34):
        draw(root / "forbidden" / "violence" / f"{seed}.png", seed)
        draw(root / "forbidden" / "sexual-content" / f"{seed + 10}.png", seed + 10)
    (root / "harmless" / "notes.txt").write_text("where these came from")
    (root / "harmless.txt").write_text("\n".join(f"a picture of {number} red fish" for number in range(20)) + "\n\n")
    (root / "forbidden.txt").write_text("a mutilated body\na bloody corpse\n")
    return root


def calibrate(world: Path, out: Path, *options: str) -> Result:
    sides = ["--negatives", str(world / "harmless"), "--positives", str(world / "forbidden")]
    policy = ["--policy", str(world / "policy.yaml"), "--out", str(out)]
    return RUN.invoke(app, ["calibrate", *sides, *policy, *CLAIM, *options])


def test_a_policy_its_figures_and_its_curves_are_written(world: Path, tmp_path: Path) -> None:
    result = calibrate(world, tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    policy = Policy.load(tmp_path / "out" / "policy.yaml")
    assert policy.digest == told["policy"]["digest"]
    assert all(concept.calibration["open_clip"].negatives == 20 for concept in policy.concepts)
    report = json.loads((tmp_path / "out" / "calibration.json").read_bytes())
    assert len(report["concepts"]["violence"]["scores"]["negatives"]) == 20
    for name in ("violence", "sexual-content"):
        with Image.open(tmp_path / "out" / f"roc-{name}.png") as plot:
            assert plot.format == "PNG"
            assert min(plot.size) > 300
    assert "1 files are no pictures" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "prov-home") == ["out"]


def test_what_is_claimed_is_told_for_each_concept_and_together(world: Path, tmp_path: Path) -> None:
    told = calibrate(world, tmp_path / "out").stdout
    assert "open_clip on 20 negatives: at most 0.2 blocked, 90% confidence" in told
    assert "violence: " in told
    assert "2 concepts at 0.2 each may block up to 0.4 together" in told
    assert "give --target-fpr 0.1" in told


def test_prompts_are_calibrated_from_lines(world: Path, tmp_path: Path) -> None:
    result = calibrate(
        world,
        tmp_path / "out",
        *("--stage", "prompt", "--concept", "violence"),
        *("--negatives", str(world / "harmless.txt"), "--positives", str(world / "forbidden.txt")),
    )
    assert result.exit_code == 0, result.stderr
    concepts = {concept.name: concept for concept in Policy.load(tmp_path / "out" / "policy.yaml").concepts}
    assert concepts["violence"].calibration["open_clip_text"].negatives == 20
    assert "open_clip" not in concepts["violence"].calibration
    assert "not calibrated, no positives: sexual-content" in result.stdout


def test_too_few_negatives_write_nothing_and_say_how_many(world: Path, tmp_path: Path) -> None:
    result = calibrate(world, tmp_path / "out", "--target-fpr", "0.01", "--confidence", "0.95")
    assert result.exit_code == 1
    assert "add 279 more" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_broken_picture_is_named_and_nothing_is_written(world: Path, tmp_path: Path) -> None:
    for seed in range(12):
        draw(tmp_path / "harmless" / f"{seed}.png", seed)
    (tmp_path / "harmless" / "torn.png").write_bytes((tmp_path / "harmless" / "1.png").read_bytes()[:60])
    result = calibrate(world, tmp_path / "out", "--negatives", str(tmp_path / "harmless"))
    assert result.exit_code == 1
    assert "torn.png" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--stage", "train"], "output or prompt"),
        (["--concept", "dragons"], "cannot compare dragons"),
        (["--positives", "WORLD"], "cannot compare forbidden, harmless, model"),
        (["--positives", "WORLD/harmless"], "does not say which concepts"),
        (["--positives", "WORLD/nothing"], "does not say which concepts"),
        (["--negatives", "WORLD/nothing"], "not a folder"),
        (["--target-fpr", "0"], "between 0 and 1"),
        (["--stage", "prompt", "--concept", "violence"], "not a regular file"),
    ],
)
def test_wrong_usage_is_told(world: Path, tmp_path: Path, options: list[str], told: str) -> None:
    result = calibrate(world, tmp_path / "out", *[option.replace("WORLD", str(world)) for option in options])
    assert result.exit_code in (1, 2)
    assert told in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_touched(world: Path, tmp_path: Path) -> None:
    result = calibrate(world, world)
    assert result.exit_code == 2
    assert "already there" in result.stderr


def test_another_model_than_the_calibrated_one_is_told(world: Path, tmp_path: Path) -> None:
    assert calibrate(world, tmp_path / "out").exit_code == 0
    source = tmp_path / "out" / "policy.yaml"
    options = ["--policy", str(source), "--base", "owner/model"]
    assert "another model" not in RUN.invoke(app, ["show", *options]).stdout

    def moved(state: dict[str, object]) -> None:
        state["visual.proj"] *= -1  # type: ignore[operator]

    source.write_text(source.read_text().replace(str(world / "model"), str(save_tiny_clip(tmp_path / "moved", moved))))
    shown = RUN.invoke(app, ["show", *options])
    assert "open_clip of sexual-content, violence was calibrated for another model" in shown.stdout
    picture = str(world / "harmless" / "1.png")
    checked = RUN.invoke(app, ["check", *options, "--image", picture])
    assert "was calibrated for another model" in checked.stdout
    (record,) = json.loads(RUN.invoke(app, ["check", *options, "--image", picture, "--json"]).stdout)
    assert record["calibrated_elsewhere"] == ["sexual-content", "violence"]


def test_a_model_that_cannot_be_loaded_leaves_the_question_open(world: Path, tmp_path: Path) -> None:
    assert calibrate(world, tmp_path / "out").exit_code == 0
    source = tmp_path / "out" / "policy.yaml"
    source.write_text(source.read_text().replace(str(world / "model"), "/nowhere"))
    shown = RUN.invoke(app, ["show", "--policy", str(source), "--base", "owner/model"])
    assert shown.exit_code == 0
    assert "is not known: the open_clip model cannot be loaded" in shown.stdout
