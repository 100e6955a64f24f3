"""A clock walks through evenings, nights and mornings, over HTTP, and all that is stored is right.

The schedules and the sensor of a machine make real runs against the simulator, whose clock is the
same. After each of them every stored candle, its `is_final`, the condition of each day, the checks
and the adjusted series are held against the market that the simulator has invented.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Any

import dagster as dg
import polars as pl
import pytest

from kis_assets.definitions import defs
from kis_assets.defs.jobs import assets_of_job
from kis_assets.defs.resources import open_lake
from kis_assets.exchange import calendar, finality, prices
from kis_assets.settings import Settings
from kis_assets.simulator.market.after_market import Correction
from kis_assets.simulator.market.market import Bar
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS, QUALITY
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.in_process import materialize
from kis_assets_tests.support.machine import Machine

CODES = (
    *("005930", "000660", "035420", "247540"),  # traded much
    *("00781K", "133950"),  # not on every day
    *("180210", "373640"),  # an ETF and a stock of KONEX, which have no after-market
    *("489430", "155990", "175020", "373340", "414880"),  # with an action in November
    *("361550", "459670", "488700"),  # and in December
)
REAL = calendar.now
"""The clock on the wall, by which tokens expire."""
LATER = datetime(2027, 3, 1, tzinfo=calendar.SEOUL)
"""When all that the walks come through is final."""


def at(moment: str) -> datetime:
    return datetime.fromisoformat(f"{moment}:00+09:00")


class Walk:
    """A machine, a server with the same clock, and the truth."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
        self._monkeypatch = monkeypatch
        self._now = at("2026-10-01 12:00")
        self.environment = environment
        self.market = ModelMarket(0, lambda: self._now)
        self.truth = ModelMarket(0, lambda: LATER)
        self.ratios = {
            (action.code, action.ex_day): action.factor
            for action in self.truth.actions(date(2026, 9, 1), date(2027, 1, 31))
            if action.kind in ("split", "reverse_split", "bonus", "reduction")
        }
        self.server = Simulator(
            self.market, environment=environment, rate_limit=0, token_window=0.0, clock=REAL
        )
        self.machine: Machine
        self.is_ready = False
        monkeypatch.setattr(calendar, "now", lambda: self._now)
        # By which Dagster ends the partitions that there are.
        monkeypatch.setattr(
            "dagster._time._mockable_get_current_datetime", lambda: self._now.astimezone(UTC)
        )

    def begins(self, moment: str) -> None:
        """Set the clocks, fetch the month so far, and its actions."""
        self.turn(at(moment))
        self.machine = Machine(Settings.load(), at(moment))
        self.machine.make = self.run
        month = f"{self._now:%Y-%m}-01"
        self.make("market_days", str(self._now.year))
        self.make("daily_candles", month)
        # Until the actions are known, the base prices that the market has set stand for them.
        self.is_ready = True
        self.make("corporate_actions", month)

    def turn(self, moment: datetime) -> None:
        """It is that moment everywhere."""
        self._now = moment
        self._monkeypatch.setenv("KIS_REPLAY_AT", moment.isoformat())

    def run(self, job: str, key: str) -> None:
        """Make what a job makes."""
        self.turn(self.machine.now)
        if job == "cache_warming":
            return
        of_job = defs.resolve_job_def(job).asset_layer.executable_asset_keys
        for asset in sorted(
            assets_of_job(job, Settings.load()) or of_job,
            key=lambda found: found.to_user_string() != "stock_master",
        ):
            self.make(asset.to_user_string(), key)

    def make(self, asset: str, key: str) -> dg.ExecuteInProcessResult:
        """Make one partition, and look at everything."""
        result = materialize(asset, key)
        assert result.success, (
            f"{asset} {key} at {self._now}: "
            f"{[it.step_failure_data.error for it in result.all_events if it.is_step_failure]} "
            f"{[it for it in result.get_asset_check_evaluations() if not it.passed]}"
        )
        if self.is_ready:
            self.verify()
        return result

    def candles(self, moment: str) -> None:
        """Fetch the month's candles at a moment of one's own choice."""
        self.machine.now = at(moment)
        self.turn(at(moment))
        self.make("daily_candles", f"{calendar.latest_session(at(moment)).day:%Y-%m}-01")

    def verify(self) -> None:
        """Whatever is stored is right at this moment."""
        lake, now = open_lake(Settings.load()), self._now
        rows = lake.scan(DAILY_CANDLES).collect()
        bars = {code: self.bars(code) for code in CODES}
        for row in rows.iter_rows(named=True):
            true = bars[row["stock_code"]][row["trading_day"]]
            if row["is_final"]:
                assert now >= finality.final_at(row["trading_day"])
                assert figures(row) == of(true), (row, true)
        condition = dict(
            lake.read(
                "SELECT trading_day, condition FROM dataset_condition "
                "WHERE table_name = 'daily_candles'"
            ).rows()
        )
        for day, seen in condition.items():
            of_day = rows.filter(trading_day=day)
            if of_day.is_empty():
                assert seen in ("pending", "missing"), (now, day, seen)
            else:
                right = "available" if of_day["is_final"].all() else "pending"
                assert seen == right, (now, day, seen)
        failed = lake.scan(QUALITY).filter(~pl.col("passed"), pl.col("severity") == "ERROR")
        assert failed.collect().is_empty(), f"{now}: {failed.collect().to_dicts()}"
        self.verify_adjusted(rows, bars)
        self.verify_quotes(bars)

    def verify_adjusted(self, rows: pl.DataFrame, bars: dict[str, dict[date, Bar]]) -> None:
        """The adjusted closes of final days are the true ones."""
        found = open_lake(Settings.load()).read(
            "SELECT trading_day, stock_code, close, is_final FROM daily_candles_adjusted "
            "ORDER BY stock_code, trading_day DESC"
        )
        assert found.height == rows.height
        for code, days in found.group_by("stock_code"):
            factor, after = Fraction(1), None
            for row in days.sort("trading_day", descending=True).iter_rows(named=True):
                bar = bars[str(code[0])][row["trading_day"]]
                if after is not None:
                    factor *= self.step(str(code[0]), after)
                if row["is_final"]:
                    true = float(bar.close * factor)
                    assert row["close"] == pytest.approx(true, rel=1e-14), (self._now, row)
                after = bar

    def step(self, code: str, bar: Bar) -> Fraction:
        """What a day did to all prices before it."""
        if (code, bar.day) in self.ratios:
            return self.ratios[code, bar.day]
        tick = prices.tick_size(max(bar.base, bar.previous_close), bar.day)
        moved = abs(bar.base - bar.previous_close) > tick
        return Fraction(bar.base, bar.previous_close) if moved else Fraction(1)

    def verify_quotes(self, bars: dict[str, dict[date, Bar]]) -> None:
        """A regular close is the official one; prices say the session in which they were made."""
        rows = open_lake(Settings.load()).scan(PRICE_SNAPSHOTS).collect()
        captured = set(rows.filter(session="closing_price")["trading_day"])
        for row in rows.iter_rows(named=True):
            session = calendar.session(row["trading_day"])
            assert session is not None
            true = bars[row["stock_code"]][row["trading_day"]]
            is_known = row["captured_at"] >= session.closes_at + calendar.AUCTION_OVER
            is_known &= row["trading_day"] in captured
            assert row["regular_close"] == (true.close if is_known else None), (self._now, row)
            if row["session"] == "closing_price":
                assert row["price"] == true.close

    def bars(self, code: str) -> dict[date, Bar]:
        """The final bars of a stock."""
        first, last = date(2026, 8, 1), date(2027, 1, 31)
        return {bar.day: bar for bar in self.truth.bars(code, first, last)}


