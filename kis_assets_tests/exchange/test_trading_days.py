"""The KRX calendar, held against the public record and real trades."""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import holidays
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_assets.exchange import calendar
from kis_assets_tests.conftest import REAL_DATA

days = st.dates(date(2000, 1, 5), date(2040, 12, 20))


def seoul(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=calendar.SEOUL)


# --- trading days ---------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real data is not here")
def test_the_calendar_agrees_with_every_trading_day_of_25_years() -> None:
    index = pl.read_parquet(REAL_DATA / "kospi_index_daily.parquet").get_column("date")
    first, last = date(2000, 1, 4), date(2024, 12, 31)
    traded = {day for day in index if first <= day <= last}
    computed = set(calendar.trading_days(first, last))
    assert len(traded) > 6_000
    assert sorted(computed - traded) == []
    assert sorted(traded - computed) == []


@pytest.mark.parametrize(
    "day",
    [
        "2000-01-03",
        "2000-12-28",
        "2024-10-01",
        "2025-01-27",
        "2025-05-01",
        "2025-06-03",
        "2025-12-31",
        "2026-05-01",
        "2026-06-03",
        "2026-07-17",
        "2026-08-17",
        "2026-12-31",
        "2027-05-03",
        "2027-07-19",
    ],
)
def test_a_decreed_or_substitute_holiday_is_closed(day: str) -> None:
    closed = date.fromisoformat(day)
    assert not calendar.is_trading_day(closed)
    assert calendar.session(closed) is None
    assert calendar.closed_weekdays(closed, closed) == [closed]
    assert calendar.trading_days(closed, closed) == []


@pytest.mark.parametrize("day", ["2024-12-30", "2026-01-02", "2026-07-16", "2026-11-20"])
def test_an_ordinary_weekday_is_open(day: str) -> None:
    assert calendar.is_trading_day(date.fromisoformat(day))


def test_trading_days_hold_both_ends_and_are_empty_when_reversed() -> None:
    days = calendar.trading_days(date(2025, 12, 30), date(2026, 1, 5))
    assert days == [date(2025, 12, 30), date(2026, 1, 2), date(2026, 1, 5)]
    assert calendar.trading_days(date(2026, 1, 5), date(2026, 1, 2)) == []
    assert calendar.closed_weekdays(date(2026, 1, 5), date(2026, 1, 2)) == []


def test_closed_weekdays_leave_out_weekends() -> None:
    closed = calendar.closed_weekdays(date(2025, 12, 27), date(2026, 1, 4))
    assert closed == [date(2025, 12, 31), date(2026, 1, 1)]


def test_a_year_can_be_changed_by_no_caller() -> None:
    calendar.trading_days(date(2026, 1, 1), date(2026, 12, 31)).clear()
    assert calendar.trading_days(date(2026, 1, 1), date(2026, 12, 31))


@given(days)
def test_neighbours_are_trading_days_with_none_between(day: date) -> None:
    before, after = calendar.previous_trading_day(day), calendar.next_trading_day(day)
    assert before < day < after
    assert calendar.is_trading_day(before)
    assert calendar.is_trading_day(after)
    middle = [day] if calendar.is_trading_day(day) else []
    assert calendar.trading_days(before, after) == [before, *middle, after]


@given(days, days)
def test_every_weekday_is_either_a_trading_day_or_a_closed_one(a: date, b: date) -> None:
    first, last = min(a, b), min(max(a, b), min(a, b) + timedelta(days=800))
    opened, closed = calendar.trading_days(first, last), calendar.closed_weekdays(first, last)
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    assert sorted(opened + closed) == [day for day in span if day.weekday() < 5]


@given(days)
def test_only_trading_days_have_a_session(day: date) -> None:
    session = calendar.session(day)
    assert (session is not None) == calendar.is_trading_day(day)
    if session is not None:
        assert session.opens_at.date() == session.day == day == session.closes_at.date()
        assert session.opens_at.tzinfo is calendar.SEOUL
        assert session.opens_at < session.closes_at


@pytest.mark.parametrize("day", [date(1999, 12, 31), date(1995, 5, 2), date(2101, 1, 1)])
def test_a_day_outside_the_calendar_is_refused_with_its_range(day: date) -> None:
    for ask in (
        calendar.is_trading_day,
        calendar.session,
        calendar.previous_trading_day,
        calendar.next_trading_day,
    ):
        with pytest.raises(ValueError, match=f"covers 2000-01-01 to 2100-12-31, not {day}"):
            ask(day)
    with pytest.raises(ValueError, match="2000-01-01 to 2100-12-31"):
        calendar.trading_days(day, date(2026, 1, 1))
    with pytest.raises(ValueError, match="2000-01-01 to 2100-12-31"):
        calendar.closed_weekdays(date(2026, 1, 1), day)


def test_of_a_span_that_begins_before_the_calendar_its_own_days_are_known() -> None:
    assert calendar.known_trading_days(date(1999, 11, 1), date(1999, 12, 31)) == []
    assert calendar.known_trading_days(date(1999, 11, 1), date(2000, 1, 5)) == [
        date(2000, 1, 4),
        date(2000, 1, 5),
    ]


def test_nothing_lies_before_the_first_trading_day_or_after_the_last() -> None:
    with pytest.raises(ValueError, match="2000-01-01 to 2100-12-31"):
        calendar.previous_trading_day(date(2000, 1, 4))
    with pytest.raises(ValueError, match="2000-01-01 to 2100-12-31"):
        calendar.next_trading_day(date(2100, 12, 31))


