"""`prov evaluate` on an adapter trained for two steps, and where its figures go: publication, `model show`, a card."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from cli.main import app
from generation.evaluation import drawing
from provenance.adapter import verify_adapter
from provenance.base import resolve_base
from provenance.canonical import canonical_json, sha256_hex
from provenance.dataset import sign_dataset, verify_dataset
from provenance.evaluation import CERTIFICATES, ENVELOPE, REPORT, attached_evaluation, parse_report
from provenance.home import Home
from provenance.identity import load_issuer
from provenance.setup import set_up
from provenance.trust import TrustStore

QUICK = ("--steps", "2")
NO_AUDIT = (*QUICK, "--memorisation", "0")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home on a chain of its own, a signed dataset of four rockets, and an adapter trained on it."""
    from generation.starter.demo_dataset import write_demo_dataset
    from training.config import TrainConfig
    from training.lora import train

    folder = tmp_path_factory.mktemp("evaluated")
    home = set_up(folder / "home", name="Test Studio").home
    issuer = load_issuer(home)
    write_demo_dataset(folder / "drawings", n=4)
    sign_dataset(folder / "drawings", folder / "dataset", issuer=issuer, licence="CC-BY-4.0", holder="Test Studio")
    write_demo_dataset(folder / "others", n=3)
    sign_dataset(folder / "others", folder / "other", issuer=issuer, licence="CC0-1.0", holder="Somebody Else")
    base = resolve_base("starter")
    config = TrainConfig.load(base.folder.parent / "demo_train.toml")
    config = replace(config, steps=2, warmup_steps=0, sample_every=0, sample_count=0)
    manifest = verify_dataset(folder / "dataset", TrustStore.of_home(home))
    train(manifest, base, config, folder / "adapter", issuer=issuer, name="rockets")
    return folder


