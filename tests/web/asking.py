"""Questions to a resolution service over plain HTTP, without any client of ours."""

from __future__ import annotations

import base64
import http.client
import io
import json
from typing import Any
from urllib.parse import urlencode

import c2pa

from provenance.credentials import soft_binding_algorithm
from safety.watermark.backend import DEFAULT_BACKEND
from tests.web.resolution_world import ResolutionWorld

ALGORITHM = soft_binding_algorithm(DEFAULT_BACKEND)
PROBLEM = "application/problem+json"


def ask(
    url: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def binding_query(value: str, algorithm: str = ALGORITHM, **more: str) -> str:
    return "/matches/byBinding?" + urlencode({"alg": algorithm, "value": value, **more})


def in_base64(payload: str) -> str:
    return base64.b64encode(payload.encode()).decode()


def matches(url: str, path: str, **request: Any) -> list[dict[str, Any]]:
    status, body, headers = ask(url, request.pop("method", "GET"), path, **request)
    assert status == 200, body
    assert headers["content-type"] == "application/json"
    answer = json.loads(body)
    assert set(answer) == {"matches"}
    return answer["matches"]


def name_of(url: str, world: ResolutionWorld, image: str) -> str:
    (match,) = matches(url, binding_query(in_base64(world.payload(image))))
    assert set(match) == {"manifestId"}
    return match["manifestId"]


def by_content(url: str, data: bytes, media_type: str = "image/jpeg", query: str = "") -> list[dict[str, Any]]:
    return matches(url, f"/matches/byContent{query}", method="POST", body=data, Content_Type=media_type)


def problem(answer: tuple[int, bytes, http.client.HTTPMessage]) -> tuple[int, str]:
    status, body, headers = answer
    assert headers["content-type"] == PROBLEM, body
    value = json.loads(body)
    assert value["status"] == status
    assert value["title"]
    return status, value["type"].removeprefix("urn:prov:problem:")


def active_label(manifest: bytes) -> str:
    """What the C2PA library alone says."""
    with c2pa.Context() as context, c2pa.Reader("application/c2pa", io.BytesIO(manifest), context=context) as reader:
        return json.loads(reader.json())["active_manifest"]
