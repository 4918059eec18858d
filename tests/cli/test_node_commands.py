"""`prov chain use`, `prov account add-external` and `prov license check` against a node, as a person uses them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from contracts.anvil import Anvil, find_anvil, running_anvil
from provenance.home import Home
from provenance.ledger import open_ledger
from provenance.ledger.accounts import account_from_key, load_account
from provenance.ledger.jsonrpc import JsonRpc

runner = CliRunner()
ROOT = Path(__file__).parents[2]
OWNER = account_from_key("owner", b"\x11" * 32)
SIGNER = """
import json, sys
from eth_account import Account
question = json.load(sys.stdin)
[asked] = question["params"]
asked = {name: value for name, value in asked.items() if name not in ("from", "input") and value is not None}
signed = Account.from_key("0x" + "11" * 32).sign_transaction(asked)
print(json.dumps({"id": question["id"], "result": "0x" + bytes(signed.raw_transaction).hex()}))
"""
pytestmark = pytest.mark.anvil


def prov(*arguments: str, expect: int = 0) -> Result:
    result = runner.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == expect, result.output
    return result


def told(*arguments: str, expect: int = 0) -> Any:
    return json.loads(prov(*arguments, "--json", expect=expect).stdout)


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")
    with running_anvil() as running:
        yield running


@pytest.fixture
def home(node: Anvil, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("PROV_PASSPHRASE", "only for tests")
    made = Home.create(Home.default_path())
    prov("account", "new", "maker")
    rpc = JsonRpc(node.url)
    for address in (load_account(made, "maker", "only for tests").address, OWNER.address):
        rpc.call("anvil_setBalance", address, hex(10**21))
    rpc.close()
    prov("chain", "deploy", node.url)
    return Home.open(made.path)


@pytest.fixture
def token(home: Home) -> str:
    ledger = open_ledger(home)
    maker = load_account(home, "maker", "only for tests")
    digests = {"weights": "01" * 32, "dataset": "02" * 32, "base": "03" * 32, "terms": "04" * 32}
    number = ledger.mint(maker, **digests, cid="bafy").token
    ledger.grant(maker, number, OWNER.address, expires=ledger.now() + 1000)
    ledger.close()
    return str(number)


def test_chain_use_pins_depth_fee_and_witnesses(home: Home, node: Anvil) -> None:
    contract = str(home.chain.contract)
    rpc = JsonRpc(node.url)
    for _ in range(2):
        rpc.call("evm_mine")
    rpc.close()
    options = ["--contract", contract, "--confirmations", "2", "--max-fee", "80 gwei", "--witness", node.url]
    status = told("chain", "use", node.url, *options)
    assert (status["confirmations"], status["proofs"], status["receipts"]) == (2, True, True)
    assert status["witnesses"] == [node.url]
    assert status["final_block"] == status["block"] - 2
    chain = Home.open(home.path).chain
    assert (chain.confirmations, chain.max_fee, chain.witnesses) == (2, 80 * 10**9, (node.url,))
    text = prov("chain", "status").stdout
    assert f"final up to block {status['final_block']}" in text
    assert "storage and logs, against the block's hash" in text


def test_development_node_is_taken_without_confirmations(home: Home) -> None:
    status = told("chain", "status")
    assert (status["confirmations"], status["witnesses"]) == (0, [])
    assert "the block's hash is the node's word" in prov("chain", "status").stdout


def test_fee_above_the_limit_is_refused(home: Home, node: Anvil) -> None:
    prov("chain", "use", node.url, "--contract", str(home.chain.contract), "--max-fee", "1")
    refused = prov("init", expect=1)
    assert "asks too high a fee" in refused.stderr
    assert "--max-fee" in refused.stderr


def test_external_account_acts(home: Home, token: str) -> None:
    command = shlex.join([sys.executable, "-c", SIGNER])
    added = told("account", "add-external", "hardware", "--address", OWNER.address, "--command", command)
    assert added["address"] == OWNER.address
    assert OWNER.address in prov("account", "list").stdout
    ended = told("license", "renounce", token, "--as", "hardware")
    assert ended["ended_at"] is not None
    assert told("license", "check", token, "hardware", expect=1)["why"] == "expired"


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["--address", OWNER.address], "either --command or --url"),
        (["--address", "0x12", "--url", "http://127.0.0.1:1"], "not an address"),
        (["--address", OWNER.address, "--url", "http://signer.example"], "not on this machine"),
    ],
)
def test_external_account_is_checked_when_it_is_added(home: Home, options: list[str], seen: str) -> None:
    assert seen in prov("account", "add-external", "hardware", *options, expect=2).stderr


def test_licence_is_checked_by_proof(home: Home, token: str) -> None:
    found = told("license", "check", token, OWNER.address)
    assert (found["allowed"], found["why"], found["proved"]) == (True, "licensed", True)
    assert "offer" not in found
    detailed = told("license", "check", token, OWNER.address, "--details")
    assert detailed["licence"]["licensee"] == OWNER.address
    assert told("license", "check", token, "0x" + "77" * 20, expect=1)["why"] == "no licence"
    assert told("license", "check", "9", OWNER.address, expect=1)["why"] == "no adapter"


def test_licence_check_loads_no_ethereum_library(home: Home, token: str) -> None:
    heavy = ("web3", "eth", "eth_account", "eth_abi", "rlp", "trie", "requests", "torch", "numpy", "urllib.request")
    script = (
        "import sys\nfrom cli.main import main\n"
        f"sys.argv = ['prov', 'license', 'check', '{token}', '{OWNER.address}', '--json']\n"
        "try:\n    main()\nfinally:\n"
        f"    print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout)["allowed"] is True
    assert done.stderr.strip() == "[]"