@pytest.fixture(scope="module")
def measured(made: Path) -> Path:
    """The same with a signed evaluation, memorisation and all, beside the adapter and in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROV_HOME", str(made / "home"))
        patch.chdir(made)
        status, printed, errors = run(
            *("evaluate", "adapter", "--dataset", "dataset", "-n", "6", *QUICK, "--memorisation", "2"),
            *("--seed", "5", "--sign", "--out", "figures", "--json"),
        )
    assert status == 0, errors
    (made / "printed.json").write_text(printed)
    (made / "errors.txt").write_text(errors)
    return made


@pytest.fixture
def world(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may change, as the home and the folder that commands run in."""
    for name in ("home", "dataset", "other", "adapter", "figures"):
        shutil.copytree(measured / name, tmp_path / name)
    monkeypatch.setenv("PROV_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def unsigned(world: Path) -> Path:
    """The same world before anything was signed."""
    for name in (ENVELOPE, CERTIFICATES):
        (world / "adapter" / name).unlink()
    return world


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_report_is_what_was_printed_and_its_pictures_are_there(measured: Path) -> None:
    printed = json.loads((measured / "printed.json").read_text())
    data = (measured / "figures" / REPORT).read_bytes()
    claim = parse_report(data).value
    assert printed == {**claim, "report": sha256_hex(data), "out": "figures"}
    assert (claim["reference"]["pictures"], claim["seeds"]) == (4, {"first": "5", "count": 6})
    # In two steps the base draws shapeless things, some of which the policy blocks.
    assert 2 <= claim["compared"] <= 6 - max(claim["blocked"].values())
    assert claim["reference"]["trained_on"] is True
    assert claim["memorisation"]["spaces"]["latents"]["captions"] == 2
    pictures = json.loads(data)["pictures"]
    assert {"figures.png", "clip-scores.png", "sheet.png", "memorisation-worst-pairs.png"} <= set(pictures)
    for name, digest in pictures.items():
        assert sha256_hex((measured / "figures" / name).read_bytes()) == digest
    assert not (measured / "figures.work").exists()
    errors = (measured / "errors.txt").read_text()
    assert "drawing with the adapter 6/6" in errors
    assert "FID is biased upwards" in errors


def test_figures_are_published_with_the_adapter_and_shown(world: Path) -> None:
    claim = parse_report((world / "figures" / REPORT).read_bytes()).value
    status, _, errors = run("model", "publish", "adapter", "--dataset", "dataset")
    assert status == 0, errors
    status, printed, _ = run("model", "show", "1", "--json")
    shown = json.loads(printed)["evaluation"]
    assert (status, shown["claim"], shown["issuer"]) == (0, claim, "Test Studio")
    assert "figures   adapter    FID" in run("model", "show", "1")[1]
    status, card, _ = run("model", "card", "1")
    assert status == 0
    assert card == run("model", "card", "adapter")[1] == json.loads(run("model", "card", "1", "--json")[1])["card"]


def test_the_card_says_what_the_statements_say(world: Path) -> None:
    claim = parse_report((world / "figures" / REPORT).read_bytes()).value
    status, printed, errors = run("model", "card", "adapter", "--license", "cc-by-4.0", "--out", "README.md")
    assert (status, printed) == (0, ""), errors
    card = ModelCard.load(world / "README.md")
    made = verify_adapter(world / "adapter", TrustStore.of_home(Home.open(world / "home")))
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert (values["fid"], values["kid"]) == (claim["fid"]["after"], claim["kid"]["after"]["mean"])
    assert (card.data.license, card.data.model_name) == ("cc-by-4.0", "rockets")
    for told in (
        made.weights_digest,
        made.digest,
        made.dataset_digest,
        "Rights holders: Test Studio (4)",
        "`CC-BY-4.0`",
    ):
        assert told in card.text
    for title in ("Training data", "Training", "Figures", "Screening", "Replay", "Limits"):
        assert f"\n## {title}\n" in card.text
    assert run("model", "card", "adapter", "--out", "README.md")[0] == 2


def change_a_figure(envelope: Path) -> None:
    value = json.loads(envelope.read_bytes())
    statement = json.loads(base64.b64decode(value["payload"]))
    statement["predicate"]["evaluation"]["fid"]["after"] /= 2
    value["payload"] = base64.b64encode(canonical_json(statement)).decode()
    envelope.write_bytes(canonical_json(value))


def test_a_changed_figure_is_neither_shown_nor_published(world: Path) -> None:
    change_a_figure(world / "adapter" / ENVELOPE)
    for command in (("model", "card", "adapter"), ("model", "publish", "adapter", "--dataset", "dataset")):
        status, printed, errors = run(*command)
        assert (status, printed) == (1, "")
        assert "no valid signature" in errors
    assert json.loads(run("model", "list", "--json")[1]) == []


def test_figures_of_another_adapter_are_not_taken(world: Path) -> None:
    weights = world / "adapter" / "adapter" / "adapter.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert run("model", "card", "adapter")[0] == 1
    assert run("model", "card", "adapter", "--evaluation", "dataset")[0] in (1, 2)


def test_figures_that_lie_elsewhere_are_named(unsigned: Path) -> None:
    assert "No signed evaluation" in run("model", "card", "adapter")[1]
    status, card, _ = run("model", "card", "adapter", "--evaluation", "figures")
    assert status == 0
    assert "| FID |" in card
    status, _, errors = run("model", "card", "adapter", "--evaluation", "dataset")
    assert status == 2
    assert "no signed evaluation" in errors


def test_a_stopped_evaluation_goes_on_and_ends_with_the_same_figures(
    unsigned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "BATCH", 2)
    command = ("evaluate", "adapter", "--dataset", "dataset", "-n", "4", *NO_AUDIT)
    status, _, errors = run(*command, "--out", "whole", "--attach")
    assert status == 0, errors
    real, taken = drawing.write_arrays, []

    def stop(path: Path, arrays: dict[str, Any]) -> None:
        real(path, arrays)
        taken.append(path)
        if len(taken) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(drawing, "write_arrays", stop)
    assert run(*command, "--out", "stopped")[0] != 0
    status, printed, errors = run(*command, "--out", "stopped")
    assert (status, printed) == (2, "")
    assert "--resume" in errors
    status, _, errors = run(*command, "--out", "stopped", "--resume")
    assert status == 0, errors
    assert len(taken) == 4
    whole, stopped = (parse_report((unsigned / name / REPORT).read_bytes()).value for name in ("whole", "stopped"))
    assert {**whole, "created": ""} == {**stopped, "created": ""}
    trust = TrustStore.of_home(Home.open(unsigned / "home"))
    attached = attached_evaluation(verify_adapter(unsigned / "adapter", trust))
    assert attached is not None
    assert attached.evaluation.value == whole


def test_another_dataset_and_prompts_of_a_file(unsigned: Path) -> None:
    (unsigned / "prompts.txt").write_text("a red rocket at night\na red rocket at night\na blue cup by the sea\n")
    status, _, errors = run(
        *("evaluate", "adapter", "--dataset", "other", "--prompts", "prompts.txt", "-n", "4", *QUICK, "--out", "x")
    )
    assert status == 0, errors
    claim = parse_report((unsigned / "x" / REPORT).read_bytes()).value
    assert (claim["reference"]["trained_on"], claim["prompts"]["distinct"]) == (False, 2)
    assert claim["prompts"]["source"] == "file"
    assert "not the dataset it was trained on" in errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("starter", "--dataset", "dataset"), "only an adapter"),
        (("adapter", "--dataset", "home"), "not a signed dataset"),
        (("adapter", "--dataset", "dataset", "--out", "figures"), "already there"),
        (("adapter", "--dataset", "dataset", "--sign"), "has a signed evaluation already"),
        (("adapter", "--dataset", "dataset", "--features", "inception:nowhere.safetensors"), "nowhere.safetensors"),
        (("adapter", "--dataset", "dataset", "--features", "vgg"), "not known"),
        (("adapter", "--dataset", "dataset", "--clip", "local-dir:nowhere"), "nowhere"),
        (("9", "--dataset", "dataset"), "9"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_at_once(arguments: tuple[str, ...], told: str, world: Path) -> None:
    status, printed, errors = run("evaluate", *arguments)
    assert status in (1, 2)
    assert printed == ""
    assert told in errors
    assert not list(world.glob("evaluation-*"))


def test_without_torchmetrics_the_extra_is_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    status, _, errors = run("evaluate", "adapter", "--dataset", "dataset")
    assert status == 2
    assert "pip install 'prov[evaluate]'" in errors
