"""One request's way: what passes, what is tried again, what is named, and what is never told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from kis_assets.errors import (
    AuthenticationFailed,
    InvalidRequest,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar
from kis_assets.kis import daily_candles, quotes
from kis_assets.kis.client import Client
from kis_assets.kis.quotes import MANY_PRICES, PRICE
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import Faults, When
from kis_assets.simulator.server.http import InProcessTransport, serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.transport.rate_limiter import Quota
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, open_source

PRICE_PATH = "inquire-price"
SAMSUNG = "005930"


Turn = Callable[[Faults], None]


def turn(name: str, when: When | bool = True) -> Turn:
    return lambda faults: setattr(faults, name, when)


ONCE = When(calls=1, path=PRICE_PATH)

PASSING = {
    "connection refused": turn("down", ONCE),
    "connection reset": turn("reset", ONCE),
    "hang past the timeout": turn("hang", When(calls=1, path=PRICE_PATH, seconds=60)),
    "500 without a body": turn("server_error", ONCE),
    "502 with HTML": turn("bad_gateway", ONCE),
    "503": turn("unavailable", ONCE),
    "HTML with status 200": turn("html", ONCE),
    "an empty body": turn("empty", ONCE),
    "truncated JSON": turn("truncated", ONCE),
    "gzip garbage": turn("garbage_gzip", ONCE),
    "EGW00201 as 500": turn("refused", ONCE),
    "EGW00316 as 500": turn("query_again", When(calls=1, path=PRICE_PATH, status=500)),
    "EGW00316 as 200": turn("query_again", When(calls=1, path=PRICE_PATH, status=200)),
    "EGW00123 as 500": turn("expired_token", When(calls=1, path=PRICE_PATH, status=500)),
    "EGW00123 as 200": turn("expired_token", When(calls=1, path=PRICE_PATH, status=200)),
    "EGW00121": turn("invalid_token", When(calls=1, path=PRICE_PATH, status=500)),
}


@pytest.fixture
def patient(simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A source that does not wait out the minute between two tokens."""
    monkeypatch.setattr("kis_assets.kis.token.ISSUE_INTERVAL", 0.0)
    with open_source(simulator, settings) as source:
        yield source


@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_is_tried_again(
    simulator: Simulator, patient: KISDataSource, fault: str
) -> None:
    right = quotes.price(patient._client, SAMSUNG)
    PASSING[fault](simulator.faults)
    assert quotes.price(patient._client, SAMSUNG) == right


@pytest.mark.parametrize("fault", ["wrong_type", "extra_fields", "padded_numbers", "blank_numbers"])
def test_what_is_merely_odd_is_read(
    simulator: Simulator, source: KISDataSource, fault: str
) -> None:
    right = quotes.price(source._client, SAMSUNG)
    setattr(simulator.faults, fault, True)
    assert quotes.price(source._client, SAMSUNG) == right


def test_a_rate_refusal_with_status_200_is_a_refusal(
    simulator: Simulator, source: KISDataSource
) -> None:
    simulator.faults.refusals_as_ok = True
    simulator.faults.refused = When(path=PRICE_PATH)
    with pytest.raises(RateLimited, match="EGW00201"):
        quotes.price(source._client, SAMSUNG)


def test_three_retries_are_enough(simulator: Simulator, source: KISDataSource) -> None:
    simulator.faults.server_error = True
    source._client.tally.seconds.clear()
    with pytest.raises(ServiceUnavailable):
        quotes.price(source._client, SAMSUNG)
    assert simulator.calls(PRICE_PATH) <= 4


