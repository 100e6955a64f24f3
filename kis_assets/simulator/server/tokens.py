"""Access tokens: keys, secrets, lifetimes. No rate limit, no services.

A second request within a minute is refused. Later requests return the same token for six hours. It
is valid for a day.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha512
from threading import Lock

from kis_assets.simulator.wire.wire import Refusal

LIFETIME, REUSE = timedelta(hours=24), timedelta(hours=6)
KEY_LENGTH = 36


@dataclass(slots=True)
class Token:
    """One token of one app key."""

    value: str
    app_key: str
    issued_at: datetime
    expires_at: datetime


class Tokens:
    """Issues and checks tokens.

    Args:
        app_keys: Secrets by app key; None accepts any key of 36 characters with any secret.
        clock: The present moment, for issue and expiry.
        monotonic: The clock, in seconds, for `window`, the minimum time between two issues. Two
            approval keys are a second apart, or `window` if that is less (`approval_window`).
    """

    def __init__(
        self,
        app_keys: Mapping[str, str] | None,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        window: float,
    ) -> None:
        self._app_keys, self._clock, self._monotonic = app_keys, clock, monotonic
        self._window = window
        self.approval_window = min(1.0, window)
        self._lock = Lock()
        self._tokens: dict[str, Token] = {}
        self._current: dict[str, Token] = {}
        self._issued: dict[str, float] = {}
        self._approved: dict[str, str] = {}
        self._approved_at: dict[str, float] = {}
        self.issued = 0

    def issue(self, app_key: str, secret: str) -> Token:
        """A token for the key: one issued in the last six hours, else a new one.

        Raises:
            Refusal: the key is wrong, or a token was requested within the last minute.
        """
        self.check_key(app_key, secret)
        with self._lock:
            now, tick = self._clock(), self._monotonic()
            last = self._issued.get(app_key)
            if last is not None and tick - last < self._window:
                text = "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)"
                raise Refusal("1", "EGW00133", text, 403)
            self._issued[app_key] = tick
            self.issued += 1
            current = self._current.get(app_key)
            if current is None or now - current.issued_at >= REUSE:
                current = Token(_value(app_key), app_key, now, now + LIFETIME)
                self._current[app_key] = current
                self._tokens[current.value] = current
            return current

    def approve(self, app_key: str, secret: str) -> str:
        """A key for the real-time feed.

        Raises:
            Refusal: key or secret is wrong, or a key was requested within the last second.
        """
        self.check_key(app_key, secret)
        approval_key = str(uuid.uuid4())
        with self._lock:
            last, tick = self._approved_at.get(app_key), self._monotonic()
            if last is not None and tick - last < self.approval_window:
                raise Refusal(
                    "1", "EGW00133", "접속키 발급 잠시 후 다시 시도하세요(1초당 1회)", 403
                )
            self._approved_at[app_key] = tick
            self._approved[approval_key] = app_key
        return approval_key

    def approved(self, approval_key: str) -> str | None:
        """The app key of an approval key; None if it was never issued."""
        with self._lock:
            return self._approved.get(approval_key)

    def check_key(self, app_key: str, secret: str) -> None:
        """Refuse a key or secret that is missing or wrong."""
        if not app_key:
            raise Refusal("1", "EGW00102", "AppKey는 필수입니다.", 403)
        if not secret:
            raise Refusal("1", "EGW00104", "AppSecret은 필수입니다.", 403)
        known = len(app_key) == KEY_LENGTH
        if self._app_keys is not None:
            known = app_key in self._app_keys
        if not known:
            raise Refusal("1", "EGW00103", "유효하지 않은 AppKey입니다.", 403)
        if self._app_keys is not None and self._app_keys[app_key] != secret:
            raise Refusal("1", "EGW00105", "유효하지 않은 AppSecret입니다.", 403)

    def check(self, value: str, app_key: str, expired_status: int) -> None:
        """Refuse a token that is unknown, of another key, or expired."""
        with self._lock:
            token = self._tokens.get(value)
        if token is None or token.app_key != app_key:
            raise Refusal("1", "EGW00121", "유효하지 않은 token 입니다.", 500)
        if self._clock() >= token.expires_at:
            raise Refusal("1", "EGW00123", "기간이 만료된 token 입니다.", expired_status)

    def revoke(self, value: str | None = None) -> None:
        """Revoke one token, or all tokens and approval keys."""
        with self._lock:
            if value is None:
                self._approved.clear()
            gone = list(self._tokens) if value is None else [value]
            for key in gone:
                token = self._tokens.pop(key, None)
                if token and self._current.get(token.app_key) is token:
                    del self._current[token.app_key]


def _value(app_key: str) -> str:
    """A token in the form of KIS's JWT, about 350 characters, with only a random id."""
    owner = sha512(app_key.encode()).hexdigest()[:24]
    claims = {"sub": "token", "aud": str(uuid.uuid4()), "iss": "simulator", "jti": owner}
    parts = [_coded({"typ": "JWT", "alg": "HS512"}), _coded(claims)]
    signature = sha512(uuid.uuid4().bytes).digest()
    tail = base64.urlsafe_b64encode(signature + uuid.uuid4().bytes * 2).decode().rstrip("=")
    return ".".join([*parts, tail])


def _coded(claims: dict[str, str]) -> str:
    text = json.dumps(claims, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")
