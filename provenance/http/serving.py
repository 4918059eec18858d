"""Serving over HTTP: a socket on this machine, bounded bodies, answers that nobody caches, and no log of requests."""

from __future__ import annotations

import asyncio
import math
import socket

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from provenance.errors import UsageError
from provenance.http.problem import Problem
from provenance.ledger.jsonrpc import is_loopback

CONNECTIONS = 64


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


def make_server(app: FastAPI) -> uvicorn.Server:
    """The HTTP server of an application; ``run(sockets=[listen(…)])`` serves until it is interrupted."""
    config = uvicorn.Config(
        app,
        access_log=False,
        h11_max_incomplete_event_size=16 * 1024,
        http="h11",
        limit_concurrency=CONNECTIONS,
        log_level="warning",
        # Whoever could set the peer's address in a header could have as many as they like.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=5,
        ws="none",
    )
    return uvicorn.Server(config)


async def read_body(request: Request, limit: int, seconds: float, problem: type[Problem]) -> bytes:
    """The body of a request; raises ``problem`` of kind too-large or request-timeout."""
    too_large = problem("too-large", "the request is too large", expected=f"at most {limit} bytes")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated[:12]) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        raise problem("request-timeout", "the request did not arrive in time") from error
    return bytes(body)


def media_type(request: Request) -> str:
    """The body's media type as the request states it, without parameters."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


def peer(request: Request) -> str:
    """The address that asks."""
    return request.client.host if request.client else "unknown"


def json_answer(value: object) -> Response:
    """An answer of JSON that is not to be cached."""
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


def problem_answer(problem: Problem) -> Response:
    """A refusal as problem details, with Retry-After where coming again helps."""
    headers = {"Cache-Control": "no-store"}
    if problem.wait:
        headers["Retry-After"] = str(math.ceil(problem.wait))
    return JSONResponse(problem.to_json(), problem.status, headers, "application/problem+json")
