"""Error objects as nodes really send them, over HTTP, and what each means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifact import load_artifact
from provenance.errors import LedgerLookupError, LedgerUnavailable
from provenance.ledger.abi import encode_values
from provenance.ledger.jsonrpc import JsonRpc, RpcError
from provenance.ledger.node_errors import (
    ERROR_STRING,
    is_already_sent,
    is_nonce_used,
    is_too_poor,
    is_unknown_method,
    revert_data,
)
from provenance.ledger.refusals import refusal
from tests.provenance.ledger.lying_node import Bytes, serving

ERROR = load_artifact().errors["StreamNonexistent"]
DATA = bytes.fromhex(ERROR.selector) + encode_values(ERROR.inputs, [7])
HEX = "0x" + DATA.hex()
REASON = ERROR_STRING + bytes.fromhex("20".rjust(64, "0") + "06".rjust(64, "0") + b"closed".hex().ljust(64, "0"))

# One row for each shape: who sends it, the error object, and the revert data in it.
REVERTS: list[tuple[str, Any, bytes]] = [
    ("geth", {"code": 3, "message": "execution reverted", "data": HEX}, DATA),
    ("geth, with a reason", {"code": 3, "message": "execution reverted: closed", "data": "0x" + REASON.hex()}, REASON),
    ("geth, without data", {"code": -32000, "message": "execution reverted"}, b""),
    ("reth", {"code": 3, "message": f"execution reverted: custom error {HEX}", "data": HEX}, DATA),
    ("anvil", {"code": 3, "message": f"execution reverted: custom error {HEX[:10]}: {HEX[10:]}", "data": HEX}, DATA),
    ("anvil, words only", {"code": 3, "message": f"execution reverted: custom error {HEX[:10]}:{HEX[10:]}"}, DATA),
    ("nethermind", {"code": -32015, "message": "VM execution error.", "data": f"Reverted {HEX}"}, DATA),
    ("nethermind, later", {"code": 3, "message": "execution reverted: ", "data": HEX}, DATA),
    ("openethereum", {"code": -32015, "message": "VM execution error.", "data": f"Reverted {HEX}"}, DATA),
    ("erigon", {"code": 3, "message": "execution reverted", "data": HEX}, DATA),
    ("erigon, words only", {"code": -32000, "message": "execution reverted: closed"}, REASON),
    ("besu", {"code": -32000, "message": "Execution reverted", "data": HEX}, DATA),
    ("alchemy", {"code": 3, "message": "execution reverted", "data": HEX.upper().replace("0X", "0x")}, DATA),
    ("alchemy, empty", {"code": 3, "message": "execution reverted", "data": "0x"}, b""),
    (
        "hardhat",
        {
            "code": -32603,
            "message": "Error: VM Exception while processing transaction: reverted with an unrecognized custom error",
            "data": {"message": "reverted", "txHash": "0x" + "11" * 32, "data": HEX},
        },
        DATA,
    ),
    (
        "ganache 6",
        {
            "code": -32000,
            "message": "VM Exception while processing transaction: revert",
            "data": {
                "0x" + "11" * 32: {"error": "revert", "program_counter": 7, "return": HEX},
                "name": "RuntimeError",
            },
        },
        DATA,
    ),
    (
        "ganache 7",
        {
            "code": -32000,
            "message": "VM Exception while processing transaction: revert",
            "data": {"hash": "0x" + "11" * 32, "programCounter": 7, "result": HEX, "message": "revert"},
        },
        DATA,
    ),
    (
        "ganache, words only",
        {"code": -32000, "message": "VM Exception while processing transaction: revert closed"},
        REASON,
    ),
    (
        "a wallet",
        {
            "code": -32603,
            "message": "Internal JSON-RPC error.",
            "data": {"code": 3, "message": "execution reverted", "data": HEX},
        },
        DATA,
    ),
    (
        "a wallet's original error",
        {
            "code": -32603,
            "message": "Internal JSON-RPC error.",
            "data": {"originalError": {"code": 3, "message": "execution reverted", "data": HEX}},
        },
        DATA,
    ),
    (
        "a gateway",
        {"code": -32603, "message": "upstream", "error": {"error": {"code": 3, "message": "x", "data": HEX}}},
        DATA,
    ),
]

OTHERS: list[tuple[str, Any, Any]] = [
    ("geth", {"code": -32000, "message": "insufficient funds for gas * price + value: balance 0"}, is_too_poor),
    ("anvil", {"code": -32003, "message": "Insufficient funds for gas * price + value"}, is_too_poor),
    ("besu", {"code": -32004, "message": "Upfront cost exceeds account balance"}, is_too_poor),
    ("nethermind", {"code": -32010, "message": "InsufficientFunds, Account balance: 0"}, is_too_poor),
    ("geth", {"code": -32000, "message": "already known"}, is_already_sent),
    ("nethermind", {"code": -32010, "message": "AlreadyKnown"}, is_already_sent),
    ("besu", {"code": -32000, "message": "Known transaction"}, is_already_sent),
    (
        "openethereum",
        {"code": -32010, "message": "Transaction with the same hash was already imported."},
        is_already_sent,
    ),
    ("anvil", {"code": -32003, "message": "transaction already imported"}, is_already_sent),
    ("geth", {"code": -32000, "message": "nonce too low: next nonce 8, tx nonce 7"}, is_nonce_used),
    ("nethermind", {"code": -32010, "message": "OldNonce, Current nonce: 8"}, is_nonce_used),
    ("any", {"code": -32601, "message": "the method eth_getProof does not exist/is not available"}, is_unknown_method),
    ("a gateway", {"code": -32004, "message": "This method is not supported"}, is_unknown_method),
]


def asked(error: Any, status: int = 200) -> Any:
    """The error object as it arrives through a connection."""
    with serving(lambda question: {"jsonrpc": "2.0", "id": question["id"], "error": error}, status) as url:
        rpc = JsonRpc(url)
        with pytest.raises(RpcError) as raised:
            rpc.call("eth_call")
        rpc.close()
    return raised.value.error


@pytest.mark.parametrize(("error", "data"), [row[1:] for row in REVERTS], ids=[row[0] for row in REVERTS])
def test_revert_data_is_found_wherever_a_node_puts_it(error: Any, data: bytes) -> None:
    assert revert_data(asked(error)) == data


def test_revert_becomes_the_contracts_sentence() -> None:
    found = revert_data(asked(REVERTS[0][1]))
    assert found is not None
    error = refusal(found)
    assert isinstance(error, LedgerLookupError)
    assert "no stream 7" in str(error)


@pytest.mark.parametrize(
    ("error", "means"), [row[1:] for row in OTHERS], ids=[f"{row[0]}-{row[2].__name__}" for row in OTHERS]
)
def test_other_refusals_are_told_apart(error: Any, means: Any) -> None:
    found = asked(error)
    assert [each for each in (is_too_poor, is_already_sent, is_nonce_used, is_unknown_method) if each(found)] == [means]
    assert revert_data(found) is None


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_error_object_with_a_status_of_its_own_is_read(status: int) -> None:
    assert revert_data(asked({"code": 3, "message": "execution reverted", "data": HEX}, status)) == DATA


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"[]", b'{"jsonrpc": "2.0", "id": 1, "result": "0x"}'])
def test_status_without_an_error_object_is_unavailable(body: bytes) -> None:
    with serving(lambda _question: Bytes(body), 503) as url:
        rpc = JsonRpc(url)
        with pytest.raises(LedgerUnavailable, match="HTTP status 503"):
            rpc.call("eth_call")
        rpc.close()


def test_words_of_a_node_do_not_move_the_cursor() -> None:
    assert str(RpcError({"message": "busy\x1b[2J\u202enow"})) == "busy [2J now"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([HEX, "execution reverted: x"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "message", "data", "originalError", "error", "result", "0x11", "reason"]), children
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_error_object_makes_the_reader_fail(error: Any) -> None:
    assert isinstance(revert_data(error), bytes | None)
    for means in (is_too_poor, is_already_sent, is_nonce_used, is_unknown_method):
        assert means(error) in (True, False)
