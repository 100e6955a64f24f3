"""The way of one request: permit, send, judge. What the answer means is read elsewhere.

    retry( breaker( quota( send )))

Each attempt takes its own permit. Where there are several app keys, each with its own quota, token
and breaker, an attempt is made with the one that may send soonest.
"""

from __future__ import annotations

import copy
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar, cast

import httpx
from pydantic import SecretStr

from kis_assets.errors import (
    AuthenticationFailed,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.exchange.venues import Venue
from kis_assets.kis.error_codes import Then, policy
from kis_assets.kis.fields import plain, refusal
from kis_assets.kis.token import TokenStore, open_tokens
from kis_assets.security.redaction import is_echoed, redact_answer, remember
from kis_assets.settings import Credential, Settings
from kis_assets.state.redis import Redis, RedisState
from kis_assets.state.sqlite import SharedState, State
from kis_assets.transport.circuit_breaker import Breaker
from kis_assets.transport.http import LONGEST_FILE, Wire, envelope, stated_at
from kis_assets.transport.rate_limiter import Permit, Quota
from kis_assets.transport.retry import retrying
from kis_assets.transport.stats import Tally

log = logging.getLogger(__name__)

T = TypeVar("T")

REST = 5.0
"""Seconds to let pass before the store that processes share is used again after it failed."""


TOKEN_PATH = "/oauth2/tokenP"  # noqa: S105 - an address, not a token
APPROVAL_PATH = "/oauth2/Approval"
MASTER_PATH = "/common/master/"
MARKET_CODES = {Venue.KRX: "J", Venue.NXT: "NX", Venue.UNIFIED: "UN"}
"""What KIS calls a venue in the parameter FID_COND_MRKT_DIV_CODE."""

_SENDABLE = re.compile(r"[!-~]{1,4096}")
"""What can be sent as a token or an approval key."""
FREE = 10
"""How often a request is asked again that was refused for the rate while others were accepted."""


class _TooQuick(Exception):
    """The server grants fewer requests than were sent. Never leaves the client."""

    def __init__(self, error: KISError) -> None:
        self.error = error


class _Dead(Exception):
    """The token was refused. Never leaves the client."""

    def __init__(self, error: KISError) -> None:
        self.error = error


@dataclass(frozen=True)
class Endpoint:
    """A service of KIS; its name ends its path, and is what messages and counts call it.

    Source: open-trading-api and the developer portal, as of 2026-07.
    """

    name: str
    tr_id: str
    virtual: bool = True
    """Whether the virtual server has it."""
    live: bool = False
    """Whether it goes before history in the quota's queue."""
    folder: str = "quotations"

    @property
    def path(self) -> str:
        """Where it stands on the server."""
        return f"/uapi/domestic-stock/v1/{self.folder}/{self.name}"


@dataclass(frozen=True)
class AskOptions:
    """About which market something is asked, and how it stands in the quota's queue."""

    venue: Venue = Venue.KRX
    patience: float | None = None
    """Seconds in the queue at most; `KIS_API_QUEUE_TIMEOUT` where it is None."""
    live: bool = False
    """Whether it goes before history, though its endpoint does not."""

    @property
    def market(self) -> str:
        """The parameter FID_COND_MRKT_DIV_CODE."""
        return MARKET_CODES[self.venue]


DEFAULT = AskOptions()


@dataclass(frozen=True)
class _Question(Generic[T]):
    """What is asked, how its answer is read, and how it stands in the quota's queue."""

    endpoint: Endpoint
    parameters: Mapping[str, str]
    read: Callable[[dict[str, Any]], T]
    live: bool
    patience: float
    tr_cont: str


@dataclass(frozen=True)
class Account:
    """One app key and what all processes share of it."""

    credential: Credential
    tokens: TokenStore
    quota: Quota | None
    breaker: Breaker

    @property
    def id(self) -> str:
        """Stands for the app key without giving it away."""
        return self.credential.id


class Client:
    """Asks KIS, as often as the account may and no more; thread-safe, one for a process.

    `transport` replaces the network, for the simulator in process and for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        state_dir: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        has_quota: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not settings.credentials:
            raise AuthenticationFailed("KIS_APP_KEY and KIS_APP_SECRET are not set")
        self.environment = settings.environment
        self.tally = Tally()
        self.settings = settings
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep = self._pause if sleep is time.sleep else sleep
        self._wire = Wire(settings.kis_api_timeout, transport=transport, clock=clock)
        folder = state_dir or settings.state_dir
        self.redis = Redis(settings.redis_url) if settings.redis_url else None
        self.state: State = RedisState(self.redis) if self.redis else SharedState(folder)
        if self.redis is not None:
            wall_clock = self.redis.now
        self._accounts = tuple(
            self._open_account(credential, folder, wall_clock, sleep, has_quota)
            for credential in settings.credentials
        )
        self._stopped: dict[str, AuthenticationFailed] = {}
        self._choosing = threading.Lock()
        self._ahead = timedelta()

    def _open_account(
        self,
        credential: Credential,
        folder: Path,
        wall_clock: Callable[[], float],
        sleep: Callable[[float], None],
        has_quota: bool,
    ) -> Account:
        settings, name = self.settings, f"{self.environment}-{credential.id}"
        return Account(
            credential,
            open_tokens(
                settings,
                credential,
                lambda: self._issue_token(credential),
                folder=folder,
                redis=self.redis,
                clock=wall_clock,
                sleep=sleep,
            ),
            Quota(
                self.state,
                name,
                settings.rate_limit,
                clock=self._clock,
                wall_clock=wall_clock,
                sleep=sleep,
            )
            if has_quota
            else None,
            Breaker(
                self.state,
                name,
                threshold=settings.kis_api_circuit_breaker_threshold,
                timeout=settings.kis_api_circuit_breaker_timeout,
                lease=settings.kis_api_timeout + settings.kis_api_queue_timeout,
                clock=self._clock,
                listener=self._breaker_changed,
            ),
        )

    def now(self) -> datetime:
        """The moment it is by KIS's clock; see `at_kis`."""
        return self.at_kis(self.settings.now())

    def at_kis(self, moment: datetime) -> datetime:
        """A moment of `Settings.now` by KIS's clock, which the `Date` of its newest answer tells.

        It is rather too early than too late: by a second, and as long as an answer takes. In a
        replay, whose server does not live in its time, and until KIS has answered it is the same.
        """
        return moment if self.settings.kis_replay_at else moment + self._ahead

    def _see_clock(self, headers: Mapping[str, str]) -> None:
        stated = stated_at(headers)
        # No clock is a day off, and what is final is told by this one.
        if stated and abs(ahead := stated - self.settings.now()) < timedelta(days=1):
            self._ahead = ahead

    def wait_for_breaker(self) -> None:
        """Sleep until a breaker lets a probe pass; not at all while one is closed.

        Where that cannot be known, because what processes share cannot be used, sleep a little.
        """
        try:
            wait = min(account.breaker.remaining() for account in self._living())
        except ServiceUnavailable as error:
            log.warning("%s", error)
            wait = REST
        self._sleep(wait)

    def ask(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        read: Callable[[dict[str, Any]], T],
        *,
        about: str = "",
        options: AskOptions = DEFAULT,
        tr_cont: str = "",
    ) -> T:
        """What `read` makes of the body of a successful answer; `about` names the stock in errors.

        `tr_cont` is N for a further page; what KIS says of pages in its header stands in the body
        under the same name.

        Raises:
            KISError: any branch of the tree; see `errors`. `read` raises what is wrong with a
                well-formed answer.
        """
        patience = options.patience
        if patience is None:
            patience = self.settings.kis_api_queue_timeout
        live = endpoint.live or options.live
        question = _Question(endpoint, parameters, read, live, patience, tr_cont)
        try:
            if self.environment == "virtual" and not endpoint.virtual:
                raise NotSupported(
                    "the virtual server has no such service; the real one has "
                    "(KIS_USE_VIRTUAL_SERVER=false)"
                )
            return retrying(
                lambda: self._attempt(question),
                endpoint.name,
                self.tally,
                self.settings.kis_api_max_retries,
            )
        except KISError as error:
            error.endpoint = error.endpoint or endpoint.name
            if error.endpoint == endpoint.name:  # a token that is not issued is about no stock
                error.stock_code = error.stock_code or about
            raise

    def download_master(self, file_name: str) -> bytes:
        """A master file, which needs no key and no permit.

        Raises:
            ServiceUnavailable: it cannot be had.
        """
        url = f"{self.settings.kis_master_base_url}{MASTER_PATH}{file_name}"

        def attempt() -> bytes:
            outcome, departed = "Interrupted", self._clock()
            try:
                status, content, _ = self._wire.receive(file_name, "GET", url, longest=LONGEST_FILE)
                if status != 200:
                    raise ServiceUnavailable(
                        "the master file cannot be had",
                        status=status,
                        endpoint=file_name,
                        passing=status >= 500,
                    )
                outcome = "ok"
                return content
            except KISError as error:
                outcome = type(error).__name__
                raise
            finally:
                self.tally.add(file_name, outcome, self._clock() - departed)

        return retrying(attempt, file_name, self.tally, self.settings.kis_api_max_retries)

    def approval_key(self) -> SecretStr:
        """A new key that opens a real-time session of the first app key; it is good for a day.

        Raises:
            KISError: none was issued; see `errors`.
        """
        account = self._accounts[0]

        def attempt() -> SecretStr:
            patience = self.settings.kis_api_queue_timeout
            account.breaker.check()
            try:
                with (
                    account.quota.permit(APPROVAL_PATH, live=True, timeout=patience)
                    if account.quota is not None
                    else nullcontext()
                ):
                    body = self._grant(account.credential, "Approval", APPROVAL_PATH)
            except KISError as error:
                if error.is_outage:
                    account.breaker.failure()
                else:
                    account.breaker.release()
                raise
            account.breaker.success()
            remember(body["approval_key"])
            return SecretStr(body["approval_key"])

        return retrying(attempt, "Approval", self.tally, self.settings.kis_api_max_retries)

    def close(self) -> None:
        """Close connections and the shared file; whoever waits to ask is told."""
        self._closed.set()
        self._wire.close()
        self.state.close()

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise ServiceUnavailable("the source was closed meanwhile", never_sent=True)

    def _attempt(self, question: _Question[T]) -> T:
        """An answer, whatever it takes to find what the server grants: no stock pays for that."""
        refusals = 0
        while True:
            account = self._choose(question.live)
            try:
                return self._attempt_with(account, question)
            except _TooQuick as refusal:
                refusals += 1
                if refusals > FREE:
                    raise refusal.error from None
                self.tally.retried(question.endpoint.name, type(refusal.error).__name__)
            except AuthenticationFailed as error:
                if not self._stops(account, error):
                    raise

    def _living(self) -> list[Account]:
        return [account for account in self._accounts if account.id not in self._stopped]

    def _stops(self, account: Account, error: AuthenticationFailed) -> bool:
        """Use the account no more, unless it is the last; whether another is left to go on with."""
        with self._choosing:
            if len(self._living()) < 2 and account.id not in self._stopped:
                return False
            if account.id not in self._stopped:
                self._stopped[account.id] = copy.copy(error)
                log.error("app key %s is used no more: %s", account.id, error)
            return True

    def _choose(self, live: bool) -> Account:
        """The account that may send soonest of those whose breaker lets the caller pass.

        Raises:
            ServiceUnavailable: the breakers of all of them are open.
        """
        living = self._living()
        if len(living) > 1:
            waits = {
                account.id: account.quota.outlook(live=live) if account.quota else 0.0
                for account in living
            }
            living.sort(key=lambda account: waits[account.id])
        refusal: ServiceUnavailable | None = None
        for account in living:
            try:
                account.breaker.check()
            except ServiceUnavailable as error:
                refusal = refusal or error
            else:
                return account
        assert refusal is not None  # noqa: S101 - one account at least is never stopped
        raise refusal

    def _attempt_with(self, account: Account, question: _Question[T]) -> T:
        try:
            token = account.tokens.get()
            remember(token)
            try:
                result = self._exchange(account, token, question)
            except _Dead:
                token = account.tokens.replace(token)
                remember(token)
                try:
                    result = self._exchange(account, token, question)
                except _Dead as dead:
                    raise dead.error from None
        except KISError as error:
            if error.is_outage:
                account.breaker.failure()
            elif isinstance(error, RateLimited | AuthenticationFailed):
                account.breaker.release()
            else:
                account.breaker.success()
            raise
        except BaseException:
            account.breaker.release()
            raise
        account.breaker.success()
        return result

    def _exchange(self, account: Account, token: str, question: _Question[T]) -> T:
        endpoint = question.endpoint
        headers = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {token}",
            "appkey": account.credential.app_key.get_secret_value(),
            "appsecret": account.credential.app_secret.get_secret_value(),
            "tr_id": endpoint.tr_id,
            "tr_cont": question.tr_cont,
            "custtype": "P",
        }
        url = f"{self.settings.base_url}{endpoint.path}"
        outcome, departed, took = "Interrupted", None, None
        permit = Permit()
        try:
            with (
                account.quota.permit(endpoint.path, live=question.live, timeout=question.patience)
                if account.quota is not None
                else nullcontext(permit)
            ) as permit:
                departed = self._clock()
                status, content, told = self._wire.receive(
                    endpoint.name, "GET", url, params=question.parameters, headers=headers
                )
                permit.arrived()
                took = self._clock() - departed
                self._see_clock(told)
                body = envelope(content, status)
                sent = (token, headers["appsecret"], headers["appkey"])
                if is_echoed(content, *sent):
                    body = cast("dict[str, Any]", redact_answer(body, *sent))
                if plain(body.get("rt_cd")) != "0":
                    self._refuse(permit, body, status, told.get("gt_uid", ""))
            if status != 200:
                raise UnexpectedAnswer("success with an HTTP error", status=status)
            result = question.read(body | {"tr_cont": told.get("tr_cont", "")})
            outcome = "ok"
            return result
        except KISError as error:
            outcome = type(error).__name__ if departed is not None else "NotSent"
            if permit.was_too_quick:
                raise _TooQuick(error) from None
            raise
        except _Dead:
            outcome = AuthenticationFailed.__name__
            raise
        finally:
            self.tally.add(endpoint.name, outcome, took)

    def _refuse(
        self, permit: Permit, body: Mapping[str, Any], status: int, gt_uid: str
    ) -> NoReturn:
        msg_cd, message = refusal(body)
        if not msg_cd and status == 200:
            raise UnexpectedAnswer("the answer is neither a success nor a refusal")
        what = policy(msg_cd, status)
        error = what.error(
            what.explain(message or "refused without a reason", self.environment),
            msg_cd=msg_cd,
            status=status,
            gt_uid=gt_uid[:64],
            passing=what.then is Then.RETRY,
            is_outage=what.is_outage,
        )
        if what.then is Then.RETOKEN:
            raise _Dead(error)
        if isinstance(error, RateLimited):
            permit.refused()
        raise error

    def _breaker_changed(self, old: str, new: str) -> None:
        self.tally.breaker_changed(f"{old}>{new}")
        level = logging.WARNING if new == "OPEN" else logging.INFO
        log.log(level, "circuit breaker: %s -> %s", old, new)

    def _issue_token(self, credential: Credential) -> dict[str, Any]:
        self.tally.token_issued()
        return self._grant(credential, "tokenP", TOKEN_PATH)

    def _grant(self, credential: Credential, name: str, path: str) -> dict[str, Any]:
        # The same secret has another name in each of the two forms.
        secret, wanted = (
            ("appsecret", "access_token") if name == "tokenP" else ("secretkey", "approval_key")
        )
        status, content, told = self._wire.receive(
            name,
            "POST",
            f"{self.settings.base_url}{path}",
            json={
                "grant_type": "client_credentials",
                "appkey": credential.app_key.get_secret_value(),
                secret: credential.app_secret.get_secret_value(),
            },
        )
        self._see_clock(told)
        body = envelope(content, status)
        given = body.get(wanted)
        if isinstance(given, str) and _SENDABLE.fullmatch(given):
            return body
        msg_cd, message = refusal(body)
        if not msg_cd and status == 200:  # as an outage: nothing else can be asked without it
            raise ServiceUnavailable(
                f"the answer holds no {wanted} that can be used", endpoint=name, is_outage=True
            )
        what = policy(msg_cd, status)
        kind = AuthenticationFailed if what.then is Then.RETOKEN else what.error
        raise kind(
            what.explain(message or f"no {wanted.replace('_', ' ')} was issued", self.environment),
            msg_cd=msg_cd,
            status=status,
            endpoint=name,
            is_outage=what.is_outage,
        )
