"""`prov audit bias` and `prov audit memorisation` on an adapter of the starter base, trained for two steps."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from provenance.adapter import verify_adapter
from provenance.base import resolve_base
from provenance.byproducts import byproducts
from provenance.canonical import sha256_hex
from provenance.dataset import sign_dataset, verify_dataset
from provenance.home import Home
from provenance.identity import create_issuer
from provenance.trust import TrustStore

QUICK = ("--steps", "2")
GRID = """
name = "two"
prompt = "a {object} at night"
[axes]
object = ["fish", "house"]
[attributes.colour]
red = ["a red {object} at night"]
blue = ["a blue {object} at night"]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home, a signed dataset of four rockets, and an adapter trained on it."""
    from generation.starter.demo_dataset import write_demo_dataset
    from training.config import TrainConfig
    from training.lora import train

    folder = tmp_path_factory.mktemp("audited")
    home = Home.create(folder / "home")
    issuer = create_issuer(home, "Test Studio")
    write_demo_dataset(folder / "drawings", n=4)
    sign_dataset(folder / "drawings", folder / "dataset", issuer=issuer, licence="CC0-1.0", holder="Test Studio")
    base = resolve_base("starter")
    config = TrainConfig.load(base.folder.parent / "demo_train.toml")
    config = replace(config, steps=2, warmup_steps=0, sample_every=0, sample_count=0)
    manifest = verify_dataset(folder / "dataset", TrustStore.of_home(home))
    train(manifest, base, config, folder / "adapter", issuer=issuer, name="rockets")
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may change, as the home and the folder that commands run in."""
    for name in ("home", "dataset", "adapter"):
        shutil.copytree(made / name, tmp_path / name)
    (tmp_path / "grid.toml").write_text(GRID)
    monkeypatch.setenv("PROV_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["audit", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_audits_are_attached_to_the_adapters_attestation(world: Path) -> None:
    trust = TrustStore.of_home(Home.open(world / "home"))
    before = verify_adapter(world / "adapter", trust)
    status, printed, _ = run("bias", "adapter", "--grid", "grid.toml", "-n", "1", *QUICK, "--attach", "--json")
    assert status == 0
    bias = json.loads(printed)
    status, printed, _ = run(
        "memorisation", "adapter", "--dataset", "dataset", "--captions", "2", "-n", "2", *QUICK, "--attach"
    )
    assert status == 0
    assert "no training picture comes back" in printed
    after = verify_adapter(world / "adapter", trust)
    assert (after.weights_digest, after.files) == (before.weights_digest, before.files)
    added = byproducts(after.predicate, "audit/")
    assert [entry["name"] for entry in added] == ["audit/bias", "audit/memorisation"]
    for entry, folder in zip(added, ("audit-bias-adapter", "audit-memorisation-adapter"), strict=True):
        assert sha256_hex((world / folder / "report.json").read_bytes()) == entry["digest"]["sha256"]
        assert not (world / f"{folder}.work").exists()
    assert bias["digest"] == added[0]["digest"]["sha256"]
    assert bias["model"]["weights"] == before.weights_digest
    assert bias["attributes"]["colour"]["differences"]
    assert added[1]["annotations"]["memorised"] is False


def test_a_changed_adapter_or_another_dataset_is_refused(world: Path) -> None:
    status, printed, errors = run("memorisation", "adapter", "--dataset", "drawings")
    assert (status, printed) == (1, "")
    weights = world / "adapter" / "adapter" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    status, printed, errors = run("bias", "adapter", "--grid", "grid.toml")
    assert (status, printed) == (1, "")
    assert "was changed after signing" in errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("bias", "starter", "--attach"), "only the folder of an adapter release"),
        (("bias", "starter", "--out", "home"), "already there"),
        (("bias", "starter", "--grid", "grid.toml", "--base", "starter"), "--base has no meaning"),
        (("bias", "nowhere"), "cannot be found"),
        (("memorisation", "starter", "--dataset", "dataset", "--guidance", "1"), "guidance"),
        (("bias", "starter", "--clip", "local-dir:nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_audited_is_refused_at_once(arguments: tuple[str, ...], told: str, world: Path) -> None:
    status, printed, errors = run(*arguments)
    assert status in (1, 2)
    assert printed == ""
    assert told in errors
    assert not list(world.glob("audit-*"))


def test_attached_audits_are_shown(world: Path) -> None:
    assert run("bias", "adapter", "--grid", "grid.toml", "-n", "1", "--alone", *QUICK, "--attach")[0] == 0
    status, printed, _ = run("show", "adapter")
    assert status == 0
    assert "audit/bias" in printed
    status, printed, _ = run("show", "adapter", "--json")
    (entry,) = json.loads(printed)["audits"]
    assert entry["annotations"]["attributes"]["colour"]["of_shares"] == 6
