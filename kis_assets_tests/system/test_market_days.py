"""Market days, replayed by the simulator and fetched over HTTP, arrive to the last digit."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from kis_assets.exchange import calendar
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.market.replay import ReplayMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.factory import create_data_source
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.defs.test_assets import DAY, MONTH
from kis_assets_tests.support.in_process import all_checks_pass, lake, materialize, set_source

AFTER_CLOSE = datetime(2026, 3, 17, 15, 40, tzinfo=calendar.SEOUL)


@pytest.fixture
def days(days_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pl.DataFrame]:
    """The days behind a KIS server after the close of the last one."""

    def clock() -> datetime:
        return datetime.fromisoformat(os.environ["KIS_REPLAY_AT"])

    simulator = Simulator(
        ReplayMarket(days_folder, clock=clock), rate_limit=0, clock=lambda: AFTER_CLOSE
    )
    monkeypatch.setenv("KIS_REPLAY_AT", AFTER_CLOSE.isoformat())
    with serve(simulator) as url:
        set_source(url, monkeypatch, AFTER_CLOSE, KIS_UNIVERSE="all", KIS_STOCK_CODES="")
        yield pl.read_parquet(days_folder / "daily.parquet")


def differing(expected: pl.DataFrame, found: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Rows of either side that are not on the other, value for value."""
    assert expected.columns == found.columns
    gone = expected.join(found, on=expected.columns, how="anti", nulls_equal=True)
    new = found.join(expected, on=expected.columns, how="anti", nulls_equal=True)
    return pl.concat([gone, new]).sort(keys)


SAME_OF_A_DAY = ("open", "high", "low", "close", "change", "volume", "trading_value")


