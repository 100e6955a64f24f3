"""What nobody outside KIS knows works either way: both outcomes of each question, side by side.

`docs/unknowns.md` lists the questions and names these tests, and those that stand elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from kis_assets.kis import answers, endpoints, master
from kis_assets.kis.client import Client
from kis_assets.kis.endpoints import Endpoint
from kis_assets.kis.errors import (
    AuthenticationFailed,
    InvalidRequest,
    KISError,
    NotSupported,
    UnexpectedAnswer,
)
from kis_assets.kis.quota import Quota
from kis_assets.kis.shared import SharedState
from kis_assets.kis.token import Token
from kis_assets.settings import Settings
from kis_assets.simulator import services
from kis_assets.simulator.limiter import Limiter
from kis_assets.simulator.server import Simulator
from kis_assets.sources import charts
from kis_assets.sources.base import PriceType
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS
from kis_assets.venues import Venue
from kis_assets_tests.conftest import EVENING, Clock, open_source
from kis_assets_tests.in_process import checks, materialize, point_at, rows
from kis_assets_tests.test_answers import bar, many, quote, read
from kis_assets_tests.test_master import record as master_record

DAY = EVENING.date()
MONTH = date(2026, 3, 1)
SAMSUNG = "005930"


def change(
    monkeypatch: pytest.MonkeyPatch, asked: Endpoint, alter: Callable[[dict[str, Any]], object]
) -> None:
    """Have the server in process answer this service otherwise, each time."""
    service = services.SERVICES[asked.path]

    def answer(request: Any) -> Any:
        given = service.answer(request)
        alter(given.payload)
        return given

    monkeypatch.setitem(services.SERVICES, asked.path, replace(service, answer=answer))


# A day without a trade: open, high and low are 0, or the carried price, or blank

CHART = ("stck_oprc", "stck_hgpr", "stck_lwpr")
SLOT = ("inter2_oprc", "inter2_hgpr", "inter2_lwpr")
FORMS = {"zeros": "0", "the carried price": "71200", "blank": " "}


@pytest.mark.parametrize("mark", ["Y", "N", ""])
@pytest.mark.parametrize("form", FORMS)
def test_an_untraded_day_is_stored_in_one_form(form: str, mark: str) -> None:
    """Without volume it is one, whatever its mark says: a halted day was seen with N."""
    shown = dict.fromkeys(CHART, FORMS[form]) | {"acml_vol": "0", "prdy_vrss": "0"}
    (found,) = read(bar(**shown, mod_yn=mark))
    assert (found["open"], found["high"], found["low"]) == (0, 0, 0)
    assert (found["close"], found["volume"], found["has_traded"]) == (71200, 0, False)
    (again,) = answers.recent_days({"output": [bar(**shown)]})
    assert all(again[name] == found[name] for name in ("open", "high", "low", "close", "volume"))


@pytest.mark.parametrize("form", FORMS)
def test_a_quote_before_the_first_trade_has_one_form(form: str) -> None:
    shown = dict.fromkeys(SLOT, FORMS[form]) | {"acml_vol": "0"}
    found = many(quote("900110", **shown))["900110"]
    assert (found["price"], found["open"], found["high"], found["low"]) == (71200, 0, 0, 0)
    one = bar(
        stck_prpr="71200", prdy_ctrt="0.00", acml_vol="0", **dict.fromkeys(CHART, FORMS[form])
    )
    found = answers.price({"output": one}, "900110")
    assert (found["price"], found["open"], found["high"], found["low"]) == (71200, 0, 0, 0)


@pytest.mark.parametrize("form", FORMS)
def test_a_day_of_off_hours_trades_alone_is_told_by_its_mark(form: str) -> None:
    shown = dict.fromkeys(CHART, FORMS[form])
    (found,) = read(bar(**shown, acml_vol="12", mod_yn="Y"))
    assert (found["open"], found["high"], found["low"]) == (0, 0, 0)
    assert (found["volume"], found["has_traded"]) == (12, False)


def test_off_hours_trades_without_a_mark_look_like_a_session_of_one_price() -> None:
    """They are left as they came: more than a hundred real days of March 2026 have one price."""
    same = dict.fromkeys(CHART, "71200")
    (found,) = read(bar(**same, acml_vol="12"))
    assert (found["open"], found["high"], found["low"]) == (71200, 71200, 71200)
    (found,) = read(bar(**dict.fromkeys(CHART, "0"), acml_vol="12"))
    assert (found["open"], found["high"], found["low"]) == (0, 0, 0)


def test_blank_prices_beside_a_volume_are_a_lapse() -> None:
    with pytest.raises(UnexpectedAnswer, match="open, high or low"):
        read(bar(stck_oprc=""))


def test_a_week_leaves_out_the_prices_of_days_without_a_regular_trade() -> None:
    days = [
        dict(zip(("open", "high", "low", "close", "volume", "trading_value"), day, strict=True))
        for day in ((0, 0, 0, 110, 5, 550), (105, 120, 100, 110, 9, 990), (0, 0, 0, 104, 0, 0))
    ]
    week = charts.join(days)
    assert (week["open"], week["high"], week["low"]) == (105, 120, 100)
    assert (week["close"], week["volume"]) == (110, 14)


@pytest.fixture
def hardly_traded(simulator: Simulator) -> str:
    """Samsung, and stocks without a trade today: halted ones and others."""
    untraded = [
        (stock.is_halted, stock.code)
        for stock in simulator.market.stocks(DAY)
        if (found := simulator.market.quote(stock.code, EVENING)) and not found.bar.volume
    ]
    some = [code for halted in (True, False) for is_, code in untraded if is_ is halted][:3]
    some += [code for is_, code in untraded if not is_][:3]
    return ",".join([SAMSUNG, *some])


@pytest.mark.parametrize(("shown", "mark"), [("close", "Y"), ("close", "N"), ("blank", "Y")])
def test_untraded_days_are_the_same_rows_in_any_form_and_break_no_check(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    hardly_traded: str,
    shown: str,
    mark: str,
) -> None:
    """Quotes, candles and the second source that both are compared with."""

    def stored(folder: str) -> list[pl.DataFrame]:
        point_at(simulator, monkeypatch, KIS_STOCK_CODES=hardly_traded, KIS_DATA_DIR=folder)
        assert materialize("stock_master", DAY.isoformat()).success
        for asset, partition in (
            ("price_snapshots", DAY.isoformat()),
            ("daily_candles", MONTH.isoformat()),
        ):
            result = materialize(asset, partition)
            assert result.success
            assert {name for name, passed in checks(result).items() if not passed} == set()
        return [rows(table).drop("fetched_at") for table in (PRICE_SNAPSHOTS, DAILY_CANDLES)]

    def alter(payload: dict[str, Any]) -> None:
        for records in payload.values():
            for record in records if isinstance(records, list) else [records]:
                last = next(
                    (n for n in ("stck_clpr", "stck_prpr", "inter2_prpr") if n in record), ""
                )
                if last and record.get("acml_vol") == "0" and record[last] != "0":
                    prices = [name for name in (*CHART, *SLOT) if name in record]
                    record |= dict.fromkeys(prices, record[last] if shown == "close" else "")
                    record |= {"mod_yn": mark} if "mod_yn" in record else {}

    as_zeros = stored("zeros")
    for asked in ("PRICE", "MANY_PRICES", "DAILY_CHART", "RECENT_DAYS"):
        change(monkeypatch, getattr(endpoints, asked), alter)
    assert all(a.equals(b) for a, b in zip(as_zeros, stored("otherwise"), strict=True))
    assert as_zeros[1].filter(~pl.col("has_traded"))["open"].unique().to_list() == [0]


# Days before NXT's figures begin: no rows, or rows of a day and nothing else


def test_a_bar_of_a_day_and_nothing_else_is_none() -> None:
    blank = dict.fromkeys(bar(), "") | {"stck_bsop_date": "20260316"}
    assert read(bar(), blank) == read(bar())
    with pytest.raises(UnexpectedAnswer, match="lacks stck_clpr"):
        read(bar(), blank | {"acml_vol": "5"})


@pytest.mark.parametrize("begins_with_nxt", [True, False])
def test_both_venues_as_one_before_nxt_are_krx_or_nothing(
    simulator: Simulator,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    begins_with_nxt: bool,
) -> None:
    def cut(payload: dict[str, Any]) -> None:
        rows = payload["output2"]
        payload["output2"] = [it for it in rows if it.get("stck_bsop_date", "") >= "20250304"]

    if begins_with_nxt:
        change(monkeypatch, endpoints.DAILY_CHART, cut)
    unified = settings.model_copy(update={"kis_venue": Venue.UNIFIED})
    with open_source(simulator, unified) as source:
        chart = source.get_chart_data(SAMSUNG, count=300)
        before = source.daily_candles([SAMSUNG], date(2025, 2, 3), date(2025, 2, 28))
    assert (chart[-1].date < "20250304") is not begins_with_nxt
    assert before.failed == {}
    assert before.rows.is_empty() is (SAMSUNG in before.absent) is begins_with_nxt


# Tokens: does a new one end the old one


@pytest.mark.parametrize("ends", [True, False])
def test_a_new_token_may_end_the_old_one_or_not(
    simulator: Simulator, settings: Settings, ends: bool
) -> None:
    """Two processes of one key; the other one has a new token issued while this one holds one."""
    with open_source(simulator, settings) as this, open_source(simulator, settings) as other:
        right = this._kis.price(SAMSUNG)
        other._client._accounts[0].tokens.get()
        old = this._client._accounts[0].tokens.get()
        simulator.tokens._current.clear()  # as after six hours
        if ends:
            simulator.tokens.revoke(old)
        other._client._accounts[0].tokens._write(Token())
        assert other._client._accounts[0].tokens.replace(old) != old
        assert this._kis.price(SAMSUNG) == other._kis.price(SAMSUNG) == right
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
        client.ask(endpoints.PRICE, {}, dict)
    # A dead token alone is worth another try, with another token.
    questions = [path for path in asked if path == endpoints.PRICE.path]
    assert len(questions) == (0 if is_form else 2 if code == "EGW00121" else 1)


# The adjusted series: is volume adjusted too


def test_of_the_adjusted_series_the_volume_is_not_read(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def multiply(payload: dict[str, Any]) -> None:
        for row in payload["output2"]:
            row.update({"acml_vol": str(10 * int(row["acml_vol"]))} if row else {})

    as_traded = source.adjusted_candles([SAMSUNG], MONTH, DAY).rows
    change(monkeypatch, endpoints.DAILY_CHART, multiply)
    assert source.adjusted_candles([SAMSUNG], MONTH, DAY).rows.equals(as_traded)


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
        change(monkeypatch, endpoints.MANY_PRICES, blank)
    result = source.get_current_prices_batch(["999999", SAMSUNG])
    assert list(result["success"]) == [SAMSUNG]
    assert {code: type(error) for code, error in result["failed"].items()} == {
        "999999": InvalidRequest
    }


# Past minutes on the virtual server


def test_the_virtual_server_is_not_asked_for_past_minutes_whether_it_has_them_or_not(
    settings: Settings,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked for {request.url.path}")

    virtual = settings.model_copy(update={"kis_use_virtual_server": True})
    client = Client(virtual, transport=httpx.MockTransport(answer), has_quota=False)
    with closing(client), pytest.raises(NotSupported, match="KIS_USE_VIRTUAL_SERVER=false"):
        client.ask(endpoints.PAST_MINUTES, {}, dict)


# NXT's master files: laid out as KRX's, or otherwise


@pytest.mark.parametrize("tail", [b"", b"  a field more"])
def test_the_stocks_of_nxt_are_read_from_records_of_any_length(tail: bytes) -> None:
    records = [master_record("KOSPI", mksc_shrn_iscd=code) + tail for code in ("900110", "0001A0")]
    content = b"\n".join(records) + b"\n"
    assert master.codes(content, "nxt_kospi_code.mst") == {"900110", "0001A0"}


def test_a_list_of_nxt_that_begins_with_no_code_is_another_layout() -> None:
    for content in (b"", b"\n", b"KR7900110008 900110\n"):
        with pytest.raises(UnexpectedAnswer, match="layout is another one"):
            master.codes(content, "nxt_kospi_code.mst")


@pytest.mark.parametrize("has_etf", [True, False])
def test_nxt_may_trade_etfs_or_not(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch, has_etf: bool
) -> None:
    """Its market for them was announced for November 2026."""
    etf = next(it.code for it in simulator.market.stocks(DAY) if it.group == "EF")
    listed = frozenset([SAMSUNG, etf] if has_etf else [SAMSUNG])
    with open_source(simulator, settings.model_copy(update={"kis_venue": Venue.NXT})) as source:
        monkeypatch.setattr(source._kis, "nxt_codes", lambda: listed)
        traded = source.stock_master(DAY)
    assert set(traded["stock_code"]) == listed
    assert traded.filter(master.in_universe(("common",)))["stock_code"].to_list() == [SAMSUNG]
