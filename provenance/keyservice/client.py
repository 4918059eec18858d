"""Asks a key service for a licensee's key; believes nothing of what it answers."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode, urlsplit

from provenance.canonical import Json, canonical_json, parse_json
from provenance.errors import FormatError, KeyRefused, Unavailable, UsageError
from provenance.home import Home
from provenance.keyservice.challenge import Challenge
from provenance.ledger.jsonrpc import is_loopback
from provenance.ledger.protocol import LedgerReader, Token
from provenance.sealing.handover import KeyHolder
from provenance.sealing.weights import accept_key
from provenance.sealing.wrapping import WrappedKey
from provenance.unixfs import BlockSource

TIMEOUT_SECONDS = 30.0
MAX_ANSWER = 64 * 1024
MAX_LIFETIME = 3600
"""Seconds; a challenge that lives longer is not a challenge of ours."""


def fetch_key(
    url: str,
    token: int,
    *,
    home: Home,
    reader: LedgerReader,
    store: BlockSource,
    account: KeyHolder,
    allow_remote: bool = False,
) -> Token:
    """Proves to a service who asks, and keeps the key it gives; returns the token.

    What is signed is made here from the ledger of this home, never taken over. Raises UsageError, Unavailable,
    KeyRefused with the service's reason, or SealRefused for a key that does not fit the release.
    """
    service = KeyClient(url, allow_remote=allow_remote)
    found = reader.token(token)
    challenge = Challenge.parse(service.get("/v1/challenge", account=account.address, token=str(token)))
    expected = (reader.identity.chain_id, reader.identity.contract, account.address, token)
    if (challenge.chain_id, challenge.contract, challenge.account, challenge.token) != expected:
        raise KeyRefused("the service asks for a signature about something else", fix="do not use this service")
    if not 0 < challenge.expires_at - challenge.issued_at <= MAX_LIFETIME or challenge.expires_at < time.time() - 3600:
        raise KeyRefused("the service's challenge has no sensible life", fix="check the clocks of both machines")
    answer = {"challenge": challenge.typed_data(), "signature": challenge.sign(account.private_key)}
    wrapped = WrappedKey.of_value(service.post("/v1/release", answer), "the service's answer")
    if wrapped.weights != found.weights:
        raise KeyRefused("the service gave the key of another adapter", expected=found.weights, found=wrapped.weights)
    return accept_key(home, reader, store, wrapped, account)


class KeyClient:
    """One service; no redirect is followed, no proxy is used for this machine, answers are bounded."""

    def __init__(self, url: str, *, allow_remote: bool = False) -> None:
        self._url = _check_url(url, allow_remote)
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_loopback(url):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, **question: str) -> Any:
        """Asks; raises KeyRefused or Unavailable."""
        return self._send(urllib.request.Request(f"{self._url}{path}?{urlencode(question)}"))

    def post(self, path: str, value: Json) -> Any:
        """Sends JSON; raises KeyRefused or Unavailable."""
        body, headers = canonical_json(value), {"Content-Type": "application/json"}
        return self._send(urllib.request.Request(f"{self._url}{path}", body, headers))

    def _send(self, request: urllib.request.Request) -> Any:
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return self._parse(response.read(MAX_ANSWER + 1))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, ValueError) as error:
            raise self._unavailable(str(getattr(error, "reason", error))) from error

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        problem = self._parse(error.read(MAX_ANSWER + 1))
        match problem:
            case {"title": str(title), "type": str(kind)} if kind.startswith("urn:prov:problem:"):
                said = {name: _printable(problem.get(name)) for name in ("expected", "found", "fix")}
                refusal = Unavailable if error.code >= 500 else KeyRefused
                return refusal(f"the key service refuses: {_printable(title)}", **said)
        return self._unavailable(f"HTTP status {error.code}")

    def _parse(self, data: bytes) -> Any:
        try:
            return parse_json(data, "the key service's answer", limit=MAX_ANSWER)
        except FormatError as error:
            raise self._unavailable(error.what) from error

    def _unavailable(self, found: str) -> Unavailable:
        return Unavailable(
            f"the key service {self._url} gives no proper answer",
            found=found,
            fix="check the address, and that it runs; then try again",
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def _check_url(url: str, allow_remote: bool) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        good = good and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{url!r} is not the address of a key service", expected="http://HOST:PORT or https://HOST")
    if not is_loopback(url) and not (allow_remote and parts.scheme == "https"):
        raise UsageError(
            f"{parts.hostname} is not on this machine",
            expected="a service on 127.0.0.1, or https:// with --allow-remote",
            fix="add --allow-remote if you trust it to know that you ask, or tunnel to it with ssh -L",
        )
    return url.rstrip("/")


def _printable(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    return "".join(character if character.isprintable() else "?" for character in text[:500])
