"""History by the year: no row is asked for twice, and what is there is left alone."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from kis_assets.cli.backfill import estimate
from kis_assets.defs.availability import month
from kis_assets.defs.partitions import MONTHS
from kis_assets.defs.resources import KISResource, open_lake
from kis_assets.defs.universe import of_today
from kis_assets.errors import KISError
from kis_assets.exchange import calendar
from kis_assets.execution import backfill
from kis_assets.execution.plan import Plan, is_complete, make_plan, windows
from kis_assets.execution.runner import Outcome
from kis_assets.lake.quality import account, record
from kis_assets.lake.scope import Scope, rows_by_day
from kis_assets.settings import Settings
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.state.cache import SqliteStore
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.in_process import point_at
from kis_assets_tests.support.small_rows import candle, frame

CODES = "005930,000660,035420,005380"


class Desk:
    """Plans and runs against a server in process. A run fetches and accounts, no more."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.simulator = simulator
        self.settings = Settings.load()
        self.lake = open_lake(self.settings)
        # Nobody reads the views here, and building them takes most of the time.
        vars(self.lake)["publish"] = lambda **_: None
        self._folder = folder
        self.rows: dict[str, pl.DataFrame] = {}
        self.broken: set[str] = set()

    def source(self, settings: Settings) -> KISDataSource:
        store = SqliteStore(self._folder / "cache.sqlite")
        return KISDataSource(
            settings,
            transport=InProcessTransport(self.simulator),
            workers=1,
            has_quota=False,
            store=store,
        )

    def plan(self, first: str, last: str, table: str = "daily_candles", **options: Any) -> Plan:
        kis = KISResource()
        try:
            return make_plan(table, first, last, kis, self.lake, **options)
        finally:
            kis.close()

    def run(self, plan: Plan, **options: Any) -> list[str]:
        with dg.DagsterInstance.ephemeral() as instance:
            found = backfill.run(plan, self.settings, instance, make=self.make, **options)
            return [outcome.partition for outcome in found]

    def make(self, table: str, key: str, *_: Any) -> Outcome:
        if key in self.broken:
            return Outcome(table, key, error="the disk is full")
        first, last = month(key, calendar.latest_session(self.settings.now()).day)
        with self.source(self.settings) as source:
            fetched = source.tables.daily_candles(CODES.split(","), first, last)
            source.tables.history_is_stored(first, last)
        self.rows[key] = fetched.rows
        days = dict.fromkeys(calendar.trading_days(first, last), 0)
        rows = days | rows_by_day(DAILY_CANDLES, fetched.rows.lazy())
        record(self.lake, DAILY_CANDLES, [account(rows, fetched.absent, fetched.failed)])
        return Outcome(table, key)

    @property
    def asked(self) -> int:
        return self.simulator.calls("itemchartprice")


@pytest.fixture
def desk(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    point_at(simulator, monkeypatch, KIS_STOCK_CODES=CODES)
    made = Desk(simulator, tmp_path)
    for module in ("kis_assets.execution.backfill", "kis_assets.defs.resources"):
        monkeypatch.setattr(f"{module}.create_data_source", lambda settings: made.source(settings))
    return made


def listed(*days: date | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"stock_code": [f"{n:06}" for n in range(len(days))], "listed_on": list(days)},
        {"stock_code": pl.String, "listed_on": pl.Date},
    )


@pytest.mark.parametrize("first", [2010, 2015, 2016])
def test_ten_years_of_2500_stocks_are_no_more_than_63000_requests(first: int) -> None:
    years = [(date(year, 1, 1), date(year, 12, 31)) for year in range(first, first + 10)]
    found = windows(years, listed(*[None] * 2500))
    assert sum(len(window.codes) for window in found) == 62_500


