"""Two adapters trained, merged, published with their parents, drawn with, anchored and verified."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import model, train
from generation.order import generate
from generation.request import GenerationRequest
from generation.starter.demo_dataset import write_demo_dataset
from provenance.anchoring import anchor_pending
from provenance.base import resolve_base
from provenance.dataset import sign_dataset
from provenance.home import Home
from provenance.identity import load_issuer
from provenance.journal import Journal
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import load_account
from provenance.setup import set_up
from provenance.stores import open_store
from provenance.trust import TrustStore
from provenance.verify import Verdict, verify_image

CONFIG = """\
steps = 2
warmup_steps = 0
batch_size = 1
rank = {rank}
alpha = 2.0
learning_rate = 0.01
targets = ["to_q", "to_v"]
sample_count = 0
threads = 1
device = "cpu"
"""


@dataclass(frozen=True)
class Studio:
    """A home, two adapters trained on two datasets, and what was merged from them."""

    home: Home
    folder: Path

    def at(self, name: str) -> Path:
        return self.folder / name


def run(*arguments: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(model.app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.stderr
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def _studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    from provenance.dataset import verify_dataset
    from training.config import TrainConfig
    from training.lora import train as train_adapter

    folder = tmp_path_factory.mktemp("studio")
    home = set_up(folder / "home", name="Test Studio").home
    issuer, trust = load_issuer(home), TrustStore.of_home(home)
    write_demo_dataset(folder / "drawings", n=4)
    pictures = sorted((folder / "drawings").glob("*.png"))
    assert len(pictures) == 4
    for number, name in enumerate(("one", "two")):
        (folder / f"pictures-{name}").mkdir()
        for picture in pictures[2 * number : 2 * number + 2]:
            for file in (picture, picture.with_suffix(".txt")):
                shutil.copy(file, folder / f"pictures-{name}")
        sign_dataset(
            folder / f"pictures-{name}", folder / f"dataset-{name}", issuer=issuer, licence="CC-BY-4.0", holder=name
        )
        (folder / "train.toml").write_text(CONFIG.format(rank=number + 2))
        config = TrainConfig.load(folder / "train.toml")
        manifest = verify_dataset(folder / f"dataset-{name}", trust)
        train_adapter(manifest, resolve_base("starter"), config, folder / name, issuer=issuer, name=name)
    return Studio(home, folder)


@pytest.fixture
def studio(_studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Studio:
    """A copy of the home and the releases that a test may change."""
    shutil.copytree(_studio.folder, tmp_path / "studio")
    monkeypatch.setenv("PROV_HOME", str(tmp_path / "studio" / "home"))
    return Studio(Home.open(tmp_path / "studio" / "home"), tmp_path / "studio")


def merge(studio: Studio) -> dict[str, object]:
    out, _ = run(
        "merge", studio.at("one"), studio.at("two"), "--weights", "0.7,0.5",
        "--name", "both", "--out", studio.at("both"), "--json",
    )  # fmt: skip
    facts: dict[str, object] = json.loads(out)
    return facts


def test_a_picture_of_a_merged_and_published_adapter_is_authentic_and_shows_its_lineage(
    studio: Studio, tmp_path: Path
) -> None:
    run("publish", studio.at("two"), "--dataset", studio.at("dataset-two"), "--derivable", "--derivative-share", 10)
    facts = merge(studio)
    assert facts["ranks"] == {"unet": 5}
    _, refusal = run("publish", studio.at("both"), "--dataset", studio.at("both"), code=1)
    assert "token 1, which has the weights of two" in refusal
    assert "--parent 1" in refusal
    out, _ = run("publish", studio.at("both"), "--dataset", studio.at("both"), "--parent", 1, "--json")
    token = json.loads(out)
    assert [(each["token"], each["share"]) for each in token["parents"]] == [(1, 1000)]
    assert token["weights"] == facts["weights"]

    request = GenerationRequest(("a red fish in the desert",), model=str(token["token"]), seed=5, steps=2)
    (image,) = generate(request, home=studio.home, out=tmp_path / "out").images
    ledger = open_ledger(studio.home)
    with Journal.of_home(studio.home) as journal:
        anchor_pending(studio.home, ledger, open_store(studio.home), journal, load_account(studio.home))
    ledger.close()
    report = verify_image(
        image.path,
        reader=open_reader(studio.home),
        store=open_store(studio.home),
        trust=TrustStore.of_home(studio.home),
    )
    assert report.verdict is Verdict.AUTHENTIC
    told = report.layer("adapter").checked
    assert any(line.startswith("merged from one with weight 0.7, weights sha256 ") for line in told)
    assert any(line.startswith("merged from two with weight 0.5, weights sha256 ") for line in told)
    assert [each["weight"] for each in report.facts["adapter"]["parents"]] == [0.7, 0.5]
    assert report.facts["dataset"]["holders"] == ["one", "two"]


def test_a_merge_is_checked_by_computing_it_again_and_cannot_be_replayed(studio: Studio) -> None:
    merge(studio)
    out, _ = run("merge", "--check", studio.at("both"), studio.at("two"), studio.at("one"))
    assert out.startswith("agrees: its parents add up to these bytes: adapter.safetensors, kohya.safetensors")
    _, refusal = run("merge", "--check", studio.at("both"), studio.at("two"), code=1)
    assert "not the adapters that it was merged from" in refusal
    app = typer.Typer()
    app.command()(train.command)
    replay = CliRunner().invoke(app, [str(studio.at("dataset-one")), "--replay", str(studio.at("both"))])
    assert replay.exit_code == 3
    assert "there is no training to replay, but the merge can be computed again" in replay.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--weights", "1"], "every adapter needs a weight"),
        (["--weights", "a,b"], "these are no weights"),
        (["--weights", "1,9"], "not the weight of an adapter"),
        ([], "a merge needs --weights"),
    ],
)
def test_what_cannot_be_merged_is_refused(studio: Studio, arguments: list[str], reason: str) -> None:
    given = [*arguments, "--name", "x", "--out", studio.at("x")]
    result = CliRunner().invoke(model.app, ["merge", str(studio.at("one")), str(studio.at("two")), *map(str, given)])
    assert result.exit_code in (1, 2)
    assert reason in result.stderr
    assert not studio.at("x").exists()
