"""The app keys of a client: which key sends next, which are set aside, and their tokens.

Each key has its own quota, token and breaker, which all processes share. A key that KIS refuses, or
that has to wait for a token, is set aside while another one can do its work. One request tries it
again from time to time.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from kis_assets.errors import AuthenticationFailed, KISError, ServiceUnavailable
from kis_assets.kis.error_codes import Then, policy
from kis_assets.kis.fields import refusal
from kis_assets.kis.server_clock import ServerClock
from kis_assets.kis.token import ISSUE_INTERVAL, TokenStore, open_tokens
from kis_assets.security.redaction import remember
from kis_assets.settings import Credential, Settings
from kis_assets.state.shared import Shared
from kis_assets.transport.circuit_breaker import Breaker
from kis_assets.transport.http import Wire, envelope
from kis_assets.transport.rate_limiter import Permit, Quota
from kis_assets.transport.retry import retrying
from kis_assets.transport.stats import Tally

log = logging.getLogger(__name__)

TOKEN_PATH = "/oauth2/tokenP"  # noqa: S105 - an address, not a token
APPROVAL_PATH = "/oauth2/Approval"
STATE_RETRY_AFTER, STATE_RETRIES = 5.0, 12
"""Seconds to wait after a failure of the shared state, and how often: a failover takes some."""
FIRST_ASIDE, LAST_ASIDE = ISSUE_INTERVAL, 3600.0
"""Seconds after which a key that was set aside is tried again: at first, and at most. The first
time is also that after which a key that is alone is tried again."""
_SENDABLE = re.compile(r"[!-~]{1,4096}")
"""The characters that a token or an approval key may have."""


@dataclass(frozen=True)
class Account:
    """One app key and its state, which all processes share."""

    credential: Credential
    tokens: TokenStore
    quota: Quota | None
    breaker: Breaker

    @property
    def id(self) -> str:
        """Identifies the app key without revealing it."""
        return self.credential.id

    def permit(self, path: str, live: bool, timeout: float) -> AbstractContextManager[Permit]:
        """See `Quota.permit`; immediate without a quota."""
        if self.quota is None:
            return nullcontext(Permit())
        return self.quota.permit(path, live=live, timeout=timeout)


@dataclass(frozen=True)
class _Aside:
    """When a key is tried again, and how many seconds after that once more."""

    again_at: float
    wait: float


class Accounts:
    """The app keys of the settings. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        shared: Shared,
        wire: Wire,
        tally: Tally,
        server_clock: ServerClock,
        *,
        has_quota: bool,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._tally = tally
        self._server_clock = server_clock
        self._clock, self._wall_clock, self._sleep = clock, wall_clock, sleep
        self.all = tuple(
            self._open_account(credential, shared, has_quota) for credential in settings.credentials
        )
        self._aside: dict[str, _Aside] = {}
        self._refused_at: dict[str, float] = {}
        """When keys were refused that are alone."""
        self._choosing = threading.Lock()

    def _open_account(self, credential: Credential, shared: Shared, has_quota: bool) -> Account:
        settings, name = self._settings, f"{self._settings.environment}-{credential.id}"
        clock, wall_clock, sleep = self._clock, self._wall_clock, self._sleep
        limit = settings.rate_limit
        return Account(
            credential,
            open_tokens(
                settings,
                credential,
                shared,
                lambda: self._issue_token(credential),
                clock=wall_clock,
                sleep=sleep,
            ),
            Quota(shared.state, name, limit, clock=clock, wall_clock=wall_clock, sleep=sleep)
            if has_quota
            else None,
            Breaker(
                shared.state,
                name,
                threshold=settings.kis_api_circuit_breaker_threshold,
                timeout=settings.kis_api_circuit_breaker_timeout,
                lease=settings.kis_api_timeout + settings.kis_api_queue_timeout,
                clock=clock,
                listener=lambda old, new: self._breaker_changed(old, new, credential.id),
            ),
        )

    def _breaker_changed(self, old: str, new: str, key_id: str) -> None:
        self._tally.breaker_changed(f"{old}>{new}", key_id)
        level = logging.WARNING if new == "OPEN" else logging.INFO
        which = f" of app key {key_id}" if len(self._settings.credentials) > 1 else ""
        log.log(level, "circuit breaker%s: %s -> %s", which, old, new)

    # Choice of the key

    def choose(self, live: bool) -> Account:
        """The account that may send soonest, of those whose breaker lets the caller pass.

        An account that was set aside comes first when its time has come, for one request.

        Raises:
            ServiceUnavailable: the breakers of all accounts are open.
        """
        usable = self._usable()
        if len(usable) > 1:
            waits = {
                account.id: account.quota.outlook(live=live) if account.quota else 0.0
                for account in usable
            }
            usable.sort(key=lambda account: waits[account.id])
        refusal: ServiceUnavailable | None = None
        for account in (*self._due(), *usable):
            try:
                account.breaker.check()
            except ServiceUnavailable as error:
                refusal = refusal or error
            else:
                return account
        assert refusal is not None  # noqa: S101 - the last account is never set aside
        raise refusal

    def _due(self) -> list[Account]:
        """The accounts whose time to be tried again has come; only this caller tries them."""
        if not self._aside and not self._refused_at:
            return []
        with self._choosing:
            now = self._clock()
            for account in self.all:
                if self._refused_at.get(account.id, now) <= now - FIRST_ASIDE:
                    del self._refused_at[account.id]
                    account.tokens.forget_refusal()
            due = [it for it in self.all if it.id in self._aside]
            due = [it for it in due if self._aside[it.id].again_at <= now][:1]
            for account in due:
                wait = min(2 * self._aside[account.id].wait, LAST_ASIDE)
                self._aside[account.id] = _Aside(now + wait, wait)
                account.tokens.forget_refusal()
            return due

    def is_alone(self, account: Account) -> bool:
        """Whether no other account can do this one's work."""
        return all(it.id == account.id for it in self._usable())

    def is_aside(self, account: Account) -> bool:
        """Whether the account was set aside."""
        return account.id in self._aside

    def set_aside(self, account: Account, error: KISError) -> bool:
        """Do without this account for a while if another one is left; return whether one is."""
        with self._choosing:
            if account.id in self._aside:
                return True
            if self.is_alone(account):
                self._refused_at.setdefault(account.id, self._clock())
                return False
            self._aside[account.id] = _Aside(self._clock() + FIRST_ASIDE, FIRST_ASIDE)
            log.warning(
                "app key %s is set aside and the others do its work; it is tried again in a "
                "minute, then more rarely: %s",
                account.id,
                error,
            )
            return True

    def take_back(self, account: Account) -> None:
        """Use an account again that was set aside: KIS has answered it."""
        with self._choosing:
            if self._aside.pop(account.id, None):
                log.info("app key %s is accepted again", account.id)

    def wait_for_breaker(self) -> None:
        """Sleep until a breaker lets a probe pass; do not sleep if one is closed.

        If the shared state cannot be used, sleep until it can be, for a minute at most.
        """
        for retry in range(STATE_RETRIES):
            try:
                wait = min(account.breaker.remaining() for account in self._usable())
            except ServiceUnavailable as error:
                if not retry:
                    log.warning("%s", error)
                self._sleep(STATE_RETRY_AFTER)
            else:
                self._sleep(wait)
                return

    def _usable(self) -> list[Account]:
        return [account for account in self.all if account.id not in self._aside]

    # Tokens and approval keys

    def approval_key(self) -> SecretStr:
        """A new key that opens a real-time session of the first app key; it is valid for a day.

        Raises:
            KISError: no key was issued; see `errors`.
        """
        account, patience = self.all[0], self._settings.kis_api_queue_timeout

        def attempt() -> SecretStr:
            account.breaker.check()
            try:
                with account.permit(APPROVAL_PATH, live=True, timeout=patience):
                    body = self.grant(account.credential, "Approval", APPROVAL_PATH)
            except KISError as error:
                if error.is_outage:
                    account.breaker.failure()
                else:
                    account.breaker.release()
                raise
            account.breaker.success()
            remember(body["approval_key"])
            return SecretStr(body["approval_key"])

        return retrying(attempt, "Approval", self._tally, self._settings.kis_api_max_retries)

    def _issue_token(self, credential: Credential) -> dict[str, Any]:
        self._tally.token_issued(credential.id)
        return self.grant(credential, "tokenP", TOKEN_PATH)

    def grant(self, credential: Credential, name: str, path: str) -> dict[str, Any]:
        """KIS's answer to a request for a token (tokenP) or an approval key (Approval).

        Raises:
            AuthenticationFailed: KIS refuses key or secret.
            KISError: any other failure.
        """
        # The secret has a different name in each of the two requests.
        secret, wanted = (
            ("appsecret", "access_token") if name == "tokenP" else ("secretkey", "approval_key")
        )
        status, content, told = self._wire.receive(
            name,
            "POST",
            f"{self._settings.base_url}{path}",
            json={
                "grant_type": "client_credentials",
                "appkey": credential.app_key.get_secret_value(),
                secret: credential.app_secret.get_secret_value(),
            },
        )
        self._server_clock.see(told)
        body = envelope(content, status)
        given = body.get(wanted)
        if isinstance(given, str) and _SENDABLE.fullmatch(given):
            return body
        msg_cd, message = refusal(body)
        if not msg_cd and status == 200:  # an outage: nothing works without it
            raise ServiceUnavailable(
                f"the answer holds no usable {wanted}", endpoint=name, is_outage=True
            )
        what = policy(msg_cd, status)
        kind = AuthenticationFailed if what.then is Then.RETOKEN else what.error
        message = message or f"no {wanted.replace('_', ' ')} was issued"
        raise kind(
            what.explain(message, self._settings.environment),
            msg_cd=msg_cd,
            status=status,
            endpoint=name,
            is_outage=what.is_outage,
        )
