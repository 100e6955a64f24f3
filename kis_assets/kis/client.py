"""One request to KIS: permit, send, check the answer. Other modules read the content.

    retry( breaker( quota( send )))

Each attempt takes its own permit and uses the app key that may send soonest.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import httpx

from kis_assets.errors import (
    AuthenticationFailed,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.exchange.venues import Venue
from kis_assets.kis.accounts import Account, Accounts
from kis_assets.kis.endpoint import Endpoint, Request
from kis_assets.kis.error_codes import Then, policy
from kis_assets.kis.fields import plain, refusal
from kis_assets.kis.server_clock import ServerClock
from kis_assets.security.redaction import is_echoed, redact_answer, remember
from kis_assets.settings import Settings
from kis_assets.state.shared import open_state
from kis_assets.transport import traces
from kis_assets.transport.http import LONGEST_FILE, Wire, envelope
from kis_assets.transport.rate_limiter import Permit
from kis_assets.transport.retry import retrying
from kis_assets.transport.stats import Tally

T = TypeVar("T")

MASTER_PATH = "/common/master/"
MAX_PACE_REFUSALS = 10
"""How often a request is repeated if its rate was refused while others were accepted."""


class _PaceRefused(Exception):
    """The server grants fewer requests than were sent. Never leaves the client."""

    def __init__(self, error: KISError) -> None:
        self.error = error


class _TokenRefused(Exception):
    """The token was refused. Never leaves the client."""

    def __init__(self, error: KISError) -> None:
        self.error = error


class Client:
    """Sends requests to KIS within the rate of the account; thread-safe, one per process.

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
        self._wire = Wire(settings.kis_api_timeout, transport=transport, clock=clock)
        self.venue = settings.kis_venue
        self.patience = settings.kis_api_queue_timeout
        self.live = False
        self._traces = traces.opened()
        self.clock = ServerClock(settings)
        shared = open_state(settings, state_dir)
        self.state = shared.state
        self.accounts = Accounts(
            settings,
            shared,
            self._wire,
            self.tally,
            self.clock,
            has_quota=has_quota,
            clock=clock,
            wall_clock=shared.now or wall_clock,
            sleep=self._pause if sleep is time.sleep else sleep,
        )

    def asking(
        self, *, venue: Venue | None = None, patience: float | None = None, live: bool = False
    ) -> Client:
        """The same client, for another venue or with another place in the quota's queue.

        `patience` is how many seconds a request waits there at most; `KIS_API_QUEUE_TIMEOUT` by
        default. All requests of a `live` client go before history.
        """
        other = copy.copy(self)
        other.venue, other.patience = venue or self.venue, patience or self.patience
        other.live = live or self.live
        return other

    @property
    def market(self) -> str:
        """KIS's code of the venue, for the parameter FID_COND_MRKT_DIV_CODE."""
        return {Venue.KRX: "J", Venue.NXT: "NX", Venue.UNIFIED: "UN"}[self.venue]

    def ask(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        read: Callable[[dict[str, Any]], T],
        *,
        about: str = "",
        tr_cont: str = "",
    ) -> T:
        """What `read` makes of the body of a successful answer; `about` names the stock in errors.

        `tr_cont` is N for a further page. KIS's header `tr_cont` is added to the body under the
        same name.

        Raises:
            KISError: any failure; see `errors`. `read` raises errors in a well-formed answer.
        """
        request = Request(endpoint, parameters, read, tr_cont)
        try:
            if self.environment == "virtual" and not endpoint.virtual:
                raise NotSupported(
                    "the virtual server has no such service; the real one has "
                    "(KIS_USE_VIRTUAL_SERVER=false)"
                )
            return retrying(
                lambda: self._attempt(request),
                endpoint.name,
                self.tally,
                self.settings.kis_api_max_retries,
            )
        except KISError as error:
            error.endpoint = error.endpoint or endpoint.name
            if error.endpoint == endpoint.name:  # a failed token request concerns no stock
                error.stock_code = error.stock_code or about
            raise

    def download_master(self, file_name: str) -> bytes:
        """Download a master file, which needs no key and no permit.

        Raises:
            ServiceUnavailable: it cannot be downloaded.
        """
        url = f"{self.settings.kis_master_base_url}{MASTER_PATH}{file_name}"

        def attempt() -> bytes:
            outcome, departed = "Interrupted", self._clock()
            try:
                status, content, _ = self._wire.receive(file_name, "GET", url, longest=LONGEST_FILE)
                if status != 200:
                    raise ServiceUnavailable(
                        "the master file cannot be downloaded",
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

    def close(self) -> None:
        """Close connections and the shared file; waiting requests fail."""
        self._closed.set()
        if self._traces is not None:
            self._traces.flush()
        self._wire.close()
        self.state.close()

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise ServiceUnavailable("the source was closed meanwhile", never_sent=True)

    def _attempt(self, request: Request[T]) -> T:
        """An answer. Refusals are repeated while the server's grant is not known yet."""
        refusals, live = 0, self.live or request.endpoint.live
        while True:
            account = self.accounts.choose(live)
            is_aside, waits = self.accounts.is_aside(account), self.accounts.is_alone(account)
            try:
                result = self._attempt_with(account, request, waits)
            except _PaceRefused as refusal:
                if is_aside:
                    self.accounts.take_back(account)
                refusals += 1
                refusal.error.key_id = account.id
                if refusals > MAX_PACE_REFUSALS:
                    raise refusal.error from None
                kind = type(refusal.error).__name__
                self.tally.retried(request.endpoint.name, kind, account.id)
            except KISError as error:
                is_refused = isinstance(error, AuthenticationFailed)
                if not is_refused and not (
                    isinstance(error, RateLimited) and error.endpoint == "tokenP"
                ):
                    if is_aside and _is_answer(error):
                        self.accounts.take_back(account)
                    raise
                # A key that is alone by now is waited for in the next turn.
                if not self.accounts.set_aside(account, error) and (is_refused or waits):
                    raise
            else:
                if is_aside:
                    self.accounts.take_back(account)
                return result

    def _attempt_with(self, account: Account, request: Request[T], waits: bool) -> T:
        try:
            token = account.tokens.get(waits=waits)
            remember(token)
            try:
                result = self._exchange(account, token, request)
            except _TokenRefused as dead:
                try:
                    token = account.tokens.replace(token, waits=waits)
                except RateLimited as later:
                    raise RateLimited(
                        f"{dead.error.message.rstrip('.')}; {later.message}",
                        msg_cd=later.msg_cd or dead.error.msg_cd,
                        endpoint="tokenP",
                    ) from None
                remember(token)
                try:
                    result = self._exchange(account, token, request)
                except _TokenRefused as refused:
                    raise refused.error from None
        except KISError as error:
            error.key_id = account.id
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

    def _exchange(self, account: Account, token: str, request: Request[T]) -> T:
        endpoint = request.endpoint
        headers = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {token}",
            "appkey": account.credential.app_key.get_secret_value(),
            "appsecret": account.credential.app_secret.get_secret_value(),
            "tr_id": endpoint.tr_id,
            "tr_cont": request.tr_cont,
            "custtype": "P",
        }
        url = f"{self.settings.base_url}{endpoint.path}"
        outcome, departed, took, status = "Interrupted", None, None, None
        began, permit = self._clock(), Permit()
        try:
            live = self.live or endpoint.live
            with account.permit(endpoint.path, live, self.patience) as permit:
                departed = self._clock()
                status, content, told = self._wire.receive(
                    endpoint.name, "GET", url, params=request.parameters, headers=headers
                )
                permit.arrived()
                took = self._clock() - departed
                self.clock.see(told)
                body = envelope(content, status)
                sent = (token, headers["appsecret"], headers["appkey"])
                if is_echoed(content, *sent):
                    body = cast("dict[str, Any]", redact_answer(body, *sent))
                if plain(body.get("rt_cd")) != "0":
                    self._refuse(permit, body, status, told.get("gt_uid", ""))
            if status != 200:
                raise UnexpectedAnswer("success with an HTTP error", status=status)
            result = request.read(body | {"tr_cont": told.get("tr_cont", "")})
            outcome = "ok"
            return result
        except KISError as error:
            outcome = type(error).__name__ if departed is not None else "NotSent"
            if permit.was_too_quick:
                raise _PaceRefused(error) from None
            raise
        except _TokenRefused:
            outcome = AuthenticationFailed.__name__
            raise
        finally:
            self.tally.add(endpoint.name, outcome, took, account.id)
            if self._traces is not None:
                times = (began, departed, self._clock())
                self._traces.add(
                    *(endpoint.name, endpoint.tr_id, url, next(request.tries)),
                    outcome,
                    status,
                    times,
                )

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
            raise _TokenRefused(error)
        if isinstance(error, RateLimited):
            permit.refused()
        raise error


def _is_answer(error: KISError) -> bool:
    """Whether KIS answered the request itself with this error, and so accepted the key."""
    is_read = error.status is not None or isinstance(error, UnexpectedAnswer)
    return is_read and not error.is_outage and error.endpoint != "tokenP"
