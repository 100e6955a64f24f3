"""Who may ask a server of this project: no page of another site, under no name but its own.

The servers listen on this machine alone and have no login, but every page that a browser of this
machine shows can send requests there. A browser says on whose behalf it asks (Origin and
Sec-Fetch-Site) and by which name (Host). Programs send no Origin and are answered.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
_NAME = "This server does not answer to that name (Host)."
_FOREIGN = "This server does not answer pages of other sites."
_NOT_JSON = "This server takes JSON alone: content-type application/json."
_CHANGES = "GraphQL by GET takes queries alone; send everything else by POST."


def refusal(method: str, headers: Headers, allowed: Collection[str] = ()) -> str:
    """Why a request is not answered, in one sentence; empty where it is.

    Args:
        method: GET, POST and so on; GET for the start of a web socket.
        headers: Those of the request.
        allowed: Names beside those of this machine, as in Host: with the port, unless it is the
            usual one.
    """
    hosts = [host.lower() for host in headers.getlist("host")]
    if len(hosts) != 1 or not (hosts[0] in allowed or _LOOPBACK.fullmatch(hosts[0])):
        return _NAME
    # A proxy may put its own name in the place of Host, so a name allowed may be the origin's too.
    for origin in headers.getlist("origin"):
        if origin.lower().partition("://")[2] not in (*hosts, *allowed):
            return _FOREIGN
    is_link = (
        method == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not is_link:
        return _FOREIGN
    return ""


class Door:
    """What stands before Dagster's UI, whose webserver asks nobody who he is.

    It also refuses what changes something by GET, and posts that a form of another site can send.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str] = ()) -> None:
        self._app, self._allowed = app, [name.lower() for name in allowed]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it: 403, and a web socket before it opens."""

        async def framed_by_nobody(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-frame-options"] = "SAMEORIGIN"
            await send(message)

        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif not (reason := self._refusal(scope)):
            await self._app(scope, receive, framed_by_nobody)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008, reason)(scope, receive, send)
        else:
            await PlainTextResponse(reason, 403)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        method, headers = scope.get("method", "GET"), Headers(scope=scope)
        if reason := refusal(method, headers, self._allowed):
            return reason
        if method == "GET":
            query = QueryParams(scope["query_string"]).get("query", "")
            return _CHANGES if _is_graphql(scope) and _changes(query) else ""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        return "" if method == "HEAD" or kind == "application/json" else _NOT_JSON


def _is_graphql(scope: Scope) -> bool:
    return scope["path"].rstrip("/").endswith("/graphql")


def _changes(query: str) -> bool:
    """Whether it is more than a query; what is no GraphQL at all is Dagster's to refuse."""
    # Imported here: the simulator refuses by the same rules, and need not wait for it.
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

    try:
        document = parse(query)
    except GraphQLError:
        return False
    return any(
        it.operation != OperationType.QUERY
        for it in document.definitions
        if isinstance(it, OperationDefinitionNode)
    )