def figures(row: dict[str, Any]) -> tuple[int, ...]:
    return tuple(
        row[name]
        for name in ("open", "high", "low", "close", "volume", "trading_value", "base_price")
    )


def of(bar: Bar) -> tuple[int, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trading_value, bar.base


@pytest.fixture(params=["real"])
def walk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, request: pytest.FixtureRequest
) -> Iterator[Walk]:
    is_virtual = request.param == "virtual"
    made = Walk(monkeypatch, request.param)
    with serve(made.server) as url:
        for name, value in {
            "DATA_SOURCE_TYPE": "kis",
            "KIS_APP_KEY": APP_KEY,
            "KIS_APP_SECRET": APP_SECRET,
            "KIS_USE_VIRTUAL_SERVER": str(is_virtual).lower(),
            "KIS_API_BASE_URL_REAL": url,
            "KIS_API_BASE_URL_VIRTUAL": url,
            "KIS_MASTER_BASE_URL": url,
            "KIS_STOCK_CODES": ",".join(CODES),
            "KIS_DATA_DIR": str(tmp_path / "data"),
            "KIS_API_RATE_LIMIT": "1000",
            "KIS_SCHEDULE_CAPTURE_MINUTES": "60",
        }.items():
            monkeypatch.setenv(name, value)
        yield made


def is_final(day: str) -> bool:
    """Whether every candle of a day is final."""
    rows = open_lake(Settings.load()).scan(DAILY_CANDLES).collect()
    of_day = rows.filter(trading_day=date.fromisoformat(day))
    assert of_day.height == len(CODES)
    return bool(of_day["is_final"].all())


@pytest.mark.slow
def test_a_friday_that_ends_a_month_and_its_weekend(walk: Walk) -> None:
    walk.begins("2026-10-30 15:35")
    walk.machine.walk(at("2026-10-30 15:40"), at("2026-10-30 15:50"))
    walk.machine.walk(at("2026-10-30 20:30"), at("2026-10-30 20:50"))
    walk.candles("2026-11-01 12:00")
    assert not is_final("2026-10-30")
    walk.machine.walk(at("2026-11-02 07:00"), at("2026-11-02 07:40"))
    assert is_final("2026-10-30")


