"""`prov keys`, as a maker and a licensee use it; the service is a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from provenance.sealing import public_key_of
from tests.provenance.sealed_world import SealedWorld, build_sealed_world, copier

runner = CliRunner()


def prov(*arguments: str, expect: int = 0) -> Result:
    result = runner.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result


def told(*arguments: str) -> Any:
    return json.loads(prov(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> SealedWorld:
    return build_sealed_world(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def world(template: SealedWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealedWorld:
    copied = copier(template)(tmp_path / "world")
    monkeypatch.setenv("PROV_HOME", str(copied.home.path))
    return copied


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """`prov keys serve` in a process of its own; its address."""
    command = [sys.executable, "-m", "cli.main", "keys", "serve", "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(4)]
            yield str(json.loads("".join(lines))["url"])
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def test_a_public_key_is_printed_without_its_private_key(world: SealedWorld) -> None:
    shown = told("keys", "public", "--as", "licensee")
    assert shown == {
        "address": world.licensee.address,
        "public_key": public_key_of(world.licensee.private_key).hex(),
    }
    assert world.licensee.private_key.hex() not in prov("keys", "public", "--as", "licensee").output


@pytest.mark.parametrize("to", ["name", "address", "public key"])
def test_a_key_is_wrapped_and_added_elsewhere(world: SealedWorld, tmp_path: Path, to: str) -> None:
    licensee = {
        "name": "licensee",
        "address": world.licensee.address,
        "public key": public_key_of(world.licensee.private_key).hex(),
    }[to]
    file = tmp_path / "key.json"
    wrapped = told("keys", "wrap", str(world.token.token), "--to", licensee, "--out", str(file), "--store")
    assert wrapped["account"] == world.licensee.address
    assert wrapped["cid"].startswith("baf")
    assert told("keys", "add", str(file), "--as", "licensee")["token"] == world.token.token
    held = told("keys", "list")
    assert {each["account"] for each in held} == {world.maker.address, world.licensee.address}
    assert "(its maker)" in prov("keys", "list").output


def test_no_key_is_wrapped_without_a_licence(world: SealedWorld) -> None:
    refused = prov("keys", "wrap", str(world.token.token), "--to", "stranger", expect=1)
    assert "holds no licence" in refused.stderr
    assert "prov license grant" in refused.stderr


def test_a_sale_wraps_the_key_and_hands_it_over_when_the_voucher_is_redeemed(
    world: SealedWorld, tmp_path: Path
) -> None:
    token, paper, key = str(world.token.token), tmp_path / "voucher.json", tmp_path / "key.json"
    sold = prov("license", "sell", token, "stranger", "--price", "5", "--out", str(paper))
    assert f"wrapped for {world.stranger.address}" in sold.stderr
    assert world.stranger.address in {each["account"] for each in told("keys", "list")}
    assert "holds no licence" in prov("keys", "wrap", token, "--to", "stranger", expect=1).stderr
    prov("license", "redeem", str(paper), "--max-price", "5", "--as", "stranger")
    prov("keys", "wrap", token, "--to", "stranger", "--out", str(key))
    assert told("keys", "add", str(key), "--as", "stranger")["account"] == world.stranger.address


def test_a_seller_who_trusts_the_licensee_writes_the_key_beside_the_voucher(world: SealedWorld, tmp_path: Path) -> None:
    token, paper, key = str(world.token.token), tmp_path / "voucher.json", tmp_path / "key.json"
    sold = told("license", "sell", token, "stranger", "--out", str(paper), "--key-out", str(key))
    assert sold["key_file"] == str(key)
    assert told("keys", "add", str(key), "--as", "stranger")["account"] == world.stranger.address
    # An address alone cannot be wrapped to, and then nothing is sold by halves.
    other = tmp_path / "other.json"
    refused = prov(
        "license", "sell", token, "0x" + "12" * 20, "--out", str(other), "--key-out", str(key), expect=1
    ).stderr
    assert "no key of token" in refused
    assert not other.exists()


def test_an_address_alone_cannot_be_wrapped_to(world: SealedWorld) -> None:
    refused = prov("keys", "wrap", str(world.token.token), "--to", "0x" + "12" * 20, expect=2)
    assert "an address alone cannot be encrypted to" in refused.stderr
    assert "prov keys serve" in refused.stderr


def test_a_licensee_wraps_nothing(world: SealedWorld) -> None:
    prov("keys", "wrap", str(world.token.token), "--to", "licensee")
    refused = prov("keys", "wrap", str(world.token.token), "--to", "licensee", "--as", "licensee", expect=1)
    assert "neither the maker nor the owner" in refused.stderr


def test_a_key_of_another_account_is_not_added(world: SealedWorld, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    prov("keys", "wrap", str(world.token.token), "--to", "licensee", "--out", str(file))
    assert "another account" in prov("keys", "add", str(file), "--as", "stranger", expect=1).stderr
    file.write_text("{}")
    assert "malformed" in prov("keys", "add", str(file), "--as", "licensee", expect=1).stderr


def test_a_licensee_fetches_a_key_from_a_running_service_and_a_stranger_does_not(world: SealedWorld) -> None:
    token = str(world.token.token)
    with serving() as url:
        assert told("keys", "fetch", token, "--url", url, "--as", "licensee")["account"] == world.licensee.address
        refused = prov("keys", "fetch", token, "--url", url, "--as", "stranger", expect=1)
        assert "holds no licence" in refused.stderr
    entries = told("keys", "log")
    assert [(entry["event"], entry["account"]) for entry in entries] == [
        ("released", world.licensee.address),
        ("refused", world.stranger.address),
    ]
    assert "2 entries, head" in prov("keys", "log").output


def test_the_service_listens_on_this_machine_only(world: SealedWorld) -> None:
    refused = prov("keys", "serve", "--host", "0.0.0.0", "--port", "0", expect=2)
    assert "--allow-remote" in refused.stderr


def test_the_service_does_not_start_on_a_broken_log(world: SealedWorld) -> None:
    (world.home.path / "keys.log").write_bytes(b"{}\n")
    assert "broken at line 1" in prov("keys", "serve", "--port", "0", expect=1).stderr
    assert "broken at line 1" in prov("keys", "log", expect=1).stderr


def test_a_service_that_is_not_there_is_an_environment_that_could_not_answer(world: SealedWorld) -> None:
    refused = prov("keys", "fetch", "1", "--url", "http://127.0.0.1:9", "--as", "licensee", expect=3)
    assert "gives no proper answer" in refused.stderr


def test_help_of_keys_imports_nothing_heavy() -> None:
    heavy = ("ecies", "coincurve", "fastapi", "uvicorn", "starlette", "pydantic", "eth_keys", "eth_hash")
    script = f"import sys, cli.main, cli.keys; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_verifying_a_sealed_release_imports_no_cipher(world: SealedWorld) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from provenance.home import Home; from provenance.stores import open_store\n"
        "from provenance.trust import TrustStore; from provenance.adapter import verify_adapter_files\n"
        "from provenance.release import open_release\n"
        f"home = Home.open(Path({str(world.home.path)!r})); release = open_release(open_store(home), sys.argv[1])\n"
        "verify_adapter_files(release.read, TrustStore.of_home(home), sealed=release.sealed)\n"
        "heavy = ('ecies', 'coincurve', 'fastapi', 'eth_keys', 'eth_account', 'web3')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    command = [sys.executable, "-c", script, world.token.cid]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
