"""`ipfshttpclient` as it can be used today: constructed directly, on a session that trusts nobody.

`ipfshttpclient.connect()` refuses every Kubo since 0.8. Its own session makes urllib3 2 warn on each request, takes
proxies from the environment, follows redirects and reads answers of any length into memory. This one does not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from provenance.stores.address import RpcAddress
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES

CONNECT_SECONDS = 5.0
MAX_ANSWER_BYTES = MAX_BLOCK_BYTES
"""The longest answer is a block."""
PIECE_BYTES = 64 * 1024


class Unbelievable(Exception):
    """An answer no daemon gives: too long, or sent too slowly."""


def open_client(address: RpcAddress, timeout: float) -> Any:
    """An `ipfshttpclient` client with a session open; ``timeout`` is seconds from the answer's start to its end."""
    import ipfshttpclient
    import requests

    class Adapter(requests.adapters.HTTPAdapter):
        """Bounds every answer, whatever its status and encoding, before anything reads it."""

        def send(self, *arguments: Any, **options: Any) -> Any:
            response = super().send(*arguments, **options)
            response.raw = _Bounded(response.raw, time.monotonic() + timeout)
            return response

    client = ipfshttpclient.Client(address.multiaddr, timeout=(CONNECT_SECONDS, timeout))._client
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.headers["Accept-Encoding"] = "identity"
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter())
    client._session = session
    return client


@contextmanager
def shallow_parsing() -> Iterator[None]:
    """Lets nested JSON end in a RecursionError while the client parses answers.

    Libraries for Ethereum raise the interpreter's limit so far that the C stack would overflow first.
    """
    limit, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(min(limit, depth + 1000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


class _Bounded:
    """A response's body that ends, one way or the other; it gives what has arrived, so that a trickle is noticed."""

    def __init__(self, raw: Any, deadline: float) -> None:
        self._raw = raw
        self._deadline = deadline
        self._left = MAX_ANSWER_BYTES

    def read(self, amount: int | None = None) -> bytes:
        part: bytes = self._raw.read1(PIECE_BYTES if amount is None else min(amount, PIECE_BYTES))
        self._left -= len(part)
        if self._left < 0:
            raise Unbelievable(f"more than {MAX_ANSWER_BYTES} bytes")
        if part and time.monotonic() > self._deadline:
            raise Unbelievable("an answer that does not end in time")
        return part

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()