def test_an_instant_is_no_day() -> None:
    with pytest.raises(TypeError, match="expected a calendar day"):
        calendar.is_trading_day(datetime(2026, 11, 20, 9, tzinfo=UTC))


# --- sessions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "opens", "closes", "known_from"),
    [
        ("2026-11-20", "09:00", "15:30", "computed"),
        ("2016-08-01", "09:00", "15:30", "computed"),
        ("2016-07-29", "09:00", "15:00", "computed"),
        ("2024-01-02", "10:00", "15:30", "computed"),
        ("2025-01-02", "10:00", "15:30", "computed"),
        ("2026-01-02", "10:00", "15:30", "computed"),
        ("2027-01-04", "10:00", "15:30", "computed"),
        ("2010-01-04", "10:00", "15:00", "computed"),
        ("2015-11-12", "10:00", "16:00", "override"),
        ("2017-11-16", "10:00", "16:30", "override"),
        ("2023-11-16", "10:00", "16:30", "override"),
        ("2024-11-14", "10:00", "16:30", "override"),
        ("2025-11-13", "10:00", "16:30", "override"),
        ("2026-11-19", "10:00", "16:30", "override"),
    ],
)
def test_sessions_open_and_close_when_krx_says(
    day: str, opens: str, closes: str, known_from: str
) -> None:
    session = calendar.session(date.fromisoformat(day))
    assert session is not None
    assert session.opens_at == seoul(f"{day}T{opens}")
    assert session.closes_at == seoul(f"{day}T{closes}")
    assert session.known_from == known_from
    assert (session.note is None) == (opens == "09:00")


def test_every_year_so_far_has_its_college_entrance_examination() -> None:
    # The session shifts by an hour on it, so a missing year means wrong hours on one day.
    years = {
        day.year
        for day in calendar.trading_days(date(2000, 1, 1), date(2026, 12, 31))
        if (session := calendar.session(day)) and "CSAT" in (session.note or "")
    }
    assert years == set(range(2000, 2027))


def test_special_days_are_in_order_with_a_reason_and_a_source() -> None:
    file = Path(calendar.__file__).with_name("krx_sessions.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    stated = [row["day"] for row in rows]
    assert stated == sorted(set(stated))
    for row in rows:
        assert row["kind"] in {"closed", "open", "session"}
        assert row["reason"]
        assert row["source"]
        assert date.fromisoformat(row["day"]).weekday() < 5
        assert bool(row["opens_at"]) == bool(row["closes_at"]) == (row["kind"] == "session")
        if row["kind"] == "session":
            assert time.fromisoformat(row["opens_at"]) < time.fromisoformat(row["closes_at"])


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2026-11-20T09:00:00", "2026-11-20"),
        ("2026-11-20T08:59:59", "2026-11-19"),
        ("2026-11-20T23:59:59", "2026-11-20"),
        ("2026-11-22T12:00:00", "2026-11-20"),
        ("2026-11-19T09:30:00", "2026-11-18"),
        ("2026-01-02T09:59:59", "2025-12-30"),
        ("2026-01-02T10:00:00", "2026-01-02"),
    ],
)
def test_the_latest_session_is_the_newest_that_has_opened(at: str, day: str) -> None:
    assert calendar.latest_session(seoul(at)).day == date.fromisoformat(day)


def test_the_latest_session_is_judged_in_seoul_whatever_zone_is_given() -> None:
    assert calendar.latest_session(datetime(2026, 11, 20, 0, 0, tzinfo=UTC)).day == date(
        2026, 11, 20
    )
    assert calendar.latest_session(datetime(2026, 11, 19, 23, 59, tzinfo=UTC)).day == date(
        2026, 11, 19
    )


@given(st.datetimes(datetime(2001, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_no_session_opens_between_the_latest_one_and_the_instant(at: datetime) -> None:
    latest = calendar.latest_session(at)
    following = calendar.session(calendar.next_trading_day(latest.day))
    assert following is not None
    assert latest.opens_at <= at < following.opens_at


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        calendar.latest_session(datetime(2026, 11, 20, 9))  # noqa: DTZ001


def test_now_is_aware_and_today_is_its_day_in_seoul() -> None:
    before = calendar.now()
    today = calendar.today()
    assert before.tzinfo is calendar.SEOUL
    assert before.date() <= today <= calendar.now().date()


def test_importing_the_module_builds_no_calendar() -> None:
    code = "import sys, kis_assets.exchange.calendar; assert 'holidays' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_listed_holidays_are_those_of_the_package_for_every_year_that_has_begun() -> None:
    # Each January the list wants the lines of the new year: what this test names.
    with (Path(calendar.__file__).with_name("krx_holidays.csv")).open(encoding="utf-8") as file:
        listed = {date.fromisoformat(row["day"]) for row in csv.DictReader(file)}
    years = range(2000, max(listed).year + 1)
    known = holidays.financial_holidays("XKRX", years=years)
    assert listed == {day for day in known if day.weekday() < 5 and day.year in years}


def test_the_days_of_listed_years_need_no_package() -> None:
    code = (
        "import sys; from datetime import date; from kis_assets.exchange import calendar; "
        "assert calendar.is_trading_day(date(2026, 11, 27)); assert 'holidays' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