WRONG = {
    "missing_required_field": UnexpectedAnswer,
    "bad_number": UnexpectedAnswer,
    "wrong_code_answer": UnexpectedAnswer,
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_well_formed_wrong_answer_is_named_and_not_tried_again(
    simulator: Simulator, source: KISDataSource, fault: str
) -> None:
    setattr(simulator.faults, fault, When(path=PRICE_PATH))
    with pytest.raises(WRONG[fault]) as caught:
        quotes.price(source._client, SAMSUNG)
    assert SAMSUNG in str(caught.value)
    assert simulator.calls(PRICE_PATH) == 1


def test_an_unknown_code_is_an_invalid_request_though_kis_says_success(
    source: KISDataSource,
) -> None:
    with pytest.raises(InvalidRequest, match="999999"):
        quotes.price(source._client, "999999")
    with pytest.raises(ValueError, match="999999"):
        source.get_current_price("999999")


@pytest.mark.parametrize("code", ["", "005-930", "00593O1", "005930.XX", "삼성전자"])
def test_a_malformed_code_is_refused_before_a_request(
    simulator: Simulator, source: KISDataSource, code: str
) -> None:
    with pytest.raises(InvalidRequest, match="no stock code"):
        source.get_current_price(code)
    assert simulator.log == []


def test_the_virtual_server_says_what_it_does_not_have(settings: Settings) -> None:
    virtual = settings.model_copy(update={"kis_use_virtual_server": True})
    with Client_(virtual, httpx.MockTransport(_never)) as client, pytest.raises(NotSupported):
        client.ask(MANY_PRICES, {}, dict)


def test_a_revoked_token_is_issued_anew_once(simulator: Simulator, patient: KISDataSource) -> None:
    quotes.price(patient._client, SAMSUNG)
    simulator.tokens.revoke()
    quotes.price(patient._client, SAMSUNG)
    quotes.price(patient._client, SAMSUNG)
    assert simulator.tokens_issued == 2


def test_a_token_that_stays_dead_stops(simulator: Simulator, patient: KISDataSource) -> None:
    simulator.faults.expired_token = True
    with pytest.raises(AuthenticationFailed, match="EGW00123"):
        quotes.price(patient._client, SAMSUNG)
    assert simulator.calls(PRICE_PATH) == 2


def test_a_wrong_secret_stops_a_whole_batch_after_one_request(
    market: ModelMarket, settings: Settings
) -> None:
    strict = Simulator(market, rate_limit=0, app_keys={APP_KEY: "another secret"})
    with open_source(strict, settings) as source, pytest.raises(AuthenticationFailed):
        source.tables.daily_candles(
            [f"{n:06}" for n in range(500)], date(2026, 3, 2), date(2026, 3, 17)
        )
    assert strict.calls("tokenP") == 1


def test_outages_open_the_breaker_and_nothing_is_asked_meanwhile(
    simulator: Simulator, settings: Settings
) -> None:
    with open_source(simulator, settings) as source:
        quotes.price(source._client, SAMSUNG)
        before = len(simulator.log)
        simulator.faults.server_error = True
        for _ in range(5):
            with pytest.raises(ServiceUnavailable):
                quotes.price(source._client, SAMSUNG)
        assert len(simulator.log) - before == 5
        simulator.faults.server_error = False
        with pytest.raises(ServiceUnavailable, match="breaker is open"):
            quotes.price(source._client, SAMSUNG)
        assert len(simulator.log) - before == 5


@pytest.mark.parametrize("fault", ["bad_number", "refused", "expired_token"])
def test_what_says_nothing_of_the_servers_health_never_opens_the_breaker(
    simulator: Simulator, patient: KISDataSource, fault: str
) -> None:
    setattr(simulator.faults, fault, When(path=PRICE_PATH))
    for _ in range(8):
        with pytest.raises(KISError):
            quotes.price(patient._client, SAMSUNG)
    setattr(simulator.faults, fault, False)
    quotes.price(patient._client, SAMSUNG)


def test_a_slow_drip_ends_with_the_timeout(simulator: Simulator, settings: Settings) -> None:
    """Each piece comes in time; the whole does not."""
    quick = settings.model_copy(update={"kis_api_timeout": 0.25, "kis_api_max_retries": 0})
    with serve(simulator) as url:
        there = quick.model_copy(update={"kis_api_base_url_real": url})
        with KISDataSource(there, has_quota=False) as source:
            simulator.faults.drip = When(path=PRICE_PATH, seconds=0.1)
            with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
                quotes.price(source._client, SAMSUNG)


SECRETS = (APP_KEY, APP_SECRET)


@pytest.mark.parametrize("fault", [*PASSING, *WRONG])
def test_no_secret_is_in_an_error_a_log_or_a_file(
    simulator: Simulator,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    fault: str,
) -> None:
    monkeypatch.setattr("kis_assets.kis.token.ISSUE_INTERVAL", 0.0)
    caplog.set_level(logging.DEBUG)
    if fault in WRONG:
        setattr(simulator.faults, fault, True)
    else:
        PASSING[fault](simulator.faults)
    told: list[str] = []
    with open_source(simulator, settings.model_copy(update={"kis_api_max_retries": 0})) as source:
        try:
            quotes.price(source._client, SAMSUNG)
        except KISError as error:
            told += [str(error), repr(error), repr(error.__cause__), repr(error.__dict__)]
        token = source._client.accounts.all[0].tokens._held.access_token
        told += [repr(source._client), repr(source._client.accounts.all)]
    told.append(caplog.text)
    for secret in (*SECRETS, token):
        assert secret
        assert not [text for text in told if secret in text]
        for path in tmp_path.rglob("*"):
            if path.is_file() and not (secret == token and path.name.startswith("token-")):
                assert secret.encode() not in path.read_bytes(), path


def Client_(settings: Settings, transport: httpx.BaseTransport) -> Any:
    from contextlib import closing

    return closing(Client(settings, transport=transport, has_quota=False))


def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"asked for {request.url.path}")


