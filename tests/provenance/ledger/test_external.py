"""External signers: a real program and a real HTTP signer sign, and what they return is checked."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from provenance.errors import FormatError, IdentityError, LedgerUnavailable, SignatureError, UsageError
from provenance.home import Home
from provenance.ledger import open_ledger
from provenance.ledger.accounts import (
    KeystoreAccount,
    account_address,
    account_from_key,
    account_names,
    add_external,
    create_account,
    load_account,
    load_keystore,
)
from provenance.ledger.external import ExternalAccount
from provenance.ledger.jsonrpc import JsonRpc
from tests.provenance.ledger.lying_node import serving

KEY = b"\x11" * 32
OWNER = account_from_key("owner", KEY)
SIGNER = """
import json, sys
from eth_account import Account
question = json.load(sys.stdin)
key, lie = sys.argv[1], sys.argv[2]
if question["method"] == "eth_signTransaction":
    [asked] = question["params"]
    asked.pop("from"), asked.pop("input")
    exec(lie)
    asked = {name: value for name, value in asked.items() if value is not None}
    result = "0x" + bytes(Account.from_key(key).sign_transaction(asked).raw_transaction).hex()
else:
    [address, typed] = question["params"]
    exec(lie)
    signature = bytes(Account.from_key(key).sign_typed_data(full_message=typed).signature)
    result = "0x" + signature.hex()
