"""The POST calls: token, revocation, approval key, hash key. Quotations are in `services`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

from kis_assets.simulator.server.tokens import Tokens
from kis_assets.simulator.wire.wire import Refusal

HASH_KEY = "/uapi/hashkey"


def grant(
    tokens: Tokens, now: datetime, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """The body of the answer to one of these calls.

    Raises:
        Refusal: the form or the keys are wrong, or it is too early.
    """
    try:
        given: Any = json.loads(body or b"{}")
    except ValueError:
        given = None
    if method != "POST" or not isinstance(given, dict):
        raise Refusal("1", "EGW00101", "요청이 유효하지 않습니다.", 400)
    form = {name: str(value) for name, value in cast(dict[str, Any], given).items()}
    key, secret = form.get("appkey", ""), form.get("appsecret", "")
    if path == HASH_KEY:
        tokens.check_key(headers.get("appkey", ""), headers.get("appsecret", ""))
        return {"BODY": given, "HASH": sha256(body).hexdigest()}
    if path == "/oauth2/revokeP":
        tokens.check_key(key, secret)
        tokens.revoke(form.get("token", ""))
        return {"code": 200, "message": "접근토큰 폐기에 성공하였습니다"}
    if form.get("grant_type") != "client_credentials":
        raise Refusal("1", "EGW00101", "grant_type이 유효하지 않습니다.", 403)
    if path == "/oauth2/Approval":
        # Only this call names the secret `secretkey`.
        return {"approval_key": tokens.approve(key, form.get("secretkey", ""))}
    if path != "/oauth2/tokenP":
        raise Refusal("1", "EGW00101", "요청이 유효하지 않습니다.", 404)
    token = tokens.issue(key, secret)
    return {
        "access_token": token.value,
        "token_type": "Bearer",
        "expires_in": int((token.expires_at - now).total_seconds()),
        "access_token_token_expired": f"{token.expires_at:%Y-%m-%d %H:%M:%S}",
    }
