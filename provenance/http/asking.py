"""Asking a service over HTTP: its address is checked, no redirect is followed, answers are bounded."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from provenance.errors import Unavailable, UsageError
from provenance.ledger.jsonrpc import is_loopback

TIMEOUT_SECONDS = 30.0
MAX_REFUSAL = 64 * 1024


class Refused(Exception):
    """An answer with an HTTP status that is no success, and at most 64 KiB of its body."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.body = body


class Service:
    """One service by its base address; no proxy is used for this machine.

    ``kind`` is what it is called, as in "the key service". A service elsewhere is only asked over https and with
    ``allow_remote``; ``risk`` says what one should then be content with. Raises UsageError for any other address.
    """

    def __init__(self, url: str, kind: str, *, allow_remote: bool, risk: str) -> None:
        self.url = _checked(url, kind, allow_remote, risk)
        self._kind = kind
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_loopback(url):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, path: str, limit: int, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        """The answer's body; raises Refused for another status than success, and Unavailable for no proper answer."""
        try:
            request = urllib.request.Request(f"{self.url}{path}", body, headers or {})
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                data = bytes(response.read(limit + 1))
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, error.read(MAX_REFUSAL)) from error
        except (OSError, ValueError) as error:
            raise self.unavailable(str(getattr(error, "reason", error))) from error
        if len(data) > limit:
            raise self.unavailable(f"an answer of more than {limit} bytes")
        return data

    def unavailable(self, found: str) -> Unavailable:
        """What to raise for an answer that is none."""
        return Unavailable(
            f"the {self._kind} {self.url} gives no proper answer",
            found=found,
            fix="check the address, and that it runs; then try again",
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def _checked(url: str, kind: str, allow_remote: bool, risk: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        good = good and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{url!r} is not the address of a {kind}", expected="http://HOST:PORT or https://HOST")
    if not is_loopback(url) and not (allow_remote and parts.scheme == "https"):
        raise UsageError(
            f"{parts.hostname} is not on this machine",
            expected="a service on 127.0.0.1, or https:// with --allow-remote",
            fix=f"add --allow-remote if {risk}",
        )
    return url.rstrip("/")
