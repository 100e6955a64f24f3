"""Sockets for httpx that apply one deadline to a whole exchange, headers included.

httpx bounds each single read and write. A server that sends one byte before each timeout could hold
a connection without limit, and with it a permit and the breaker.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

import httpcore
import httpx


class Deadline(threading.local):
    """The time by which the exchange of a thread must end."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = float("inf")

    @contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """Everything that the block sends and receives must end within these seconds."""
        self._at = self._clock() + seconds
        try:
            yield
        finally:
            self._at = float("inf")

    def has_passed(self) -> bool:
        """Whether the deadline has passed."""
        return self._clock() > self._at

    def left(self, timeout: float | None, error: type[Exception]) -> float | None:
        """The seconds that a call with this `timeout` may take; raises `error` if none are left."""
        left = self._at - self._clock()
        if left <= 0:
            raise error("the deadline has passed")
        return (
            min(left, timeout if timeout is not None else left) if left < float("inf") else timeout
        )


class _Backend(httpcore.SyncBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        stream = super().connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def bound(client: httpx.Client, deadline: Deadline) -> None:
    """Apply the deadline to all that a client sends and receives, also through proxies.

    httpx has no parameter for this; its base `httpcore` has.
    """
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = _Backend(deadline)
