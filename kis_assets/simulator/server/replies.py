"""A reply and the ways the gateway spoils one. The services' own lies are in `damage`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from kis_assets.simulator.server.faults import When
from kis_assets.simulator.wire.wire import Refusal

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
_PAGE = b"<html><head><title>%d</title></head><body><h1>%s</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and how it travels: `delay` seconds late, in pieces `drip` apart, or never."""

    status: int
    headers: dict[str, str]
    body: bytes
    delay: float = 0.0
    drip: float = 0.0
    broken: Literal["", "reset", "down"] = ""


def page(status: int, text: str) -> Reply:
    """A web page where JSON should be."""
    return Reply(status, {"content-type": HTML}, _PAGE % (status, text.encode()))


def trouble(name: str, when: When) -> Refusal:
    """The refusal that a fault of the gateway stands for."""
    status = when.status or 500
    if name == "query_again":
        return Refusal("1", "EGW00316", "조회 처리 중 오류입니다. 재조회 바랍니다.", status)
    if name == "expired_token":
        return Refusal("1", "EGW00123", "기간이 만료된 token 입니다.", status)
    return Refusal("1", "EGW00121", "유효하지 않은 token 입니다.", status)


SPOILERS: dict[str, Callable[[Reply], Reply]] = {
    "server_error": lambda reply: Reply(500, {}, b""),
    "bad_gateway": lambda reply: page(502, "502 Bad Gateway"),
    "unavailable": lambda reply: page(503, "503 Service Unavailable"),
    "html": lambda reply: page(200, "시스템 점검 중입니다."),
    "empty": lambda reply: replace(reply, body=b""),
    "truncated": lambda reply: replace(reply, body=reply.body[: len(reply.body) * 2 // 3]),
    "wrong_type": lambda reply: replace(reply, headers=reply.headers | {"content-type": HTML}),
    "garbage_gzip": lambda reply: replace(
        reply, headers=reply.headers | {"content-encoding": "gzip"}, body=b"\x1f\x8b not gzip"
    ),
}
"""What each fault of the gateway makes of a reply."""
