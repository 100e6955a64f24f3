"""What the schedules ask for since KRX trades until 20:00: evenings, nights, the ends of months.

A close is the after-market's until the night before the next session. Runs are not made: what they
leave in the lake is written instead. `test_clock_walk.py` makes them.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest

from kis_assets.defs.assets.market_days import computed_days, overridden
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Scope
from kis_assets.settings import Settings
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.machine import Asked, Machine
from kis_assets_tests.support.small_rows import based, frame

CANDLES = "daily_candle_ingestion"
LOOKS = ("06:10", "07:10", "08:35", "12:10", "16:40", "22:10")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in {
        "KIS_APP_KEY": APP_KEY,
        "KIS_APP_SECRET": APP_SECRET,
        "KIS_USE_VIRTUAL_SERVER": "false",
        "KIS_DATA_DIR": str(tmp_path / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def at(moment: str) -> datetime:
    return datetime.fromisoformat(f"{moment}:00+09:00")


def machine(settings: Settings, monkeypatch: pytest.MonkeyPatch, now: str) -> Machine:
    made = Machine(settings, at(now))
    monkeypatch.setattr(calendar, "now", lambda: made.now)
    for year in (2026, 2027):
        made.lake.replace(MARKET_DAYS, Scope.year(year), computed_days(year, "kis", made.now))
    # Before this all is there.
    before = calendar.previous_trading_day(made.now.date())
    first = calendar.previous_trading_day(before)
    made.now = at(f"{made.now.date()} 00:00")
    for day in (first, before):
        rows = frame(DAILY_CANDLES, based(day, 9, 9), source="kis")
        made.lake.replace(DAILY_CANDLES, Scope.day(day), rows)
    made.now = at(now)
    return made


def of_candles(made: Machine) -> list[Asked]:
    return [asked for asked in made.asked if asked[1] == CANDLES]


def final(made: Machine, *days: date) -> list[bool]:
    rows = made.lake.scan(DAILY_CANDLES).collect().sort("trading_day")
    known = dict(zip(rows["trading_day"], rows["is_final"], strict=True))
    return [known[day] for day in days]


@pytest.mark.slow
def test_a_friday_that_ends_a_month_is_put_right_on_monday_in_its_own_month(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(settings, monkeypatch, "2026-10-30 07:00")
    made.walk(made.now, at("2026-11-01 23:00"), LOOKS)
    assert of_candles(made) == [
        ("30 07:30", CANDLES, "2026-10-01"),  # Thursday's
        ("30 20:40", CANDLES, "2026-10-01"),  # Friday's, whose close is the after-market's
    ]
    assert final(made, date(2026, 10, 29), date(2026, 10, 30)) == [True, False]
    made.walk(at("2026-11-02 00:00"), at("2026-11-02 23:00"), LOOKS)
    assert of_candles(made)[2:] == [
        ("02 07:30", CANDLES, "2026-10-01"),
        ("02 20:40", CANDLES, "2026-11-01"),
    ]
    assert final(made, date(2026, 10, 30), date(2026, 11, 2)) == [True, False]


@pytest.mark.slow
def test_the_last_session_of_a_year_is_put_right_in_the_next_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(settings, monkeypatch, "2026-12-30 09:00")
    made.walk(made.now, at("2027-01-05 00:00"), LOOKS)
    assert of_candles(made) == [
        ("30 20:40", CANDLES, "2026-12-01"),
        ("04 07:30", CANDLES, "2026-12-01"),
        ("04 20:40", CANDLES, "2027-01-01"),
    ]
    assert final(made, date(2026, 12, 30), date(2027, 1, 4)) == [True, False]
    # On the first morning of a year there is no candle of it.
    factors = [asked for asked in made.asked if asked[1] == "price_adjustment"]
    assert factors == [("04 08:50", "price_adjustment", "2026")]


def test_the_official_prices_of_a_csat_day_are_captured_an_hour_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(settings, monkeypatch, "2026-11-19 15:00")
    made.walk(made.now, at("2026-11-20 09:00"))
    assert [it for it in made.asked if it[1] != "price_capture" and "book" not in it[1]] == [
        ("19 16:45", "daily_price_ingestion", "2026-11-19"),
        ("19 16:45", "valuation_capture", "2026-11-19"),
        ("19 21:40", "daily_price_ingestion", "2026-11-19"),
        ("19 21:40", CANDLES, "2026-11-01"),
        ("19 21:40", "minute_candle_ingestion", "2026-11-19"),
        ("19 22:30", "corporate_action_ingestion", "2026-11-01"),
        ("19 22:30", "statement_ingestion", "2026-11-01"),
        ("19 22:30", "evening_report", "2026-11-19"),
        ("19 23:30", "freshness", ""),
        ("20 06:30", "lake_maintenance", ""),
        ("20 07:20", "market_calendar", "2026"),
        ("20 07:30", CANDLES, "2026-11-01"),
        ("20 07:45", "market_figure_ingestion", "2026-11-01"),
        ("20 07:45", "flow_ingestion", "2026-11-01"),
        ("20 07:45", "credit_ingestion", "2026-11-01"),
        ("20 07:45", "fund_ingestion", "2026-11-01"),
        ("20 08:00", "stock_master_ingestion", "2026-11-20"),
        ("20 08:00", "reference_ingestion", "2026-11-01"),
        ("20 08:30", "cache_warming", ""),
        ("20 08:50", "price_adjustment", "2026"),
        ("20 08:50", "evening_report", "2026-11-19"),
    ]


def test_candles_whose_correction_has_not_come_are_asked_for_until_it_has(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(settings, monkeypatch, "2026-10-01 20:00")
    made.walk(made.now, at("2026-10-02 07:00"))
    leave = made.make

    def provisional(job: str, key: str) -> None:
        leave(job, key)
        if job == CANDLES and made.now < at("2026-10-02 08:20"):
            day = date(2026, 10, 1)
            rows = frame(DAILY_CANDLES, based(day, 9, 9, is_final=False), source="kis")
            made.lake.replace(DAILY_CANDLES, Scope.day(day), rows)

    made.make = provisional
    made.walk(at("2026-10-02 07:00"), at("2026-10-02 20:00"))
    assert of_candles(made) == [
        ("01 20:40", CANDLES, "2026-10-01"),
        ("02 07:30", CANDLES, "2026-10-01"),
        ("02 08:10", CANDLES, "2026-10-01"),
        ("02 08:40", CANDLES, "2026-10-01"),  # and none at 16:00: it has come
    ]


def test_a_machine_that_was_off_on_the_morning_asks_when_it_is_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(settings, monkeypatch, "2026-10-29 20:00")
    off = at("2026-10-30 07:00"), at("2026-11-02 11:00")
    made.walk(made.now, at("2026-11-03 00:00"), LOOKS, off=off)
    asked = of_candles(made)
    assert asked[:3] == [
        ("29 20:40", CANDLES, "2026-10-01"),
        ("02 11:00", CANDLES, "2026-10-01"),  # Monday's tick of 07:30, come late
        ("02 20:40", CANDLES, "2026-11-01"),
    ]
    assert final(made, date(2026, 10, 29), date(2026, 10, 30), date(2026, 11, 2)) == [
        *(True, True, False)
    ]


def test_the_sensor_asks_for_final_candles_where_no_schedule_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(settings, monkeypatch, "2026-10-30 20:00")
    made.walk(made.now, at("2026-10-30 21:00"))
    made.schedules = []
    made.walk(at("2026-10-30 21:00"), at("2026-11-03 06:00"), LOOKS)
    # Not before the night of the correction, and not before the morning's schedules had their time.
    assert of_candles(made)[1:] == [
        ("02 08:35", CANDLES, "2026-10-01"),
        ("02 22:10", CANDLES, "2026-11-01"),
    ]


@pytest.mark.slow
def test_after_a_session_that_was_called_off_the_one_before_it_is_put_right(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machine(settings, monkeypatch, "2026-10-30 20:00")
    made.walk(made.now, at("2026-10-30 21:00"))
    days = computed_days(2026, "kis", made.now)
    said = overridden(days, MARKET_DAYS.empty(), {date(2026, 11, 2): False}, made.now)
    made.lake.replace(MARKET_DAYS, Scope.year(2026), said)
    made.walk(at("2026-10-30 21:00"), at("2026-11-03 09:00"), LOOKS)
    # Nothing on Monday, which was decreed a holiday; on Tuesday Friday's month.
    assert of_candles(made)[1:] == [("03 07:30", CANDLES, "2026-10-01")]
    assert final(made, date(2026, 10, 30)) == [True]


def test_no_second_run_is_asked_for_while_the_first_is_at_work(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On the virtual server the candles of 07:30 take 42 minutes.
    made = machine(settings, monkeypatch, "2026-10-01 20:00")
    made.walk(made.now, at("2026-10-02 07:00"))
    made.make = lambda _job, _key: None
    run = dg.DagsterRun(
        job_name=CANDLES,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "2026-10-01"},
    )
    made.walk(at("2026-10-02 07:00"), at("2026-10-02 08:00"))
    made.instance.add_run(run)
    made.walk(at("2026-10-02 08:00"), at("2026-10-02 09:00"))
    assert of_candles(made)[1:] == [("02 07:30", CANDLES, "2026-10-01")]
