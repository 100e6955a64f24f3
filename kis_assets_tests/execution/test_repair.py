"""Candles of before this version, stored in the evening and never again, are fetched anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from kis_assets.cli.backfill import estimate
from kis_assets.definitions import defs
from kis_assets.defs.resources import KISResource, open_lake
from kis_assets.exchange import calendar, finality
from kis_assets.execution import backfill
from kis_assets.execution.repair import make_repair
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import provisional
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.state.cache import SqliteStore
from kis_assets.tables import DAILY_CANDLES
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.support.in_process import materialize, point_at

pytestmark = pytest.mark.usefixtures("narrow_terminal")

CODES = ("005930", "000660", "035420", "247540")
LEFT = "247540"
"""A stock that leaves the universe in October."""
REAL = calendar.now
"""The clock on the wall, by which tokens expire."""
EVENINGS = {
    "2026-09-30 20:40": CODES,
    "2026-10-30 20:40": CODES,
    "2026-11-25 20:40": CODES[:-1],
}
MORNING = "2026-11-26 10:00"
OLD = replace(
    DAILY_CANDLES,
    columns=tuple(it for it in DAILY_CANDLES.columns if it.name != "is_final"),
)
"""The table as it was."""


def at(moment: str) -> datetime:
    return datetime.fromisoformat(f"{moment}:00+09:00")


class Clock:
    """The market's time, which a test sets."""

    at = at(MORNING)


@cache
def the_market() -> ModelMarket:
    """All tests of a process share it: most of their time goes into its master files else."""
    return ModelMarket(0, lambda: Clock.at)


class Past:
    """A server at a moment, and a lake that an older version has written since September."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch, self._folder = monkeypatch, folder
        self.server = Simulator(the_market(), rate_limit=0, token_window=0.0, clock=REAL)
        monkeypatch.setattr(calendar, "now", lambda: self.now)

    def live(self) -> None:
        """What the older version did."""
        for moment, codes in EVENINGS.items():
            self.turn(moment, codes)
            month = f"{self.now:%Y-%m}-01"
            assert materialize("daily_candles", month).success
            self._forget_what_is_final(date.fromisoformat(month))

    @property
    def now(self) -> datetime:
        return Clock.at

    def turn(self, moment: str, codes: tuple[str, ...]) -> None:
        Clock.at = at(moment)
        point_at(self.server, self._monkeypatch, self.now, KIS_STOCK_CODES=",".join(codes))
        for module in ("execution.backfill", "defs.resources"):
            self._monkeypatch.setattr(
                f"kis_assets.{module}.create_data_source", lambda settings: self._source(settings)
            )

    def _source(self, settings: Settings) -> KISDataSource:
        """A source that keeps what it has fetched from a window to the runs of its months."""
        return KISDataSource(
            settings,
            transport=InProcessTransport(self.server),
            workers=1,
            has_quota=False,
            store=SqliteStore(self._folder / "cache.sqlite"),
        )

    def _forget_what_is_final(self, month: date) -> None:
        lake, scope = self.lake, Scope.month(month)
        rows = lake.scan(DAILY_CANDLES, first=scope.first, last=scope.last).collect()
        lake.replace(OLD, scope, rows.clear().select(OLD.schema.names()))
        lake.replace(OLD, scope, rows.select(OLD.schema.names()))

    @property
    def lake(self) -> Lake:
        return open_lake(Settings.load())

    def rows(self) -> pl.DataFrame:
        return self.lake.scan(DAILY_CANDLES).collect().sort("trading_day", "stock_code")

    def wrong(self) -> set[tuple[date, str]]:
        """The stored rows whose close is not the official one."""
        return {
            (row["trading_day"], row["stock_code"])
            for row in self.rows().iter_rows(named=True)
            for bar in self.server.market.bars(
                row["stock_code"], row["trading_day"], row["trading_day"]
            )
            if row["close"] != bar.close
        }


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves the past for the others, which copy it."""
    return tmp_path_factory.mktemp("past") / "lived"


