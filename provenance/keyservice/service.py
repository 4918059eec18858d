"""The key service over HTTP: two questions, problem details (RFC 9457) for every refusal."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from provenance.http.serving import json_answer, media_type, peer, problem_answer, read_body
from provenance.keyservice.desk import MAX_BODY, KeyDesk
from provenance.keyservice.refusal import Refusal

BODY_SECONDS = 10.0


def create_app(desk: KeyDesk) -> FastAPI:
    """The ASGI application over a desk; it serves no pages, no schema and no more than asked."""
    app = FastAPI(title="prov keys", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/v1/challenge")
    async def challenge(request: Request) -> Response:
        asked = request.query_params
        if sorted(key for key, _ in asked.multi_items()) != ["account", "token"]:
            raise Refusal("malformed-request", "the question is malformed", expected="?account=0x…&token=NUMBER")
        issued = await run_in_threadpool(desk.challenge, asked["account"], asked["token"], peer(request))
        return json_answer(issued.typed_data())

    @app.post("/v1/release")
    async def release(request: Request) -> Response:
        if media_type(request) != "application/json":
            raise Refusal("not-json", "the request is not JSON", expected="Content-Type: application/json")
        body = await read_body(request, MAX_BODY, BODY_SECONDS, Refusal)
        wrapped = await run_in_threadpool(desk.release, body, peer(request))
        return json_answer(wrapped.to_json())

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        return problem_answer(refusal)

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        kind = "method-not-allowed" if error.status_code == 405 else "not-found"
        return problem_answer(Refusal(kind, "there is nothing here", expected="GET /v1/challenge or POST /v1/release"))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        # Starlette raises it again for the server to log; the peer learns nothing of it.
        return problem_answer(Refusal("internal", "the service failed; no key was released"))

    return app