def candles_differ(days: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    keys = ["trading_day", "stock_code"]
    named = days.rename({"date": "trading_day", "code": "stock_code"})
    return differing(
        named.select(*keys, *SAME_OF_A_DAY), stored.select(*keys, *SAME_OF_A_DAY), keys
    )


def test_candles_arrive_to_the_last_digit(
    days: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those with letters in their code, with the widest moves and without trades, and a sample.
    last = days.filter(pl.col("date") == date(2026, 3, 17)).sort("code")
    chosen = pl.concat(
        [
            last.filter(pl.col("code").str.contains("[A-Z]")).head(20),
            last.sort("change_rate").tail(20),
            last.filter(pl.col("volume") == 0).head(20),
            last.gather_every(20),
        ]
    )["code"].unique()
    monkeypatch.setenv("KIS_STOCK_CODES", ",".join(sorted(chosen)))
    assert materialize("stock_master", DAY).success
    result = materialize("daily_candles", MONTH)
    assert result.success
    assert all_checks_pass(result)
    expected = days.filter(pl.col("code").is_in(chosen.implode()))
    assert candles_differ(expected, lake().scan(DAILY_CANDLES).collect()).is_empty()


@pytest.mark.slow
def test_the_whole_market_arrives_to_the_last_digit(
    days: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = days.filter(pl.col("date") == date(2026, 3, 17))
    # Some stocks were delisted within these days. They are known by the stock master of a day on
    # which they were listed, and keep their candles.
    for day in ("2026-03-13", "2026-03-16", DAY):
        monkeypatch.setenv("KIS_REPLAY_AT", f"{day}T15:40+09:00")
        assert materialize("stock_master", day).success
    for asset, partition in (("price_snapshots", DAY), ("daily_candles", MONTH)):
        result = materialize(asset, partition)
        assert result.success
        failed = {it.check_name: it for it in result.get_asset_check_evaluations() if not it.passed}
        # Liquidation trading of 204630, of which this data does not say that it is.
        assert set(failed) <= {"prices_lie_within_the_limits"}

    quotes = lake().scan(PRICE_SNAPSHOTS).collect()
    same = ("open", "high", "low", "change", "change_rate", "volume", "trading_value")
    expected = last.select(
        pl.col("code").alias("stock_code"),
        pl.col("name").alias("stock_name"),
        pl.col("close").alias("price"),
        *same,
    )
    found = quotes.select("stock_code", "stock_name", "price", *same)
    assert differing(expected, found, ["stock_code"]).is_empty()
    # The master files know shares to the thousand, so the market cap is as exact as that.
    caps = quotes.join(last, left_on="stock_code", right_on="code", suffix="_real")
    assert caps.filter(
        (pl.col("market_cap") - pl.col("market_cap_real")).abs() > 1000 * pl.col("price")
    ).is_empty()

    candles = lake().scan(DAILY_CANDLES).collect()
    assert candles_differ(days, candles).is_empty()

    # The plain files and the view hold the same rows.
    database = lake().database
    with duckdb.connect(str(database), read_only=True) as connection:
        for table in ("price_snapshots", "daily_candles"):
            files = database.parent / "parquet" / table / "**" / "*.parquet"
            (count,) = connection.execute(
                f"SELECT count(*) FROM (FROM '{files}' EXCEPT ALL FROM {table})"
            ).fetchall()[0]
            assert count == 0


def test_during_the_session_the_newest_snapshot_answers(
    days_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noon = datetime(2026, 3, 17, 12, 40, tzinfo=calendar.SEOUL)
    simulator = Simulator(ReplayMarket(days_folder, clock=lambda: noon), rate_limit=0)
    with serve(simulator) as url:
        set_source(url, monkeypatch, noon, KIS_UNIVERSE="all", KIS_STOCK_CODES="")
        assert materialize("price_snapshots", DAY).success
    seen = pl.read_parquet(days_folder / "intraday_snapshots.parquet")
    seen = seen.filter(pl.col("captured_at") <= noon)
    seen = seen.filter(pl.col("captured_at") == pl.col("captured_at").max())
    same = ("open", "high", "low", "change", "volume", "trading_value")
    expected = seen.select(
        pl.col("code").alias("stock_code"), pl.col("close").alias("price"), *same
    )
    found = lake().scan(PRICE_SNAPSHOTS).collect().select("stock_code", "price", *same)
    assert found.height == seen.height > 300
    assert differing(expected, found, ["stock_code"]).is_empty()


def capture(results: Any, folder: str) -> None:
    """In a process of its own: 1,800 stocks' prices, once."""
    settings = Settings.load(kis_data_dir=folder)
    with create_data_source(settings=settings) as source:
        stocks = source.tables.stock_master(EVENING.date()).head(1800)
        started = time.monotonic()
        fetched = source.tables.price_snapshots(stocks, EVENING.date(), EVENING)
        results.put(
            (
                fetched.rows.height,
                len(fetched.failed),
                source.tally.summary(),
                started,
                time.monotonic(),
            )
        )


@pytest.mark.slow
def test_two_processes_take_the_whole_quota_and_are_never_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    simulator = Simulator(ModelMarket(seed=0, clock=lambda: EVENING), rate_limit=18)
    with serve(simulator) as url:
        set_source(url, monkeypatch, KIS_STOCK_CODES="", KIS_API_RATE_LIMIT="")
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        running = [context.Process(target=capture, args=(results, str(tmp_path))) for _ in range(2)]
        for process in running:
            process.start()
        found = [results.get(timeout=120) for _ in running]
        for process in running:
            process.join()
    for stored, failed, tally, _, _ in found:
        assert (stored, failed) == (1800, 0)
        assert tally["requests"] <= 66
        assert tally["refusals"] == 0
    assert simulator.refusals == 0
    assert simulator.max_in_any_second() <= 18
    assert simulator.tokens_issued == 1
    # Only while both run is the whole quota asked for. 97 % is what a quiet machine shows; here
    # other tests run beside it, and a stall of theirs is no fault of the quota.
    both = max(start for *_, start, _ in found), min(end for *_, end in found)
    arrivals = [call.at for call in simulator.log if both[0] <= call.at <= both[1]]
    assert len(arrivals) / (both[1] - both[0]) >= 0.9 * 18
