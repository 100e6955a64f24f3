"""One request to KRX's Open API: count, send, check the answer. `answers` reads the rows.

The key is sent in a header and appears nowhere else. KRX allows 10,000 calls per key and day. All
processes count together, retries included, by the day in Seoul.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NoReturn, TypeVar, cast

import httpx

from kis_assets.errors import AuthenticationFailed, KISError, RateLimited, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.error_codes import Then, policy
from kis_assets.kis.fields import plain
from kis_assets.security.redaction import is_echoed, redact_answer
from kis_assets.settings import Settings
from kis_assets.settings.agreement import no_krx_key
from kis_assets.state.shared import open_state
from kis_assets.transport.http import LONGEST_FILE, Wire, envelope
from kis_assets.transport.retry import retrying
from kis_assets.transport.stats import Tally

T = TypeVar("T")

CALLS_A_DAY = 10_000
DAILY = {"KOSPI": "stk_bydd_trd", "KOSDAQ": "ksq_bydd_trd", "KONEX": "knx_bydd_trd"}
"""Daily trading information, by market."""
ISSUES = {
    "KOSPI": "stk_isu_base_info",
    "KOSDAQ": "ksq_isu_base_info",
    "KONEX": "knx_isu_base_info",
}
"""Issue base information, by market."""


class KRXClient:
    """Sends requests to KRX within the daily limit of the key; thread-safe, one per process.

    `transport` replaces the network; `wall_clock` gives the day for which calls are counted.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        key = settings.krx_api_key.get_secret_value()
        if not key:
            raise AuthenticationFailed(no_krx_key())
        self.tally = Tally()
        self._settings = settings
        self._clock, self._wall_clock = clock, wall_clock
        self._wire = Wire(settings.kis_api_timeout, transport=transport, clock=clock)
        # Not that of the source in use: a key has its calls once, whoever makes them.
        folder = (settings.kis_data_dir / settings.named("krx") / "state").absolute()
        self._state = open_state(settings, folder).state
        self._calls = f"krx-calls-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def ask(self, api: str, day: date, read: Callable[[dict[str, Any]], T]) -> T:
        """The result of `read` on the answer of one API about one day.

        Raises:
            AuthenticationFailed: the key is refused, or not approved for this API.
            RateLimited: the calls of the day are used up, by our count or by KRX's.
            KISError: any other failure; `read` raises errors in a well-formed answer.
        """
        try:
            return retrying(
                lambda: self._attempt(api, day, read),
                api,
                self.tally,
                self._settings.kis_api_max_retries,
            )
        except KISError as error:
            error.endpoint = error.endpoint or api
            error.stock_code = error.stock_code or str(day)
            raise

    def close(self) -> None:
        """Close the connections and the shared file."""
        self._wire.close()
        self._state.close()

    def _attempt(self, api: str, day: date, read: Callable[[dict[str, Any]], T]) -> T:
        outcome, departed, took = "NotSent", None, None
        try:
            self._count()
            outcome, departed = "Interrupted", self._clock()
            status, content, _ = self._wire.receive(
                api,
                "GET",
                f"{self._settings.krx_api_base_url}/sto/{api}",
                params={"basDd": f"{day:%Y%m%d}"},
                longest=LONGEST_FILE,
                headers={"AUTH_KEY": self._settings.krx_api_key.get_secret_value()},
            )
            took = self._clock() - departed
            if status != 200:
                self._refuse(status)
            body = envelope(content, status)
            key = self._settings.krx_api_key.get_secret_value()
            if is_echoed(content, key):
                body = cast("dict[str, Any]", redact_answer(body, key))
            code = plain(body.get("respCode"))
            if "OutBlock_1" not in body and code.isdecimal():
                self._refuse(int(code[:9]))
            result = read(body)
            outcome = "ok"
            return result
        except KISError as error:
            outcome = type(error).__name__ if departed is not None else outcome
            raise
        finally:
            self.tally.add(api, outcome, took)

    def _count(self) -> None:
        def one_more(value: bytes | None, now: float) -> tuple[bytes | None, bool]:
            today = datetime.fromtimestamp(now, calendar.SEOUL).date().isoformat()
            counted, _, calls = (value or b"").decode().partition(" ")
            made = int(calls) if counted == today else 0
            if made >= CALLS_A_DAY:
                return None, False
            return f"{today} {made + 1}".encode(), True

        if not self._state.update(self._calls, one_more, self._wall_clock):
            raise RateLimited(
                f"the {CALLS_A_DAY:,} calls that KRX allows a key in a day are used up; ask again "
                "after midnight in Seoul",
                never_sent=True,
            )

    def _refuse(self, status: int) -> NoReturn:
        """Raise the error for a status other than success.

        KRX's own text is left out: it may hold the key.
        """
        if status < 400:
            raise UnexpectedAnswer("KRX answered with neither data nor an error", status=status)
        what = policy("", status)
        if what.error is AuthenticationFailed:
            message = (
                "KRX refuses KRX_API_KEY for this API: the key is wrong, has ended, or is not "
                "approved for it; each API must be applied for separately at "
                "https://openapi.krx.co.kr"
            )
        elif what.error is RateLimited:
            message = "KRX refused the request: too many calls"
        else:
            message = "KRX refused"
        raise what.error(
            message, status=status, passing=what.then is Then.RETRY, is_outage=what.is_outage
        )
