"""The error tree and what each KIS message code asks of the caller. No requests are made here.

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

from dataclasses import dataclass
from enum import Enum, auto

from kis_assets.security.redaction import redact
from kis_assets.security.text_input import visible


class KISError(Exception):
    """Anything that went wrong while asking KIS.

    The message says what was asked and KIS's own `msg_cd`; it never holds a header, a token or a
    secret, whatever the server says. Attributes: `msg_cd` and `status` as the server gave them,
    `endpoint`, `stock_code` and `gt_uid` (KIS's id of the request, for its support) where known.
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


class Then(Enum):
    """What to do after a refusal."""

    STOP = auto()
    RETRY = auto()
    """May pass by itself; a rate refusal does not count against the server's health."""
    RETOKEN = auto()
    """The token is dead: have a new one issued, once, and ask again."""


@dataclass(frozen=True)
class Policy:
    """What a message code means: the error, what to do then, whether the server is ill.

    `hint` is what the reader may look at, where KIS's own message does not say; `{server}`,
    `{other}` and `{switch}` in it stand for the server in use, the other one and what chooses it.
    """

    error: type[KISError]
    then: Then
    is_outage: bool = False
    hint: str = ""

    def explain(self, message: str, server: str) -> str:
        """What the real or the virtual server said, with the hint behind it."""
        is_real = server == "real"
        hint = self.hint.format(
            server=server,
            other="virtual" if is_real else "real",
            switch=f"KIS_USE_VIRTUAL_SERVER={str(is_real).lower()}",
        )
        return f"{message.rstrip('.')}: {hint}" if hint else message


_RATE = Policy(RateLimited, Then.RETRY)
_GATEWAY = Policy(ServiceUnavailable, Then.RETRY, is_outage=True)
_PASSING = Policy(ServiceUnavailable, Then.RETRY)
_DEAD_TOKEN = Policy(AuthenticationFailed, Then.RETOKEN)
_MAY_BE_OF_THE_OTHER = (
    "the key may be of the {other} server ({switch} asks that one; this is the {server} one)"
)
_NO_ACCESS = Policy(
    AuthenticationFailed,
    Then.STOP,
    hint=_MAY_BE_OF_THE_OTHER + ", not active yet (a new one needs some minutes) or at its end "
    "(after a year); see whether KIS_APP_KEY and KIS_APP_SECRET were copied whole",
)
_BAD_QUESTION = Policy(InvalidRequest, Then.STOP)
_NOT_HERE = Policy(NotSupported, Then.STOP)
_OTHER_CREDENTIAL = Policy(
    AuthenticationFailed,
    Then.STOP,
    hint="the type of the credential is invalid; " + _MAY_BE_OF_THE_OTHER + ", or of another kind",
)

# Codes and meanings: kis-ai-extensions' table and the developer portal's list, as of 2026-07.
POLICIES: dict[str, Policy] = {
    "EGW00201": _RATE,
    "EGW00215": _RATE,
    "EGW00133": _RATE,
    **dict.fromkeys(("EGW00121", "EGW00122", "EGW00123"), _DEAD_TOKEN),
    **dict.fromkeys(
        ("EGW00003", "EGW00004", "EGW00102", "EGW00103", "EGW00104", "EGW00105", "EGW00206"),
        _NO_ACCESS,
    ),
    **dict.fromkeys(("EGW02004", "EGW00207", "EGW00208", "EGW00209"), _NO_ACCESS),
    "EGW00205": _OTHER_CREDENTIAL,
    **dict.fromkeys(("EGW00213", "OPSQ0002"), _NOT_HERE),
    **dict.fromkeys(
        ("EGW00001", "EGW00002", "EGW00202", "EGW00203", "EGW00300", "EGW00301", "EGW00302"),
        _GATEWAY,
    ),
    "EGW00316": _PASSING,
    **dict.fromkeys(
        (
            *("OPSQ0001", "OPSQ0003", "OPSQ0004", "OPSQ0005", "OPSQ0006", "OPSQ0007", "OPSQ0008"),
            *("OPSQ0009", "OPSQ0010", "OPSQ0011", "OPSQ1002", "OPSQ2003", "OPSQ3001", "OPSQ3002"),
            "OPSQ3004",
        ),
        _PASSING,
    ),
    **dict.fromkeys(("OPSQ2001", "OPSQ2002", "MCA05918", "EGW00132"), _BAD_QUESTION),
    # The real-time feed; its codes that are not here say that the message was wrong.
    **dict.fromkeys(("OPSP0007", "OPSP0009", "OPSP8999", "OPSP9995"), _PASSING),
    **dict.fromkeys(("OPSP0010", "OPSP0011", "OPSP9994"), _DEAD_TOKEN),
    "OPSP8996": Policy(SessionInUse, Then.RETRY),
}


def policy(msg_cd: str, status: int) -> Policy:
    """The policy for a refusal: by its code first, by HTTP status only where no code is known."""
    if msg_cd in POLICIES:
        return POLICIES[msg_cd]
    if status == 429:
        return _RATE
    if status >= 500:
        return _GATEWAY
    if status in (401, 403):
        return _NO_ACCESS
    return _BAD_QUESTION
