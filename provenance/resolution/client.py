"""Asks a soft binding resolution service for manifests; believes nothing of what it answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from provenance.canonical import parse_json
from provenance.errors import FormatError, Unavailable, UsageError
from provenance.faults import printable
from provenance.ledger.jsonrpc import is_loopback
from provenance.resolution.binding import SoftBinding

TIMEOUT_SECONDS = 30.0
MAX_ANSWER = 64 * 1024
MAX_MANIFEST = 16 * 1024**2
MAX_MATCHES = 10


class ResolutionClient:
    """One service by its base address; no redirect is followed, no proxy is used for this machine, answers are bounded.

    Only the watermark's value is sent, never the picture. Matches at another ``endpoint`` are not followed: whoever
    answers should not choose whom this machine speaks to.
    """

    def __init__(self, url: str, *, allow_remote: bool = False) -> None:
        self.url = _check_url(url, allow_remote)
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_loopback(url):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def by_binding(self, binding: SoftBinding) -> tuple[str, ...]:
        """Names of the manifests with a soft binding, as the service says; raises Unavailable."""
        question = urlencode({"alg": binding.algorithm, "value": binding.query, "maxResults": MAX_MATCHES})
        data = self._get(f"/matches/byBinding?{question}", MAX_ANSWER)
        try:
            answer = parse_json(data or b"", "the answer", limit=MAX_ANSWER)
        except FormatError as error:
            raise self._unavailable(error.what) from error
        match answer:
            case {"matches": [*matches]} if all(_is_match(each) for each in matches[:MAX_MATCHES]):
                return tuple(each["manifestId"] for each in matches[:MAX_MATCHES] if not each.get("endpoint"))
        raise self._unavailable("an answer without matches")

    def manifest(self, name: str) -> bytes | None:
        """The manifest store of a name, None when the service has none; raises Unavailable."""
        return self._get(f"/manifests/{quote(name, safe='')}", MAX_MANIFEST)

    def _get(self, path: str, limit: int) -> bytes | None:
        try:
            with self._opener.open(f"{self.url}{path}", timeout=TIMEOUT_SECONDS) as response:
                data = bytes(response.read(limit + 1))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise self._unavailable(f"HTTP status {error.code}{_title(error.read(MAX_ANSWER))}") from error
        except (OSError, ValueError) as error:
            raise self._unavailable(str(getattr(error, "reason", error))) from error
        if len(data) > limit:
            raise self._unavailable(f"an answer of more than {limit} bytes")
        return data

    def _unavailable(self, found: str) -> Unavailable:
        return Unavailable(
            f"the resolution service {self.url} gives no proper answer",
            found=found,
            fix="check the address, and that it runs; then try again",
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def _is_match(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("manifestId"), str) and len(value["manifestId"]) <= 200


def _title(body: bytes) -> str:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    title = problem.get("title") if isinstance(problem, dict) else None
    return f": {printable(title)[:200]}" if isinstance(title, str) else ""


def _check_url(url: str, allow_remote: bool) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        good = good and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"{url!r} is not the address of a resolution service", expected="http://HOST:PORT or https://HOST"
        )
    if not is_loopback(url) and not (allow_remote and parts.scheme == "https"):
        raise UsageError(
            f"{parts.hostname} is not on this machine",
            expected="a service on 127.0.0.1, or https:// with --allow-remote",
            fix="add --allow-remote if it may know which watermark you ask about",
        )
    return url.rstrip("/")
