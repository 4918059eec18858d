"""Asks a soft binding resolution service for manifests; believes nothing of what it answers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from provenance.canonical import parse_json
from provenance.errors import FormatError
from provenance.faults import printable
from provenance.http.asking import Refused, Service
from provenance.resolution.binding import SoftBinding

MAX_ANSWER = 64 * 1024
MAX_MANIFEST = 16 * 1024**2
MAX_MATCHES = 10


class ResolutionClient:
    """One service by its base address.

    Only the watermark's value is sent, never the picture. Matches at another ``endpoint`` are not followed: whoever
    answers should not choose whom this machine speaks to.
    """

    def __init__(self, url: str, *, allow_remote: bool = False) -> None:
        risk = "it may know which watermark you ask about"
        self._service = Service(url, "resolution service", allow_remote=allow_remote, risk=risk)

    @property
    def url(self) -> str:
        """Its base address."""
        return self._service.url

    def by_binding(self, binding: SoftBinding) -> tuple[str, ...]:
        """Names of the manifests with a soft binding, as the service says; raises Unavailable."""
        question = urlencode({"alg": binding.algorithm, "value": binding.query, "maxResults": MAX_MATCHES})
        data = self._get(f"/matches/byBinding?{question}", MAX_ANSWER)
        try:
            answer = parse_json(data or b"", "the answer", limit=MAX_ANSWER)
        except FormatError as error:
            raise self._service.unavailable(error.what) from error
        match answer:
            case {"matches": [*matches]} if all(_is_match(each) for each in matches[:MAX_MATCHES]):
                return tuple(each["manifestId"] for each in matches[:MAX_MATCHES] if not each.get("endpoint"))
        raise self._service.unavailable("an answer without matches")

    def manifest(self, name: str) -> bytes | None:
        """The manifest store of a name, None when the service has none; raises Unavailable."""
        return self._get(f"/manifests/{quote(name, safe='')}", MAX_MANIFEST)

    def _get(self, path: str, limit: int) -> bytes | None:
        try:
            return self._service.send(path, limit)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise self._service.unavailable(f"{refused}{_title(refused.body)}") from refused


def _is_match(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("manifestId"), str) and len(value["manifestId"]) <= 200


def _title(body: bytes) -> str:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    title = problem.get("title") if isinstance(problem, dict) else None
    return f": {printable(title)[:200]}" if isinstance(title, str) else ""
