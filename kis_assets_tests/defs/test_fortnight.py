"""A simulated fortnight: what the schedules and the sensor ask for, tick by tick.

Runs are not made: what they would leave in `quality` is written instead. The calendar is the real
one of November 2025, with the CSAT day on the 13th, and two days that KIS says are closed.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from kis_assets.defs.assets.market_days import computed_days, overridden
from kis_assets.defs.schedules import schedules
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Scope
from kis_assets.settings import Settings
from kis_assets.tables import MARKET_DAYS
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.machine import Asked, Machine, ticks

DECREED = (date(2025, 11, 11), date(2025, 11, 17))
OFF, ON = (
    datetime(2025, 11, 18, tzinfo=calendar.SEOUL),
    datetime(2025, 11, 20, 7, tzinfo=calendar.SEOUL),
)
SENSOR = ("07:10", "12:10", "22:10", "22:50")


@pytest.fixture
def fortnight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    for name, value in {
        "KIS_APP_KEY": APP_KEY,
        "KIS_APP_SECRET": APP_SECRET,
        "KIS_USE_VIRTUAL_SERVER": "false",
        "KIS_SCHEDULES": "on",
        "KIS_DATA_DIR": str(tmp_path / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    made = Machine(Settings.load(), datetime(2025, 11, 10, tzinfo=calendar.SEOUL))
    days = computed_days(2025, "kis", calendar.now())
    said = overridden(days, MARKET_DAYS.empty(), dict.fromkeys(DECREED, False), made.now)
    made.lake.replace(MARKET_DAYS, Scope.year(2025), said)

    monkeypatch.setattr(calendar, "now", lambda: made.now)
    return made


def ordinary(day: str, *, hours_later: int = 0) -> list[Asked]:
    """What the schedules ask for on a trading day."""

    def later(clock: str) -> str:
        at = datetime.strptime(clock, "%H:%M") + timedelta(hours=hours_later)  # noqa: DTZ007
        return f"{day} {at:%H:%M}"

    today, month = f"2025-11-{day}", "2025-11-01"
    session = [f"{hour:02}:{minute}" for hour in range(9, 16) for minute in ("00", "30")][1:-1]
    before = calendar.previous_trading_day(date.fromisoformat(today))
    while before in DECREED:
        before = calendar.previous_trading_day(before)
    # Credit is published three sessions later: of the first days it is that of October.
    credit = "2025-10-01" if int(day) < 6 else month
    jobs = ("market_figure_ingestion", "flow_ingestion", "fund_ingestion")
    figures = [*((job, month) for job in jobs), ("credit_ingestion", credit)]
    return [
        (f"{day} 06:30", "lake_maintenance", ""),
        (f"{day} 07:30", "daily_candle_ingestion", month),
        (f"{day} 07:20", "market_calendar", "2025"),
        (f"{day} 08:00", "stock_master_ingestion", today),
        (f"{day} 08:00", "reference_ingestion", month),
        (f"{day} 08:30", "cache_warming", ""),
        *(
            (later(clock), job, today)
            for clock in session
            for job in ("price_capture", "order_book_capture")
        ),
        *((f"{day} 07:45", job, key) for job, key in figures),
        (later("15:45"), "daily_price_ingestion", today),
        (later("15:45"), "valuation_capture", today),
        (later("20:40"), "daily_price_ingestion", today),
        (later("20:40"), "daily_candle_ingestion", month),
        (later("20:40"), "minute_candle_ingestion", today),
        (later("21:30"), "corporate_action_ingestion", month),
        (later("21:30"), "statement_ingestion", month),
        (later("21:30"), "evening_report", today),
        *((f"{day} {clock}", "freshness", "") for clock in ("10:30", "23:30")),
        (f"{day} 08:50", "price_adjustment", "2025"),
        (f"{day} 08:50", "evening_report", f"{before}"),
    ]


@pytest.mark.slow
def test_a_fortnight_with_two_holidays_a_csat_day_and_two_days_without_power(
    fortnight: Machine,
) -> None:
    fortnight.fails = [
        ("12 20:40", "daily_candle_ingestion", "2025-11-01"),
        ("14 20:40", "minute_candle_ingestion", "2025-11-14"),
        ("14 22:10", "minute_candle_ingestion", "2025-11-14"),
    ]
    last = datetime(2025, 11, 22, tzinfo=calendar.SEOUL)
    fortnight.walk(fortnight.now, last, SENSOR, off=(OFF, ON))
    month = "2025-11-01"
    expected = [
        # Nothing is stored yet: the last session, and no history before it.
        ("10 07:10", "minute_candle_ingestion", "2025-11-07"),
        ("10 07:10", "daily_candle_ingestion", month),
        # Five runs at a time; the schedules of 07:20 to 08:00 ask for most of the others.
        ("10 07:10", "market_figure_ingestion", month),
        ("10 07:10", "flow_ingestion", month),
        ("10 07:10", "credit_ingestion", month),
        ("10 12:10", "statement_ingestion", month),
        *ordinary("10"),
        # The 11th is closed, as KIS has said.
        *ordinary("12"),
        # The evening's candles failed.
        ("12 22:10", "daily_candle_ingestion", month),
        *ordinary("13", hours_later=1),
        *ordinary("14"),
        # Minutes failed in the evening, and once more: not again before the next one.
        ("14 22:10", "minute_candle_ingestion", "2025-11-14"),
        # A weekend and the 17th, closed as well; on the 18th and the 19th the machine is off.
        ("20 07:10", "minute_candle_ingestion", "2025-11-14"),
        ("20 07:10", "minute_candle_ingestion", "2025-11-18"),
        ("20 07:10", "minute_candle_ingestion", "2025-11-19"),
        ("20 07:10", "daily_candle_ingestion", month),
        ("20 07:10", "market_figure_ingestion", month),
        ("20 07:00", "lake_maintenance", ""),
        *ordinary("20")[1:],
        *ordinary("21"),
    ]
    assert sorted(fortnight.asked) == sorted(expected)
    caught = [asked for asked in fortnight.asked if asked[0].endswith(("07:10", "22:10"))]
    assert caught == [asked for asked in expected if asked[0].endswith(("07:10", "22:10"))]


def test_the_year_begins_with_a_late_open_and_ends_with_a_closed_day(
    fortnight: Machine,
) -> None:
    captures = next(it for it in fortnight.schedules if it.name == "prices_session")
    first, last = (datetime(*day, tzinfo=calendar.SEOUL) for day in ((2025, 12, 31), (2026, 1, 3)))
    for at in ticks(captures, first, last):
        fortnight.now = at
        fortnight.tick(captures, at)
    assert [when for when, _, _ in fortnight.asked] == [
        f"02 {hour}:{minute}" for hour in range(10, 16) for minute in ("00", "30")
    ][1:-1]


def test_a_capture_that_is_late_is_let_go_and_a_morning_is_not(fortnight: Machine) -> None:
    by_name = {it.name: it for it in fortnight.schedules}
    day = datetime(2025, 11, 12, tzinfo=calendar.SEOUL)
    fortnight.now = day.replace(hour=9, minute=59)
    fortnight.tick(by_name["prices_session"], day.replace(hour=9, minute=30))
    fortnight.now = day.replace(hour=10, minute=0)
    fortnight.tick(by_name["prices_session"], day.replace(hour=9, minute=30))
    fortnight.tick(by_name["master_morning"], day.replace(hour=8))
    assert [asked[:2] for asked in fortnight.asked] == [
        ("12 09:59", "price_capture"),
        ("12 10:00", "stock_master_ingestion"),
    ]


@pytest.mark.parametrize(("minutes", "first"), [(5, "09:05"), (60, "10:00")])
def test_the_interval_of_captures_is_a_setting(
    monkeypatch: pytest.MonkeyPatch, fortnight: Machine, minutes: int, first: str
) -> None:
    monkeypatch.setenv("KIS_SCHEDULE_CAPTURE_MINUTES", str(minutes))
    day = datetime(2025, 11, 12, tzinfo=calendar.SEOUL)
    for schedule in schedules(Settings.load()):
        if schedule.name in ("prices_session", "prices_close"):
            for at in ticks(schedule, day, day + timedelta(days=1)):
                fortnight.now = at
                fortnight.tick(schedule, at)
    captures = [when for when, job, _ in fortnight.asked if job == "price_capture"]
    assert captures[0] == f"12 {first}"
    assert len(captures) == 390 // minutes - (390 % minutes == 0)
    assert [it for it in fortnight.asked if it[1] == "daily_price_ingestion"] == [
        ("12 15:45", "daily_price_ingestion", "2025-11-12")
    ]