@pytest.mark.slow
def test_a_thursday_and_the_night_after_it_minute_by_minute(walk: Walk) -> None:
    walk.begins("2026-11-12 15:20")
    for clock in ("15:25", "15:31", "15:39", "15:44"):
        walk.candles(f"2026-11-12 {clock}")
    walk.machine.walk(at("2026-11-12 15:45"), at("2026-11-12 15:50"))
    for clock in ("15:59", "16:00", "16:01", "19:59", "20:00", "20:05"):
        walk.candles(f"2026-11-12 {clock}")
    walk.machine.walk(at("2026-11-12 20:30"), at("2026-11-13 00:00"))
    assert not is_final("2026-11-12")
    walk.candles("2026-11-12 23:59")
    for clock in ("00:01", "04:59", "05:00", "05:44", "05:59"):
        walk.candles(f"2026-11-13 {clock}")
        assert not is_final("2026-11-12")
    walk.candles("2026-11-13 06:00")
    assert is_final("2026-11-12")
    walk.machine.walk(at("2026-11-13 07:00"), at("2026-11-13 10:10"), ("08:35", "09:10"))
    assert is_final("2026-11-12")


@pytest.mark.slow
def test_a_month_that_ends_on_a_friday_with_all_that_runs(walk: Walk) -> None:
    walk.begins("2026-10-30 15:20")
    walk.machine.walk(at("2026-10-30 15:30"), at("2026-11-03 09:10"), ("08:35", "12:10", "22:10"))
    assert is_final("2026-10-30")
    assert is_final("2026-11-02")


@pytest.mark.slow
def test_a_csat_day(walk: Walk) -> None:
    walk.begins("2026-11-19 09:30")
    walk.machine.walk(at("2026-11-19 09:40"), at("2026-11-20 09:10"), ("12:10", "22:50"))
    rows = open_lake(Settings.load()).scan(PRICE_SNAPSHOTS).collect()
    at_close = rows.filter(session="closing_price")
    assert at_close["captured_at"].unique().to_list() == [at("2026-11-19 16:45")]
    assert at_close["regular_close"].null_count() == 0
    assert is_final("2026-11-19")


@pytest.mark.slow
def test_the_end_of_a_year(walk: Walk) -> None:
    walk.begins("2026-12-30 15:20")
    walk.machine.walk(at("2026-12-30 15:30"), at("2027-01-05 09:10"), ("08:35", "12:10", "22:10"))
    assert is_final("2026-12-30")
    assert is_final("2027-01-04")


@pytest.mark.slow
def test_two_mornings_without_a_machine(walk: Walk) -> None:
    walk.begins("2026-11-12 15:20")
    off = at("2026-11-13 06:00"), at("2026-11-17 11:00")
    looks = ("08:35", "12:10", "16:40", "22:10")
    walk.machine.walk(at("2026-11-12 15:30"), at("2026-11-18 09:10"), looks, off=off)
    for day in (12, 13, 16, 17):
        assert is_final(f"2026-11-{day}")


@pytest.mark.slow
def test_stocks_whose_correction_comes_after_the_morning_run(walk: Walk) -> None:
    late = Correction(late=frozenset(("005930", "035420")), late_at=time(8, 25), late_share=0)
    walk.market = ModelMarket(0, lambda: walk._now, correction=late)
    walk.server.market = walk.market
    walk.begins("2026-11-12 20:10")
    walk.machine.walk(at("2026-11-12 20:30"), at("2026-11-12 21:00"))
    walk.machine.walk(at("2026-11-13 07:00"), at("2026-11-13 08:20"))
    assert not is_final("2026-11-12")
    walk.machine.walk(at("2026-11-13 08:20"), at("2026-11-13 09:10"), ("08:35",))
    assert is_final("2026-11-12")


@pytest.mark.slow
@pytest.mark.parametrize("walk", ["virtual"], indirect=True)
def test_the_virtual_server(walk: Walk) -> None:
    walk.begins("2026-11-12 15:20")
    walk.machine.walk(at("2026-11-12 15:30"), at("2026-11-13 09:10"), ("08:35", "22:10"))
    assert is_final("2026-11-12")


@pytest.mark.slow
def test_a_day_that_has_not_turned_in_the_morning(walk: Walk) -> None:
    # KIS still states the close of the day before last: it is asked until it is late enough.
    walk.market = ModelMarket(0, lambda: walk._now, rolls_at=time(8, 55))
    walk.server.market = walk.market
    walk.begins("2026-11-12 20:10")
    walk.machine.walk(at("2026-11-12 20:30"), at("2026-11-12 21:00"))
    walk.machine.walk(at("2026-11-13 07:00"), at("2026-11-13 07:40"))
    assert not is_final("2026-11-12")
    walk.machine.walk(at("2026-11-13 08:00"), at("2026-11-13 08:45"))
    assert is_final("2026-11-12")
