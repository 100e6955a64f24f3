"""Tick sizes and price limits, held against KRX's tables and real trades; in all three forms."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_assets.exchange import prices

MARKETS = ("KOSPI", "KOSDAQ", "KONEX")
OLD_TICKS = date(2023, 1, 24)
NEW_TICKS = date(2023, 1, 25)

some_prices = st.integers(1, 3_000_000)
markets = st.sampled_from(MARKETS)
rule_days = st.sampled_from([date(2014, 1, 2), OLD_TICKS, NEW_TICKS, date(2026, 11, 20)])


@pytest.mark.parametrize(
    ("price", "tick"),
    [
        (1, 1),
        (1_999, 1),
        (2_000, 5),
        (4_999, 5),
        (5_000, 10),
        (19_999, 10),
        (20_000, 50),
        (49_999, 50),
        (50_000, 100),
        (199_999, 100),
        (200_000, 500),
        (499_999, 500),
        (500_000, 1_000),
        (2_000_000, 1_000),
    ],
)
def test_one_table_of_ticks_for_all_markets_since_2023(price: int, tick: int) -> None:
    for market in MARKETS:
        assert prices.tick_size(price, NEW_TICKS, market) == tick
        assert prices.tick_size(price, market=market) == tick


@pytest.mark.parametrize(
    ("price", "kospi", "kosdaq"),
    [
        (999, 1, 1),
        (1_000, 5, 5),
        (5_000, 10, 10),
        (10_000, 50, 50),
        (50_000, 100, 100),
        (100_000, 500, 100),
        (500_000, 1_000, 100),
    ],
)
def test_before_2023_kosdaq_and_konex_had_no_tick_above_100(
    price: int, kospi: int, kosdaq: int
) -> None:
    assert prices.tick_size(price, OLD_TICKS, "KOSPI") == kospi
    assert prices.tick_size(price, OLD_TICKS, "KOSDAQ") == kosdaq
    assert prices.tick_size(price, OLD_TICKS, "KONEX") == kosdaq


@pytest.mark.parametrize(
    ("base", "market", "day", "limits"),
    [
        # The samples of the KIS portal, from the time of the older ticks.
        (128_500, "KOSPI", date(2020, 1, 2), (90_000, 167_000)),
        (111_000, "KOSPI", date(2020, 1, 2), (78_000, 144_000)),
        (10_000, "KOSPI", date(2015, 6, 15), (7_000, 13_000)),
        (10_000, "KOSPI", date(2015, 6, 12), (8_500, 11_500)),
        (10_000, "KONEX", date(2026, 11, 20), (8_500, 11_500)),
        (2, "KOSDAQ", date(2026, 11, 20), (1, 3)),
        (1, "KOSDAQ", date(2026, 11, 20), (1, 2)),
    ],
)
def test_limits_follow_the_rule_of_their_day_and_market(
    base: int, market: str, day: date, limits: tuple[int, int]
) -> None:
    assert prices.price_limits(base, market, day) == limits


@given(some_prices, markets, rule_days)
def test_limits_enclose_the_base_and_lie_on_the_grid(base: int, market: str, day: date) -> None:
    lower, upper = prices.price_limits(base, market, day)
    assert 1 <= lower <= base <= upper
    assert lower % prices.tick_size(lower, day, market) == 0
    assert upper % prices.tick_size(upper, day, market) == 0
    percent = 15 if market == "KONEX" or day.year < 2015 else 30
    tick = prices.tick_size(base, day, market)
    assert (upper - base) * 100 <= max(base * percent, tick * 100)
    assert (base - lower) * 100 <= max(base * percent, tick * 100)


@given(some_prices, some_prices, markets, rule_days)
def test_a_dearer_share_never_has_a_smaller_tick(a: int, b: int, market: str, day: date) -> None:
    low, high = sorted((a, b))
    assert prices.tick_size(low, day, market) <= prices.tick_size(high, day, market)


def test_prices_keep_the_limits_except_on_listing_and_in_liquidation(days_folder: Path) -> None:
    frame = pl.read_parquet(days_folder / "daily.parquet").filter(pl.col("volume") > 0)
    outside: set[str] = set()
    at_the_upper_limit = 0
    for row in frame.iter_rows(named=True):
        market = row["market"].removesuffix(" GLOBAL")
        base = row["close"] - row["change"]
        lower, upper = prices.price_limits(base, market, row["date"])
        if not lower <= row["low"] <= row["high"] <= upper:
            outside.add(row["code"])
        at_the_upper_limit += row["high"] == upper
    assert outside == {"0011A0", "0082N0", "036180", "204630", "222810"}
    assert at_the_upper_limit > frame.height / 200


def test_a_price_below_one_or_an_unknown_market_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 KRW, not 0"):
        prices.tick_size(0)
    with pytest.raises(ValueError, match="at least 1 KRW, not -5"):
        prices.price_limits(-5)
    with pytest.raises(ValueError, match="'NASDAQ' is no market"):
        prices.tick_size(100, market="NASDAQ")
    with pytest.raises(ValueError, match="'' is no market"):
        prices.price_limits(100, "")


def test_numbers_polars_and_sql_give_the_same_ticks() -> None:
    edges = [step + d for step, _ in prices.TICKS[:-1] for d in (-1, 0, 1)] + [1, 3_000_000]
    frame = pl.DataFrame({"price": [int(edge) for edge in edges]})
    expected = [prices.tick_size(price, NEW_TICKS) for price in frame["price"]]
    assert frame.select(tick=prices.tick_expression(pl.col("price")))["tick"].to_list() == expected
    sql = prices.tick_sql("price", "day")
    for day, market in ((NEW_TICKS, "KOSDAQ"), (OLD_TICKS, "KOSPI")):
        query = f"SELECT {sql} FROM (SELECT unnest(?) AS price, ?::DATE AS day)"
        found = duckdb.execute(query, [frame["price"].to_list(), day]).fetchall()
        assert [tick for (tick,) in found] == [
            prices.tick_size(price, day, market) for price in frame["price"]
        ]
