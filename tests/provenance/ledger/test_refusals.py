"""Every error of the contract has a sentence."""

from __future__ import annotations

import pytest

from contracts.artifact import load_artifact
from provenance.errors import LedgerRefused
from provenance.ledger.abi import encode_values
from provenance.ledger.refusals import REFUSALS, refusal

EXAMPLES = {"uint256": 7, "uint32": 7, "address": "0x" + "11" * 20, "bytes32": "22" * 32}


@pytest.mark.parametrize("name", sorted(load_artifact().errors))
def test_every_error_of_the_contract_becomes_a_sentence(name: str) -> None:
    entry = load_artifact().errors[name]
    data = bytes.fromhex(entry.selector) + encode_values(entry.inputs, [EXAMPLES[e.type] for e in entry.inputs])
    error = refusal(data)
    assert name in REFUSALS
    assert name not in str(error)
    assert " " in error.what
    assert "{" not in str(error)
    assert error.what[0] != " "


@pytest.mark.parametrize("data", [b"", b"\x08\xc3\x79\xa0", b"\xff" * 40, bytes.fromhex("00")])
def test_unknown_revert_data_is_reported_as_it_came(data: bytes) -> None:
    error = refusal(data)
    assert isinstance(error, LedgerRefused)
    assert error.found == (f"0x{data.hex()}" if data else "no reason given")


def test_truncated_arguments_do_not_hide_the_refusal() -> None:
    selector = bytes.fromhex(load_artifact().errors["AdapterWeightsTaken"].selector)
    assert isinstance(refusal(selector + b"\0" * 5), LedgerRefused)


def test_every_sentence_belongs_to_an_error_of_the_contract() -> None:
    assert set(REFUSALS) <= set(load_artifact().errors)
