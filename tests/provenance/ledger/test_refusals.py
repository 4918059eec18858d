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


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("4e487b71" + f"{0x11:064x}", "the contract called failed: a number grew too large or fell below zero"),
        ("4e487b71" + f"{0x51:064x}", "the contract called failed: 0x51"),
        (
            "e450d38c" + f"{'11' * 20:0>64}" + f"{5:064x}" + f"{9:064x}",
            f"0x{'11' * 20} has 5 of the token's smallest unit, and needs 9",
        ),
        ("94280d62" + f"{'22' * 20:0>64}", f"0x{'22' * 20} cannot be let take the token"),
        (
            "08c379a0" + f"{32:064x}" + f"{7:064x}" + b"no\x1b[2J!".hex().ljust(64, "0"),
            "the contract called says: no\ufffd[2J!",
        ),
    ],
)
def test_errors_of_tokens_and_of_the_language_are_told_in_words(data: str, sentence: str) -> None:
    assert refusal(bytes.fromhex(data)).what == sentence
    assert refusal(bytes.fromhex(data)[:-33]).found == f"0x{data[:-66]}"


def test_truncated_arguments_do_not_hide_the_refusal() -> None:
    selector = bytes.fromhex(load_artifact().errors["AdapterWeightsTaken"].selector)
    assert isinstance(refusal(selector + b"\0" * 5), LedgerRefused)


def test_every_sentence_belongs_to_an_error_of_the_contract() -> None:
    assert set(REFUSALS) <= set(load_artifact().errors)
