"""`prov audit verify`: what a person and a program are told of the log of what was blocked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from provenance.home import Home
from safety.decision import Decision
from safety.log import BlockedLog
from safety.log_entry import FIRST

BLOCKED = Decision(False, "prompt", "a" * 64, "b" * 64, rule="skull/term:skull", reason="the prompt asks for skull")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "some.log"
    for _ in range(4):
        BlockedLog(path).append(BLOCKED, hmac="c" * 64)
    return path


def test_a_whole_log_is_described(log: Path) -> None:
    result = CliRunner().invoke(app, ["audit", "verify", str(log)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == f"{log}: whole, 4 entries"
    assert "  stage prompt: 4" in result.stdout
    assert "  rule skull/term:skull: 4" in result.stdout


def test_every_fault_is_printed_and_the_exit_is_1(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0].replace(b"skull", b"skill") + lines[2])
    result = CliRunner().invoke(app, ["audit", "verify", str(log)])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].endswith("3 faults, 1 entry")
    assert "✘ line 1 was altered" in result.stdout
    assert "✘ number 1 is missing before number 2" in result.stdout
    assert "✘ number 3 is missing from the end, by some.log.head" in result.stdout


def test_a_head_noted_earlier_finds_what_was_cut_off(log: Path) -> None:
    report = json.loads(CliRunner().invoke(app, ["audit", "verify", str(log), "--json"]).stdout)
    assert (report["whole"], report["entries"]) == (True, 4)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    log.with_name("some.log.head").unlink()
    assert CliRunner().invoke(app, ["audit", "verify", str(log)]).exit_code == 0
    cut = CliRunner().invoke(app, ["audit", "verify", str(log), "--head", report["head"], "--json"])
    assert cut.exit_code == 1
    assert [fault["kind"] for fault in json.loads(cut.stdout)["faults"]] == ["cut"]


def test_the_homes_own_log_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.create(tmp_path / "home")
    monkeypatch.setenv("PROV_HOME", str(home.path))
    empty = json.loads(CliRunner().invoke(app, ["audit", "verify", "--json"]).stdout)
    assert (empty["entries"], empty["head"], empty["whole"]) == (0, FIRST, True)
    BlockedLog(home.path / "safety.log").append(BLOCKED, hmac="c" * 64)
    assert json.loads(CliRunner().invoke(app, ["audit", "verify", "--json"]).stdout)["entries"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.log"], 1, "nothing.log does not exist"),
        (["LOG", "--head", "abc"], 2, "this is no head of a log"),
        ([], 3, "there is no prov home"),
    ],
)
def test_what_cannot_be_checked_is_refused(log: Path, arguments: list[str], code: int, message: str) -> None:
    named = [str(log) if argument == "LOG" else argument for argument in arguments]
    result = CliRunner().invoke(app, ["audit", "verify", *named])
    assert result.exit_code == code
    assert message in result.stderr
