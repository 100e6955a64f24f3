"""The meaning of KIS's message codes: the error, the reaction, and a hint for the reader.

A new `msg_cd` is one entry of `POLICIES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from kis_assets.errors import (
    AuthenticationFailed,
    InvalidRequest,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    SessionInUse,
)


class Then(Enum):
    """What to do after a refusal."""

    STOP = auto()
    RETRY = auto()
    """The failure may pass; a rate refusal does not count as a server failure."""
    RETOKEN = auto()
    """The token is invalid: get a new one, once, and repeat the request."""


@dataclass(frozen=True)
class Policy:
    """The meaning of a message code: the error, the reaction, whether the server has failed.

    `hint` tells the reader what to check if KIS's own message does not. In it, `{server}`,
    `{other}` and `{switch}` stand for the server in use, the other server, and the setting that
    selects it.
    """

    error: type[KISError]
    then: Then
    is_outage: bool = False
    hint: str = ""

    def explain(self, message: str, server: str) -> str:
        """The message of the real or the virtual server, followed by the hint."""
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
    # The real-time feed; its other codes mean that our message was wrong.
    **dict.fromkeys(("OPSP0007", "OPSP0009", "OPSP8999", "OPSP9995"), _PASSING),
    **dict.fromkeys(("OPSP0010", "OPSP0011", "OPSP9994"), _DEAD_TOKEN),
    "OPSP8996": Policy(SessionInUse, Then.RETRY),
}


def policy(msg_cd: str, status: int) -> Policy:
    """The policy for a refusal: by its code, or by HTTP status if the code is unknown."""
    if msg_cd in POLICIES:
        return POLICIES[msg_cd]
    if status == 429:
        return _RATE
    if status >= 500:
        return _GATEWAY
    if status in (401, 403):
        return _NO_ACCESS
    return _BAD_QUESTION