@pytest.fixture
def past(lived: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Past:
    made = Past(monkeypatch, tmp_path)
    if lived.exists():
        shutil.copytree(lived, tmp_path, dirs_exist_ok=True)
    else:
        made.live()
        # Without the token, which another server does not know.
        shutil.copytree(tmp_path, lived, ignore=shutil.ignore_patterns("state"))
    made.turn(MORNING, CODES[:-1])
    return made


def conditions(lake: Lake) -> dict[date, str]:
    query = (
        "SELECT trading_day, condition FROM dataset_condition WHERE table_name = 'daily_candles'"
    )
    return dict(lake.read(query).rows())


ENDS = [date(2026, 9, 30), date(2026, 10, 30), date(2026, 11, 25)]


@pytest.mark.slow
def test_a_lake_of_before_is_read_rightly_and_repaired_by_one_command(past: Past) -> None:
    """The rows know by their `fetched_at` whether they are final, before anything is repaired."""
    assert past.wrong()
    assert {day for day, _ in past.wrong()} <= set(ENDS)
    rows = past.rows()
    assert rows.filter(~pl.col("is_final"))["trading_day"].unique().sort().to_list() == ENDS
    assert [day for day, seen in conditions(past.lake).items() if seen == "pending"] == ENDS
    kis = KISResource()
    plan = make_repair(kis, past.lake)
    kis.close()
    # September and October are one window of a hundred sessions; November runs.
    assert "daily_candles: 3 partitions from 2026-09-01 to 2026-11-01" in estimate(plan)
    told = plan.requests
    before = past.server.calls("itemchartprice")
    outcomes = list(backfill.run(plan, Settings.load(), dg.DagsterInstance.ephemeral()))
    assert [it.error for it in outcomes] == ["", "", ""]
    asked = past.server.calls("itemchartprice") - before
    assert told == 2 * 3
    # The stock that left is asked for in its two months, beside those that the plan knows of.
    assert asked == told + 2
    assert past.wrong() == set()
    assert provisional(past.lake, past.now).is_empty()
    assert set(conditions(past.lake).values()) <= {"available", "pending"}
    assert all(conditions(past.lake)[day] == "available" for day in ENDS)
    found = past.rows().filter(stock_code=LEFT)
    assert found.filter(trading_day=date(2026, 10, 30))["is_final"].to_list() == [True]
    kis = KISResource()
    assert make_repair(kis, past.lake).partitions == []
    kis.close()


def test_the_command_says_what_it_costs_and_asks_first(past: Past) -> None:
    done = Said("repair", "--dry-run", "--json")
    assert json.loads(done.out)["partitions"] == ["2026-09-01", "2026-10-01", "2026-11-01"]
    assert past.wrong()
    refused = Said("repair", given="n\n")
    assert "about " in refused.out
    assert refused.status == 1
    assert past.wrong()


def test_the_doctor_and_the_condition_point_to_it(past: Past) -> None:
    past.lake.publish()
    (found,) = [it for it in json.loads(Said("doctor", "--json").out) if it["what"] == "candles"]
    assert found["state"] == "warn"
    assert "run kis-assets repair" in found["seen"]
    assert "run kis-assets repair" in Said("condition", "daily_candles", "--json").out


@pytest.mark.slow
def test_a_job_repairs_too(past: Past) -> None:
    job = defs.resolve_job_def("candle_repair")
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance).success
    assert past.wrong() == set()


def test_nothing_is_repaired_over_a_weekend_that_cannot_be(past: Past) -> None:
    past.turn("2026-11-27 20:40", CODES[:-1])
    assert materialize("daily_candles", "2026-11-01").success
    past.turn("2026-11-28 12:00", CODES[:-1])
    assert date(2026, 11, 27) not in set(provisional(past.lake, past.now)["trading_day"])
    assert finality.newest_final_day(past.now) == date(2026, 11, 26)
