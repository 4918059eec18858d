"""`prov chain`, `prov account`, `prov license` and `prov model`, as a person uses them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import account, chain, license, model
from contracts.anvil import find_anvil, running_anvil
from provenance.home import Home
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
from provenance.ledger.jsonrpc import JsonRpc

GROUPS = {"chain": chain, "account": account, "license": license, "model": model}
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
for group, module in GROUPS.items():
    app.add_typer(module.app, name=group)
runner = CliRunner()


def prov(*arguments: str, expect: int = 0) -> Result:
    result = runner.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result


def told(*arguments: str, expect: int = 0) -> Any:
    return json.loads(prov(*arguments, "--json", expect=expect).stdout)


@pytest.fixture
def home() -> Home:
    made = Home.create(Home.default_path())
    prov("account", "new", "maker")
    prov("account", "new", "licensee")
    prov("chain", "up")
    return made


@pytest.fixture
def token(home: Home) -> str:
    ledger = open_ledger(home)
    made = ledger.mint(
        load_account(home), weights="01" * 32, dataset="02" * 32, base="03" * 32, terms="04" * 32, cid="bafy"
    )
    ledger.close()
    return str(made.token)


def commands() -> list[tuple[str, str]]:
    return [(name, str(each.name)) for name, module in GROUPS.items() for each in module.app.registered_commands]


@pytest.mark.parametrize(("group", "command"), commands())
def test_every_command_has_a_sentence_and_an_example(group: str, command: str) -> None:
    text = prov(group, command, "--help").output
    assert f"Example: prov {group} {command}" in text
    sentence = text.split("\n\n")[1].strip()
    assert sentence.endswith(".")
    assert "--json" in text


def test_help_imports_no_ethereum_library() -> None:
    script = (
        "import sys, cli.chain, cli.account, cli.license, cli.model;"
        "print({'eth', 'web3', 'sqlite3'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "set()"


def test_chain_status_shows_the_ledger_that_chain_up_made(home: Home) -> None:
    status = told("chain", "status")
    assert status == told("chain", "up")
    assert (status["kind"], status["block"], status["tokens"]) == ("embedded", 1, 0)
    assert 0 <= status["namespace"] < 256
    assert status["contract"] in prov("chain", "status").stdout


def test_without_a_home_every_command_says_what_to_do() -> None:
    for arguments in (("chain", "status"), ("account", "list"), ("model", "list"), ("license", "list", "1")):
        assert "prov init" in prov(*arguments, expect=3).stderr


def test_offer_buy_check_revoke(home: Home, token: str) -> None:
    offer = told("license", "offer", token, "--price", "0.01 ether", "--days", "30")
    assert offer == {"token": 1, "price": str(10**16), "duration": 30 * 86400}
    assert told("license", "check", token, "licensee", expect=1)["allowed"] is False
    bought = told("license", "buy", token, "--as", "licensee")
    assert bought["expires"] == bought["granted_at"] + 30 * 86400
    checked = told("license", "check", token, "licensee")
    assert (checked["allowed"], checked["owner"]) == (True, False)
    assert told("license", "check", token)["owner"] is True
    assert told("license", "list", token) == [bought]
    assert prov("account", "withdraw").stdout == "took 0.01 ether\n"
    revoked = told("license", "revoke", token, "licensee", "--reason", "terms broken")
    assert revoked["reason"] == "terms broken"
    assert "terms broken" in prov("license", "check", token, "licensee", expect=1).stdout
    assert "was revoked" in prov("license", "buy", token, "--as", "licensee", expect=1).stderr


def test_grant_by_name_and_address(home: Home, token: str) -> None:
    address = told("account", "list")[0]["address"]
    assert told("license", "grant", token, "licensee", "--days", "1")["licensee"] == address
    assert told("license", "grant", token, address)["expires"] == 2**64 - 1
    assert "nobody" in prov("license", "grant", token, "nobody", expect=2).stderr


def test_offer_is_withdrawn_with_stop(home: Home, token: str) -> None:
    prov("license", "offer", token, "--price", "5 gwei")
    assert "5 gwei for without end" in prov("license", "check", token).stdout
    assert told("license", "offer", token, "--stop")["price"] is None
    assert "not for sale" in prov("license", "check", token).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("offer", "1"),
        ("offer", "1", "--price", "5", "--stop"),
        ("offer", "1", "--price", "cheap"),
        ("offer", "1", "--price", "5", "--days", "-1"),
        ("offer", "0", "--price", "5"),
    ],
)
def test_wrong_offers_are_usage_errors(home: Home, token: str, arguments: tuple[str, ...]) -> None:
    prov("license", *arguments, expect=2)


def test_model_is_shown_listed_handed_on_and_withdrawn(home: Home, token: str) -> None:
    shown = told("model", "show", token)
    assert shown["weights"] == "01" * 32
    assert shown["offer"] is None
    assert [each["token"] for each in told("model", "list")] == [1]
    assert "none recorded" in prov("model", "parents", token).stdout
    assert told("model", "parents", token)["adapters"] == []
    prov("model", "revoke-consent", token, "--record", "0c" * 32, "--reason", "no more")
    assert "no more" in prov("model", "show", token).stdout
    assert told("model", "transfer", token, "licensee")["owner"] == told("account", "list")[0]["address"]
    assert told("model", "revoke", token, "--reason", "objection")["reason"] == "objection"
    assert "revoked" in prov("model", "list").stdout


def test_unknown_token_is_refused_with_what_to_do(home: Home) -> None:
    assert "prov model list" in prov("model", "show", "9", expect=1).stderr


def test_consent_needs_a_record_or_a_picture(home: Home, token: str) -> None:
    prov("model", "revoke-consent", token, "--reason", "no", expect=2)
    prov("model", "revoke-consent", token, "--reason", "no", "--picture", "a.png", expect=2)
    prov("model", "revoke-consent", token, "--reason", "no", "--record", "12", expect=2)


def test_account_shows_its_money(home: Home) -> None:
    assert told("account", "show")["balance"] == "0"
    assert told("account", "fund", "maker")["balance"] == str(10**21)
    assert "1000 ether" in prov("account", "show").stdout
    assert "owes" in prov("account", "withdraw", expect=1).stderr


def test_passphrase_comes_from_the_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROV_PASSPHRASE", "a long passphrase")
    prov("account", "new", "studio")
    monkeypatch.delenv("PROV_PASSPHRASE")
    assert "PROV_PASSPHRASE" in prov("account", "withdraw", "--as", "studio", expect=1).stderr


def test_account_is_chosen_by_the_environment_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROV_ACCOUNT", "licensee")
    assert told("account", "show")["name"] == "licensee"


@pytest.fixture
def node() -> Iterator[str]:
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")
    with running_anvil() as running:
        yield running.url


@pytest.mark.anvil
def test_contract_is_deployed_used_and_left_again(home: Home, node: str) -> None:
    maker = next(each["address"] for each in told("account", "list") if each["name"] == "maker")
    assert "too little money" in prov("chain", "deploy", node, expect=1).stderr
    JsonRpc(node).call("anvil_setBalance", maker, hex(10**20))
    deployed = told("chain", "deploy", node)
    assert (deployed["kind"], deployed["node"], deployed["chain_id"]) == ("rpc", node, 31337)
    assert told("chain", "status") == deployed
    assert "does not start" in prov("chain", "up", expect=2).stderr
    assert "only the embedded chain" in prov("account", "fund", "maker", expect=2).stderr
    assert "needs a passphrase" in prov("account", "new", "other", expect=2).stderr
    assert told("chain", "use", "embedded")["kind"] == "embedded"
    assert told("chain", "use", node, "--contract", deployed["contract"])["contract"] == deployed["contract"]
    prov("chain", "use", node, expect=2)
    assert "not our contract" in prov("chain", "use", node, "--contract", "0x" + "66" * 20, expect=3).stderr
    assert (
        "--allow-remote" in prov("chain", "use", "http://node.example", "--contract", "0x" + "66" * 20, expect=2).stderr
    )
    assert told("chain", "status") == deployed | {"block": deployed["block"]}
