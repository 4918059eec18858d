"""The key service over HTTP: two questions, problem details (RFC 9457) for every refusal."""

from __future__ import annotations

import asyncio
import math
import socket

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from provenance.errors import UsageError
from provenance.keyservice.desk import MAX_BODY, KeyDesk
from provenance.keyservice.refusal import Refusal
from provenance.ledger.jsonrpc import is_loopback

BODY_SECONDS = 10.0
CONNECTIONS = 64


def create_app(desk: KeyDesk) -> FastAPI:
    """The ASGI application over a desk; it serves no pages, no schema and no more than asked."""
    app = FastAPI(title="prov keys", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/v1/challenge")
    async def challenge(request: Request) -> Response:
        asked = request.query_params
        if sorted(key for key, _ in asked.multi_items()) != ["account", "token"]:
            raise Refusal("malformed-request", "the question is malformed", expected="?account=0x…&token=NUMBER")
        issued = await run_in_threadpool(desk.challenge, asked["account"], asked["token"], _peer(request))
        return _json(issued.typed_data())

    @app.post("/v1/release")
    async def release(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal("not-json", "the request is not JSON", expected="Content-Type: application/json")
        body = await _body(request)
        wrapped = await run_in_threadpool(desk.release, body, _peer(request))
        return _json(wrapped.to_json())

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        return _problem(refusal)

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        kind = "method-not-allowed" if error.status_code == 405 else "not-found"
        return _problem(Refusal(kind, "there is nothing here", expected="GET /v1/challenge or POST /v1/release"))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        # Starlette raises it again for the server to log; the peer learns nothing of it.
        return _problem(Refusal("internal", "the service failed; no key was released"))

    return app


def listen(host: str, port: int, *, allow_remote: bool = False) -> socket.socket:
    """A listening socket, on this machine only unless allowed; port 0 picks a free one. Raises UsageError."""
    if not allow_remote and not is_loopback(f"http://{f'[{host}]' if ':' in host else host}"):
        raise UsageError(
            f"{host} is reached from other machines",
            expected="127.0.0.1, ::1 or localhost",
            fix="put a proxy with TLS in front of it, or allow it with --allow-remote",
        )
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"{host} port {port} cannot be listened on", found=str(error)) from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(CONNECTIONS)
    except OSError as error:
        opened.close()
        raise UsageError(
            f"{host} port {port} cannot be listened on", found=str(error), fix="choose another --port"
        ) from error
    return opened


def make_server(desk: KeyDesk) -> uvicorn.Server:
    """The HTTP server; ``run(sockets=[listen(…)])`` serves until it is interrupted."""
    config = uvicorn.Config(
        create_app(desk),
        access_log=False,
        h11_max_incomplete_event_size=16 * 1024,
        http="h11",
        limit_concurrency=CONNECTIONS,
        log_level="warning",
        # Whoever could set the peer's address in a header could have as many as they like.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        ws="none",
    )
    return uvicorn.Server(config)


async def _body(request: Request) -> bytes:
    body = b""
    too_large = Refusal("too-large", "the request is too large", expected=f"at most {MAX_BODY} bytes")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    raise too_large
    except TimeoutError as error:
        raise Refusal("request-timeout", "the request did not arrive in time") from error
    return body


def _peer(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _json(value: object) -> Response:
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


def _problem(refusal: Refusal) -> Response:
    headers = {"Cache-Control": "no-store"}
    if refusal.wait:
        headers["Retry-After"] = str(math.ceil(refusal.wait))
    return JSONResponse(refusal.to_json(), refusal.status, headers, "application/problem+json")
