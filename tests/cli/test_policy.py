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
    from safety import clip_model

    monkeypatch.setattr(clip_model, "STARTER_CLIP", tmp_path / "none")
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(tmp_path / "picture.png")
    result = RUN.invoke(app, ["check", "--image", str(tmp_path / "picture.png")])
    assert result.exit_code == 1
    assert "cannot be loaded" in result.stderr


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_text("text")
    result = RUN.invoke(app, ["check", "--image", str(tmp_path / "picture.png")])
    assert result.exit_code == 1
    assert "picture.png" in result.stderr


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    from provenance.home import Home
    from provenance.identity import create_issuer
    from safety.policy import STARTER_POLICY

    create_issuer(Home.create(Home.default_path()), "Ada Example")
    (tmp_path / "rules.yaml").write_bytes(Path(STARTER_POLICY).read_bytes())
    result = RUN.invoke(app, ["sign", str(tmp_path / "rules.yaml"), "--json"])
    assert result.exit_code == 0, result.stderr
    release = Path(json.loads(result.stdout)["signed"])
    assert release == tmp_path / "rules-signed"
    return release


def test_a_signed_policy_is_shown_with_its_signer_and_counts(signed: Path) -> None:
    shown = json.loads(RUN.invoke(app, ["show", "--signed", str(signed), "--json"]).stdout)
    assert shown["signature"]["issuer"] == "Ada Example"
    assert 'signed by "Ada Example"' in RUN.invoke(app, ["show", "--signed", str(signed)]).stdout
    result = RUN.invoke(app, ["check", "--signed", str(signed), "--prompt", "a skull", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["policy"] == shown["digest"]


def test_a_signed_policy_that_was_changed_is_refused(signed: Path) -> None:
    text = (signed / "policy.yaml").read_text()
    (signed / "policy.yaml").write_text(text.replace("terms: [skull", "terms: [unmentioned"))
    result = RUN.invoke(app, ["check", "--signed", str(signed), "--prompt", "a skull"])
    assert result.exit_code == 1
    assert "not what was signed" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("options", [["--trust", "root.pem"], ["--signed", "x", "--policy", "y"]])
def test_options_that_contradict_each_other_are_wrong_usage(options: list[str]) -> None:
    assert RUN.invoke(app, ["show", *options]).exit_code == 2


def test_a_policy_is_shown_with_what_is_known_of_its_thresholds() -> None:
    shown = RUN.invoke(app, ["show", "--base", "owner/model"]).stdout
    assert "open_clip: warns from 0.35, blocks from 0.5, not calibrated" in shown
    assert "terms in ja: " in shown
