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

from cli import chain, income, model, operator, roots, vouchers
from cli.main import main
from contracts.anvil import find_anvil, running_anvil
from provenance.home import Home
from provenance.identity import create_issuer
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.licences import NEVER, Shares

GROUPS = {
    "chain": chain,
    "account": roots,
    "license": vouchers,
    "model": model,
    "income": income,
    "operator": operator,
}
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
    script = "import sys, cli.main;print({'eth', 'web3', 'sqlite3'} & set(sys.modules))"
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
    assert (offer["number"], offer["price"], offer["duration"]) == (1, str(10**16), 30 * 86400)
    assert told("license", "offers", token) == [offer]
    assert told("license", "check", token, "licensee", expect=1)["allowed"] is False
    bought = told("license", "buy", token, "--as", "licensee")
    assert bought["expires"] == bought["granted_at"] + 30 * 86400
    checked = told("license", "check", token, "licensee")
    assert (checked["allowed"], checked["owner"]) == (True, False)
    assert told("license", "check", token)["owner"] is True
    assert (bought["price"], bought["currency"]) == (offer["price"], offer["currency"])
    assert told("license", "list", token) == [{k: v for k, v in bought.items() if k not in ("price", "currency")}]
    assert "is owed 0.01 ether" in prov("income", "show").stdout
    assert prov("income", "withdraw").stdout.startswith("0.01 ether paid to 0x")
    worth = int(told("license", "refund", token, "licensee")["amount"])
    revoked = told("license", "revoke", token, "licensee", "--reason", "terms broken")
    assert revoked["reason"] == "terms broken"
    # The maker had taken its income, so it paid the refund of the time not used.
    assert 0 <= worth - int(revoked["refund"]) < 10**12
    assert told("income", "show", "licensee")["owed"] == revoked["refund"]
    ended = prov("license", "check", token, "licensee", expect=1).stdout
    assert "terms broken" in ended
    assert "ether owed back" in ended
    assert "was revoked" in prov("license", "buy", token, "--as", "licensee", expect=1).stderr


def test_grant_by_name_and_address(home: Home, token: str) -> None:
    address = told("account", "list")[0]["address"]
    assert told("license", "grant", token, "licensee", "--days", "1")["licensee"] == address
    assert told("license", "grant", token, address)["expires"] == NEVER
    assert "nobody" in prov("license", "grant", token, "nobody", expect=2).stderr


def test_offer_is_withdrawn_with_stop(home: Home, token: str) -> None:
    prov("license", "offer", token, "--price", "5 gwei")
    assert "5 gwei for without end" in prov("license", "check", token).stdout
    prov("license", "offer", token, "--price", "7", "--quota", "10", "--commercial", "--transferable")
    assert (
        "offer 2: 7 wei for without end, 10 images, commercial, transferable" in prov("license", "offers", token).stdout
    )
    assert [each["number"] for each in told("license", "offer", token, "--stop", "--offer", "2")] == [2]
    assert [each["number"] for each in told("license", "offer", token, "--stop")] == [1]
    assert "not for sale" in prov("license", "check", token).stdout
    assert "no offer stands" in prov("license", "buy", token, "--as", "licensee", expect=1).stderr


def test_a_buyer_says_which_offer_and_how_much(home: Home, token: str) -> None:
    prov("license", "offer", token, "--price", "0.01 ether", "--days", "30")
    prov("license", "offer", token, "--price", "0.01 ether", "--days", "1")
    buy = ("license", "buy", token, "--as", "licensee")
    assert "--offer 1 or 2" in prov(*buy, expect=1).stderr
    refused = prov(*buy, "--offer", "1", "--max-price", "0.005 ether", expect=1).stderr
    assert "at most 0.005 ether" in refused
    assert "another currency" in prov(*buy, "--offer", "1", "--currency", "0x" + "c0" * 20, expect=1).stderr
    prov(*buy, "--offer", "1", "--currency", "dollars", expect=2)
    paid = prov(*buy, "--offer", "1", "--max-price", "0.01 ether").stdout
    assert "paid  0.01 ether for 30 days, not commercial, 7 days' grace to anchor" in paid


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["1", "licensee"], 0),
        (["1", "licensee", "--json"], 0),
        (["--json", "1", "--as", "licensee"], 0),
        (["1", "--details"], 0),
        (["1", "0x" + "11" * 20], 1),
        (["9", "licensee", "--json"], 1),
        (["1", "nobody"], 2),
        (["1", "--as", "nobody"], 1),
        (["0"], 2),
        (["1", "--as"], 2),
        (["1", "licensee", "maker"], 2),
        (["1", "--as=licensee", "--json"], 0),
        (["--help"], 0),
        ([], 2),
    ],
)
def test_a_check_says_the_same_however_its_arguments_are_read(
    home: Home,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
) -> None:
    prov("license", "grant", token, "licensee", "--days", "30")
    by_typer = prov("license", "check", *arguments, expect=code)
    monkeypatch.setattr(sys, "argv", ["prov", "license", "check", *arguments])
    try:
        main()
        found = 0
    except SystemExit as ended:
        found = int(ended.code or 0)
    told_here = capsys.readouterr()
    assert found == code
    assert told_here.out.split("Usage:")[0] == by_typer.stdout.split("Usage:")[0]
    assert bool(told_here.err) == bool(by_typer.stderr)


