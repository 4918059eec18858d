"""The connection: kept open, opened again when the server closed it, bounded; batches, where nodes take them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from provenance.errors import LedgerUnavailable
from provenance.ledger.jsonrpc import BATCH_SIZE, JsonRpc, RpcError
from tests.provenance.ledger.lying_node import serving

ANSWER = b'{"jsonrpc": "2.0", "id": %d, "result": "0x1"}'


@contextmanager
def raw_server(answers: list[bytes | None]) -> Iterator[tuple[str, list[int]]]:
    """A server that sends these bytes, one for each request, and closes the connection at None; counts connections."""
    connections: list[int] = []

    def serve(listener: socket.socket) -> None:
        waiting = list(answers)
        while waiting:
            connection, _ = listener.accept()
            connections.append(1)
            with connection, connection.makefile("rb") as file:
                while waiting and read_request(file) and (answer := waiting.pop(0)) is not None:
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
        thread.join(timeout=10)
        assert not thread.is_alive()


def read_request(file: Any) -> bool:
    """Reads one request to its end; false if there is none."""
    length = 0
    while (line := file.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return bool(file.read(length))


def http(body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), headers) + body


def test_connection_is_kept() -> None:
    with raw_server([http(ANSWER % number) for number in (1, 2, 3)]) as (url, connections):
        rpc = JsonRpc(url)
        assert [rpc.call("eth_chainId") for _ in range(3)] == ["0x1"] * 3
        rpc.close()
        assert len(connections) == 1


def test_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    with raw_server([http(ANSWER % 1), None, http(ANSWER % 2)]) as (url, connections):
        rpc = JsonRpc(url)
        assert [rpc.call("eth_chainId") for _ in range(2)] == ["0x1"] * 2
        rpc.close()
        assert len(connections) == 2


def test_new_connection_that_is_closed_is_not_tried_again() -> None:
    with raw_server([None]) as (url, connections):
        rpc = JsonRpc(url)
        with pytest.raises(LedgerUnavailable, match="closed connection"):
            rpc.call("eth_chainId")
        assert len(connections) == 1


def test_server_that_asks_for_it_gets_a_new_connection_each_time() -> None:
    close = b"Connection: close\r\n"
    with raw_server([http(ANSWER % 1, close), http(ANSWER % 2, close)]) as (url, _):
        rpc = JsonRpc(url)
        assert [rpc.call("eth_chainId") for _ in range(2)] == ["0x1"] * 2
        rpc.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_answer_that_is_not_http_is_unavailable(answer: bytes) -> None:
    with raw_server([answer]) as (url, _):
        rpc = JsonRpc(url)
        with pytest.raises(LedgerUnavailable):
            rpc.call("eth_chainId")


def test_batch_is_answered_in_any_order() -> None:
    asked: list[Any] = []

    def respond(questions: Any) -> Any:
        asked.append(questions)
        return [{"id": each["id"], "result": each["params"][0]} for each in reversed(questions)]

    with serving(respond) as url:
        rpc = JsonRpc(url)
        assert rpc.batch([("echo", (number,)) for number in range(5)]) == list(range(5))
        assert len(asked) == 1
        assert rpc.batch([("echo", (number,)) for number in range(BATCH_SIZE + 2)]) == list(range(BATCH_SIZE + 2))
        assert [len(each) for each in asked] == [5, BATCH_SIZE, 2]
        assert rpc.batch([]) == []
        rpc.close()


def test_node_that_takes_no_batches_is_asked_one_by_one() -> None:
    def respond(question: Any) -> Any:
        if isinstance(question, list):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batches are not supported"}}
        return {"id": question["id"], "result": question["params"][0]}

    with serving(respond) as url:
        rpc = JsonRpc(url)
        assert rpc.batch([("echo", (number,)) for number in range(3)]) == [0, 1, 2]
        rpc.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda answers: answers[:-1],
        lambda answers: [*answers, answers[0]],
        lambda answers: [{**each, "id": 77} for each in answers],
        lambda answers: [{**each, "id": str(each["id"])} for each in answers],
        lambda answers: [[each] for each in answers],
        lambda answers: "no",
        lambda answers: [{"id": each["id"]} for each in answers],
    ],
)
def test_batch_that_is_answered_wrongly_is_unavailable(change: Any) -> None:
    with serving(lambda questions: change([{"id": each["id"], "result": 0} for each in questions])) as url:
        rpc = JsonRpc(url)
        with pytest.raises(LedgerUnavailable):
            rpc.batch([("echo", (number,)) for number in range(3)])
        rpc.close()


def test_first_error_of_a_batch_is_raised() -> None:
    def respond(questions: Any) -> Any:
        return [{"id": each["id"], "error": {"code": 3, "message": f"no {each['params'][0]}"}} for each in questions]

    with serving(respond) as url:
        rpc = JsonRpc(url)
        with pytest.raises(RpcError, match="no 0"):
            rpc.batch([("echo", (number,)) for number in range(3)])
        rpc.close()


def test_threads_take_turns_on_one_connection() -> None:
    with serving(lambda question: {"id": question["id"], "result": question["params"][0]}) as url:
        rpc = JsonRpc(url)
        found: list[list[int]] = []

        def ask(start: int) -> None:
            found.append([rpc.call("echo", start + number) - start for number in range(20)])

        threads = [threading.Thread(target=ask, args=(1000 * number,)) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert found == [list(range(20))] * 4
        rpc.close()
