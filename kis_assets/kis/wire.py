"""HTTP: one exchange with KIS, bounded in time and size, its failures named.

What an answer means is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import msgspec

from kis_assets.kis import network
from kis_assets.kis.errors import ServiceUnavailable

CONNECTIONS = 20
LONGEST_BODY = 32 * 2**20


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
        self._clock = clock
        self._http = network.client(
            transport=transport,
            timeout=httpx.Timeout(timeout),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=10),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def receive(
        self, name: str, method: str, url: str, **request: Any
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers. The timeout bounds the whole exchange, a slow drip included.

        Raises:
            ServiceUnavailable: the server cannot be reached or broke off.
        """
        deadline = self._clock() + self._timeout
        try:
            with self._http.stream(method, url, **request) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if self._clock() > deadline:
                        raise httpx.ReadTimeout("the answer drips")
                    if len(content) > LONGEST_BODY:
                        raise httpx.ReadError("the answer does not end")
                return response.status_code, bytes(content), response.headers
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            # The error's own text is left out: it may hold parts of the request.
            raise ServiceUnavailable(
                f"{httpx.URL(url).host} cannot be reached or broke off: {type(error).__name__}"
                + network.doubt(url, error),
                endpoint=name,
                passing=True,
                is_outage=True,
                never_sent=never_sent,
            ) from None


def envelope(content: bytes, status: int) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        ServiceUnavailable: anything else; it is trouble at the gateway.
    """
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
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
