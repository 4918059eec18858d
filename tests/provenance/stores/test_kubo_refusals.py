"""What answers at an RPC's address may be no daemon, or a hostile one: none of it is believed, and none of it hangs."""

from __future__ import annotations

import http.server
import io
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from provenance.car import car_bytes
from provenance.cid import Cid
from provenance.errors import BlockCorrupt, BlockMissing, ProvenanceError, StoreUnavailable, UsageError
from provenance.home import Home, StoreSettings
from provenance.stores import FolderStore, open_store
from provenance.stores.kubo import KuboStore

DATA = b"hello world"
CID = Cid.of_block(DATA)

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server(http.server.ThreadingHTTPServer):
    """Says nothing of clients that hang up, which is what they are here to do."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Peer:
    """An HTTP server on loopback that answers every request in one way and notes what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = said(200, b"")
        self.asked: list[str] = []
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                peer.asked.append(self.path)
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        self.rfile.read(size + 2)
                    self.rfile.readline()
                peer.answer(self)

            def do_GET(self) -> None:
                peer.asked.append(f"GET {self.path}")
                self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def said(status: int, body: bytes, **headers: str) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    thread = threading.Thread(target=peer.server.serve_forever, args=(0.01,))
    thread.start()
    yield peer
    peer.server.shutdown()
    thread.join()
    peer.server.server_close()


@pytest.fixture
def store(peer: Peer) -> Iterator[KuboStore]:
    with KuboStore(peer.url, timeout=1) as store:
        yield store


def refused(store: KuboStore, error: type[ProvenanceError], fault: str) -> None:
    with pytest.raises(error, match=fault) as caught:
        store.get(CID)
    assert caught.value.fix is not None


def test_honest_bytes_are_taken(store: KuboStore, peer: Peer) -> None:
    peer.answer = said(200, DATA)
    assert store.get(CID) == DATA
    assert peer.asked == [f"/api/v0/block/get?timeout=1s&arg={CID}"]


@pytest.mark.parametrize("body", [b"", b"hello worlD", DATA + b"!", b"x" * 100_000])
def test_other_bytes_are_not(store: KuboStore, peer: Peer, body: bytes) -> None:
    peer.answer = said(200, body)
    refused(store, BlockCorrupt, "is corrupt")


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_answer_is_cut_off(store: KuboStore, peer: Peer, status: int) -> None:
    sent = 0

    def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(status)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while True:
                sent += handler.wfile.write(bytes(65536))
        except OSError:
            handler.close_connection = True

    peer.answer = endless
    refused(store, StoreUnavailable, "did not answer as Kubo does")
    with pytest.raises(StoreUnavailable):
        store.version()
    assert sent < 64 * 1024 * 1024


def test_silence_ends_with_the_timeout(store: KuboStore, peer: Peer) -> None:
    peer.answer = lambda handler: time.sleep(3)
    started = time.monotonic()
    refused(store, StoreUnavailable, "did not answer within 1 s")
    assert time.monotonic() - started < 2.9


def test_a_trickle_ends_too(peer: Peer) -> None:
    def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        try:
            for _ in range(30):
                handler.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            handler.close_connection = True

    peer.answer = trickle
    with KuboStore(peer.url, timeout=0.5) as store:
        refused(store, StoreUnavailable, "did not answer as Kubo does")


def test_a_connection_cut_in_the_middle(store: KuboStore, peer: Peer) -> None:
    def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(DATA)
        handler.close_connection = True

    peer.answer = cut
    refused(store, StoreUnavailable, "did not answer as Kubo does|cannot be reached")


def test_a_redirect_is_not_followed(store: KuboStore, peer: Peer) -> None:
    for status in (301, 302, 303, 307, 308):
        peer.asked.clear()
        peer.answer = said(status, b"", Location=f"{peer.url}/elsewhere")
        refused(store, StoreUnavailable, "did not answer as Kubo does")
        assert len(peer.asked) == 1


def test_a_proxy_of_the_environment_is_not_used(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Peer()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    peer.answer = said(200, DATA)
    try:
        with KuboStore(peer.url, timeout=1) as store:
            assert store.get(CID) == DATA
    finally:
        proxy.server.server_close()


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with KuboStore(f"http://127.0.0.1:{port}", timeout=1) as store:
        for ask in (store.version, lambda: store.get(CID), lambda: store.has(CID), lambda: store.put(CID, DATA)):
            with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
                ask()
            assert "ipfs daemon" in str(caught.value)
            assert not isinstance(caught.value, BlockMissing)


@pytest.mark.parametrize(
    "answer",
    [
        said(200, b"<html>a router's login page</html>"),
        said(200, b"[1, 2]"),
        said(200, b"{}"),
        said(200, b'{"Version": 7}'),
        said(200, b""),
        said(200, b"\xff\xfe"),
        said(200, b"[" * 1_000_000),
        said(200, b"x" * 3_000_000),
        said(404, b"404 page not found"),
        said(403, b"403 - Forbidden"),
        said(500, b"not json"),
    ],
)
def test_another_server_at_the_address_is_told(store: KuboStore, peer: Peer, answer: Answer) -> None:
    peer.answer = answer
    with pytest.raises(StoreUnavailable, match="did not answer as Kubo does") as caught:
        store.version()
    assert caught.value.exit_code == 3
    assert caught.value.fix is not None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"Stats": {"BlockCount": 2}}', b'{"Stats": 7}', b'{"Root": {}}'])
def test_an_import_that_is_not_counted_is_not_believed(store: KuboStore, peer: Peer, body: bytes) -> None:
    peer.answer = said(200, body)
    with pytest.raises(StoreUnavailable, match="did not answer as Kubo does"):
        store.put(CID, DATA)


def test_a_daemons_error_is_told(store: KuboStore, peer: Peer) -> None:
    peer.answer = said(500, b'{"Message": "no space left on device", "Code": 0, "Type": "error"}')
    with pytest.raises(StoreUnavailable, match="no space left on device"):
        store.put_car(io.BytesIO(car_bytes([CID], [(CID, DATA)])))
    with pytest.raises(StoreUnavailable, match="refused"):
        store.has(CID)


@pytest.mark.parametrize(
    "message",
    [
        "block was not found locally (offline): ipld: could not find x",
        "ipld: could not find x",
        "context deadline exceeded",
    ],
)
def test_an_absent_block_is_missing(store: KuboStore, peer: Peer, message: str) -> None:
    peer.answer = said(500, b'{"Message": "%s", "Code": 0, "Type": "error"}' % message.encode())
    refused(store, BlockMissing, "cannot find")
    assert not store.has(CID)


def test_another_machine_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError, match="another machine"):
        KuboStore("http://192.0.2.1:5001")


def test_the_homes_settings_choose_the_store(home: Home, peer: Peer) -> None:
    assert isinstance(open_store(home), FolderStore)
    chosen = open_store(home.with_store(StoreSettings("kubo", peer.url)))
    assert isinstance(chosen, KuboStore)
    assert chosen.describe() == f"the Kubo daemon at {peer.url}"
    with pytest.raises(UsageError, match="another machine"):
        open_store(home.with_store(StoreSettings("kubo", "http://192.0.2.1:5001")))
    allowed = open_store(home.with_store(StoreSettings("kubo", "http://192.0.2.1:5001", allow_remote=True)))
    assert isinstance(allowed, KuboStore)
    with pytest.raises(ProvenanceError, match="a store we do not know"):
        open_store(home.with_store(StoreSettings("s3")))
