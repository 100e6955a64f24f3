"""The simulator over HTTP: a Starlette app, a server in a thread, a transport without sockets.

All waits are here: `server` only states their duration.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from kis_assets.security.http_guard import refusal
from kis_assets.simulator.server.realtime import PATH, Session
from kis_assets.simulator.server.replies import Reply
from kis_assets.simulator.server.server import SWITCHES, Simulator

TICK = 0.2
"""Seconds between two updates of the real-time feed."""
_PIECES = 8
_CONNECTION = "simulator.connection"
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class _Application(Starlette):
    """Remembers the connection of a request or a session, so that faults can break it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle: Any = getattr(send, "__self__", None)
        scope[_CONNECTION] = getattr(cycle, "transport", None)
        await super().__call__(scope, receive, send)


def create_app(simulator: Simulator, tick: float = TICK) -> Starlette:
    """The simulator as an ASGI application: every path of KIS and `/simulator/...`.

    The real-time feed sends every `tick` seconds what has happened since the last time.
    """

    async def everything(request: Request) -> Response:
        # KIS answers every client; the switches of the simulator do not.
        if request.url.path.startswith(SWITCHES) and (
            reason := refusal(request.method, request.headers)
        ):
            return Response(reason, 403)
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

    async def realtime(socket: WebSocket) -> None:
        connection: Any = socket.scope[_CONNECTION]
        if simulator.faults.first(("down", "reset"), socket.url.path):
            connection.abort()
            return
        await socket.accept()
        session = simulator.realtime.open()
        try:
            await _relay(session, socket, connection, tick)
        finally:
            session.close()

    routes = [
        WebSocketRoute(PATH, realtime),
        WebSocketRoute(PATH + "/{tr_id}", realtime),
        Route("/{path:path}", everything, methods=_METHODS),
    ]
    return _Application(routes=routes)


async def _relay(session: Session, socket: WebSocket, connection: Any, tick: float) -> None:
    """Pass messages between a session and its client until one of them ends it."""

    async def listen() -> None:
        with suppress(WebSocketDisconnect):
            while not session.is_over:
                for answer in session.hear(await socket.receive_text()):
                    await socket.send_text(answer)
            await socket.close()

    listening = asyncio.create_task(listen())
    try:
        while not (await asyncio.wait([listening], timeout=tick))[0]:
            frames = await run_in_threadpool(session.frames)
            if session.is_torn:
                connection.abort()
                return
            for frame in frames:
                await socket.send_text(frame)
    except WebSocketDisconnect:
        pass
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _drip(reply: Reply) -> AsyncIterator[bytes]:
    for piece in _pieces(reply.body):
        await asyncio.sleep(reply.drip)
        yield piece


def _pieces(body: bytes) -> Iterator[bytes]:
    size = max(1, -(-len(body) // _PIECES))
    for start in range(0, len(body), size):
        yield body[start : start + size]


@contextmanager
def serve(
    simulator: Simulator, port: int = 0, *, tick: float = TICK, host: str = "127.0.0.1"
) -> Generator[str]:
    """Run the simulator in a thread and yield its base URL; port 0 takes any free port."""
    config = uvicorn.Config(
        create_app(simulator, tick), lifespan="off", log_level="critical", access_log=False,
        timeout_graceful_shutdown=1, ws_ping_interval=None, date_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    # Listen before the thread runs: the first client waits instead of being refused.
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

    A delay longer than the request's read timeout raises `ReadTimeout` at once.
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
