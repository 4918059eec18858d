"""What the error objects of nodes mean: the one place that reads them, whoever wrote the node.

Nodes agree on little. Revert data comes under ``data`` (geth, reth, anvil, Erigon, Besu, Alchemy), behind ``Reverted``
(Nethermind, OpenEthereum), nested once or twice more (Hardhat, Ganache, wallets), or only as words in ``message``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

REVERT_CODE = 3
ERROR_STRING = bytes.fromhex("08c379a0")
"""The selector of Solidity's ``Error(string)``."""

MAX_DEPTH = 6
HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.IGNORECASE)
REVERTED_HEX = re.compile(r"\s*reverted\s+(0x(?:[0-9a-f]{2})*)\s*", re.IGNORECASE)
CUSTOM = re.compile(r"custom error\s+'?(0x[0-9a-f]{8})(?:\s*:\s*|\()?((?:[0-9a-f]{2})*)", re.IGNORECASE)
REASON = re.compile(
    r"(?:execution reverted|reverted with reason string|vm exception while processing transaction: revert)\s*:?\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
# Where nodes and wallets nest what they were told; `return` and `result` are Ganache's.
NESTED = ("data", "originalError", "error", "result", "return", "cause")
ALREADY_SENT = ("already known", "alreadyknown", "already imported", "known transaction", "already in mempool")
TOO_POOR = ("insufficient funds", "insufficient balance", "insufficientfunds", "upfront cost exceeds account balance")
NONCE_USED = ("nonce too low", "nonce_too_low", "oldnonce", "nonce is too low", "nonce has already been used")
NO_METHOD = -32601


def revert_data(error: Any) -> bytes | None:
    """The bytes that the contract reverted with, empty if it gave none; None if this is another kind of error.

    A reason that comes in words only is given back as ``Error(string)``, as Solidity would have encoded it.
    """
    found = [_bytes_of(text) for text in _texts(error, ("data", "result", "return"))]
    known = [each for each in found if each]
    if known:
        return known[0]
    messages = list(_texts(error, ("message", "reason")))
    for message in messages:
        if match := CUSTOM.search(message):
            return bytes.fromhex(match[1][2:] + match[2])
    for message in messages:
        if (match := REASON.search(message)) and (reason := match[1].strip(" '\"")) and reason != "0x":
            return _error_string(reason)
    if any(each is not None for each in found) or _has_code(error, REVERT_CODE):
        return b""
    return b"" if any("revert" in message.lower() for message in messages) else None


def is_already_sent(error: Any) -> bool:
    """Whether the node refused a transaction because it has it."""
    return _says(error, ALREADY_SENT)


def is_too_poor(error: Any) -> bool:
    """Whether the account cannot pay."""
    return _says(error, TOO_POOR)


def is_nonce_used(error: Any) -> bool:
    """Whether the account has sent another transaction under this nonce."""
    return _says(error, NONCE_USED)


def is_unknown_method(error: Any) -> bool:
    """Whether the node does not serve what was asked."""
    if _has_code(error, NO_METHOD):
        return True
    words = ("method not found", "not supported", "unsupported method", "does not exist/is not available")
    return _says(error, words)


def _says(error: Any, phrases: tuple[str, ...]) -> bool:
    text = " ".join(_texts(error, ("message", "data"))).lower()
    return any(each in text for each in phrases)


def _has_code(error: Any, code: int) -> bool:
    return any(isinstance(each, dict) and each.get("code") == code for each in _objects(error))


def _texts(error: Any, names: tuple[str, ...]) -> Iterator[str]:
    for each in _objects(error):
        if isinstance(each, str):
            yield each
        else:
            yield from (value for name in names if isinstance(value := each.get(name), str))


def _objects(error: Any, depth: int = 0) -> Iterator[Any]:
    """The error object and the ones inside it, outermost first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(error, str) and depth == 0:
        yield error
    if isinstance(error, dict):
        yield error
        for name in NESTED:
            yield from _objects(error.get(name), depth + 1)
        # Ganache names what happened by the transaction's hash.
        for name, value in error.items():
            if HEX.fullmatch(str(name)):
                yield from _objects(value, depth + 1)


def _bytes_of(text: str) -> bytes | None:
    match = REVERTED_HEX.fullmatch(text)
    text = match[1] if match else text.strip()
    return bytes.fromhex(text[2:]) if HEX.fullmatch(text) else None


def _error_string(reason: str) -> bytes:
    text = reason.encode()
    return ERROR_STRING + (32).to_bytes(32, "big") + len(text).to_bytes(32, "big") + text + bytes(-len(text) % 32)