def test_the_request_is_what_kis_asks_for(settings: Settings) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.method == "POST":
            return httpx.Response(200, json={"access_token": "TOKEN", "expires_in": 86400})
        return httpx.Response(200, json={"rt_cd": "0", "msg_cd": "MCA00000", "output": {}})

    with Client_(settings, httpx.MockTransport(answer)) as client:
        client.ask(PRICE, {"FID_INPUT_ISCD": SAMSUNG}, dict)
    token, price = seen
    assert token.url.path == "/oauth2/tokenP"
    assert price.headers["authorization"] == "Bearer TOKEN"
    assert price.headers["appkey"] == APP_KEY
    assert price.headers["tr_id"] == "FHKST01010100"
    assert price.headers["custtype"] == "P"
    assert price.headers["content-type"] == "application/json; charset=utf-8"


def test_a_page_of_days_that_lost_bars_is_not_the_end_of_history(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = date(2025, 6, 2), date(2026, 3, 17)
    whole = list(daily_candles.each_day(source._client, SAMSUNG, first, last))
    given = daily_candles.daily_page
    monkeypatch.setattr(daily_candles, "daily_page", lambda *args, **how: given(*args, **how)[:97])
    assert list(daily_candles.each_day(source._client, SAMSUNG, first, last)) == whole
    assert [bar["trading_day"] for bar in whole] == calendar.trading_days(first, last)[::-1]


def test_a_chart_of_another_year_is_not_taken_for_the_newest(
    simulator: Simulator, source: KISDataSource
) -> None:
    right = source.get_chart_data(SAMSUNG, count=5)
    simulator.faults.another_days_bars = When(path="itemchartprice")
    with pytest.raises(UnexpectedAnswer, match="the newest bar is of 20"):
        source.get_chart_data(SAMSUNG, count=5)
    assert right[0].date == "20260317"


@pytest.mark.parametrize(
    ("first", "last", "pages"),
    [
        (date(1998, 3, 1), date(1998, 3, 31), 1),
        (date(1999, 12, 1), date(2000, 1, 31), 1),
        (date(1999, 7, 1), date(2000, 1, 31), 2),
    ],
)
def test_bars_from_before_the_calendar_begins_are_asked_for_too(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch, first: date, last: date, pages: int
) -> None:
    """KIS has them from 1995 on, in pages of a hundred."""
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    traded = [day for day in days if day.weekday() < 5][::-1]
    asked: list[date] = []

    def page(_: Any, code: str, since: date, until: date, *how: Any) -> list[dict[str, Any]]:
        asked.append(until)
        return [{"trading_day": day} for day in traded if since <= day <= until][:100]

    monkeypatch.setattr(daily_candles, "daily_page", page)
    bars = list(daily_candles.each_day(source._client, SAMSUNG, first, last))
    assert [bar["trading_day"] for bar in bars] == traded
    assert len(asked) == pages


def test_of_a_delisted_stock_the_bars_end_where_kis_knows_it_no_more(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = iter([[{"trading_day": date(2026, 3, 16)}]])

    def page(*args: Any, **how: Any) -> Any:
        for found in pages:
            return found
        raise InvalidRequest("KIS knows no stock of this code")

    monkeypatch.setattr(daily_candles, "daily_page", page)
    span = date(2026, 3, 2), date(2026, 3, 17)
    assert len(list(daily_candles.each_day(source._client, SAMSUNG, *span))) == 1
    with pytest.raises(InvalidRequest):
        list(daily_candles.each_day(source._client, SAMSUNG, *span))


def test_daily_bars_are_raw_page_by_page_and_no_page_too_many(
    simulator: Simulator, source: KISDataSource
) -> None:
    """199 days around a split, from a Sunday on: a full page, and one a bar short of it."""
    days = calendar.trading_days(date(2024, 1, 2), date(2026, 3, 17))
    start = max(n for n, day in enumerate(days[:-199]) if day.weekday() == 0)
    days = days[start : start + 199]
    splits = simulator.market.actions(days[20], days[-20])
    code = next(action.code for action in splits if action.kind == "split")
    sunday = days[0] - timedelta(days=1)
    fetched = source.tables.daily_candles([code], sunday, days[-1]).rows.sort("trading_day")
    right = simulator.market.bars(code, sunday, days[-1])
    assert fetched["close"].to_list() == [bar.close for bar in sorted(right)]
    assert fetched["trading_day"].to_list() == days
    assert simulator.calls("inquire-daily-itemchartprice") == 2


# The queue of the quota


def test_who_asks_decides_how_long_a_request_waits_and_what_goes_first(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs wait half a minute at most, assets a quarter of an hour; captures go first."""
    waiting: set[tuple[str, bool, float]] = set()
    permit = Quota.permit

    def recorded(self: Quota, path: str, *, live: bool = False, timeout: float = 30.0) -> Any:
        waiting.add((path.rsplit("/")[-1], live, timeout))
        return permit(self, path, live=live, timeout=timeout)

    monkeypatch.setattr(Quota, "permit", recorded)
    day = date(2026, 3, 17)
    with KISDataSource(settings, transport=InProcessTransport(simulator)) as source:
        source.get_current_price(SAMSUNG)
        source.get_chart_data(SAMSUNG, count=1)
        assert waiting == {
            ("inquire-price", True, 30.0),
            ("inquire-daily-itemchartprice", False, 30.0),
        }
        waiting.clear()
        listed = source.tables.stock_master(day)
        stocks = listed.filter(pl.col("stock_code") == SAMSUNG)
        source.tables.price_snapshots(stocks, day, EVENING)
        source.tables.daily_candles([SAMSUNG], day, day)
        source.tables.market_days(day, day)
        assert waiting == {
            ("intstock-multprice", True, 900.0),
            ("inquire-daily-itemchartprice", True, 900.0),  # whether it is a session
            ("inquire-daily-itemchartprice", False, 900.0),
            ("chk-holiday", False, 30.0),
        }
