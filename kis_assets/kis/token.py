"""One access token for all processes of an app key. The client sends the request for it.

The token is encrypted in a file of mode 0600 with a lock file, or on a Redis server, separately for
each app secret and issuing address. The time of the last token request is stored with it, and
written before the request: even if a process is killed during the request, others wait for the
minute to end. Nobody holds the lock while waiting.
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
"""KIS's message says one a minute, another page of KIS one in five minutes: this factor applies if
a minute was not enough."""
_DAY = 86400.0
_LONGEST = 100 * _DAY
"""Seconds; longer than any token is valid. KIS's tokens are valid for a day."""
_PATIENCE = 2
"""How many refusals in a row are waited for: a minute, then five."""


@dataclass(frozen=True)
class Token:
    """An access token, its expiry and the time of the last token request, in seconds since 1970.

    `failure` is the error of the last request, empty after a success. `refused` counts the requests
    in a row that KIS refused as too early. `is_denied`: it refused key or secret.
    """

    access_token: str = field(default="", repr=False)
    expires_at: float = 0.0
    asked_at: float = 0.0
    failure: str = ""
    refused: int = 0
    is_denied: bool = False

    @property
    def interval(self) -> float:
        """Seconds to wait from the last token request to the next."""
        return ISSUE_INTERVAL * (_AT_MOST if self.refused >= _PATIENCE else 1)


def read_answer(answer: dict[str, Any], now: float) -> Token:
    """A token from KIS's answer.

    `expires_in` counts from now, so clocks may differ. The written expiry is KST without an offset.
    It is used if it is earlier, but ignored if it has passed: a new token cannot have expired, so
    the clocks differ.

    Raises:
        AuthenticationFailed: the answer holds no token.
    """
    access_token = str(answer.get("access_token") or "")
    if not access_token:
        raise AuthenticationFailed("KIS's answer to a token request holds no token")
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
    # KIS's tokens are valid for a day, even if the answer says more.
    return Token(access_token, min(expires_at, now + _DAY), now)


class TokenStore:
    """The token of one app key, shared by all processes and encrypted in a vault.

    `issue` sends the request and returns KIS's answer; `clock` returns seconds since 1970.
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

    def get(self, *, waits: bool = True) -> str:
        """A token that is valid for at least five minutes; a new one is issued if necessary.

        Raises:
            AuthenticationFailed: KIS refuses key or secret.
            RateLimited: KIS has refused for six minutes; other callers then fail at once. Or a
                token can be asked for later only, and the caller does not wait.
            ServiceUnavailable: the network, or the file cannot be written.
        """
        if self._is_good(self._held):
            return self._held.access_token
        return self._renewed("", waits)

    def replace(self, dead: str, *, waits: bool = True) -> str:
        """A token other than `dead`, which the server refused: another process's or a new one."""
        return self._renewed(dead, waits)

    def forget_refusal(self) -> None:
        """Ask KIS again the next time, though it has refused key or secret before."""
        self._refusal = None

    def lifetime(self) -> tuple[float, float] | None:
        """Request time and expiry of the stored token, in seconds since 1970."""
        token = self._read()
        return (token.asked_at, token.expires_at) if token.access_token else None

    def _renewed(self, dead: str, waits: bool) -> str:
        refusals = 0
        while True:
            with self._vault.locked(self._timeout):
                wait, token = self._find(dead)
                if token is None and wait == 0.0:
                    try:
                        token = self._ask()
                    except RateLimited:
                        # A program outside this state has recently requested a token.
                        refusals += 1
                        if not waits or refusals > _PATIENCE or self._read().failure:
                            raise
                        continue
            if token is not None:
                self._held = token
                return token.access_token
            why = (
                f"waiting {wait:.0f} s for a token: KIS issues one a minute per key, and this "
                "program or another has just requested one"
            )
            if not waits:
                raise RateLimited(why, endpoint="tokenP")
            log.warning("%s", why)
            self._sleep(wait)

    def _find(self, dead: str) -> tuple[float, Token | None]:
        """The stored token if it is valid, else the seconds to wait before a token request."""
        if self._refusal is not None:
            raise copy.copy(self._refusal)  # callers add their stock code to it
        token = self._read()
        if self._is_good(token) and token.access_token != dead:
            return 0.0, token
        wait = token.asked_at + token.interval - self._clock()
        if not 0 < wait <= token.interval:  # a longer time means that the clock was set back
            return 0.0, None
        if token.failure:
            said = f"no token: {token.failure}; the next try is in {wait:.0f} s"
            if token.is_denied:
                raise AuthenticationFailed(said, endpoint="tokenP")
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
            # A repeated request with the same key and secret fails again, and KIS may count it.
            # Another secret has a state of its own.
            self._refusal = error
            self._write(replace(asked, refused=0, failure=error.message, is_denied=True))
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
        # With more than three months left, the clock was set back and the expiry is useless.
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
