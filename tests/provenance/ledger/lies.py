"""The lies a node may tell, one function each; `test_lying_node` says what the user sees."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from provenance.ledger.header import header_hash
from provenance.ledger.keccak import keccak
from tests.provenance.ledger.lying_node import Lie


def instead(method: str, value: Any) -> Lie:
    """Answers one method with something else."""
    return lambda asked, _parameters, result: value if asked == method else result


def changed(method: str, change: Callable[[Any, Any], Any]) -> Lie:
    """Changes the answers to one method; ``change`` gets a copy of the result, and the parameters."""

    def lie(asked: str, parameters: Any, result: Any) -> Any:
        if asked != method or result is None:
            return result
        return change(copy.deepcopy(result), parameters)

    return lie


def both(*lies: Lie) -> Lie:
    """Several lies at once."""

    def lie(asked: str, parameters: Any, result: Any) -> Any:
        for each in lies:
            result = each(asked, parameters, result)
        return result

    return lie


def header(change: dict[str, Any], *, block: Any = None, is_rehashed: bool = False) -> Lie:
    """Changes fields of a header (of one block, or of all), and its hash to match if asked."""

    def lie(raw: Any, parameters: Any) -> Any:
        if block is not None and parameters[0] != block:
            return raw
        raw |= change
        return raw | {"hash": "0x" + header_hash(raw).hex()} if is_rehashed else raw

    return changed("eth_getBlockByNumber", lie)


def each_log(change: Callable[[Any], Any]) -> Lie:
    """Changes every log that is asked for."""
    return changed("eth_getLogs", lambda logs, _parameters: [change(each) for each in logs])


def logs(change: Callable[[list[Any]], list[Any]], topic: str | None = None) -> Lie:
    """Changes the list of logs, for one event or for all."""
    return changed(
        "eth_getLogs", lambda found, asked: change(found) if topic in (None, asked[0]["topics"][0]) else found
    )


def proof(change: Callable[[Any], Any]) -> Lie:
    """Changes a proof."""
    return changed("eth_getProof", lambda raw, _parameters: change(raw))


def flipped(data: str) -> str:
    """Hexadecimal bytes with the last one changed."""
    return data[:-2] + f"{int(data[-2:], 16) ^ 1:02x}"


def receipt(change: Callable[[Any], Any]) -> Lie:
    """Changes the receipt of a transaction, but not those of a block."""
    return changed("eth_getTransactionReceipt", lambda raw, _parameters: change(raw))


def receipt_everywhere(change: Callable[[Any], Any]) -> Lie:
    """Changes a receipt wherever it is asked for."""
    every = changed("eth_getBlockReceipts", lambda found, _parameters: [change(each) for each in found])
    return both(receipt(change), every)


class Later:
    """A node that answers truly ``count`` times, and then with what was true before (the first answer, or ``old``)."""

    def __init__(self, method: str, count: int, old: Any = None, parameter: Any = None) -> None:
        self._method = method
        self._count = count
        self._old = old
        self._parameter = parameter

    def __call__(self, asked: str, parameters: Any, result: Any) -> Any:
        if asked != self._method or self._parameter not in (None, parameters[0]):
            return result
        self._old = self._old or result
        self._count -= 1
        return result if self._count >= 0 else self._old


class Forgetting:
    """A node whose chain ends at an old block when its last one is asked for again."""

    def __init__(self, old: Any) -> None:
        self._old = old
        self._asked = 0

    def __call__(self, asked: str, parameters: Any, result: Any) -> Any:
        if asked != "eth_getBlockByNumber":
            return result
        if parameters[0] == "latest":
            self._asked += 1
            return self._old if self._asked > 1 else result
        return None if self._asked > 1 and int(parameters[0], 16) > int(self._old["number"], 16) else result


class Acknowledging:
    """A node that acknowledges a transaction it keeps back, and tells of another one's receipt (or of none)."""

    def __init__(self, example: Any) -> None:
        self._example = example
        self._sent = ""

    def __call__(self, asked: str, parameters: Any, result: Any) -> Any:
        if asked == "eth_sendRawTransaction":
            self._sent = "0x" + keccak(bytes.fromhex(parameters[0][2:])).hex()
            return self._sent
        if asked == "eth_getTransactionReceipt":
            return self._example and {**self._example, "transactionHash": self._sent}
        if asked == "eth_getBlockReceipts" and result:
            return [{**each, "transactionHash": self._sent} for each in result]
        return result
