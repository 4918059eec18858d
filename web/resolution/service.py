"""The resolution service over HTTP: the C2PA Soft Binding Resolution API, with problem details for every refusal.

Paths, fields, media types and status codes are those of the OpenAPI document in Soft Binding API 2.2, section 1.4; the
reading part is the same up to 2.4. The storing part of later versions is not offered: records come from this home and
its ledger. No OAuth is asked for, since manifests that are handed out are public.
"""

from __future__ import annotations

import asyncio
import re

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from provenance.canonical import parse_json, sha256_hex
from provenance.credentials import STORE_TYPE
from provenance.errors import FormatError
from provenance.http.serving import json_answer, media_type, peer, problem_answer, read_body
from provenance.images import MEDIA_TYPES
from web.resolution.desk import ResolutionDesk
from web.resolution.problem import Problem

MAX_QUERY = 2048
MAX_JSON = 16 * 1024
MAX_UPLOAD = 32 * 1024**2
BODY_SECONDS = 30.0
UPLOADS = 4
"""Pictures received and read at once; each may take 32 MiB as a file and much more as pixels."""

DEFAULT_RESULTS, MOST_RESULTS = 10, 1000

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def create_app(desk: ResolutionDesk) -> FastAPI:
    """The ASGI application over a desk; it serves no pages, no schema and no more than asked."""
    app = FastAPI(title="prov resolve", openapi_url=None, docs_url=None, redoc_url=None)
    uploading = asyncio.Semaphore(UPLOADS)

    @app.get("/services/supportedAlgorithms")
    async def supported_algorithms(request: Request) -> Response:
        desk.admit(peer(request))
        return json_answer(desk.algorithms())

    @app.get("/matches/byBinding")
    async def query_by_binding(request: Request) -> Response:
        desk.admit(peer(request))
        if len(request.url.query) > MAX_QUERY:
            raise Problem("query-too-long", "the query is too long", fix="send it with POST")
        asked = (_asked(request, "alg"), _asked(request, "value"), _most(request))
        return json_answer(await run_in_threadpool(desk.by_binding, *asked))

    @app.post("/matches/byBinding")
    async def query_by_large_binding(request: Request) -> Response:
        desk.admit(peer(request))
        _require_type(request, ("application/json",))
        algorithm, value = _query(await read_body(request, MAX_JSON, BODY_SECONDS, Problem))
        return json_answer(await run_in_threadpool(desk.by_binding, algorithm, value, _most(request)))

    @app.post("/matches/byContent")
    async def upload_file(request: Request) -> Response:
        desk.admit(peer(request), upload=True)
        _require_type(request, tuple(MEDIA_TYPES.values()))
        algorithm, most = _optional(request, "alg"), _most(request)
        if uploading.locked():
            raise Problem("busy", "too many pictures are being read", wait=5)
        async with uploading:
            data = await read_body(request, MAX_UPLOAD, BODY_SECONDS, Problem)
            return json_answer(await run_in_threadpool(desk.by_content, data, algorithm, most))

    @app.get("/manifests/{name}")
    async def get_manifest_by_id(name: str, request: Request) -> Response:
        desk.admit(peer(request))
        only_active = _optional(request, "returnActiveManifest") or "false"
        if only_active not in ("true", "false"):
            raise Problem("malformed-request", "returnActiveManifest is malformed", expected="true or false")
        manifest = await run_in_threadpool(desk.manifest, name, only_active=only_active == "true")
        headers = {
            "Cache-Control": "no-cache",
            "ETag": f'"{sha256_hex(manifest)}"',
            "X-Content-Type-Options": "nosniff",
        }
        return Response(manifest, 200, headers, STORE_TYPE)

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        return problem_answer(problem)

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        kind = "method-not-allowed" if error.status_code == 405 else "not-found"
        return problem_answer(
            Problem(
                kind,
                "there is nothing here",
                expected="/matches/byBinding, /matches/byContent, /manifests/NAME or /services/supportedAlgorithms",
            )
        )

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        # Starlette raises it again for the server to log; the peer learns nothing of it.
        return problem_answer(Problem("internal", "the service failed"))

    return app


def _query(body: bytes) -> tuple[str, str]:
    try:
        value = parse_json(body, "the query", limit=MAX_JSON)
    except FormatError as error:
        raise Problem.of("malformed-request", error) from error
    match value:
        case {"alg": str(algorithm), "value": str(binding)}:
            return algorithm, binding
    raise Problem("malformed-request", "the query is malformed", expected='{"alg": "…", "value": "base64"}')


def _asked(request: Request, name: str) -> str:
    value = _optional(request, name)
    if value is None:
        raise Problem("malformed-request", f"the query has no {name}", expected="?alg=ALGORITHM&value=BASE64")
    return value


def _optional(request: Request, name: str) -> str | None:
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise Problem("malformed-request", f"the query has {len(values)} times {name}", expected="once")
    return values[0] if values else None


def _most(request: Request) -> int:
    text = _optional(request, "maxResults")
    if text is None:
        return DEFAULT_RESULTS
    if not _NUMBER.fullmatch(text):
        raise Problem("malformed-request", "maxResults is malformed", expected="a number of 1 or more")
    return min(int(text), MOST_RESULTS)


def _require_type(request: Request, allowed: tuple[str, ...]) -> None:
    if media_type(request) not in allowed:
        raise Problem(
            "media-type-unsupported", "the body is of a type that is not read here", expected=" or ".join(allowed)
        )
