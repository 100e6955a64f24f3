"""The KIS server in process: gateway, envelopes, faults. No sockets, no sleeping.

`Simulator.handle` takes one request and returns one reply. Delays (a hang, a drip) are only noted
in the reply; the transport waits, see `http`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from threading import Lock
from typing import Any, Literal

from kis_assets.simulator.market.market import Market, business_day
from kis_assets.simulator.server.damage import damage_answer, damage_request, lies_of
from kis_assets.simulator.server.faults import Faults
from kis_assets.simulator.server.limiter import Arrival, Limiter, Log
from kis_assets.simulator.server.oauth import HASH_KEY, grant
from kis_assets.simulator.server.realtime import Realtime
from kis_assets.simulator.server.replies import SPOILERS, Replies, Reply, page, trouble
from kis_assets.simulator.server.services import SERVICES, Service
from kis_assets.simulator.server.tokens import Tokens
from kis_assets.simulator.wire import krx_api
from kis_assets.simulator.wire.masterfiles import FILES, index_file, master_file
from kis_assets.simulator.wire.wire import Answer, Refusal, Request

Environment = Literal["real", "virtual"]
RATE_LIMITS: dict[str, int] = {"real": 18, "virtual": 1}
"""Calls per second and app key, from KIS's notice of 2026-04-20."""

SWITCHES = "/simulator/"
"""The prefix of the simulator's own paths."""
_MASTER = "/common/master/"
_TOO_MANY = "초당 거래건수를 초과하였습니다."


