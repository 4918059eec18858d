"""`prov verify` is light: it loads no model, no EVM and no web3, and answers at once on the embedded chain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provenance.ledger import open_reader
from provenance.stores import open_store
from provenance.verify import Verdict, verify_image

if TYPE_CHECKING:
    from conftest import World

HEAVY = (
    "torch",
    "transformers",
    "diffusers",
    "peft",
    "open_clip",
    "web3",
    "eth",
    "eth_account",
    "model_signing",
)
ROOT = Path(__file__).parents[3]

PROBE = """
import sys, json
from pathlib import Path
from provenance.home import Home
from provenance.ledger import open_reader
from provenance.stores import open_store
from provenance.trust import TrustStore
from provenance.verify import verify_image
home = Home.open(Path(sys.argv[1]))
trust = TrustStore.of_home(home)
report = verify_image(Path(sys.argv[2]), reader=open_reader(home), store=open_store(home), trust=trust)
print(json.dumps({"verdict": report.verdict, "modules": sorted(sys.modules)}))
"""


def run(*arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROV_HOME": str(home or "/nonexistent/prov-home")}
    return subprocess.run([sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True)


def test_verifying_imports_nothing_heavy(world: World) -> None:
    done = run("-c", PROBE, str(world.home.path), str(world.images["fish.png"]))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["verdict"] == "authentic"
    assert [name for name in HEAVY if name in result["modules"]] == []


def test_a_warm_verification_takes_at_most_a_second(world: World) -> None:
    reader, store = open_reader(world.home), open_store(world.home)
    verify_image(world.images["fish.png"], reader=reader, store=store, trust=world.trust)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        report = verify_image(world.images["fish.png"], reader=reader, store=store, trust=world.trust)
        times.append(time.perf_counter() - started)
        assert report.verdict is Verdict.AUTHENTIC
    assert min(times) < 1
    reader.close()


def cli(*arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys, typer; from cli import anchor, bundle, verify\n"
        "app = typer.Typer(rich_markup_mode=None)\n"
        "[app.command(name)(module.command) for name, module in"
        " (('anchor', anchor), ('bundle', bundle), ('verify', verify))]\n"
        "app(sys.argv[1:])"
    )
    return run("-c", script, *arguments, home=home)


def test_the_command_prints_the_verdict_first(world: World) -> None:
    done = cli("verify", str(world.images["fish.png"]), home=world.home.path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{world.images['fish.png']}: AUTHENTIC"


def test_the_command_exits_with_the_gravest_verdict(world: World, tmp_path: Path) -> None:
    forged = tmp_path / "forged.png"
    forged.write_bytes(world.images["fish.png"].read_bytes() + b"\0")
    images = [str(world.images["fish.png"]), str(world.images["late.png"]), str(forged)]
    done = cli("verify", "--json", *images, home=world.home.path)
    assert done.returncode == 1, done.stderr
    assert [report["verdict"] for report in json.loads(done.stdout)] == ["authentic", "unknown", "tampered"]
    assert cli("verify", *images[:2], home=world.home.path).returncode == 4


def test_the_command_without_home_or_bundle_says_what_is_missing(world: World, tmp_path: Path) -> None:
    done = cli("verify", str(world.images["fish.png"]), home=tmp_path / "none")
    assert done.returncode == 3
    assert "there is no prov home at" in done.stdout
    assert "prov verify IMAGE --bundle FILE --trust ROOT.pem" in done.stdout
    plain = world.saved(world.picture(3), tmp_path / "plain.png")
    assert cli("verify", str(plain), home=tmp_path / "none").returncode == 4


def test_the_command_names_a_file_that_is_no_picture(world: World, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    done = cli("verify", "--json", str(tmp_path / "text.png"), home=world.home.path)
    assert done.returncode == 2
    assert "text.png cannot be decoded" in json.loads(done.stdout)["error"]


def test_a_bundle_made_by_the_command_verifies_on_another_machine(world: World, tmp_path: Path) -> None:
    made = cli("bundle", str(world.images["fish.png"]), "--out", str(tmp_path / "b.car"), home=world.home.path)
    assert made.returncode == 0, made.stderr
    root = world.home.path / "identity" / "root.pem"
    arguments = ("verify", str(world.images["fish.png"]), "--bundle", str(tmp_path / "b.car"))
    assert cli(*arguments, "--trust", str(root), home=tmp_path / "none").returncode == 0
    refused = cli(*arguments, home=tmp_path / "none")
    assert refused.returncode == 3
    assert "not trusted here" in refused.stderr


def test_there_is_nothing_new_to_anchor_twice(make_world, tmp_path: Path) -> None:
    built = make_world(tmp_path)
    built.ledger.close()
    first = cli("anchor", "--json", home=built.home.path)
    assert first.returncode == 0, first.stderr
    assert [batch["count"] for batch in json.loads(first.stdout)["batches"]] == [1]
    second = cli("anchor", home=built.home.path)
    assert second.stdout.strip() == "nothing new to anchor"


@pytest.mark.parametrize("command", ["anchor", "bundle", "verify"])
def test_help_has_one_sentence_and_an_example(command: str) -> None:
    text = cli(command, "--help").stdout
    assert f"Example: prov {command}" in " ".join(text.split())
