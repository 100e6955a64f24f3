"""What nobody outside KIS knows works either way: both outcomes of each question, side by side.

`docs/unknowns.md` lists the questions and names these tests, and those that stand elsewhere.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import polars as pl
import pytest

from kis_assets.defs.checks import cross_source
from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.errors import (
    AuthenticationFailed,
    InvalidRequest,
    KISError,
    NotSupported,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar, stocks
from kis_assets.exchange.venues import Venue
from kis_assets.kis import master_files, quotes
from kis_assets.kis.client import Client
from kis_assets.kis.daily_candles import DAILY_CHART
from kis_assets.kis.fields import clock
from kis_assets.kis.minute_candles import PAST_MINUTES
from kis_assets.kis.order_books import ORDER_BOOK
from kis_assets.kis.quotes import MANY_PRICES, PRICE
from kis_assets.kis.token import Token
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.simulator.server.limiter import Limiter
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.record_types import PriceType
from kis_assets.sources.tables import Fetched
from kis_assets.state.sqlite import SharedState
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES
from kis_assets.transport.rate_limiter import Quota
from kis_assets_tests.conftest import EVENING, Clock, OpenAt, open_source
from kis_assets_tests.kis.test_master_files import record as master_record
from kis_assets_tests.support.in_process import alter, checks, materialize, point_at, rows
from kis_assets_tests.support.small_rows import candle, frame

DAY = EVENING.date()
MONTH = date(2026, 3, 1)
SAMSUNG = "005930"


# Tokens: does a new one end the old one


@pytest.mark.parametrize("ends", [True, False])
def test_a_new_token_may_end_the_old_one_or_not(
    simulator: Simulator, settings: Settings, ends: bool
) -> None:
    """Two processes of one key; the other one has a new token issued while this one holds one."""
    with open_source(simulator, settings) as this, open_source(simulator, settings) as other:
        right = quotes.price(this._client, SAMSUNG)
        other._client.accounts.all[0].tokens.get()
        old = this._client.accounts.all[0].tokens.get()
        simulator.tokens._current.clear()  # as after six hours
        if ends:
            simulator.tokens.revoke(old)
        other._client.accounts.all[0].tokens._write(Token())
        assert other._client.accounts.all[0].tokens.replace(old) != old
        assert quotes.price(this._client, SAMSUNG) == quotes.price(other._client, SAMSUNG) == right
    assert simulator.tokens_issued == 2


# The rate: a sliding second, or seconds of the server's clock, whenever they begin


def test_the_pace_suits_a_sliding_second_and_seconds_of_a_clock(
    tmp_path: Path, clock: Clock
) -> None:
    quota, sent = Quota(SharedState(tmp_path), "key", 18, clock=clock, sleep=clock.sleep), []
    for number in range(200):
        with quota.permit("price"):
            sent.append(clock.now + 0.002 * (number % 5))  # the way is not always as long
            clock.now += 0.01
    sliding = Limiter(18)
    assert all(sliding.admits("key", at) for at in sorted(sent))
    for begins in (0.0, 0.25, 0.5, 0.75):
        assert max(Counter(int(at + begins) for at in sent).values()) <= 18


# Refusals: by their code, whatever the HTTP status


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
@pytest.mark.parametrize(
    ("code", "error", "is_form"),
    [
        ("EGW00103", AuthenticationFailed, True),
        ("EGW00105", AuthenticationFailed, True),
        ("EGW00121", AuthenticationFailed, False),
        ("EGW02004", AuthenticationFailed, False),
        ("OPSQ0002", NotSupported, False),
    ],
)
def test_a_refusal_means_the_same_whatever_its_status(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    error: type[KISError],
    is_form: bool,
    status: int,
) -> None:
    monkeypatch.setattr("kis_assets.kis.token.ISSUE_INTERVAL", 0.0)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.method == "GET":
            return httpx.Response(status, json={"rt_cd": "1", "msg_cd": code, "msg1": "no"})
        if is_form:
            return httpx.Response(status, json={"error_code": code, "error_description": "no"})
        return httpx.Response(200, json={"access_token": "T", "expires_in": 86400})

    client = Client(settings, transport=httpx.MockTransport(answer), has_quota=False)
    with closing(client), pytest.raises(error, match=code):
        client.ask(PRICE, {}, dict)
    # A dead token alone is worth another try, with another token.
    questions = [path for path in asked if path == PRICE.path]
    assert len(questions) == (0 if is_form else 2 if code == "EGW00121" else 1)


# The adjusted series: is volume adjusted too


def test_of_the_adjusted_series_the_volume_is_not_read(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def multiply(payload: dict[str, Any]) -> None:
        for row in payload["output2"]:
            row.update({"acml_vol": str(10 * int(row["acml_vol"]))} if row else {})

    as_traded = source.tables.adjusted_candles([SAMSUNG], MONTH, DAY).rows
    alter(monkeypatch, DAILY_CHART, multiply)
    assert source.tables.adjusted_candles([SAMSUNG], MONTH, DAY).rows.equals(as_traded)


# Weeks and months: are they dated by their first or their last day


def test_weeks_and_months_are_made_of_days_and_none_is_asked_for(
    simulator: Simulator, source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    periods: set[str] = set()
    handle = simulator.handle

    def record(method: str, path: str, query: list[tuple[str, str]], *rest: Any) -> Any:
        periods.update(value for name, value in query if name == "FID_PERIOD_DIV_CODE")
        return handle(method, path, query, *rest)

    monkeypatch.setattr(simulator, "handle", record)
    for period in (PriceType.WEEKLY, PriceType.MONTHLY):
        assert source.get_chart_data(SAMSUNG, period, 3)[0].date == f"{DAY:%Y%m%d}"
    assert periods == {"D"}


# Thirty quotes a request: unknown codes are zeros, blank, or left out


@pytest.mark.parametrize("unknown", ["zeros", "blank", "left out"])
def test_thirty_quotes_hold_unknown_codes_or_leave_them_out(
    simulator: Simulator,
    source: KISDataSource,
    monkeypatch: pytest.MonkeyPatch,
    unknown: str,
) -> None:
    def blank(payload: dict[str, Any]) -> None:
        for row in payload["output"]:
            row.update(dict.fromkeys(row, "") if row["inter2_prpr"] == "0" else {})

    simulator.faults.short_multprice = unknown == "left out"
    if unknown == "blank":
        alter(monkeypatch, MANY_PRICES, blank)
    result = source.get_current_prices_batch(["999999", SAMSUNG])
    assert list(result["success"]) == [SAMSUNG]
    assert {code: type(error) for code, error in result["failed"].items()} == {
        "999999": InvalidRequest
    }


# Minutes: labelled by their start, or by their end


@pytest.mark.parametrize("by_end", [False, True])
def test_minutes_labelled_by_their_end_are_stored_under_no_wrong_time_unseen(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, by_end: bool
) -> None:
    """A bar of 15:20 says so: a label of the start has none there."""

    def later(payload: dict[str, Any]) -> None:
        for row in payload["output2"]:
            start = datetime.combine(DAY, clock(row["stck_cntg_hour"]), calendar.SEOUL)
            row["stck_cntg_hour"] = f"{start + timedelta(minutes=1):%H%M%S}"

    if by_end:
        alter(monkeypatch, PAST_MINUTES, later)
    point_at(simulator, monkeypatch, KIS_STOCK_CODES=SAMSUNG)
    result = materialize("minute_candles", DAY.isoformat())
    assert checks(result)["minutes_lie_in_the_session"] is not by_end


# Minutes before a split: prices are adjusted for it; volumes may be as well


@pytest.mark.parametrize("times", [5, 1])
def test_minutes_before_a_split_may_have_adjusted_volumes_or_not(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    def split(payload: dict[str, Any]) -> None:
        for row in payload["output2"]:
            for name in ("stck_prpr", "stck_oprc", "stck_hgpr", "stck_lwpr"):
                row[name] = str(int(row[name]) // 5)
            row["cntg_vol"] = str(int(row["cntg_vol"]) * times)

    before = source.tables.minute_candles([SAMSUNG], DAY).rows
    source.tables.history_is_stored(DAY, DAY)
    alter(monkeypatch, PAST_MINUTES, split)
    after = source.tables.minute_candles([SAMSUNG], DAY)
    assert after.failed == {}
    assert after.rows["started_at"].equals(before["started_at"])
    assert after.rows["trading_value"].equals(before["trading_value"])
    assert after.rows["volume"].equals(before["volume"] * times)


# Minutes of the same evening: with the closing auction, or without


@pytest.mark.parametrize("has_auction", [True, False])
def test_a_day_may_lack_the_minute_of_its_closing_auction(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, has_auction: bool
) -> None:
    def without(payload: dict[str, Any]) -> None:
        found = payload["output2"]
        payload["output2"] = [row for row in found if row["stck_cntg_hour"] != "153000"]

    if not has_auction:
        alter(monkeypatch, PAST_MINUTES, without)
    point_at(simulator, monkeypatch, KIS_STOCK_CODES=SAMSUNG)
    result = materialize("minute_candles", DAY.isoformat())
    assert result.success
    assert rows(MINUTE_CANDLES).height == 380 + has_auction
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert {check.severity.value for check in failed} <= {"WARN"}


# The night's correction: does it come to the chart and to the short history at once


@pytest.mark.parametrize("at_once", [True, False])
def test_the_short_history_may_be_corrected_with_the_chart_or_later(
    tmp_path: Path, at_once: bool
) -> None:
    thursday, morning = date(2026, 10, 1), datetime(2026, 10, 2, 7, 40, tzinfo=calendar.SEOUL)
    codes = [f"{number:06}" for number in range(10)]
    lake = Lake(tmp_path, source="kis")
    chart = [candle(thursday, 100, 110, 90, 105, stock_code=code) for code in codes]
    lake.replace(DAILY_CANDLES, Scope.month(thursday), frame(DAILY_CANDLES, *chart, source="kis"))

    def differing(closes: dict[str, int]) -> list[str]:
        """The stocks that differ from a short history with these closes."""
        other = [row | {"close": closes[row["stock_code"]]} for row in chart]
        source: Any = SimpleNamespace(
            recent_candles=lambda *_: Fetched(frame(DAILY_CANDLES, *other).drop("is_final"))
        )
        month = (date(2026, 10, 1), date(2026, 10, 31))
        span = Window(lake, DAILY_CANDLES, *month, morning, lambda: source)
        found = cross_source.a_hundred_stocks_agree_with_a_second_source(span, span.rows())
        return found.collect()["stock_code"].to_list()

    if at_once:
        right = dict.fromkeys(codes, 105)
        assert differing(right) == []
        assert differing(right | {codes[3]: 106}) == [codes[3]]
    else:
        evening = dict.fromkeys(codes, 106) | {code: 105 for code in codes[:2]}
        with pytest.raises(NotComparable, match="short history"):
            differing(evening)


# Order books after the last trade: empty levels, or the last book


@pytest.mark.parametrize("stands", [False, True])
def test_a_book_after_the_last_trade_is_empty_or_the_last_one(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    last = {f"{side}{n}": str(70000 + sign * 100 * n) for n in range(1, 11)
            for side, sign in (("askp", 1), ("bidp", -1))}  # fmt: skip
    last |= {f"{side}_rsqn{n}": "10" for n in range(1, 11) for side in ("askp", "bidp")}
    last |= {"total_askp_rsqn": "100", "total_bidp_rsqn": "100", "aspr_acpt_hour": "195959"}
    if stands:
        alter(monkeypatch, ORDER_BOOK, lambda payload: payload["output1"].update(last))
    stocks = source.tables.stock_master(DAY).filter(pl.col("stock_code") == SAMSUNG)
    (book,) = source.tables.order_books(stocks, DAY, EVENING).rows.iter_rows(named=True)
    assert book["session"] == "closed"
    assert book["ask_price_1"] == (70100 if stands else None)
    assert book["booked_at"] == (EVENING.replace(hour=19, minute=59, second=59) if stands else None)


# Order books: which market phase KIS calls the after-market


@pytest.mark.parametrize("phase", ["20", "30", "X9", ""])
def test_the_session_of_a_book_is_told_by_the_clock_whatever_kis_calls_it(
    at: OpenAt, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    alter(
        monkeypatch,
        ORDER_BOOK,
        lambda payload: payload["output1"].update(new_mkop_cls_code=phase),
    )
    evening = datetime(2026, 10, 1, 17, tzinfo=calendar.SEOUL)
    source = at(evening)
    stocks = source.tables.stock_master(evening.date()).filter(pl.col("stock_code") == SAMSUNG)
    (book,) = source.tables.order_books(stocks, evening.date(), evening).rows.iter_rows(named=True)
    assert (book["session"], book["market_phase"]) == ("after_market", phase or None)


# Past minutes on the virtual server


def test_the_virtual_server_is_not_asked_for_past_minutes_whether_it_has_them_or_not(
    settings: Settings,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked for {request.url.path}")

    virtual = settings.model_copy(update={"kis_use_virtual_server": True})
    client = Client(virtual, transport=httpx.MockTransport(answer), has_quota=False)
    with closing(client), pytest.raises(NotSupported, match="KIS_USE_VIRTUAL_SERVER=false"):
        client.ask(PAST_MINUTES, {}, dict)


# NXT's master files: laid out as KRX's, or otherwise


@pytest.mark.parametrize("tail", [b"", b"  a field more"])
def test_the_stocks_of_nxt_are_read_from_records_of_any_length(tail: bytes) -> None:
    records = [master_record("KOSPI", mksc_shrn_iscd=code) + tail for code in ("900110", "0001A0")]
    content = b"\n".join(records) + b"\n"
    assert master_files.codes(content, "nxt_kospi_code.mst") == {"900110", "0001A0"}


def test_a_list_of_nxt_that_begins_with_no_code_is_another_layout() -> None:
    for content in (b"", b"\n", b"KR7900110008 900110\n"):
        with pytest.raises(UnexpectedAnswer, match="layout is another one"):
            master_files.codes(content, "nxt_kospi_code.mst")


@pytest.mark.parametrize("has_etf", [True, False])
def test_nxt_may_trade_etfs_or_not(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch, has_etf: bool
) -> None:
    """Its market for them was announced for November 2026."""
    etf = next(it.code for it in simulator.market.stocks(DAY) if it.group == "EF")
    listed = frozenset([SAMSUNG, etf] if has_etf else [SAMSUNG])
    with open_source(simulator, settings.model_copy(update={"kis_venue": Venue.NXT})) as source:
        monkeypatch.setattr(master_files, "nxt_codes", lambda _: listed)
        traded = source.tables.stock_master(DAY)
    assert set(traded["stock_code"]) == listed
    assert traded.filter(stocks.in_universe(("common",)))["stock_code"].to_list() == [SAMSUNG]
