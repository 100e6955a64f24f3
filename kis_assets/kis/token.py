"""One access token for all processes of an app key. How it is asked for belongs to the client.

The token lies sealed in a file of mode 0600 beside a lock, or on a Redis server; each app secret
and each address that issues tokens has its own. The moment of the last request for one lies there
too, written before the request is made, so that even a process killed in mid-request leaves the
others waiting out the minute. Nobody holds the lock while waiting.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from kis_assets.errors import AuthenticationFailed, RateLimited, ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.kis.sealing import Seal
from kis_assets.settings import Credential, Settings
from kis_assets.state.shared import Shared
from kis_assets.state.vault import Vault

log = logging.getLogger(__name__)

REFRESH_BEFORE = 300.0
"""Seconds before its expiry at which a token is renewed."""
ISSUE_INTERVAL = 61.0
"""Seconds between two requests for a token; KIS refuses a second one within the minute."""
_AT_MOST = 5
"""Its message says once a minute, another page of it once in five: so many times as long is waited
where the minute was not enough."""
_DAY = 86400.0
_LONGEST = 100 * _DAY
"""Seconds that no token lasts; KIS's last a day."""
_PATIENCE = 2
"""Refusals in a row that are waited out: a minute, then five."""


@dataclass(frozen=True)
class Token:
    """An access token and, in seconds since 1970, when it ends and when one was last asked for.

    `failure` says how that last request failed, empty where it did not. `refused` counts the
    requests in a row that came too soon for KIS.
    """

    access_token: str = field(default="", repr=False)
    expires_at: float = 0.0
    asked_at: float = 0.0
    failure: str = ""
    refused: int = 0

    @property
    def interval(self) -> float:
        """Seconds from the last request for a token to the next one."""
        return ISSUE_INTERVAL * (_AT_MOST if self.refused >= _PATIENCE else 1)


def read_answer(answer: dict[str, Any], now: float) -> Token:
    """A token from KIS's answer.

    `expires_in` counts from now and needs no agreement of clocks. The written expiry is KST
    without an offset; it is taken where it comes earlier, and left alone where it has passed: a
    token just issued has not expired, the clocks differ.

    Raises:
        AuthenticationFailed: the answer holds no token.
    """
    access_token = str(answer.get("access_token") or "")
    if not access_token:
        raise AuthenticationFailed("KIS answered the request for a token without one")
    try:
        lasts = float(answer.get("expires_in") or 0)
    except (TypeError, ValueError, OverflowError):
        lasts = 0.0
    expires_at = now + (lasts if 0 < lasts < _LONGEST else 0)
    try:
        written = datetime.strptime(
            str(answer.get("access_token_token_expired")), "%Y-%m-%d %H:%M:%S"
        ).replace(tzinfo=calendar.SEOUL)
    except ValueError:
        pass
    else:
        if written.timestamp() > now:
            ends = written.timestamp()
            expires_at = min(expires_at, ends) if expires_at > now else ends
    # KIS's last a day, whatever stands in the answer.
    return Token(access_token, min(expires_at, now + _DAY), now)


class TokenStore:
    """The token of one app key, shared by all processes through a vault, and sealed there.

    `issue` makes the request and returns KIS's answer; `clock` tells seconds since 1970.
    """

    def __init__(
        self,
        vault: Vault,
        seal: Seal,
        issue: Callable[[], dict[str, Any]],
        *,
        timeout: float = 120.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._vault = vault
        self._seal = seal
        self._issue = issue
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._held = Token()
        self._refusal: AuthenticationFailed | None = None

    def get(self) -> str:
        """A token that is good for five minutes or more; issued anew where there is none.

        Raises:
            AuthenticationFailed: KIS refuses key or secret.
            RateLimited: KIS goes on refusing for six minutes; others are told so at once then.
            ServiceUnavailable: the network, or the file cannot be written.
        """
        if self._is_good(self._held):
            return self._held.access_token
        return self._renewed("")

    def replace(self, dead: str) -> str:
        """A token other than `dead`, which the server refused: another process's or a new one."""
        return self._renewed(dead)

    def lifetime(self) -> tuple[float, float] | None:
        """When the stored token was asked for and when it ends, in seconds since 1970."""
        token = self._read()
        return (token.asked_at, token.expires_at) if token.access_token else None

    def _renewed(self, dead: str) -> str:
        refusals = 0
        while True:
            with self._vault.locked(self._timeout):
                wait, token = self._find(dead)
                if token is None and wait == 0.0:
                    try:
                        token = self._ask()
                    except RateLimited:
                        # Somebody outside asked for a token not long ago.
                        refusals += 1
                        if refusals > _PATIENCE or self._read().failure:
                            raise
                        continue
            if token is not None:
                self._held = token
                return token.access_token
            log.warning(
                "waiting %.0f s for a token: KIS issues one a minute for a key, and one was asked "
                "for just now, by this program or another",
                wait,
            )
            self._sleep(wait)

    def _find(self, dead: str) -> tuple[float, Token | None]:
        """The stored token where it is good, else how long to wait before one may be asked for."""
        if self._refusal is not None:
            raise copy.copy(self._refusal)  # callers write into it which stock they asked for
        token = self._read()
        if self._is_good(token) and token.access_token != dead:
            return 0.0, token
        wait = token.asked_at + token.interval - self._clock()
        if not 0 < wait <= token.interval:  # more than that: the clock was set back
            return 0.0, None
        if token.failure:
            said = f"no token: {token.failure}; the next try is in {wait:.0f} s"
            if token.refused:
                raise RateLimited(said, endpoint="tokenP")
            raise ServiceUnavailable(said, endpoint="tokenP", is_outage=True)
        return wait, None

    def _ask(self) -> Token:
        now, before = self._clock(), self._read()
        is_in_a_row = 0 <= now - before.asked_at < 2 * before.interval
        asked = Token(asked_at=now, refused=before.refused if is_in_a_row else 0)
        self._write(asked)
        try:
            token = read_answer(self._issue(), self._clock())
        except AuthenticationFailed as error:
            # Asking again with the same key is of no use to anyone; with another secret it is.
            self._refusal = error
            self._write(Token())
            raise
        except RateLimited as error:
            refused = asked.refused + 1
            failure = error.message if refused > _PATIENCE else ""
            self._write(replace(asked, refused=refused, failure=failure))
            raise
        except ServiceUnavailable as error:
            asked_at = 0.0 if error.never_sent else asked.asked_at
            self._write(Token(asked_at=asked_at, failure=error.message))
            raise
        self._write(replace(token, asked_at=asked.asked_at))
        return token

    def _is_good(self, token: Token) -> bool:
        left = token.expires_at - self._clock()
        # More than three months left: the clock was set back, and the expiry means nothing.
        return bool(token.access_token) and REFRESH_BEFORE < left < _LONGEST

    def _read(self) -> Token:
        try:
            return msgspec.json.decode(self._seal.open(self._vault.read()), type=Token)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Token()

    def _write(self, token: Token) -> None:
        lasts = max(2 * _AT_MOST * ISSUE_INTERVAL, token.expires_at - self._clock())
        self._vault.write(self._seal.close(msgspec.json.encode(token)), lasts)


def open_tokens(
    settings: Settings,
    credential: Credential,
    shared: Shared,
    issue: Callable[[], dict[str, Any]] = dict,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> TokenStore:
    """The token of an app key for the server in use."""
    seal = Seal(credential, settings.base_url)
    vault = shared.vault(f"{settings.environment}-{credential.id}", seal.name)
    return TokenStore(vault, seal, issue, clock=clock, sleep=sleep)
