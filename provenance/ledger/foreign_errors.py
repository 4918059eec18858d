"""Errors that are not our contract's but come through it: Solidity's own, and those of ERC-20 tokens (EIP-6093)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.artifact import Parameter
from provenance.errors import FormatError
from provenance.ledger.abi import decode_values
from provenance.ledger.folds import legible

Values = dict[str, Any]

PANICS = {
    0x01: "an assertion failed",
    0x11: "a number grew too large or fell below zero",
    0x12: "a division by zero",
    0x31: "taking from an empty list",
    0x32: "a place beyond the end of a list",
}
"""Codes of Solidity's ``Panic(uint256)``, of those that a token may raise."""


def _parameters(*named: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, kind) for kind, name in (each.split() for each in named))


_AMOUNTS = ("uint256 has", "uint256 needed")
SENTENCES: dict[str, tuple[tuple[Parameter, ...], Callable[[Values], str]]] = {
    # Error(string): requires with a text, as older tokens have them.
    "08c379a0": (_parameters("string text"), lambda v: f"the contract called says: {legible(v['text'][:200])}"),
    # Panic(uint256)
    "4e487b71": (
        _parameters("uint256 code"),
        lambda v: f"the contract called failed: {PANICS.get(v['code'], hex(v['code']))}",
    ),
    # ERC20InsufficientBalance(address,uint256,uint256)
    "e450d38c": (
        _parameters("address account", *_AMOUNTS),
        lambda v: f"{v['account']} has {v['has']} of the token's smallest unit, and needs {v['needed']}",
    ),
    # ERC20InsufficientAllowance(address,uint256,uint256)
    "fb8f41b2": (
        _parameters("address account", *_AMOUNTS),
        lambda v: f"{v['account']} may take {v['has']} of the token's smallest unit, and needs {v['needed']}",
    ),
    # ERC20InvalidSender, ERC20InvalidReceiver, ERC20InvalidApprover and ERC20InvalidSpender, each of (address)
    "96c6fd1e": (_parameters("address account"), lambda v: f"{v['account']} cannot send the token"),
    "ec442f05": (_parameters("address account"), lambda v: f"{v['account']} cannot receive the token"),
    "e602df05": (_parameters("address account"), lambda v: f"{v['account']} cannot let others take the token"),
    "94280d62": (_parameters("address account"), lambda v: f"{v['account']} cannot be let take the token"),
}


def foreign_sentence(data: bytes) -> str | None:
    """What revert data of Solidity itself or of an ERC-20 token says; None if it is neither, or malformed."""
    found = SENTENCES.get(data[:4].hex())
    if found is None:
        return None
    parameters, sentence = found
    try:
        return sentence(decode_values(parameters, data[4:]))
    except FormatError:
        return None
