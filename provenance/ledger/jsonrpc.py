"""JSON-RPC 2.0 with the standard library: what a light reader needs of a node, and of an external signer."""

from __future__ import annotations

import ipaddress
import itertools
import json
import threading
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from provenance.canonical import parse_json
from provenance.errors import FormatError, LedgerUnavailable, UsageError
from provenance.ledger.transport import MAX_ANSWER_BYTES, HttpPost

BATCH_SIZE = 50
"""Calls in one request: public nodes refuse a hundred."""

Call = tuple[str, tuple[Any, ...]]


class RpcError(Exception):
    """The node answered with an error object; never leaves `provenance.ledger`.

    ``error`` is that object as it came; `provenance.ledger.node_errors` says what it means.
    """

    def __init__(self, error: Any) -> None:
        super().__init__(_text(error))
        self.error = error


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """An address without its path, which on hosted nodes is a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def check_url(url: str, *, allow_remote: bool) -> str:
    """The address, if it may be used; raises UsageError."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{url!r} is not the address of a node", expected="http://HOST:PORT or https://HOST/PATH")
    if not allow_remote and not is_loopback(url):
        raise UsageError(
            f"{origin(url)} is not on this machine",
            expected="a node on 127.0.0.1, ::1 or localhost",
            fix="add --allow-remote if you trust that node: it sees what you ask and decides what you read",
        )
    return url


class JsonRpc:
    """Calls one node over a connection that is kept open; threads take turns."""

    def __init__(self, url: str, *, allow_remote: bool = False, seconds: float | None = None) -> None:
        self.url = check_url(url, allow_remote=allow_remote)
        self._ids = itertools.count(1)
        self._http = HttpPost(url, use_proxy=not is_loopback(url), seconds=seconds)
        self._lock = threading.Lock()

    def call(self, method: str, *parameters: Any) -> Any:
        """The result of a method; raises LedgerUnavailable, or RpcError if the node refused."""
        question = self._question(method, parameters)
        answer = self._exchange(question)
        if not isinstance(answer, dict) or answer.get("id") != question["id"]:
            # What cannot be attributed to any question has the id null (JSON-RPC 2.0, section 5).
            if isinstance(answer, dict) and answer.get("id", 0) is None and answer.get("error") is not None:
                raise RpcError(answer["error"])
            raise self.unavailable("an answer to another question")
        return self._result(answer)

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results of several methods in one round trip; raises as ``call`` does, for the first that failed."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_SIZE):
            results += self._batch(calls[start : start + BATCH_SIZE])
        return results

    def unavailable(self, found: str) -> LedgerUnavailable:
        """The error to raise when the node does not answer properly."""
        return LedgerUnavailable(
            f"the node {origin(self.url)} gives no proper answer", found=found, fix="check that it runs, then try again"
        )

    def close(self) -> None:
        """Closes the connection; the next call opens another."""
        with self._lock:
            self._http.close()

    def _batch(self, calls: Sequence[Call]) -> list[Any]:
        if len(calls) == 1:
            return [self.call(calls[0][0], *calls[0][1])]
        questions = [self._question(*each) for each in calls]
        answers = self._exchange(questions)
        if isinstance(answers, dict):
            # A node that takes no batches says so with one error object.
            return [self.call(method, *parameters) for method, parameters in calls]
        ids = [each["id"] for each in questions]
        if not isinstance(answers, list) or not all(isinstance(each, dict) for each in answers):
            raise self.unavailable("an answer to another question")
        found = {each.get("id"): each for each in answers if isinstance(each.get("id"), int)}
        if len(answers) != len(ids) or set(found) != set(ids):
            raise self.unavailable("an answer to another question")
        return [self._result(found[number]) for number in ids]

    def _question(self, method: str, parameters: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(parameters)}

    def _exchange(self, question: Any) -> Any:
        try:
            with self._lock:
                status, data = self._http.post(json.dumps(question).encode())
        except (OSError, ValueError, HTTPException) as error:
            raise self.unavailable(str(error) or type(error).__name__) from error
        try:
            answer = parse_json(data, "the node's answer", limit=MAX_ANSWER_BYTES)
        except FormatError as error:
            found = f"HTTP status {status}" if status != 200 else (error.found or error.what)
            raise self.unavailable(found) from error
        # Some nodes send an error object with a status of its own; whatever else comes so is not an answer.
        if status != 200 and not (isinstance(answer, dict) and isinstance(answer.get("error"), dict)):
            raise self.unavailable(f"HTTP status {status}")
        return answer

    def _result(self, answer: dict[str, Any]) -> Any:
        if answer.get("error") is not None:
            raise RpcError(answer["error"])
        if "result" not in answer:
            raise self.unavailable("an answer without a result")
        return answer["result"]


def _text(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else None
    text = str(message if isinstance(message, str) and message else error)[:500]
    # It ends on somebody's terminal.
    return "".join(character if character.isprintable() else " " for character in text)