def test_a_plain_check_imports_neither_pydantic_nor_http(home: Home, token: str) -> None:
    script = (
        "import sys, cli.main; sys.argv = ['prov', 'license', 'check', '1']; cli.main.main();"
        "print({'pydantic', 'http.client', 'Crypto', 'eth', 'web3'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_withdrawn_adapter_and_one_that_is_not_there_are_told_apart(home: Home, token: str) -> None:
    prov("license", "grant", token, "licensee")
    prov("model", "revoke", token, "--reason", "objection")
    checked = told("license", "check", token, "licensee")
    assert (checked["allowed"], checked["withdrawn"]) == (True, True)
    assert "verifies as revoked" in prov("license", "check", token, "licensee").stdout
    assert told("license", "check", "9", "licensee", expect=1)["why"] == "no adapter"


def test_a_strangers_words_do_not_move_the_cursor(home: Home, token: str) -> None:
    prov("license", "grant", token, "licensee")
    prov("license", "revoke", token, "licensee", "--reason", "over\x1b[2J\u202edone")
    assert "over\ufffd[2J\ufffddone" in prov("license", "list", token).stdout


def test_a_voucher_dearer_than_agreed_is_not_redeemed(home: Home, token: str, tmp_path: Path) -> None:
    paper = tmp_path / "voucher.json"
    prov("license", "sell", token, "licensee", "--price", "1 ether", "--out", str(paper))
    redeem = ("license", "redeem", str(paper), "--as", "licensee")
    assert "at most 0.1 ether" in prov(*redeem, "--max-price", "0.1 ether", expect=1).stderr
    assert told(*redeem, "--max-price", "1 ether")["price"] == str(10**18)


def test_a_voucher_becomes_a_licence_once(home: Home, token: str, tmp_path: Path) -> None:
    paper = tmp_path / "voucher.json"
    sold = told("license", "sell", token, "licensee", "--price", "5", "--days", "3", "--out", str(paper))
    assert paper.stat().st_size > 300
    redeemed = told("license", "redeem", str(paper), "--as", "licensee")
    assert redeemed["expires"] == redeemed["granted_at"] + 3 * 86400
    assert told("income", "show")["owed"] == "5"
    assert "used or cancelled" in prov("license", "redeem", str(paper), "--as", "licensee", expect=1).stderr
    assert "used or cancelled" in prov("license", "cancel", sold["nonce"], expect=1).stderr
    paper.write_bytes(paper.read_bytes().replace(b'"price":"5"', b'"price":"4"'))
    assert "the signature is not one of" in prov("license", "redeem", str(paper), "--as", "licensee", expect=1).stderr


def test_a_cancelled_voucher_is_worth_nothing(home: Home, token: str, tmp_path: Path) -> None:
    paper = tmp_path / "voucher.json"
    sold = told("license", "sell", token, "licensee", "--out", str(paper))
    prov("license", "cancel", sold["nonce"])
    assert "used or cancelled" in prov("license", "redeem", str(paper), "--as", "licensee", expect=1).stderr


def test_usage_is_reported_settled_and_limited(home: Home, token: str, tmp_path: Path) -> None:
    paper = tmp_path / "usage.json"
    prov("license", "grant", token, "licensee", "--quota", "100")
    told("license", "report", token, "--used", "60", "--out", str(paper), "--as", "licensee")
    assert told("license", "settle", str(paper))["left"] == 40
    assert "says nothing new" in prov("license", "settle", str(paper), expect=1).stderr
    assert told("license", "consume", token, "40", "--as", "licensee")["left"] == 0
    assert "0 images left" in prov("license", "check", token, "licensee", expect=1).stdout


def test_a_transferable_licence_changes_hands_and_is_renounced(home: Home, token: str) -> None:
    prov("account", "new", "studio")
    prov("license", "grant", token, "licensee", "--days", "2")
    assert "bound to its holder" in prov("license", "transfer", token, "studio", "--as", "licensee", expect=1).stderr
    prov("license", "grant", token, "licensee", "--days", "2", "--transferable")
    assert told("license", "transfer", token, "studio", "--as", "licensee")["transferable"] is True
    assert told("license", "check", token, "licensee", expect=1)["licence"]["ended_at"]
    prov("license", "renounce", token, "--as", "studio")
    assert "given up" in prov("license", "check", token, "studio", expect=1).stdout


def test_the_safety_account_takes_down_and_reinstates(home: Home, token: str) -> None:
    assert told("operator", "show")["safety"] is None
    refused = ("operator", "take-down", token, "--reason", "likeness", "--as", "licensee")
    assert "not the safety account" in prov(*refused, expect=1).stderr
    prov("operator", "appoint", "licensee")
    down = told(*refused)
    assert down["reason"] in prov("model", "show", token).stdout
    assert "taken down" in prov("license", "check", token, expect=1).stdout
    told("operator", "reinstate", token, "--reason", "withdrawn", "--as", "licensee")
    assert told("license", "check", token)["allowed"] is True


def test_a_pause_stops_new_sales_only(home: Home, token: str) -> None:
    prov("license", "offer", token, "--price", "1", "--days", "1")
    prov("license", "buy", token, "--as", "licensee")
    prov("operator", "pause")
    assert told("operator", "show")["paused"] is True
    prov("account", "new", "studio")
    assert "paused" in prov("license", "buy", token, "--as", "studio", expect=1).stderr
    prov("license", "buy", token, "--as", "licensee")
    prov("operator", "unpause")
    prov("license", "buy", token, "--as", "studio")


def test_the_operator_hands_over_in_two_steps(home: Home) -> None:
    before = told("operator", "show")["operator"]
    prov("operator", "hand-over", "licensee")
    assert told("operator", "show")["operator"] == before
    assert "not the operator" in prov("operator", "accept", "--as", "maker", expect=1).stderr
    prov("operator", "accept", "--as", "licensee")
    assert told("operator", "show")["operator"] == told("account", "list")[0]["address"]
    assert "not the safety account" in prov("operator", "pause", expect=1).stderr
    prov("operator", "pause", "--as", "licensee")


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
    assert shown["offers"] == []
    assert [each["token"] for each in told("model", "list")] == [1]
    assert "adapters  none" in prov("model", "parents", token).stdout
    assert told("model", "parents", token)["adapters"] == []
    prov("model", "revoke-consent", token, "--record", "0c" * 32, "--reason", "no more")
    assert "no more" in prov("model", "show", token).stdout
    assert told("model", "transfer", token, "licensee")["owner"] == told("account", "list")[0]["address"]
    assert told("model", "revoke", token, "--reason", "objection")["reason"] == "objection"
    assert "revoked" in prov("model", "list").stdout


def test_a_model_shows_who_shares_in_its_sales(home: Home) -> None:
    ledger = open_ledger(home)
    shares = Shares(derivable=True, royalty=250, derivative=1000, contributors=2000, contributors_root="5e" * 32)
    ledger.mint(
        load_account(home),
        weights="01" * 32,
        dataset="02" * 32,
        base="03" * 32,
        terms="04" * 32,
        cid="bafy",
        shares=shares,
    )
    ledger.close()
    shown = prov("model", "show", "1").stdout
    assert f"shares    20 % of sales to contributors, root {'5e' * 32}" in shown
    assert "royalty   2.5 % asked on resale" in shown
    assert "adapters may be made from it, for 10 % of their sales" in shown


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
    assert "owes" in prov("income", "withdraw", expect=1).stderr


def test_a_root_is_registered_revoked_and_stays_so(home: Home, tmp_path: Path) -> None:
    assert "no root certificate" in prov("account", "roots").stdout
    registered = told("account", "register-root", "0A" * 32, "--valid-from", "2026-01-31T12:00:00Z")
    assert (registered["root"], registered["valid_from"]) == ("0a" * 32, 1_769_860_800)
    assert told("account", "roots") == told("account", "roots", "maker") == [registered]
    revoked = told("account", "revoke-root", "0a" * 32, "--reason", "the key was stolen")
    assert revoked["revoked_at"] >= registered["valid_from"]
    assert "revoked 20" in prov("account", "roots").stdout
    assert told("account", "show")["issuers"] == []
    assert "stays revoked" in prov("account", "register-root", "0a" * 32, expect=1).stderr
    assert "cannot be revoked" in prov("account", "revoke-root", "0a" * 32, "--reason", "again", expect=1).stderr


def test_a_root_is_named_by_its_file_too(home: Home, tmp_path: Path) -> None:
    issuer = create_issuer(home, name="Studio")
    root = home.path / "identity" / "root.pem"
    assert told("account", "register-root", str(root))["root"] == issuer.root_digest
    prov("account", "register-root", str(tmp_path / "none.pem"), expect=2)
    prov("account", "register-root", "0b" * 32, "--valid-from", "yesterday", expect=2)


def test_passphrase_comes_from_the_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROV_PASSPHRASE", "a long passphrase")
    prov("account", "new", "studio")
    monkeypatch.delenv("PROV_PASSPHRASE")
    assert "PROV_PASSPHRASE" in prov("income", "withdraw", "--as", "studio", expect=1).stderr


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
