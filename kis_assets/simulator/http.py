"""The simulator over HTTP: a Starlette app, a server in a thread, a transport without sockets.

All waiting is done here: `server` only says how long.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kis_assets.simulator.replies import Reply
from kis_assets.simulator.server import Simulator

_PIECES = 8
_CONNECTION = "simulator.connection"
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class _Application(Starlette):
    """Remembers the connection of a request, so that it can be torn."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle: Any = getattr(send, "__self__", None)
        scope[_CONNECTION] = getattr(cycle, "transport", None)
        await super().__call__(scope, receive, send)


def create_app(simulator: Simulator) -> Starlette:
    """The simulator as an ASGI application: every path of KIS and `/simulator/...`."""

    async def everything(request: Request) -> Response:
        arrived = simulator.monotonic()
        reply = await run_in_threadpool(
            simulator.handle,
            request.method,
            request.url.path,
            request.query_params.multi_items(),
            {name.lower(): value for name, value in request.headers.items()},
            await request.body(),
            arrived=arrived,
        )
        if reply.broken:
            connection: Any = request.scope[_CONNECTION]
            if connection is not None:
                connection.abort()
            return Response(status_code=503)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.drip:
            return StreamingResponse(_drip(reply), reply.status, reply.headers)
        return Response(reply.body, reply.status, reply.headers)

    return _Application(routes=[Route("/{path:path}", everything, methods=_METHODS)])


async def _drip(reply: Reply) -> AsyncIterator[bytes]:
    for piece in _pieces(reply.body):
        await asyncio.sleep(reply.drip)
        yield piece


def _pieces(body: bytes) -> Iterator[bytes]:
    size = max(1, -(-len(body) // _PIECES))
    for start in range(0, len(body), size):
        yield body[start : start + size]


@contextmanager
def serve(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> Generator[str]:
    """Run the simulator in a thread and give its base URL; port 0 takes any free one."""
    config = uvicorn.Config(
        create_app(simulator), lifespan="off", log_level="critical", access_log=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    # Listening before the thread runs: the first client waits instead of being refused.
    listener.listen(256)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="kis-simulator", daemon=True
    )
    thread.start()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


class InProcessTransport(httpx.BaseTransport):
    """Carries httpx requests to a simulator in the same process.

    A wait longer than the request's read timeout is not waited for: it is a `ReadTimeout` at once.
    """

    def __init__(self, simulator: Simulator, sleep: Callable[[float], None] = time.sleep) -> None:
        self._simulator, self._sleep = simulator, sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, or fail the way a network does."""
        reply = self._simulator.handle(
            request.method,
            request.url.path,
            request.url.params.multi_items(),
            {name.lower(): value for name, value in request.headers.items()},
            request.read(),
        )
        if reply.broken == "down":
            raise httpx.ConnectError("connection refused", request=request)
        if reply.broken:
            raise httpx.RemoteProtocolError(
                "Server disconnected without sending a response.", request=request
            )
        timeout: float | None = request.extensions.get("timeout", {}).get("read")
        wait = max(reply.delay, reply.drip)
        if wait and timeout is not None and wait >= timeout:
            raise httpx.ReadTimeout("timed out", request=request)
        if reply.delay or reply.drip:
            self._sleep(reply.delay + reply.drip * len(list(_pieces(reply.body))))
        return httpx.Response(
            reply.status, headers=reply.headers, content=reply.body, request=request
        )