def test_years_cost_a_request_a_stock_for_each_hundred_sessions(desk: Desk) -> None:
    plan = desk.plan("2024-01", "2025-12")
    sessions = len(calendar.trading_days(date(2024, 1, 1), date(2025, 12, 31)))
    assert plan.requests == 4 * -(-sessions // 100)
    assert desk.run(plan) == plan.partitions
    assert len(plan.partitions) == 24
    assert desk.asked == plan.requests
    rows = pl.concat(desk.rows.values())
    assert rows.select("trading_day", "stock_code").is_unique().all()
    with desk.source(desk.settings) as source:
        whole = source.tables.daily_candles(
            CODES.split(","), date(2024, 1, 1), date(2025, 12, 31)
        ).rows
    key = ["trading_day", "stock_code"]
    left, right = (it.drop("fetched_at").sort(key) for it in (rows, whole))
    assert left.equals(right)
    assert desk.plan("2024-01", "2025-12").partitions == []


def test_the_estimate_counts_stocks_that_are_gone_since(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_STOCK_CODES", f"{CODES},440120")
    seen = candle(date(2025, 3, 3), 10, 12, 9, 11, stock_code="440120")
    rows = frame(DAILY_CANDLES, seen, source="kis")
    desk.lake.replace(DAILY_CANDLES, Scope.month(date(2025, 3, 1)), rows)
    assert desk.plan("2025-01", "2025-03", "investor_flows").stocks == 5
    assert desk.plan("2025-05", "2025-06", "investor_flows").stocks == 4


def test_a_backfill_that_was_stopped_goes_on_without_asking_again(desk: Desk) -> None:
    plan = desk.plan("2025-01", "2025-12")

    def stop(completed: int, _total: int, _code: str) -> None:
        if desk.asked > 5 and completed == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.run(plan, progress=stop)
    stored = set(desk.rows)
    assert 0 < len(stored) < 12
    again = desk.plan("2025-01", "2025-12")
    assert set(again.partitions) == set(plan.partitions) - stored
    desk.run(again)
    assert set(desk.rows) == set(plan.partitions)
    # What flew when it was stopped may be asked for once more.
    assert plan.requests <= desk.asked <= plan.requests + 2


def test_no_stock_is_asked_for_before_it_was_listed() -> None:
    days = calendar.trading_days(date(2024, 1, 1), date(2025, 12, 31))
    old, new = date(1990, 1, 1), days[150]
    found = windows([(days[0], days[-1])], listed(None, old, new))
    assert [len(window.codes) for window in found] == [2, 3, 3, 3, 3]


def test_a_stock_that_fails_in_a_window_is_asked_by_its_months(desk: Desk) -> None:
    plan = desk.plan("2025-01", "2025-03")
    desk.simulator.faults.bad_number = When(calls=1, path="itemchartprice")
    desk.run(plan)
    assert desk.asked == 4 + 3
    assert {rows["stock_code"].n_unique() for rows in desk.rows.values()} == {4}


def test_the_month_that_runs_is_asked_for_by_itself(desk: Desk) -> None:
    plan = desk.plan("2026-01", "2026-03")
    assert plan.without_window == {"2026-03-01": 4}
    assert desk.run(plan) == ["2026-01-01", "2026-02-01", "2026-03-01"]
    assert desk.asked == plan.requests == 4 + 4


def test_a_run_that_is_interrupted_interrupts_the_backfill(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset(partitions_def=MONTHS)
    def daily_candles() -> None:
        raise KeyboardInterrupt

    found = dg.Definitions(assets=[daily_candles])
    monkeypatch.setattr("kis_assets.definitions.load", lambda: found)
    plan = desk.plan("2026-03", "2026-03")
    with dg.DagsterInstance.ephemeral() as kept, pytest.raises(KeyboardInterrupt):
        next(backfill.run(plan, desk.settings, kept))


def test_three_failures_in_a_row_end_it(desk: Desk) -> None:
    plan = desk.plan("2025-01", "2025-06")
    desk.broken = {"2025-02-01", "2025-03-01", "2025-04-01"}
    with pytest.raises(KISError, match="3 partitions failed one after the other"):
        desk.run(plan)
    assert set(desk.rows) == {"2025-01-01"}


def test_what_is_complete_is_left_out_unless_it_is_wanted_again(desk: Desk) -> None:
    first, last = date(2025, 2, 1), date(2025, 2, 28)
    record(
        desk.lake,
        DAILY_CANDLES,
        [account(dict.fromkeys(calendar.trading_days(first, last), 4), {}, {})],
    )
    plan = desk.plan("2025-01", "2025-03")
    assert (plan.partitions, plan.complete) == (["2025-01-01", "2025-03-01"], 1)
    assert len(desk.plan("2025-01", "2025-03", again=True).partitions) == 3


@pytest.mark.parametrize("what", ["failed", "a day lacks", "stored too early"])
def test_what_is_not_right_is_not_complete(desk: Desk, what: str) -> None:
    days = [EVENING.date() - timedelta(days=1)]
    if what == "stored too early":  # far ahead: nothing is stored after its evening
        days = [calendar.next_trading_day(calendar.today())]
    failed = {"005930": KISError("down")} if what == "failed" else {}
    record(desk.lake, MINUTE_CANDLES, [account(dict.fromkeys(days, 4), {}, failed)])
    last = days[0] + timedelta(days=1 if what == "a day lacks" else 0)
    assert not is_complete(desk.lake, MINUTE_CANDLES, days[0], last, calendar.now())


def test_a_day_that_is_right_is_complete(desk: Desk) -> None:
    day = EVENING.date() - timedelta(days=1)
    record(desk.lake, MINUTE_CANDLES, [account({day: 4}, {}, {})])
    assert is_complete(desk.lake, MINUTE_CANDLES, day, day, calendar.now())


def test_days_of_minutes_cost_what_they_cost_on_a_real_day(desk: Desk) -> None:
    plan = desk.plan("2026-03-09", "2026-03-13", table="minute_candles")
    assert plan.requests == 52  # 5 days, 4 stocks, 2.6 requests
    assert "5 partitions from 2026-03-09 to 2026-03-13" in estimate(plan)


def test_the_estimate_counts_what_the_table_is_of(desk: Desk) -> None:
    """Funds, indices and markets are asked for whatever the universe is, which has four stocks."""
    kis = KISResource()
    listed = {
        "etf_navs": of_today(kis, desk.lake).filter(pl.col("security_type") == "etf").height,
        "index_candles": len(kis.tables.indices()),
        "market_flows": 2,
    }
    kis.close()
    assert listed["etf_navs"] > 4
    for table, count in listed.items():
        plan = desk.plan("2026-01", "2026-02", table)
        assert (plan.table, plan.stocks) == (table, count)
    assert "2 markets, about " in estimate(plan)
    assert "investor_flows" in estimate(flows := desk.plan("2026-01", "2026-02", "investor_flows"))
    assert flows.stocks == 4


def test_the_invented_market_is_asked_without_a_request() -> None:
    """At the virtual server's one request a second a month would be three quarters of an hour."""
    settings = Settings.load(data_source_type="mock", kis_replay_at=EVENING)
    kis = KISResource.of(settings)
    plan = make_plan("daily_candles", "2026-01", "2026-02", kis, open_lake(settings))
    kis.close()
    assert plan.stocks > 2000
    assert plan.requests == 0
    assert 10 < plan.seconds < 60  # they took 25 seconds
    assert estimate(plan).endswith(": made locally, without requests")


@pytest.mark.parametrize(
    ("table", "first", "last", "said"),
    [
        ("order_books", "2025-01", "2025-02", "the past of 'order_books' is not available"),
        ("daily_candles", "2025", "2025-02", "'2025' is not a month; write it as 2015-01"),
        ("daily_candles", "2025-03", "2025-02", "2025-03 comes after 2025-02"),
        ("daily_candles", "2025-03", "2026-04", "2026-04 has not begun"),
        (
            "minute_candles",
            "2024-03-04",
            "2026-03-04",
            "are no longer available; KIS has them from",
        ),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(
    desk: Desk, table: str, first: str, last: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        desk.plan(first, last, table)
