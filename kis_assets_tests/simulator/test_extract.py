"""The invented market days have the shape and the oddities of real ones; so do real ones here."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from kis_assets.exchange import calendar, prices
from kis_assets_tests import make_extract
from kis_assets_tests.conftest import EXTRACT, MARKET_DAYS

FIRST = ("0011A0", "0082N0")
DAYS = calendar.trading_days(date(2026, 3, 9), date(2026, 3, 17))


@pytest.fixture(scope="module")
def daily(days_folder: Path) -> pl.DataFrame:
    days = pl.read_parquet(days_folder / "daily.parquet").sort("code", "date")
    before = pl.col("close").shift().over("code")
    return days.with_columns(base=pl.col("close") - pl.col("change"), before=before)


@pytest.fixture(scope="module")
def snapshots(days_folder: Path) -> pl.DataFrame:
    return pl.read_parquet(days_folder / "intraday_snapshots.parquet")


def test_the_script_makes_the_files_that_are_here() -> None:
    for name, frame in make_extract.frames().items():
        assert_frame_equal(pl.read_parquet(EXTRACT / f"{name}.parquet"), frame)


@pytest.mark.parametrize("name", ["daily", "intraday_snapshots", "listing"])
def test_all_folders_have_the_same_columns(name: str) -> None:
    schemas = [pl.read_parquet_schema(at / f"{name}.parquet") for at in MARKET_DAYS.values()]
    assert all(list(schema.items()) == list(schemas[0].items()) for schema in schemas)


def test_there_are_seven_days_and_fourteen_moments(
    daily: pl.DataFrame, snapshots: pl.DataFrame
) -> None:
    assert daily["date"].unique().sort().to_list() == DAYS
    assert snapshots["captured_at"].n_unique() == 14
    assert snapshots["date"].unique().sort().to_list() == DAYS[-2:]


def test_a_day_only_grows(daily: pl.DataFrame, snapshots: pl.DataFrame) -> None:
    final = daily.select("date", "code", "volume", "high", pl.col("low").alias("lowest"))
    seen = snapshots.join(final, on=["date", "code"], how="left", suffix="_at_last")
    assert seen.filter(pl.col("volume") > 0).select(
        (pl.col("volume") <= pl.col("volume_at_last")).all(),
        (pl.col("high") <= pl.col("high_at_last")).all(),
        (pl.col("low") >= pl.col("lowest")).all(),
    ).row(0) == (True, True, True)


def test_prices_of_a_day_fit_each_other(daily: pl.DataFrame) -> None:
    traded = daily.filter(pl.col("volume") > 0)
    highest, lowest = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    assert traded.filter((pl.col("high") < highest) | (pl.col("low") > lowest)).is_empty()
    assert daily.filter(
        pl.col("market_cap") != pl.col("close") * pl.col("listed_shares")
    ).is_empty()


def test_one_in_fifty_codes_or_more_has_letters(daily: pl.DataFrame) -> None:
    codes = daily["code"].unique()
    assert codes.str.contains("[A-Z]").sum() >= len(codes) / 50
    assert {"0011A0", "00781K"} <= set(codes)


def test_first_days_and_liquidation_move_beyond_the_limits(daily: pl.DataFrame) -> None:
    assert daily.filter(pl.col("change") >= 3 * pl.col("base"))["code"].is_in(FIRST).any()
    assert daily.filter(pl.col("change") < -0.7 * pl.col("base")).height >= 1


def test_some_highs_and_lows_of_each_day_are_off_the_tick(daily: pl.DataFrame) -> None:
    def is_off(row: dict[str, int | str | date]) -> bool:
        market, day = str(row["market"]).removesuffix(" GLOBAL"), row["date"]
        return any(row[name] % prices.tick_size(row[name], day, market) for name in ("high", "low"))  # type: ignore

    traded = daily.filter(pl.col("volume") > 0)
    off = traded.filter(pl.Series([is_off(row) for row in traded.iter_rows(named=True)]))
    for day in DAYS:
        share = off.filter(pl.col("date") == day).height / traded.filter(date=day).height
        assert 0.002 < share < 0.02


def test_some_stocks_of_each_day_have_no_trade(daily: pl.DataFrame) -> None:
    for (day,), rows in daily.partition_by("date", as_dict=True).items():
        still = rows.filter(pl.col("volume") == 0)
        assert 0.02 < still.height / rows.height < 0.1, day
        assert still.select(pl.col("open", "high", "low", "trading_value").sum()).row(0) == (
            *(0, 0, 0, 0),
        )
    # They stand at the previous close, but where a bid stood above it.
    moved = daily.filter(pl.col("volume") == 0, pl.col("change") != 0)
    assert 0 < moved.height < daily.filter(pl.col("volume") == 0).height / 20


def test_prices_go_from_two_krw_to_above_a_million(daily: pl.DataFrame) -> None:
    assert daily["close"].min() == 2
    assert daily.filter(pl.col("close") > 1_000_000).height >= 1


def test_bases_move_by_rights_a_reverse_split_and_rounding(daily: pl.DataFrame) -> None:
    moved = daily.filter(pl.col("base") != pl.col("before"))
    ratio = {row["code"]: row["base"] / row["before"] for row in moved.iter_rows(named=True)}
    assert all(0.8 <= ratio[code] < 1 for code in ("006800", "000640", "355690"))
    shares = daily.filter(code="195990")["listed_shares"]
    assert shares.max() == pytest.approx(10 * shares.min(), rel=0.01)
    assert 8 < ratio["195990"] < 10
    assert 1 < ratio["0068Y0"] < 1.0025


def test_stocks_come_and_go(daily: pl.DataFrame) -> None:
    codes = {day: set(daily.filter(date=day)["code"]) for day in DAYS}
    assert codes[DAYS[-1]] - codes[DAYS[0]]
    assert codes[DAYS[0]] - codes[DAYS[-1]]
