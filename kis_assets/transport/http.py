"""HTTP: one exchange with KIS, bounded in time and size, its failures named.

What an answer means is not known here.
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

CONNECTIONS = 20
LONGEST_ANSWER = 2**20
"""Bytes of an answer about a stock, unpacked; KIS's longest have some ten thousand."""
LONGEST_FILE = 8 * 2**20
"""Bytes of a list of a whole market, unpacked, or of a file; the longest have about one million."""


class _Refused(httpx.TransportError):
    """An answer that is not received to its end. Its text is ours, and safe to show."""


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
            # A server is not to leave anything behind in what is sent later.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(timeout),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=10),
            follow_redirects=False,
        )
        bound(self._http, self._deadline)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def receive(
        self, name: str, method: str, url: str, *, longest: int = LONGEST_ANSWER, **request: Any
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers. The timeout bounds the whole exchange, a slow drip included.

        `longest` bounds the body in bytes, as it comes and unpacked.

        Raises:
            ServiceUnavailable: the server cannot be reached, broke off, or does not end.
        """
        try:
            with (
                self._deadline.within(self._timeout),
                self._http.stream(method, url, **request) as response,
            ):
                return response.status_code, self._body(response, longest), response.headers
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            # Another error's own text is left out: it may hold parts of the request.
            ours = str(error) if isinstance(error, _Refused) else ""
            raise ServiceUnavailable(
                f"{_host(url)} "
                + (ours or f"cannot be reached or broke off: {type(error).__name__}")
                + network.doubt(url, error),
                endpoint=name,
                passing=True,
                is_outage=True,
                never_sent=never_sent,
            ) from None

    def _body(self, response: httpx.Response, longest: int) -> bytes:
        """The body, unpacked as far as it may go: httpx would unpack any number of layers whole."""
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise _Refused("packs its answer in a way that was not asked for")
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
        ServiceUnavailable: anything else; it is trouble at the gateway.
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
    """The moment that an answer is of by its `Date`; None where that cannot be read."""
    try:
        stated = parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, OverflowError):
        return None
    return stated.replace(tzinfo=stated.tzinfo or UTC)
