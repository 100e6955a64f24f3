"""The WebSocket of a real-time session, with KIS's requirements. Messages: see `stream`."""

from __future__ import annotations

import logging
from typing import Any

from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from kis_assets.settings import Settings
from kis_assets.transport import network

PATH = "/tryitout"
_LONGEST_FRAME = 2**20

# The library logs every sent frame at debug level, and these hold the approval key.
_quiet = logging.getLogger("kis_assets.kis.stream.websocket")
_quiet.setLevel(logging.WARNING)


class _Session(ClientConnection):
    """A connection without redirects, which would send the approval key to another server."""

    def handshake(self, *given: Any, **more: Any) -> None:
        """See `ClientConnection.handshake`; a redirect is an error."""
        try:
            super().handshake(*given, **more)
        except InvalidStatus as error:
            raise InvalidHandshake(f"HTTP {error.response.status_code}") from None


def connected(settings: Settings) -> ClientConnection:
    """A connection to the server in use.

    Raises:
        SettingsError: the proxy of the environment cannot be used.
        OSError, WebSocketException: the server cannot be reached.
    """
    network.check_feed(settings.ws_url)
    return connect(
        f"{settings.ws_url}{PATH}",
        legacy=True,
        compression=None,
        open_timeout=settings.kis_api_timeout,
        close_timeout=1,
        # KIS sends pings as messages; it is unknown whether it answers pings of the protocol.
        ping_interval=None,
        max_size=_LONGEST_FRAME,
        logger=_quiet,
        create_connection=_Session,
    )