print(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": result}))
"""
TRANSACTION: dict[str, Any] = {
    "type": 2,
    "chainId": 31337,
    "nonce": 3,
    "gas": 100_000,
    "maxFeePerGas": 5,
    "maxPriorityFeePerGas": 1,
    "to": b"\x22" * 20,
    "value": 7,
    "data": b"\x33" * 5,
}
TYPED: dict[str, Any] = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
        "Challenge": [{"name": "nonce", "type": "bytes32"}],
    },
    "primaryType": "Challenge",
    "domain": {"name": "prov", "chainId": 31337},
    "message": {"nonce": "0x" + "44" * 32},
}


def command(key: bytes = KEY, lie: str = "pass") -> tuple[str, ...]:
    return (sys.executable, "-c", SIGNER, "0x" + key.hex(), lie)


def external(lie: str = "pass", key: bytes = KEY) -> ExternalAccount:
    return ExternalAccount("ledger", OWNER.address, command=command(key, lie))


def test_program_signs_as_the_keystore_would() -> None:
    assert external().sign_transaction(TRANSACTION) == OWNER.sign_transaction(TRANSACTION)
    assert external().sign_typed_data(TYPED) == OWNER.sign_typed_data(TYPED)


def test_deployment_without_an_address_is_signed_too() -> None:
    deployment = {**TRANSACTION, "to": b""}
    assert external().sign_transaction(deployment) == OWNER.sign_transaction(deployment)


def test_typed_data_signature_recovers_to_the_account() -> None:
    signature = OWNER.sign_typed_data(TYPED)
    assert len(signature) == 65
    recovered = Account.recover_message(encode_typed_data(full_message=TYPED), signature=signature)
    assert str(recovered).lower() == OWNER.address


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("chainId", 'asked["chainId"] = "0x1"'),
        ("nonce", 'asked["nonce"] = "0x4"'),
        ("gas", 'asked["gas"] = "0x30d40"'),
        ("maxFeePerGas", 'asked["maxFeePerGas"] = "0x6"'),
        ("maxPriorityFeePerGas", 'asked["maxPriorityFeePerGas"] = "0x2"'),
        ("to", 'asked["to"] = "0x" + "55" * 20'),
        ("value", 'asked["value"] = "0x8"'),
        ("data", 'asked["data"] = "0x00"'),
        ("accessList", 'asked["accessList"] = [{"address": "0x" + "55" * 20, "storageKeys": []}]'),
        (
            "type 2",
            'del asked["maxFeePerGas"], asked["maxPriorityFeePerGas"], asked["accessList"];'
            ' asked["gasPrice"] = "0x5"; asked["type"] = "0x0"; del asked["type"]',
        ),
    ],
)
def test_signer_that_changes_the_transaction_is_refused(name: str, lie: str) -> None:
    with pytest.raises(SignatureError, match=name):
        external(lie).sign_transaction(TRANSACTION)


def test_signer_with_another_key_is_refused() -> None:
    other = external(key=b"\x12" * 32)
    with pytest.raises(SignatureError, match="a signature of 0x"):
        other.sign_transaction(TRANSACTION)
    with pytest.raises(SignatureError, match="a signature of 0x"):
        other.sign_typed_data(TYPED)


def test_signer_that_signs_other_typed_data_is_refused() -> None:
    with pytest.raises(SignatureError, match="a signature of 0x"):
        external('typed["message"]["nonce"] = "0x" + "45" * 32').sign_typed_data(TYPED)


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "print('no')",
        "print('[]')",
        "print('{\"id\": 2}')",
        'print(\'{"id": 1, "error": {"code": -32000, "message": "the person said no"}}\')',
        "print('[' * 100000)",
    ],
)
def test_program_that_does_not_sign_is_unavailable(program: str) -> None:
    account = ExternalAccount("ledger", OWNER.address, command=(sys.executable, "-c", program))
    with pytest.raises(LedgerUnavailable, match="does not sign"):
        account.sign_typed_data(TYPED)


@pytest.mark.parametrize("result", [None, 7, "0x", "0x" + "11" * 64, "0x" + "11" * 65, "signature", {}])
def test_malformed_signature_is_refused(result: Any) -> None:
    def sign(question: Any) -> Any:
        return {"jsonrpc": "2.0", "id": question["id"], "result": result}

    with serving(sign) as url:
        account = ExternalAccount("ledger", OWNER.address, url=url)
        with pytest.raises(SignatureError):
            account.sign_typed_data(TYPED)
        with pytest.raises(SignatureError):
            account.sign_transaction(TRANSACTION)


def test_signature_with_a_high_s_is_refused() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    good = OWNER.sign_typed_data(TYPED)
    high = good[:32] + (order - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + bytes([55 - good[64]])
    recovered = Account.recover_message(encode_typed_data(full_message=TYPED), signature=high)
    assert str(recovered).lower() == OWNER.address
    with (
        serving(lambda question: {"id": question["id"], "result": "0x" + high.hex()}) as url,
        pytest.raises(SignatureError, match="low s"),
    ):
        ExternalAccount("ledger", OWNER.address, url=url).sign_typed_data(TYPED)


def web3signer(question: Any) -> Any:
    """`eth_signTransaction` and `eth_signTypedData` as Web3Signer answers them: bytes alone, v from 0."""
    parameters = question["params"]
    if question["method"] == "eth_signTypedData":
        signature = OWNER.sign_typed_data(parameters[1])
        result: Any = "0x" + (signature[:64] + bytes([signature[64] - 27])).hex()
    else:
        assert parameters[0]["from"].lower() == OWNER.address
        result = "0x" + OWNER.sign_transaction(TRANSACTION).hex()
    return {"jsonrpc": "2.0", "id": question["id"], "result": result}


def clef(question: Any) -> Any:
    """`account_…` as Clef answers it: an object with raw bytes; it does not know `eth_…`."""
    if not question["method"].startswith("account_"):
        error = {"code": -32601, "message": f"the method {question['method']} does not exist/is not available"}
        return {"jsonrpc": "2.0", "id": question["id"], "error": error}
    answer = web3signer({**question, "method": question["method"].replace("account_", "eth_")})
    if question["method"] == "account_signTransaction":
        answer["result"] = {"raw": answer["result"], "tx": {}}
    return answer


@pytest.mark.parametrize("service", [web3signer, clef])
def test_signing_services_are_understood(service: Callable[[Any], Any]) -> None:
    with serving(service) as url:
        account = ExternalAccount("ledger", OWNER.address, url=url)
        assert account.sign_transaction(TRANSACTION) == OWNER.sign_transaction(TRANSACTION)
        assert account.sign_typed_data(TYPED) == OWNER.sign_typed_data(TYPED)


def test_account_file_is_private_and_read_back(home: Home) -> None:
    made = add_external(home, "ledger", "0x" + OWNER.address[2:].upper(), command=command())
    path = home.path / "accounts" / "ledger.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_account(home, "ledger") == made == external()
    assert account_address(home, "ledger") == OWNER.address
    assert account_names(home) == ("ledger",)
    with pytest.raises(IdentityError, match="already an account"):
        add_external(home, "ledger", OWNER.address, command=command())


def test_external_account_does_not_decrypt(home: Home) -> None:
    add_external(home, "ledger", OWNER.address, command=command())
    with pytest.raises(IdentityError, match="not in this home"):
        load_keystore(home, "ledger")
    made = create_account(home, "maker")
    assert load_keystore(home) == made


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"url": "http://127.0.0.1:1"},
        {"command": []},
        {"command": [""]},
        {"command": "signer"},
        {"command": [7]},
        {"address": "0x12"},
        {"address": OWNER.address.upper()},
        {"type": "urn:prov:external-account:v2"},
    ],
)
def test_malformed_account_file_is_a_format_error(home: Home, change: dict[str, Any]) -> None:
    add_external(home, "ledger", OWNER.address, command=command())
    path = home.path / "accounts" / "ledger.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(FormatError):
        load_account(home, "ledger")


@pytest.mark.parametrize("url", ["http://signer.example:8550", "signer", "https://10.0.0.1"])
def test_signer_elsewhere_is_a_usage_error(home: Home, url: str) -> None:
    with pytest.raises(UsageError):
        add_external(home, "ledger", OWNER.address, url=url)
    assert account_names(home) == ()


@pytest.mark.anvil
def test_external_signer_sends_to_a_node(node_home: Home) -> None:
    JsonRpc(str(node_home.chain.url)).call("anvil_setBalance", OWNER.address, hex(10**21))
    ledger = open_ledger(node_home)
    assert ledger.open_stream(external()).holder == OWNER.address
    ledger.close()


def test_external_signer_sends_to_the_embedded_chain(home: Home) -> None:
    ledger = open_ledger(home)
    assert ledger.open_stream(external()).holder == OWNER.address
    ledger.close()


def test_signer_gets_no_passphrase(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROV_PASSPHRASE", "secret")
    seen = tmp_path / "environment"
    program = f"import os, pathlib; pathlib.Path({str(seen)!r}).write_text(str(dict(os.environ)))"
    with pytest.raises(LedgerUnavailable):
        ExternalAccount("ledger", OWNER.address, command=(sys.executable, "-c", program)).sign_typed_data(TYPED)
    assert "secret" not in seen.read_text()


def test_keystore_account_does_not_show_its_key() -> None:
    assert isinstance(OWNER, KeystoreAccount)
    assert KEY.hex() not in repr(OWNER)
