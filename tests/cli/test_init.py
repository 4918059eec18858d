from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import init

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.command("init")(init.command)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def files(folder: Path) -> dict[str, bytes]:
    kept = ("identity", "accounts", "home.json")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] in kept
    }


def test_init_makes_identity_account_and_chain() -> None:
    code, out, err = run("--name", "Ada Example", "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    home = Path(os.environ["PROV_HOME"])
    assert made["issuer"]["name"] == "Ada Example"
    assert made["account"]["name"] == "maker"
    assert (home / "accounts" / "maker.json").exists()
    from provenance.home import Home
    from provenance.ledger import open_reader

    reader = open_reader(Home.open())
    assert reader.issuers(made["account"]["address"]) == {made["issuer"]["root_digest"]}
    assert reader.identity.chain_id == made["chain"]["chain_id"]


def test_init_twice_harms_nothing() -> None:
    first = run("--name", "Ada Example", "--json")
    before = files(Path(os.environ["PROV_HOME"]))
    assert run("--name", "Eve", "--json") == first
    assert files(Path(os.environ["PROV_HOME"])) == before


def test_init_after_an_interruption_completes_the_home() -> None:
    _, first, _ = run("--json")
    home = Path(os.environ["PROV_HOME"])
    (home / "identity" / "issuer.pem").unlink()
    code, second, _ = run("--json")
    assert code == 0
    assert json.loads(second)["issuer"]["root_digest"] == json.loads(first)["issuer"]["root_digest"]


def test_renew_changes_the_key_and_keeps_the_root() -> None:
    _, first, _ = run("--json")
    code, second, _ = run("--renew", "--json")
    old, new = json.loads(first)["issuer"], json.loads(second)["issuer"]
    assert code == 0
    assert old["key_id"] != new["key_id"]
    assert old["root_digest"] == new["root_digest"]


def test_passphrase_locks_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROV_PASSPHRASE", "correct horse")
    assert run()[0] == 0
    monkeypatch.delenv("PROV_PASSPHRASE")
    code, out, err = run()
    assert (code, out) == (1, "")
    assert "set PROV_PASSPHRASE" in err


def test_name_that_does_not_fit_is_refused() -> None:
    code, out, err = run("--name", "a" * 65)
    assert (code, out) == (1, "")
    assert "--name" in err
