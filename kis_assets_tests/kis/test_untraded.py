"""A day without a trade is stored in one form, whichever KIS gives: open, high and low are 0."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.checks import prices
from kis_assets.defs.checks.check import Window
from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange.venues import Venue
from kis_assets.kis.daily_candles import DAILY_CHART, RECENT_DAYS, read_recent_days
from kis_assets.kis.quotes import MANY_PRICES, PRICE, read_price
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources import bars
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS
from kis_assets_tests.conftest import EVENING, open_source
from kis_assets_tests.kis.test_answers import bar, many, quote, read
from kis_assets_tests.support.in_process import alter, checks, materialize, point_at, rows
from kis_assets_tests.support.small_rows import candle, frame

pytestmark = pytest.mark.usefixtures("published_when_read")

DAY = EVENING.date()
MONTH = date(2026, 3, 1)
SAMSUNG = "005930"
CHART = ("stck_oprc", "stck_hgpr", "stck_lwpr")
SLOT = ("inter2_oprc", "inter2_hgpr", "inter2_lwpr")
FORMS = {"zeros": "0", "the carried price": "71200", "blank": " "}
"""What open, high and low of such a day may be; the price is 71200."""


@pytest.mark.parametrize("mark", ["Y", "N", ""])
@pytest.mark.parametrize("form", FORMS)
def test_an_untraded_day_is_stored_in_one_form(form: str, mark: str) -> None:
    """Without volume it is one, whatever its mark says: a halted day was seen with N."""
    shown = dict.fromkeys(CHART, FORMS[form]) | {"acml_vol": "0", "prdy_vrss": "0"}
    (found,) = read(bar(**shown, mod_yn=mark))
    assert (found["open"], found["high"], found["low"]) == (0, 0, 0)
    assert (found["close"], found["volume"], found["has_traded"]) == (71200, 0, False)
    (again,) = read_recent_days({"output": [bar(**shown)]})
    assert all(again[name] == found[name] for name in ("open", "high", "low", "close", "volume"))


@pytest.mark.parametrize("form", FORMS)
def test_a_quote_before_the_first_trade_has_one_form(form: str) -> None:
    shown = dict.fromkeys(SLOT, FORMS[form]) | {"acml_vol": "0"}
    found = many(quote("900110", **shown))["900110"]
    assert (found["price"], found["open"], found["high"], found["low"]) == (71200, 0, 0, 0)
    one = bar(
        stck_prpr="71200", prdy_ctrt="0.00", acml_vol="0", **dict.fromkeys(CHART, FORMS[form])
    )
    found = read_price({"output": one}, "900110")
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
    week = bars.join(days)
    assert (week["open"], week["high"], week["low"]) == (105, 120, 100)
    assert (week["close"], week["volume"]) == (110, 14)


# A day that is traded in the after-market alone: high and low may be the after-market's, or 0

BEFORE, SINCE = date(2026, 9, 11), date(2026, 9, 15)


@pytest.mark.parametrize("high_and_low", [(4_980, 4_950), (0, 0)])
def test_a_day_of_the_after_market_alone_has_no_open_and_may_have_a_high(
    tmp_path: Path, high_and_low: tuple[int, int]
) -> None:
    lake = Lake(tmp_path, source="kis")
    unopened = candle(SINCE, 0, *high_and_low, 4_960, base_price=5_000)
    monday = candle(date(2026, 9, 14), 5_000, 5_010, 4_990, 5_000)
    assert failing(lake, monday, unopened) == []
    (week,) = lake.read("SELECT open, high, low, close FROM weekly_candles").rows()
    assert week == (5_000, 5_010, 4_990, 4_960)


def test_an_open_of_0_beside_a_high_was_a_lapse_before_there_was_an_after_market(
    tmp_path: Path,
) -> None:
    lake = Lake(tmp_path, source="kis")
    assert failing(lake, candle(BEFORE, 0, 4_980, 4_950, 4_960)) == [BEFORE]


def failing(lake: Lake, *candles: dict[str, Any]) -> list[date]:
    """The days that fail the check of what high and low cover."""
    lake.replace(DAILY_CANDLES, Scope.month(SINCE), frame(DAILY_CANDLES, *candles, source="kis"))
    september = (date(2026, 9, 1), date(2026, 9, 30))
    span = Window(lake, DAILY_CANDLES, *september, EVENING, lambda: pytest.fail("nothing is asked"))
    found = prices.high_covers_all_prices(span, span.rows())
    return found.collect()["trading_day"].to_list()


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


@pytest.mark.parametrize(
    ("shown", "mark"),
    [
        ("close", "Y"),
        pytest.param("close", "N", marks=pytest.mark.slow),
        pytest.param("blank", "Y", marks=pytest.mark.slow),
    ],
)
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

    def otherwise(payload: dict[str, Any]) -> None:
        for records in payload.values():
            for record in records if isinstance(records, list) else [records]:
                last = next(
                    (n for n in ("stck_clpr", "stck_prpr", "inter2_prpr") if n in record), ""
                )
                if last and record.get("acml_vol") == "0" and record[last] != "0":
                    shown_as = [name for name in (*CHART, *SLOT) if name in record]
                    record |= dict.fromkeys(shown_as, record[last] if shown == "close" else "")
                    record |= {"mod_yn": mark} if "mod_yn" in record else {}

    as_zeros = stored("zeros")
    for asked in (PRICE, MANY_PRICES, DAILY_CHART, RECENT_DAYS):
        alter(monkeypatch, asked, otherwise)
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
        alter(monkeypatch, DAILY_CHART, cut)
    unified = settings.model_copy(update={"kis_venue": Venue.UNIFIED})
    with open_source(simulator, unified) as source:
        chart = source.get_chart_data(SAMSUNG, count=300)
        before = source.tables.daily_candles([SAMSUNG], date(2025, 2, 3), date(2025, 2, 28))
    assert (chart[-1].date < "20250304") is not begins_with_nxt
    assert before.failed == {}
    assert before.rows.is_empty() is (SAMSUNG in before.absent) is begins_with_nxt
