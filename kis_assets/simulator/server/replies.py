"""Replies, and the faults of the gateway. Wrong contents are in `damage`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from threading import Lock
from typing import Any, Literal

from kis_assets.simulator.server.faults import When
from kis_assets.simulator.wire import krx_api
from kis_assets.simulator.wire.wire import Answer, Refusal

_MESSAGE_WIDTH = 80
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
_PAGE = b"<html><head><title>%d</title></head><body><h1>%s</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and its transport: after `delay` seconds, in pieces every `drip`, or never."""

    status: int
    headers: dict[str, str]
    body: bytes
    delay: float = 0.0
    drip: float = 0.0
    broken: Literal["", "reset", "down"] = ""


class Replies:
    """Replies in JSON with keys in random order, as KIS sends them."""

    def __init__(self, seed: int) -> None:
        self._order, self._lock = Random(seed), Lock()

    def json(self, status: int, content: dict[str, Any], headers: dict[str, str]) -> Reply:
        """A reply with this content."""
        keys = list(content)
        with self._lock:
            self._order.shuffle(keys)
        text = json.dumps({key: content[key] for key in keys}, ensure_ascii=False)
        common = {"content-type": JSON, "gt_uid": uuid.uuid4().hex}
        return Reply(status, common | headers, text.encode())

    def answer(self, answer: Answer, tr_id: str) -> Reply:
        """A service's answer in KIS's envelope."""
        msg_cd, text = answer.message
        content = {
            **answer.payload, "rt_cd": answer.rt_cd, "msg_cd": msg_cd,
            "msg1": f"{text:<{_MESSAGE_WIDTH}}",
        }  # fmt: skip
        return self.json(200, content, {"tr_id": tr_id, "tr_cont": answer.tr_cont})

    def refusal(self, refusal: Refusal, path: str, headers: Mapping[str, str]) -> Reply:
        """A refusal in the form of the token server, KRX or the gateway."""
        if path.startswith("/oauth2/"):
            content = {"error_code": refusal.msg_cd, "error_description": refusal.msg1}
            return self.json(refusal.status, content, {})
        if path.startswith(krx_api.ROOT):
            content = {"respCode": refusal.msg_cd, "respMsg": refusal.msg1}
            return self.json(refusal.status, content, {})
        content = {
            "rt_cd": refusal.rt_cd, "msg_cd": refusal.msg_cd,
            "msg1": f"{refusal.msg1:<{_MESSAGE_WIDTH}}",
        }  # fmt: skip
        return self.json(refusal.status, content, {"tr_id": headers.get("tr_id", "")})


def page(status: int, text: str) -> Reply:
    """A web page instead of JSON."""
    return Reply(status, {"content-type": HTML}, _PAGE % (status, text.encode()))


def trouble(name: str, when: When) -> Refusal:
    """The refusal for a fault of the gateway."""
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
"""How each fault of the gateway changes a reply."""
