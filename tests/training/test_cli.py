from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.replay import cheating
from cli import train
from provenance.adapter import verify_adapter
from provenance.base import BaseModel
from provenance.dataset import sign_dataset
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.trust import TrustStore
from safety.policy import Policy

CONFIG = "steps = 3\nwarmup_steps = 1\nbatch_size = 2\nsample_steps = 2\nsample_count = 1\nthreads = 1\n"

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(train.command)


@pytest.fixture
def maker() -> Issuer:
    return create_issuer(Home.create(Home.default_path()), "Maker")


@pytest.fixture
def own_dataset(dataset: Path, maker: Issuer, tmp_path: Path) -> Path:
    source = tmp_path / "pictures"
    source.mkdir()
    for picture in sorted((dataset / "dataset" / "data").iterdir()):
        (source / picture.name).write_bytes(picture.read_bytes())
        (source / picture.with_suffix(".txt").name).write_text("a square")
    sign_dataset(source, tmp_path / "own", issuer=maker, licence="CC0-1.0", holder="Maker")
    return tmp_path / "own"


@pytest.fixture
def policy(lenient_policy: Policy, tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_bytes(lenient_policy.canonical)
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_train_writes_a_release_and_says_what_to_do_next(
    own_dataset: Path, sd1_base: BaseModel, maker: Issuer, policy: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.toml").write_text(CONFIG)
    out = tmp_path / "adapter"
    status, printed, progress = run(
        own_dataset, "--name", "squares", "--base", sd1_base.folder, "--config", tmp_path / "train.toml",
        "--out", out, "--policy", policy, "--json",
    )  # fmt: skip
    assert status == 0
    manifest = verify_adapter(out, TrustStore(frozenset({maker.root_digest})))
    facts = json.loads(printed)
    assert facts["weights"] == manifest.weights_digest
    assert facts["dataset"] == manifest.dataset_digest
    assert facts["losses"]["steps"] == 3
    assert "training 3/3  loss " in progress
    assert f"prov model publish {out}" in progress


def test_a_dataset_signed_by_a_stranger_needs_to_be_trusted(
    dataset: Path, maker: Issuer, sd1_base: BaseModel, policy: Path, tmp_path: Path
) -> None:
    status, printed, errors = run(dataset, "--name", "squares", "--base", sd1_base.folder)
    assert (status, printed) == (1, "")
    assert "--trust" in errors
    (tmp_path / "train.toml").write_text(CONFIG)
    status, *_ = run(
        dataset, "--name", "squares", "--base", sd1_base.folder, "--config", tmp_path / "train.toml",
        "--out", tmp_path / "adapter", "--trust", dataset / "issuer.pem", "--policy", policy,
    )  # fmt: skip
    assert status == 0


def test_a_changed_picture_is_refused_before_training(own_dataset: Path, sd1_base: BaseModel, tmp_path: Path) -> None:
    picture = own_dataset / "dataset" / "data" / "3.png"
    picture.write_bytes(picture.read_bytes() + b"\0")
    status, _, errors = run(own_dataset, "--name", "x", "--base", sd1_base.folder, "--out", tmp_path / "adapter")
    assert status == 1
    assert "3.png" in errors
    assert not (tmp_path / "adapter").exists()


def test_faults_in_the_configuration_are_listed(own_dataset: Path, sd1_base: BaseModel, tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text("rnk = 4\nsteps = 0\n")
    status, _, errors = run(
        own_dataset, "--name", "x", "--base", sd1_base.folder, "--config", tmp_path / "train.toml",
        "--out", tmp_path / "adapter",
    )  # fmt: skip
    assert status == 2
    assert "did you mean `rank`?" in errors
    assert "`steps`" in errors


def test_a_base_that_is_not_there_is_exit_3(own_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, _, errors = run(own_dataset, "--name", "x", "--base", "owner/name", "--out", tmp_path / "adapter")
    assert status == 3
    assert "owner/name is not on this machine" in errors


REPLAYABLE = CONFIG.replace("sample_count = 1", "sample_count = 0") + "replay_every = 1\nreplay_snapshots = true\n"


def replayable(dataset: Path, base: BaseModel, policy: Path, out: Path) -> Path:
    (out.parent / "train.toml").write_text(REPLAYABLE)
    status, *_ = run(
        dataset, "--name", "squares", "--base", base.folder, "--config", out.parent / "train.toml", "--out", out,
        "--policy", policy,
    )  # fmt: skip
    assert status == 0
    return out


def test_replay_says_what_it_replayed_and_that_it_agrees(
    own_dataset: Path, sd1_base: BaseModel, policy: Path, tmp_path: Path
) -> None:
    release = replayable(own_dataset, sd1_base, policy, tmp_path / "adapter")
    status, printed, progress = run(own_dataset, "--replay", release, "--base", sd1_base.folder, "--segments", "2")
    assert status == 0
    assert printed.startswith("agrees: every replayed segment gave the bits that were signed\n")
    assert "2 segments of 3 (2 of 3 steps), 2 chosen at random" in printed
    assert "passes with probability 0.33" in printed
    assert "the released files are the state after the last step" in printed
    assert "replaying 2/2" in progress


def test_replay_of_a_cheat_is_exit_1_and_names_segment_and_part(
    own_dataset: Path, sd1_base: BaseModel, policy: Path, tmp_path: Path
) -> None:
    with cheating({1: "noise"}):
        release = replayable(own_dataset, sd1_base, policy, tmp_path / "adapter")
    options = ("--replay", release, "--base", sd1_base.folder, "--segments", "100%", "--json")
    status, printed, _ = run(own_dataset, *options)
    facts = json.loads(printed)
    assert (status, facts["verdict"], facts["stack"]) == (1, "differs", {})
    assert facts["mismatch"]["after_steps"] == [1, 2]
    assert "batch" in facts["mismatch"]["parts"]


def test_replay_on_another_stack_says_so_and_is_exit_3(
    own_dataset: Path, sd1_base: BaseModel, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.replay import executing as replay

    usual = replay.stack_of
    with cheating({1: "noise"}):
        release = replayable(own_dataset, sd1_base, policy, tmp_path / "adapter")
    monkeypatch.setattr(replay, "stack_of", lambda *a: usual(*a) | {"processor": "Another 9000"})
    status, printed, _ = run(own_dataset, "--replay", release, "--base", sd1_base.folder, "--segments", "100%")
    assert status == 3
    assert printed.startswith("not comparable: segment 1, steps 2 to 2, came out otherwise in batch")
    assert "→ Another 9000" in printed


def test_replay_of_a_base_in_a_folder_needs_that_folder(
    own_dataset: Path, sd1_base: BaseModel, policy: Path, tmp_path: Path
) -> None:
    release = replayable(own_dataset, sd1_base, policy, tmp_path / "adapter")
    status, _, errors = run(own_dataset, "--replay", release)
    assert status == 2
    assert "--base" in errors
    status, _, errors = run(own_dataset, "--replay", release, "--base", sd1_base.folder, "--snapshots", "nowhere")
    assert status == 2
    assert "nowhere is not a folder" in errors


def test_training_needs_a_name(own_dataset: Path) -> None:
    status, _, errors = run(own_dataset)
    assert status == 2
    assert "--name" in errors


def test_help_has_one_sentence_and_one_example() -> None:
    status, printed, _ = run("--help")
    assert status == 0
    assert "Example: prov train release --name rockets" in printed


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys, cli.train\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'peft', 'numpy', 'PIL', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
