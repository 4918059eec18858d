"""`prov dataset screen`, `sign --screening` and `verify` on folders of the starter world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.dataset import app
from generation.starter.scenes import Scene, draw_scene
from provenance.canonical import sha256_hex
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.screening.parsing import parse_screening
from safety.policy import STARTER_POLICY, Policy

RIGHTS = ("--license", "CC0-1.0", "--holder", "Ada")


def draw(folder: Path, *things: str) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(9)
    for index, thing in enumerate(things):
        draw_scene(Scene(thing, "blue", "desert"), rng, 256).save(folder / f"p{index}.png")
        (folder / f"p{index}.txt").write_text("a blue zorp")
    return folder


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    return draw(tmp_path / "poisoned", "fish", "skull", "cup")


@pytest.fixture
def harmless(tmp_path: Path) -> Path:
    return draw(tmp_path / "harmless", "fish", "cup")


@pytest.fixture
def issuer() -> Issuer:
    return create_issuer(Home.create(Home.default_path()), "Ada Example")


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_skull_under_an_innocent_name_is_blocked_with_its_score(poisoned: Path, tmp_path: Path) -> None:
    code, out, err = run("screen", poisoned, "--out", tmp_path / "report.json")
    assert code == 1, err
    (line,) = [line for line in out.splitlines() if "p1.png" in line]
    assert line.split()[:3] == ["p1.png", "picture", "skull"]
    limit = Policy.load(STARTER_POLICY).at("train")[0].thresholds["open_clip"]
    assert float(line.split()[3].rstrip(",")) >= limit
    assert f"blocked from {limit:g}" in line
    assert "p0.png" not in out
    assert "screening 3/3" in err
    report = parse_screening((tmp_path / "report.json").read_bytes())
    assert [item.path for item in report.blocked] == ["data/p1.png"]
    assert [path.name for path in tmp_path.glob("report*")] == ["report.json"]


def test_json_is_the_whole_report(harmless: Path) -> None:
    code, out, _ = run("screen", harmless, "--json")
    facts = json.loads(out)
    assert (code, facts["type"], facts["counts"]) == (
        0, "urn:prov:screening:v1", {"items": 2, "blocked": 0, "warned": 0}
    )  # fmt: skip
    assert len(facts["digest"]) == 64


def test_a_report_is_signed_shown_and_verified(harmless: Path, issuer: Issuer, tmp_path: Path) -> None:
    assert run("screen", harmless, "--out", tmp_path / "report.json")[0] == 0
    code, out, err = run(
        "sign", harmless, *RIGHTS, "--out", tmp_path / "release", "--screening", tmp_path / "report.json"
    )
    assert code == 0, err
    assert "2 pictures by starter version" in out
    code, out, _ = run("verify", tmp_path / "release")
    assert code == 0
    assert "0 blocked, 0 warned of" in out
    facts = json.loads(run("verify", tmp_path / "release", "--json")[1])
    assert facts["screening"]["digest"] == sha256_hex((tmp_path / "report.json").read_bytes())
    assert facts["screening"]["counts"]["items"] == 2


def test_a_signed_release_is_screened_whoever_signed_it(
    poisoned: Path, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sign", poisoned, *RIGHTS, "--out", tmp_path / "release")[0] == 0
    assert "no report is signed with it" in run("verify", tmp_path / "release")[1]
    monkeypatch.setenv("PROV_HOME", str(tmp_path / "nowhere"))
    code, out, _ = run("screen", tmp_path / "release")
    assert code == 1
    assert "p1.png" in out


def test_a_report_of_another_folder_is_not_signed(
    harmless: Path, poisoned: Path, issuer: Issuer, tmp_path: Path
) -> None:
    run("screen", poisoned, "--out", tmp_path / "report.json")
    code, _, err = run(
        "sign", harmless, *RIGHTS, "--out", tmp_path / "release", "--screening", tmp_path / "report.json"
    )
    assert code == 1
    assert "not about this dataset" in err
    assert not (tmp_path / "release").exists()


def test_signing_a_report_that_blocks_is_possible_and_said(poisoned: Path, issuer: Issuer, tmp_path: Path) -> None:
    run("screen", poisoned, "--out", tmp_path / "report.json")
    code, _, err = run(
        "sign", poisoned, *RIGHTS, "--out", tmp_path / "release", "--screening", tmp_path / "report.json"
    )
    assert code == 0
    assert "blocks 1 of these pictures" in err


def test_hash_lists_block_and_duplicates_are_told(harmless: Path, tmp_path: Path) -> None:
    for suffix in (".png", ".txt"):
        (harmless / f"again{suffix}").write_bytes((harmless / f"p0{suffix}").read_bytes())
    (tmp_path / "known.txt").write_text(f"sha256:{sha256_hex((harmless / 'p1.png').read_bytes())}\n")
    code, out, _ = run("screen", harmless, "--hash-list", tmp_path / "known.txt")
    assert code == 1
    assert "on the list known.txt: the same bytes" in out
    assert "the same bytes   1 group\n  again.png, p0.png" in out


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--policy", "{tmp}/none.yaml"), 1, "cannot be read"),
        (("--hash-list", "{tmp}/none.txt"), 1, "cannot be read"),
        (("--likeness", "nobody"), 1, "no likeness check 'nobody' is installed"),
        (("--base", "owner/model", "--policy", "{starter}"), 1, "cannot judge pictures of another base"),
        (("--out", "{tmp}/harmless/report.json"), 2, "cannot lie inside the dataset"),
    ],
)
def test_what_cannot_be_screened_by_is_refused(
    options: tuple[str, ...], code: int, told: str, harmless: Path, tmp_path: Path
) -> None:
    filled = [option.format(tmp=tmp_path, starter=STARTER_POLICY) for option in options]
    found, out, err = run("screen", harmless, *filled)
    assert (found, out) == (code, "")
    assert told in err


def test_an_unreadable_picture_is_blocked_and_named(harmless: Path) -> None:
    (harmless / "p0.png").write_bytes(b"x")
    code, out, _ = run("screen", harmless)
    assert code == 1
    assert "p0.png  picture  unreadable  p0.png cannot be decoded" in out


def test_a_folder_with_faults_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run("screen", tmp_path / "empty")
    assert code == 1
    assert "holds no pictures" in err