class Simulator:
    """A KIS REST server over a market, with KRX's Open API under `/svc/apis/`.

    `realtime` is its real-time feed.

    Args:
        market: The market of the answers.
        environment: `virtual` lacks half of the services and allows one call a second.
        rate_limit: Calls per app key in any second; 0 for no limit.
        app_keys: Secrets by app key; None accepts every key of 36 characters.
        clock: The present moment, for tokens; that of the market by default.
        monotonic: The clock of the rate limit, in seconds.
        krx_key: The key of KRX's Open API; None accepts every key of 40 characters.
        faults: The switches for faults.
        token_window: Minimum seconds between two token requests of one key.
    """

    def __init__(
        self,
        market: Market,
        *,
        environment: Environment = "real",
        rate_limit: int | None = None,
        app_keys: Mapping[str, str] | None = None,
        krx_key: str | None = None,
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        faults: Faults | None = None,
        token_window: float = 60.0,
    ) -> None:
        self.market, self.environment = market, environment
        self.clock = clock or market.now
        self.monotonic = monotonic
        self.faults = faults or Faults()
        self.tokens = Tokens(app_keys, self.clock, monotonic, token_window)
        self._krx = krx_api.OpenAPI(market, self.faults, krx_key)
        self._limiter = Limiter(RATE_LIMITS[environment] if rate_limit is None else rate_limit)
        self._log = Log()
        self.realtime = Realtime(self)
        self._lock = Lock()
        self._pages: Counter[tuple[str, str]] = Counter()
        self._last_payload: dict[tuple[str, str], Answer] = {}
        self._masters: dict[tuple[str, object], bytes] = {}
        self._replies = Replies(self.faults.seed)

    @property
    def log(self) -> list[Arrival]:
        """Every call so far: time, path, TR id, result."""
        return self._log.arrivals

    @property
    def calls_by_day(self) -> Counter[tuple[str, str]]:
        """Calls by day (`YYYY-MM-DD`) and path."""
        return self._log.by_day

    @property
    def rate_limit(self) -> int:
        """Calls per app key in any second; 0 for no limit. May be changed while running."""
        return self._limiter.limit

    @rate_limit.setter
    def rate_limit(self, limit: int) -> None:
        self._limiter.limit = limit

    @property
    def tokens_issued(self) -> int:
        """How many token requests were granted."""
        return self.tokens.issued

    @property
    def refusals(self) -> int:
        """How many calls were refused with EGW00201."""
        return sum(arrival.outcome == "EGW00201" for arrival in self.log)

    def calls(self, path: str) -> int:
        """How many calls had a path with this end."""
        return sum(arrival.path.endswith(path) for arrival in self.log)

    def max_in_any_second(self) -> int:
        """The most `/uapi` calls that arrived within any one second, refused ones included."""
        return self._log.max_in_any_second()

    def handle(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        arrived: float | None = None,
    ) -> Reply:
        """Answer one request. Header names are in lower case; `arrived` is its time of arrival."""
        if path.startswith(SWITCHES):
            return self._control(method, path, body)
        arrived = self.monotonic() if arrived is None else arrived
        reply, outcome = self._answer(method, path, query, headers, body, arrived)
        arrival = Arrival(arrived, path, headers.get("tr_id", ""), outcome)
        self._log.add(arrival, f"{self.clock():%Y-%m-%d}")
        return reply

    def _answer(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
        arrived: float,
    ) -> tuple[Reply, str]:
        broken = self.faults.first(("down", "reset"), path)
        if broken is not None:
            return Reply(0, {}, b"", broken="down" if broken[0] == "down" else "reset"), broken[0]
        waits = [self.faults.strikes(name, path) for name in ("hang", "latency")]
        delay = sum(when.seconds for when in waits if when)
        drip = self.faults.strikes("drip", path)
        try:
            if path.startswith(_MASTER) and method == "GET":
                reply, outcome = self._master(path.removeprefix(_MASTER)), "OK"
            elif path.startswith(krx_api.ROOT):
                given = self._krx.answer(method, path, query, headers)
                reply, outcome = self._replies.json(200, given, {}), "OK"
            elif path.startswith("/oauth2/") or path == HASH_KEY:
                given = grant(self.tokens, self.clock(), method, path, headers, body)
                reply, outcome = self._replies.json(200, given, {}), "OK"
            else:
                reply, outcome = self._service(method, path, query, headers, arrived)
        except Refusal as refusal:
            reply, outcome = self._replies.refusal(refusal, path, headers), refusal.msg_cd
        if struck := self.faults.first(tuple(SPOILERS), path):
            reply, outcome = SPOILERS[struck[0]](reply), struck[0]
        date = format_datetime(self.clock().astimezone(UTC), usegmt=True)
        headers = reply.headers | {"date": date}
        drip_for = drip.seconds if drip else 0.0
        return replace(reply, headers=headers, delay=delay, drip=drip_for), outcome

    # The gateway.

    def _service(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        arrived: float,
    ) -> tuple[Reply, str]:
        self._check_headers(headers)
        key = headers["appkey"]
        self._admit(key, arrived, path)
        struck = self.faults.first(("query_again", "expired_token", "invalid_token"), path)
        if struck is not None:
            raise trouble(*struck)
        tr_id, service = headers.get("tr_id", ""), SERVICES.get(path)
        if not tr_id:
            raise Refusal("1", "OPSQ9996", "TR_ID가 없습니다.")
        if method != "GET" or service is None or service.tr_id != tr_id:
            raise Refusal("1", "OPSQ0002", "없는 서비스 코드 입니다.")
        if self.environment == "virtual" and not service.on_virtual:
            raise Refusal("1", "OPSQ0002", "없는 서비스 코드 입니다.")
        parameters = {name.upper(): value for name, value in query}
        for name in service.required:
            if name not in parameters:
                raise Refusal("2", "OPSQ2001", f"ERROR INPUT FIELD NOT FOUND [{name}]")
        self._refuse_page(path, parameters)
        answer = self._ask(service, parameters, headers)
        return self._replies.answer(answer, tr_id), answer.message[0]

    def _check_headers(self, headers: Mapping[str, str]) -> None:
        # python-kis works on the real server and sends neither of these two with a GET.
        if not headers.get("content-type", "application/json").startswith("application/json"):
            raise Refusal("1", "EGW00132", "content-type이 유효하지 않습니다.", 500)
        authorization = headers.get("authorization", "")
        if not authorization:
            raise Refusal("1", "EGW00122", "token이 없습니다.", 500)
        if not authorization.startswith("Bearer "):
            raise Refusal("1", "EGW00205", "credentials_type이 유효하지 않습니다.(Bearer)", 500)
        self.tokens.check_key(headers.get("appkey", ""), headers.get("appsecret", ""))
        token = authorization.removeprefix("Bearer ")
        self.tokens.check(token, headers["appkey"], self.faults.expired_status)
        if headers.get("custtype", "P") not in ("P", "B"):
            raise Refusal("1", "EGW00208", "고객타입이 유효하지 않습니다.", 500)

    def _admit(self, key: str, arrived: float, path: str) -> None:
        admitted = self._limiter.admits(key, arrived)
        if not admitted or self.faults.refuses() or self.faults.strikes("refused", path):
            raise self._too_many()

    def _too_many(self) -> Refusal:
        return Refusal("1", "EGW00201", _TOO_MANY, 200 if self.faults.refusals_as_ok else 500)

    def _refuse_page(self, path: str, parameters: dict[str, str]) -> None:
        page = self.faults.refuse_page
        if not page:
            return
        with self._lock:
            subject = _subject(path, parameters)
            self._pages[subject] += 1
            if self._pages[subject] != page:
                return
        raise self._too_many()

    def _ask(
        self, service: Service, parameters: dict[str, str], headers: Mapping[str, str]
    ) -> Answer:
        path, subject = service.path, _subject(service.path, parameters)
        lies = lies_of(self.faults, path, parameters)
        if self.faults.strikes("repeat_page", path) and subject in self._last_payload:
            return self._last_payload[subject]
        if lies:
            damage_request(lies, path, self.market, parameters)
        page = headers.get("tr_cont", "").strip() == "N"
        code = self.faults.after_market_code
        answer = service.answer(Request(self.market, self.market.now(), parameters, page, code))
        if lies:
            damage_answer(lies, path, answer)
        if self.faults.repeat_page:
            self._last_payload[subject] = answer
        return answer

    def _master(self, name: str) -> Reply:
        day = business_day(self.market.now(), self.market.rolls_at)
        if name == "idxcode.mst.zip":
            return Reply(200, {"content-type": "application/zip"}, index_file(day))
        if name not in FILES:
            return page(404, "Not Found")
        content = self._masters.get((name, day))
        if content is None:
            content = self._masters[name, day] = master_file(self.market, name)
        return Reply(200, {"content-type": "application/zip"}, content)

    def _control(self, method: str, path: str, body: bytes) -> Reply:
        """The simulator's own paths, for tests in another process."""
        if path == "/simulator/stats":
            stats = {
                "calls": len(self.log), "tokens_issued": self.tokens_issued,
                "refusals": self.refusals, "max_in_any_second": self.max_in_any_second(),
                "by_path": dict(Counter(arrival.path for arrival in self.log)),
                "by_outcome": dict(Counter(arrival.outcome for arrival in self.log)),
            }  # fmt: skip
            return self._replies.json(200, stats, {})
        if path != "/simulator/faults" or method != "POST":
            return self._replies.json(404, {"error": "no such switch"}, {})
        try:
            settings: dict[str, Any] = json.loads(body or b"{}")
            if settings.pop("clear", False):
                self.faults.clear()
            if settings.pop("revoke_all_tokens", False):
                self.tokens.revoke()
            self.faults.update(settings)
        except ValueError as error:
            return self._replies.json(400, {"error": str(error)}, {})
        return self._replies.json(200, {"faults": "set"}, {})


def _subject(path: str, parameters: Mapping[str, str]) -> tuple[str, str]:
    return path, parameters.get("FID_INPUT_ISCD") or parameters.get("PDNO", "")
