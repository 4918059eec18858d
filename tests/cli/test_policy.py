from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.policy import app

RUN = CliRunner()


def test_an_allowed_prompt_exits_0() -> None:
    result = RUN.invoke(app, ["check", "--prompt", "a red fish in the desert"])
    assert result.exit_code == 0
    assert "allowed" in result.stdout


def test_a_blocked_prompt_exits_1_and_says_why() -> None:
    result = RUN.invoke(app, ["check", "--prompt", "five s.k.u.l.l.s", "--json"])
    assert result.exit_code == 1
    (decision,) = json.loads(result.stdout)
    assert decision["rule"] == "skull/term:skull"


def test_nothing_to_check_is_wrong_usage() -> None:
    result = RUN.invoke(app, ["check"])
    assert result.exit_code == 2
    assert "--prompt" in result.stderr


def test_a_policy_with_faults_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("type: nothing")
    result = RUN.invoke(app, ["show", "--policy", str(tmp_path / "policy.yaml")])
    assert result.exit_code == 1
    assert "concepts" in result.stderr


@pytest.mark.parametrize("base", ["starter", "owner/model"])
def test_a_policy_is_shown_with_its_digest(base: str) -> None:
    shown = json.loads(RUN.invoke(app, ["show", "--base", base, "--json"]).stdout)
    assert shown["digest"] in RUN.invoke(app, ["show", "--base", base]).stdout


def test_a_picture_is_blocked_when_the_filter_cannot_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safety.starter import classifier

    monkeypatch.setattr(classifier, "WEIGHTS", tmp_path / "none.safetensors")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "picture.png")
    result = RUN.invoke(app, ["check", "--image", str(tmp_path / "picture.png")])
    assert result.exit_code == 1
    assert "cannot be loaded" in result.stderr


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_text("text")
    result = RUN.invoke(app, ["check", "--image", str(tmp_path / "picture.png")])
    assert result.exit_code == 1
    assert "picture.png" in result.stderr
