"""The error tree. What each message code of KIS means: `kis/error_codes.py`.

KISError
├── InvalidRequest (also ValueError)   what was asked cannot be right: change the question
├── AuthenticationFailed               key, secret or token is refused: change the settings
├── RateLimited                        too many requests: wait
├── ServiceUnavailable                 network, gateway or open breaker: try again later
│   └── SessionInUse                   the app key has a real-time session elsewhere: end that one
├── UnexpectedAnswer                   well-formed and wrong: nothing of it may be stored
└── NotSupported                       this server or source cannot do that
"""

from __future__ import annotations

from kis_assets.security.redaction import redact
from kis_assets.security.text_input import visible


class KISError(Exception):
    """Anything that went wrong while asking KIS.

    The message says what was asked and KIS's own `msg_cd`; it never holds a header, a token or a
    secret, whatever the server says. Attributes: `msg_cd` and `status` as the server gave them,
    `endpoint`, `stock_code` and `gt_uid` (KIS's id of the request, for its support) where known.
    `key_id` is the hash of the app key that asked.
    `passing` says that it may pass by itself within seconds, `is_outage` that the server is ill,
    `never_sent` that the server never saw the request.
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
        return self._told(self.stock_code, self.gt_uid)

    @property
    def reason(self) -> str:
        """The same without stock and `gt_uid`: equal for all stocks that failed for it."""
        return self._told("", "")

    def _told(self, stock_code: str, gt_uid: str) -> str:
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
    """What was asked cannot be right: an unknown code, a malformed date, a wrong parameter."""


class AuthenticationFailed(KISError):
    """The app key, its secret or the token is refused, and a new token did not help."""


class RateLimited(KISError):
    """KIS refused for the rate, or a permit would have come later than the deadline."""


class ServiceUnavailable(KISError):
    """The network, the gateway, or the breaker that is open because of them."""


class SessionInUse(ServiceUnavailable):
    """KIS gives an app key one real-time session, and another one is open."""


class UnexpectedAnswer(KISError):
    """A well-formed answer that is not about what was asked, or not complete."""


class NotSupported(KISError):
    """This server or source cannot do that; no setting of the question will help."""
