"""The errors. `kis/error_codes.py` says what each message code of KIS means.

KISError
├── InvalidRequest (also ValueError)   the request cannot be right: change it
├── AuthenticationFailed               key, secret or token is refused: change the settings
├── RateLimited                        too many requests: wait
├── ServiceUnavailable                 network, gateway or open breaker: try again later
│   └── SessionInUse                   the app key has a real-time session elsewhere: end that one
├── UnexpectedAnswer                   well-formed but wrong: it must not be stored
└── NotSupported                       this server or source does not have it
"""

from __future__ import annotations

from kis_assets.security.redaction import redact
from kis_assets.security.text_input import visible


class KISError(Exception):
    """The base of all errors of requests to KIS or KRX.

    The message names the request and KIS's own `msg_cd`. It never contains a header, a token or a
    secret, whatever the server sends. Attributes: `msg_cd` and `status` as the server sent them;
    `endpoint`, `stock_code` and `gt_uid` (KIS's id of the request, for its support) if known; and
    `key_id`, the hash of the app key. `passing` means that a retry within seconds may help,
    `is_outage` that the server has a fault, and `never_sent` that the server never got the request.
    """

    def __init__(
        self,
        message: str,
        *,
        msg_cd: str = "",
        status: int | None = None,
        endpoint: str = "",
        stock_code: str = "",
        gt_uid: str = "",
        passing: bool = False,
        is_outage: bool = False,
        never_sent: bool = False,
    ) -> None:
        message = visible(redact(message))
        super().__init__(message)
        self.message = message
        self.msg_cd = visible(redact(msg_cd))
        self.status = status
        self.endpoint = endpoint
        self.stock_code = stock_code
        self.gt_uid = visible(redact(gt_uid))
        self.key_id = ""
        self.passing = passing
        self.is_outage = is_outage
        self.never_sent = never_sent

    def __str__(self) -> str:
        return self._text(self.stock_code, self.gt_uid)

    @property
    def reason(self) -> str:
        """The message without stock and `gt_uid`, so that equal failures have equal texts."""
        return self._text("", "")

    def _text(self, stock_code: str, gt_uid: str) -> str:
        about = " ".join(part for part in (self.endpoint, stock_code) if part)
        tail = ", ".join(
            part
            for part in (
                self.msg_cd,
                f"HTTP {self.status}" if self.status not in (None, 200) else "",
                f"gt_uid {gt_uid}" if gt_uid else "",
            )
            if part
        )
        return f"{about + ': ' if about else ''}{self.message}{f' ({tail})' if tail else ''}"


class InvalidRequest(KISError, ValueError):
    """The request cannot be right: an unknown code, a malformed date, a wrong parameter."""


class AuthenticationFailed(KISError):
    """The server refuses the app key, its secret or the token, and a new token did not help."""


class RateLimited(KISError):
    """KIS refused the rate, or the rate limiter's permit would come after the deadline."""


class ServiceUnavailable(KISError):
    """The network or the gateway fails, or the circuit breaker is open because of that."""


class SessionInUse(ServiceUnavailable):
    """KIS allows one real-time session per app key, and another one is open."""


class UnexpectedAnswer(KISError):
    """A well-formed answer that does not match the request, or is incomplete."""


class NotSupported(KISError):
    """This server or source does not have it; no other parameter will help."""
