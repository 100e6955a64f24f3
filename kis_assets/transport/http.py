"""HTTP: one exchange with KIS, bounded in time and size, with named failures.

This module does not interpret answers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx
import msgspec

from kis_assets.errors import ServiceUnavailable
from kis_assets.transport import network
from kis_assets.transport.deadline import Deadline, bound

CONNECTIONS = 100
"""Most concurrent requests of a process, each on a connection that stays open."""
LONGEST_ANSWER = 2**20
"""Most bytes of an answer about a stock, unpacked; KIS's longest have about ten thousand."""
LONGEST_FILE = 8 * 2**20
"""Most bytes of a list of a whole market or of a file, unpacked; the longest have a million."""


class _Refused(httpx.TransportError):
    """An answer that we stop receiving. Its text is our own, so it is safe to show."""


class Wire:
    """One pool of connections for a process; thread-safe."""

    def __init__(
        self,
        timeout: float,
        *,
        clock: Callable[[], float],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._timeout = timeout
        self._deadline = Deadline(clock)
        self._http = network.client(
            transport=transport,
            headers={"accept-encoding": "gzip"},
            # Cookies of a server must not go into later requests.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(timeout),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            follow_redirects=False,
        )
        bound(self._http, self._deadline)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def receive(
        self, name: str, method: str, url: str, *, longest: int = LONGEST_ANSWER, **request: Any
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers. The timeout bounds the whole exchange, also of a slow server.

        `longest` bounds the body in bytes, both packed and unpacked.

        Raises:
            ServiceUnavailable: the server cannot be reached, breaks off, or sends without end.
        """
        try:
            with (
                self._deadline.within(self._timeout),
                self._http.stream(method, url, **request) as response,
            ):
                return response.status_code, self._body(response, longest), response.headers
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            # The text of other errors is left out: it may hold parts of the request.
            ours = str(error) if isinstance(error, _Refused) else ""
            raise ServiceUnavailable(
                f"{_host(url)} "
                + (ours or f"cannot be reached or broke off: {type(error).__name__}")
                + network.hint(url, error),
                endpoint=name,
                passing=True,
                is_outage=True,
                never_sent=never_sent,
            ) from None

    def _body(self, response: httpx.Response, longest: int) -> bytes:
        """The body, unpacked up to a limit: httpx would unpack any number of layers completely."""
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise _Refused("compresses its answer in a way that was not requested")
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in encoding else None
        content, received = bytearray(), 0
        for piece in cast("Iterable[bytes]", response.stream):
            received += len(piece)
            if unpacking is not None:
                try:
                    piece = unpacking.decompress(piece, longest + 1 - len(content))
                except zlib.error:
                    raise httpx.DecodingError("damaged") from None
            content += piece
            if max(received, len(content)) > longest:
                raise _Refused(f"sends an answer longer than {longest:,} bytes")
            if self._deadline.has_passed():
                raise httpx.ReadTimeout("the answer drips")
        if unpacking is not None and received and not unpacking.eof:
            raise httpx.DecodingError("cut")
        return bytes(content)


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host
    except httpx.InvalidURL:
        return "the address"


def envelope(content: bytes, status: int) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        ServiceUnavailable: the answer is anything else, which is a gateway failure.
    """
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if isinstance(body, dict):
        return body
    kind = (
        "an empty body"
        if not content.strip()
        else "a page"
        if content.lstrip()[:1] == b"<"
        else "no JSON"
    )
    raise ServiceUnavailable(
        f"the server answered with {kind}", status=status, passing=True, is_outage=True
    )


def stated_at(headers: Mapping[str, str]) -> datetime | None:
    """The time in an answer's `Date` header; None if it cannot be read."""
    try:
        stated = parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, OverflowError):
        return None
    return stated.replace(tzinfo=stated.tzinfo or UTC)
