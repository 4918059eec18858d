"""Asks a key service for a licensee's key; believes nothing of what it answers."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

from provenance.canonical import Json, canonical_json, parse_json
from provenance.errors import FormatError, KeyRefused, Unavailable
from provenance.faults import printable
from provenance.home import Home
from provenance.http.asking import Refused, Service
from provenance.keyservice.challenge import Challenge
from provenance.ledger.protocol import LedgerReader, Token
from provenance.sealing.handover import KeyHolder
from provenance.sealing.weights import accept_key
from provenance.sealing.wrapping import WrappedKey
from provenance.unixfs import BlockSource

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
    """One key service; answers are bounded and read as JSON."""

    def __init__(self, url: str, *, allow_remote: bool = False) -> None:
        risk = "you trust it to know that you ask, or tunnel to it with ssh -L"
        self._service = Service(url, "key service", allow_remote=allow_remote, risk=risk)

    def get(self, path: str, **question: str) -> Any:
        """Asks; raises KeyRefused or Unavailable."""
        return self._send(f"{path}?{urlencode(question)}")

    def post(self, path: str, value: Json) -> Any:
        """Sends JSON; raises KeyRefused or Unavailable."""
        return self._send(path, canonical_json(value), {"Content-Type": "application/json"})

    def _send(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        try:
            return self._parse(self._service.send(path, MAX_ANSWER, body, headers))
        except Refused as refused:
            raise self._refusal(refused) from refused

    def _refusal(self, refused: Refused) -> Exception:
        problem = self._parse(refused.body)
        match problem:
            case {"title": str(title), "type": str(kind)} if kind.startswith("urn:prov:problem:"):
                said = {name: _shown(problem.get(name)) for name in ("expected", "found", "fix")}
                refusal = Unavailable if refused.status >= 500 else KeyRefused
                return refusal(f"the key service refuses: {_shown(title)}", **said)
        return self._service.unavailable(f"HTTP status {refused.status}")

    def _parse(self, data: bytes) -> Any:
        try:
            return parse_json(data, "the key service's answer", limit=MAX_ANSWER)
        except FormatError as error:
            raise self._service.unavailable(error.what) from error


def _shown(text: Any) -> str | None:
    return printable(text[:500]) if isinstance(text, str) else None
