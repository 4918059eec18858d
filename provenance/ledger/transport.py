"""One kept-alive HTTP connection that posts JSON and reads an answer of bounded size in bounded time.

No redirect is followed, and no proxy is used to reach this machine.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
CHUNK = 1 << 16
# What a server that closed an idle connection looks like from here.
STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.CannotSendRequest)


class HttpPost:
    """Posts to one address; not for use by two threads at once."""

    def __init__(self, url: str, *, use_proxy: bool, seconds: float | None = None) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._parts = urlsplit(url)
        self._seconds = TIMEOUT_SECONDS if seconds is None else seconds
        self._proxy = _proxy_for(self._parts) if use_proxy else None

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and content of the answer; raises OSError (a TimeoutError past the deadline) or HTTPException.

        A connection that the server closed while it was idle is opened once more: what we send may be sent twice.
        """
        if self._connection is not None:
            try:
                return self._exchange(self._connection, body)
            except STALE:
                self.close()
        self._connection = self._connect()
        return self._exchange(self._connection, body)

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        # Whoever asked one question and left has no reason to know that a connection was kept.
        self.close()

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
        deadline = time.monotonic() + self._seconds
        try:
            connection.timeout = self._seconds
            if connection.sock is not None:
                connection.sock.settimeout(self._seconds)
            connection.request("POST", self._target(), body, {"Content-Type": "application/json"})
            connection.response_class = _response_class(deadline)
            with connection.getresponse() as response:
                return response.status, _read(response, deadline)
        except BaseException:
            # Half an answer may be left in it.
            self.close()
            raise

    def _connect(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        secure = self._parts.scheme == "https"
        if self._proxy is None:
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            return kind(host, port, timeout=self._seconds)
        proxy_host, proxy_port = str(self._proxy.hostname), self._proxy.port
        if not secure:
            return http.client.HTTPConnection(proxy_host, proxy_port, timeout=self._seconds)
        connection = http.client.HTTPSConnection(proxy_host, proxy_port, timeout=self._seconds)
        connection.set_tunnel(host, port)
        return connection

    def _target(self) -> str:
        path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        if self._proxy is not None and self._parts.scheme == "http":
            return f"http://{self._parts.netloc}{path}"
        return path


class _TimedSocket:
    """A socket whose answer must be complete by a deadline: a timeout alone lets a byte every 29 seconds pass."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedFile(self._sock, self._sock.makefile(mode, buffering=0), self._deadline))


class _TimedFile(io.RawIOBase):
    def __init__(self, sock: Any, raw: Any, deadline: float) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _response_class(deadline: float) -> Any:
    def make(sock: Any, *arguments: Any, **options: Any) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(_TimedSocket(sock, deadline), *arguments, **options)  # type: ignore[arg-type]

    return make


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := response.read(CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise OSError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("timed out")
    return b"".join(parts)


def _proxy_for(parts: SplitResult) -> SplitResult | None:
    from urllib.request import getproxies, proxy_bypass

    found = getproxies().get(parts.scheme)
    if not found or proxy_bypass(str(parts.hostname)):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")
