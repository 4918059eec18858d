"""Raw JSON-RPC over HTTP with the standard library: what a light reader needs of a node."""

from __future__ import annotations

import ipaddress
import itertools
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from provenance.canonical import parse_json
from provenance.errors import FormatError, LedgerUnavailable, UsageError

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class RpcError(Exception):
    """The node answered with an error object; never leaves `provenance.ledger`."""


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
    """Calls one node; no redirect is followed, and no proxy is used to reach this machine."""

    def __init__(self, url: str, *, allow_remote: bool = False) -> None:
        self.url = check_url(url, allow_remote=allow_remote)
        self._ids = itertools.count(1)
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_loopback(url):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, method: str, *parameters: Any) -> Any:
        """The result of a method; raises LedgerUnavailable, or RpcError if the node refused."""
        number = next(self._ids)
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                data = response.read(MAX_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise self.unavailable(f"HTTP status {error.code}") from error
        except (OSError, ValueError) as error:
            raise self.unavailable(str(getattr(error, "reason", error))) from error
        try:
            answer = parse_json(data, "the node's answer", limit=MAX_ANSWER_BYTES)
        except FormatError as error:
            raise self.unavailable(str(error.found)) from error
        if not isinstance(answer, dict) or answer.get("id") != number:
            raise self.unavailable("an answer to another question")
        if answer.get("error") is not None:
            raise RpcError(str(answer["error"])[:500])
        if "result" not in answer:
            raise self.unavailable("an answer without a result")
        return answer["result"]

    def unavailable(self, found: str) -> LedgerUnavailable:
        """The error to raise when the node does not answer properly."""
        return LedgerUnavailable(
            f"the node {origin(self.url)} gives no proper answer", found=found, fix="check that it runs, then try again"
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None
