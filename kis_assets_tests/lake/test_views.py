"""The views beside the tables: what they derive, from rows written down here."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.exchange.prices import tick_size
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.views import VIEWS
from kis_assets.market import Market
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
)
from kis_assets_tests.support.small_rows import NOW, based, candle, frame


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, source="mock")


SQL = files("kis_assets.lake") / "sql"


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_says_what_each_of_its_columns_means_in_their_order(lake: Lake, name: str) -> None:
    found = lake.read(
        "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ? "
        "ORDER BY column_index",
        [name],
    )
    assert all(comment and not comment.startswith("as in ") for comment in found["comment"])
    said = VIEWS[name].columns
    # `*` gives the columns of a table in its order; they may be named together.
    assert list(said) == found["column_name"].to_list()
    assert list(said.values()) == found["comment"].to_list()


@pytest.mark.parametrize("name", VIEWS)
def test_the_file_of_a_view_is_sql_that_market_duckdb_answers_as_it_is(
    small_lake: Path, name: str
) -> None:
    market = Market(small_lake)
    by_file = market.sql((SQL / f"{name}.sql").read_text(encoding="utf-8"))
    by_view = market.sql(f"SELECT * FROM {name}")
    assert by_file.schema == by_view.schema
    assert by_view.height > 0
    assert by_file.sort(by_file.columns).equals(by_view.sort(by_file.columns))


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("candles_30m", "candles_5m", ("30", "5")),
        ("monthly_candles", "weekly_candles", ("month", "week")),
        ("monthly_candles_adjusted", "weekly_candles_adjusted", ("month", "week")),
    ],
)
def test_candles_of_two_lengths_are_made_alike(
    one: str, other: str, words: tuple[str, str]
) -> None:
    of_one, of_other = ((SQL / f"{name}.sql").read_text("utf-8") for name in (one, other))
    assert of_one.replace(*words) == of_other


def test_the_ticks_of_the_views_are_those_of_the_exchange(lake: Lake) -> None:
    steps = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
    prices = [price + beside for price in steps for beside in (-1, 0)]
    for day in (date(2022, 3, 17), date(2026, 3, 17)):
        found = lake.read("SELECT tick_size(unnest(?::BIGINT[]), ?::DATE)", [prices, day])
        assert [tick for (tick,) in found.rows()] == [tick_size(price, day) for price in prices]


def adjusted(lake: Lake, columns: str) -> list[tuple[Any, ...]]:
    return lake.read(
        f"SELECT {columns} FROM daily_candles_adjusted ORDER BY stock_code, trading_day"
    ).rows()


MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)


def action(day: date, kind: str, ratio: float | None) -> dict[str, Any]:
    return {
        "effective_on": day,
        "stock_code": "005930",
        "kind": kind,
        "origin": "rev-split",
        "sequence": 0,
        "effective_from": "listed_on",
        "ratio": ratio,
    }


def test_a_split_rebases_what_lies_before_it_and_history_stays_raw(lake: Lake) -> None:
    rows = frame(
        DAILY_CANDLES,
        based(MONDAY, 50000, 50000, volume=10),
        based(TUESDAY, 5100, 5000, volume=100),
    )
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    split = frame(CORPORATE_ACTIONS, action(TUESDAY, "split", 10.0))
    lake.replace(CORPORATE_ACTIONS, Scope.month(MONDAY), split)
    assert adjusted(lake, "close, volume, factor") == [(5000.0, 100, 0.1), (5100.0, 100, 1.0)]
    assert lake.read("SELECT close FROM daily_candles ORDER BY trading_day").rows() == [
        (50000,),
        (5100,),
    ]


def test_after_a_reverse_split_the_ratio_counts_and_not_the_base_the_market_set(
    lake: Lake,
) -> None:
    rows = frame(DAILY_CANDLES, based(MONDAY, 1000, 1000), based(TUESDAY, 9000, 10340))
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    assert adjusted(lake, "step")[1] == (10.34,)
    merged = frame(CORPORATE_ACTIONS, action(TUESDAY, "reverse_split", 0.1))
    lake.replace(CORPORATE_ACTIONS, Scope.month(MONDAY), merged)
    assert adjusted(lake, "step, factor") == [(1.0, 10.0), (10.0, 1.0)]


@pytest.mark.parametrize(
    ("kind", "ratio", "close", "base", "step"),
    [
        ("split", 5.0, 50_000, 10_000, 0.2),
        ("reverse_split", 0.2, 1_000, 5_000, 5.0),
        ("reverse_split", 0.1, 140, 1_199, 10.0),  # 195990: the market's base was 8.56 times
        ("bonus_issue", 1.5, 30_000, 20_000, 1 / 1.5),
        ("bonus_issue", 2.0, 30_010, 15_000, 0.5),  # the base is rounded to a tick
        # What has no ratio of its own is measured by the base that the exchange set.
        ("rights_issue", None, 10_000, 9_400, 0.94),
        ("capital_reduction", None, 2_000, 6_000, 3.0),
        ("capital_reduction", 0.2, 2_000, 11_500, 5.0),
        # A ratio that the base contradicts is another day's, or misread.
        ("capital_reduction", 0.8, 2_000, 10_000, 5.0),
        ("merger", None, 20_000, 23_500, 1.175),
        ("spin_off", None, 40_000, 25_000, 0.625),
        # A dividend moves no base.
        ("cash_dividend", None, 50_000, 50_000, 1.0),
    ],
)
def test_an_action_rebases_by_its_ratio_or_else_by_the_base(
    lake: Lake, kind: str, ratio: float | None, close: int, base: int, step: float
) -> None:
    rows = frame(DAILY_CANDLES, based(MONDAY, close, close), based(TUESDAY, base, base))
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    announced = frame(CORPORATE_ACTIONS, action(TUESDAY, kind, ratio))
    lake.replace(CORPORATE_ACTIONS, Scope.month(MONDAY), announced)
    assert [round(found, 9) for (found,) in adjusted(lake, "step")] == [1.0, round(step, 9)]


def test_a_long_halt_before_relisting_is_an_action_when_the_market_went_on(lake: Lake) -> None:
    """A spin-off keeps a stock away for weeks; it comes back at the base the exchange set."""
    back = date(2026, 4, 20)
    others = [
        based(day, 7_000, 7_000) | {"stock_code": "000660"}
        for day in (MONDAY, date(2026, 3, 20), date(2026, 4, 3), date(2026, 4, 17), back)
    ]
    for month in (MONDAY, back):
        mine = [based(MONDAY, 10_000, 10_000), based(back, 6_000, 6_000)]
        of_month = [row for row in mine + others if row["trading_day"].month == month.month]
        lake.replace(DAILY_CANDLES, Scope.month(month), frame(DAILY_CANDLES, *of_month))
    steps = dict(adjusted(lake, "stock_code || ' ' || trading_day, step"))
    assert steps.pop(f"005930 {back}") == 0.6
    assert set(steps.values()) == {1.0}


def test_a_base_within_a_tick_is_no_action(lake: Lake) -> None:
    rows = frame(DAILY_CANDLES, based(MONDAY, 2083, 2083), based(TUESDAY, 2090, 2085))
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    assert adjusted(lake, "step") == [(1.0,), (1.0,)]


def test_an_announcement_whose_day_has_moved_changes_nothing_yet(lake: Lake) -> None:
    rows = frame(DAILY_CANDLES, based(MONDAY, 50000, 50000), based(TUESDAY, 50100, 50000))
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    split = frame(CORPORATE_ACTIONS, action(TUESDAY, "split", 10.0))
    lake.replace(CORPORATE_ACTIONS, Scope.month(MONDAY), split)
    assert adjusted(lake, "factor") == [(1.0,), (1.0,)]


PROVISIONAL = {"is_final": False}


@pytest.mark.parametrize(
    ("event", "kind", "factor"),
    [
        # 10,300 is the after-market's; the official close was 10,000.
        ({}, None, 1.0),
        ({"base_price": 5_000, "split_ratio": 0.5}, None, 0.5),
        ({"base_price": 9_400, "ex_flag": "01"}, None, 9_400 / 10_300),
        ({"base_price": 9_400}, "other", 9_400 / 10_300),
        ({"base_price": 9_400}, "cash_dividend", 1.0),
    ],
)
def test_a_close_that_is_not_final_makes_no_step(
    lake: Lake, event: dict[str, Any], kind: str | None, factor: float
) -> None:
    rows = frame(
        DAILY_CANDLES,
        based(MONDAY, 10_300, 10_000, **PROVISIONAL),
        based(TUESDAY, 9_500, 10_000, **event),
    )
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    if kind:
        noted = frame(CORPORATE_ACTIONS, action(TUESDAY, kind, None))
        lake.replace(CORPORATE_ACTIONS, Scope.month(TUESDAY), noted)
    assert adjusted(lake, "factor, is_final") == [(pytest.approx(factor), False), (1.0, True)]
    corrected = rows.with_columns(
        close=pl.when(pl.col("trading_day") == MONDAY).then(10_000).otherwise("close"),
        is_final=True,
    )
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), corrected)
    assert adjusted(lake, "factor")[0][0] == event.get("base_price", 10_000) / 10_000


def test_a_week_with_a_day_that_is_not_final_is_not_either(lake: Lake) -> None:
    days = [date(2026, 3, 9), date(2026, 3, 10), date(2026, 3, 16)]
    rows = [based(day, 100, 100, is_final=day != days[1]) for day in days]
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), frame(DAILY_CANDLES, *rows))
    found = lake.read("SELECT is_final FROM weekly_candles ORDER BY trading_day").rows()
    assert found == [(False,), (True,)]
    assert lake.read("SELECT is_final FROM monthly_candles").rows() == [(False,)]


def quote(day: date, hour: int, price: int, session: str, close: int | None) -> pl.DataFrame:
    captured_at = datetime(day.year, day.month, day.day, hour - 9, tzinfo=UTC)
    row = dict.fromkeys(("open", "high", "low", "volume", "trading_value", "change"), 1)
    return frame(
        PRICE_SNAPSHOTS,
        row
        | {"trading_day": day, "captured_at": captured_at, "stock_code": "005930"}
        | {"stock_name": "삼성전자", "price": price, "change_rate": 1.0}
        | {"session": session, "regular_close": close},
    )


def test_the_latest_price_says_its_session_and_the_regular_close(lake: Lake) -> None:
    day = date(2026, 10, 1)
    evening = quote(day, 20, 10_300, "closed", None)
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(day, evening["captured_at"][0]), evening)
    query = "SELECT price, session, regular_close FROM latest_prices"
    assert lake.read(query).rows() == [(10_300, "closed", None)]
    provisional = based(day, 10_300, 9_900, **PROVISIONAL)
    lake.replace(DAILY_CANDLES, Scope.month(day), frame(DAILY_CANDLES, provisional))
    assert lake.read(query).rows() == [(10_300, "closed", None)]
    lake.replace(DAILY_CANDLES, Scope.month(day), frame(DAILY_CANDLES, based(day, 10_000, 9_900)))
    assert lake.read(query).rows() == [(10_300, "closed", 10_000)]
    known = evening.with_columns(regular_close=pl.lit(10_010, pl.Int64))
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(day, evening["captured_at"][0]), known)
    assert lake.read(query).rows() == [(10_300, "closed", 10_010)]


def test_months_that_are_not_stored_are_no_action(lake: Lake) -> None:
    lake.replace(
        DAILY_CANDLES, Scope.month(MONDAY), frame(DAILY_CANDLES, based(MONDAY, 1000, 1000))
    )
    june = date(2026, 6, 8)
    lake.replace(DAILY_CANDLES, Scope.month(june), frame(DAILY_CANDLES, based(june, 1500, 1490)))
    assert adjusted(lake, "factor") == [(1.0,), (1.0,)]


def test_a_base_price_within_a_tick_of_the_previous_close_is_no_action(
    lake: Lake, days_folder: Path
) -> None:
    days = pl.read_parquet(days_folder / "daily.parquet").sort("code", "date")
    rows = days.select(
        pl.col("date").alias("trading_day"),
        pl.col("code").alias("stock_code"),
        *("open", "high", "low", "close", "volume", "trading_value", "change"),
        base_price=pl.col("close") - pl.col("change"),
        ex_flag=pl.lit("00"),
        split_ratio=pl.lit(0.0),
        revaluation=pl.lit("00"),
        has_traded=pl.col("volume") > 0,
        is_final=pl.lit(value=True),
        source=pl.lit("mock"),
        fetched_at=pl.lit(NOW),
    ).cast({"fetched_at": pl.Datetime("us", "UTC")})
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    off = days.select(
        pl.col("code", "close"),
        base=pl.col("close") - pl.col("change"),
        before=pl.col("close").shift().over("code"),
    ).filter(pl.col("base") != pl.col("before"))
    # Rights, a reverse split, and closes of blank-cheque companies off the tick.
    assert off.height > len(off.filter((pl.col("base") - pl.col("before")).abs() > 4)) >= 4
    moved = {code: round(step, 4) for code, step in adjusted(lake, "stock_code, step") if step != 1}
    assert {"006800", "000640", "355690", "195990"} <= set(moved)
    assert "0068Y0" not in moved
    split = off.row(by_predicate=pl.col("code") == "195990", named=True)
    assert moved["195990"] == pytest.approx(split["base"] / split["before"], abs=0.01)
    assert moved["195990"] > 8


def test_a_week_is_made_from_its_traded_days(lake: Lake) -> None:
    monday = date(2026, 3, 9)
    days = [monday + timedelta(days=offset) for offset in range(3)]
    rows = frame(
        DAILY_CANDLES,
        candle(days[0], 0, 0, 0, 100, volume=0),
        candle(days[1], 100, 130, 90, 120, base_price=100),
        candle(days[2], 120, 125, 110, 115, volume=5, base_price=120),
        candle(date(2026, 3, 16), 115, 116, 114, 116, base_price=115),
    )
    lake.replace(DAILY_CANDLES, Scope.month(monday), rows)
    weeks = lake.read("SELECT * FROM weekly_candles ORDER BY trading_day").rows()
    assert weeks[0] == (days[2], "005930", 100, 130, 90, 115, 15, 1200 + 575, 3, False, True)
    assert len(weeks) == 2
    (month,) = lake.read("SELECT open, close, volume, days FROM monthly_candles").rows()
    assert month == (100, 116, 25, 4)


def test_a_week_without_a_trade_carries_its_price(lake: Lake) -> None:
    rows = frame(DAILY_CANDLES, candle(date(2026, 3, 9), 0, 0, 0, 100, volume=0))
    lake.replace(DAILY_CANDLES, Scope.month(date(2026, 3, 9)), rows)
    for name in ("weekly_candles", "monthly_candles"):
        for view in (name, f"{name}_adjusted"):
            (row,) = lake.read(f"SELECT open, high, low, close, volume FROM {view}").rows()
            assert row == (None, None, None, 100, 0)


def test_a_halt_is_in_no_lowest_price(lake: Lake) -> None:
    """A day without a trade has 0 as its low in what is stored, which is no price."""
    rows = frame(
        DAILY_CANDLES,
        candle(MONDAY, 100, 130, 90, 120),
        candle(TUESDAY, 0, 0, 0, 120, volume=0),
        # Nothing but off-hours trades.
        candle(date(2026, 3, 11), 0, 0, 0, 120, volume=7),
    )
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows)
    views = [name for name in VIEWS if "low" in lake.read(f"FROM {name} LIMIT 0").columns]
    assert {"daily_candles_adjusted", "weekly_candles"} <= set(views)
    lows = {name: lake.read(f"SELECT min(low) FROM {name}").row(0)[0] for name in views}
    assert {name: low for name, low in lows.items() if low is not None} == {
        "daily_candles_adjusted": 90,
        "weekly_candles": 90,
        "weekly_candles_adjusted": 90,
        "monthly_candles": 90,
        "monthly_candles_adjusted": 90,
    }


@pytest.mark.parametrize("view", ["weekly_candles", "monthly_candles"])
def test_a_raw_candle_with_a_split_in_it_is_on_the_share_count_of_its_last_day(
    lake: Lake, view: str
) -> None:
    rows = frame(
        DAILY_CANDLES,
        candle(MONDAY, 50_000, 52_000, 49_000, 50_000, volume=100),
        candle(TUESDAY, 5_000, 5_300, 4_950, 5_100, volume=2_000, base_price=5_000),
        # A later one leaves it alone.
        candle(date(2026, 4, 1), 500, 500, 500, 500, base_price=510, volume=3),
    )
    for month in (MONDAY, date(2026, 4, 1)):
        of_month = rows.filter(pl.col("trading_day").dt.month() == month.month)
        lake.replace(DAILY_CANDLES, Scope.month(month), of_month)
    asked = "open, high, low, close, volume, trading_value, is_rebased"
    found = lake.read(f"SELECT {asked} FROM {view} ORDER BY trading_day").rows()
    assert found == [
        (5_000, 5_300, 4_900, 5_100, 3_000, 100 * 50_000 + 2_000 * 5_100, True),
        (500, 500, 500, 500, 3, 1_500, False),
    ]


def test_five_minutes_are_made_from_minutes_and_the_closing_auction_stands_alone(
    lake: Lake,
) -> None:
    day = date(2026, 3, 17)

    def minute(clock: str, *ohlc: int) -> dict[str, Any]:
        at = datetime.fromisoformat(f"2026-03-17T{clock}+09:00")
        opened, high, low, close = ohlc
        return {
            "trading_day": day,
            "started_at": at.astimezone(UTC),
            "stock_code": "005930",
            "session": "regular",
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": 2,
            "trading_value": 2 * close,
        }

    rows = frame(
        MINUTE_CANDLES,
        minute("09:00", 100, 105, 99, 101),
        minute("09:04", 101, 110, 100, 108),
        minute("09:05", 108, 109, 107, 107),
        minute("15:19", 107, 107, 106, 106),
        minute("15:30", 104, 104, 104, 104),
    )
    lake.replace(MINUTE_CANDLES, Scope.day(day), rows)
    found = lake.read(
        "SELECT strftime(started_at AT TIME ZONE 'Asia/Seoul', '%H:%M'), open, high, low, close, "
        "volume FROM candles_5m ORDER BY started_at"
    ).rows()
    assert found == [
        ("09:00", 100, 110, 99, 108, 4),
        ("09:05", 108, 109, 107, 107, 2),
        ("15:15", 107, 107, 106, 106, 2),
        ("15:30", 104, 104, 104, 104, 2),
    ]
    (count,) = lake.read("SELECT count(*) FROM candles_30m").rows()
    assert count == (3,)


def test_levels_stand_in_rows_and_empty_ones_in_none(lake: Lake) -> None:
    book = {
        "trading_day": date(2026, 3, 17),
        "captured_at": NOW,
        "stock_code": "005930",
        "ask_price_1": 101,
        "ask_volume_1": 5,
        "bid_price_1": 100,
        "bid_volume_1": 7,
        "bid_price_2": 99,
        "bid_volume_2": 8,
        "total_ask_volume": 5,
        "total_bid_volume": 15,
    }
    scope = Scope.capture(date(2026, 3, 17), NOW)
    lake.replace(ORDER_BOOKS, scope, frame(ORDER_BOOKS, book))
    found = lake.read("SELECT side, level, price, volume FROM order_book_levels ORDER BY ALL")
    assert found.rows() == [("ask", 1, 101, 5), ("bid", 1, 100, 7), ("bid", 2, 99, 8)]
