"""A real node in between that may lie: it forwards JSON-RPC to a node and changes what the lie says."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Lie = Callable[[str, Any, Any], Any]
"""Gets a method, its parameters and the true result; gives back what is told."""


@dataclass(frozen=True)
class Refusal:
    """An error object instead of a result."""

    error: Any


@dataclass(frozen=True)
class Bytes:
    """A whole HTTP body instead of an answer, sent in pieces with pauses."""

    data: bytes
    pause: float = 0.0
    piece: int = 1 << 20


@dataclass(frozen=True)
class Renamed:
    """The true result under another id."""

    id: Any


def honest(_method: str, _parameters: Any, result: Any) -> Any:
    """No lie."""
    return result


@contextmanager
def lying_node(target: str, lie: Lie = honest, *, swallowed: Collection[str] = ()) -> Iterator[str]:
    """The address of a node in front of ``target``, which never hears of the methods that are swallowed."""
    with serving(lambda question: _answer(target, lie, question, swallowed)) as url:
        yield url


@contextmanager
def serving(respond: Callable[[Any], Any], status: int = 200) -> Iterator[str]:
    """The address of an HTTP server that answers each JSON body with what ``respond`` returns."""

    open_sockets: set[socket.socket] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Two packets for one answer would wait for each other (Nagle).
        wbufsize = -1

        def setup(self) -> None:
            super().setup()
            open_sockets.add(self.connection)

        def do_POST(self) -> None:
            told = respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            whole = told if isinstance(told, Bytes) else Bytes(json.dumps(told).encode())
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(whole.data)))
            self.end_headers()
            try:
                for start in range(0, len(whole.data), whole.piece):
                    self.wfile.write(whole.data[start : start + whole.piece])
                    self.wfile.flush()
                    time.sleep(whole.pause)
            except OSError:
                # The client had enough, as it should.
                self.close_connection = True

        def finish(self) -> None:
            # Whoever had enough is gone before the last piece is.
            with suppress(OSError):
                super().finish()

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        # Connections that are kept alive would otherwise be served on.
        for each in open_sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()


def _answer(target: str, lie: Lie, question: Any, swallowed: Collection[str]) -> Any:
    questions = question if isinstance(question, list) else [question]
    told = [_told(lie, each, _forward(target, each, swallowed)) for each in questions]
    whole = next((each for each in told if isinstance(each, Bytes)), None)
    return whole or (told if isinstance(question, list) else told[0])


def _forward(target: str, question: Any, swallowed: Collection[str]) -> Any:
    if question["method"] in swallowed:
        return {"jsonrpc": "2.0", "id": question["id"], "result": None}
    request = urllib.request.Request(target, json.dumps(question).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def _told(lie: Lie, question: Any, answer: Any) -> Any:
    told = lie(question["method"], question["params"], answer.get("result"))
    if isinstance(told, Bytes):
        return told
    if isinstance(told, Refusal):
        return {"jsonrpc": "2.0", "id": question["id"], "error": told.error}
    if isinstance(told, Renamed):
        return {**answer, "id": told.id}
    if "error" in answer and told is None:
        return answer
    return {"jsonrpc": "2.0", "id": question["id"], "result": told}
