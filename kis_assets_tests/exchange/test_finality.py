"""When a candle is final: the one rule, for days before and since KRX's after-market."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import duckdb
import polars as pl
import pytest

from kis_assets.exchange import calendar, finality
from kis_assets.tables import INSTANT


def at(day: date, *clock: int) -> datetime:
    return datetime.combine(day, time(*clock), calendar.SEOUL)


@pytest.mark.parametrize(
    ("day", "final_at"),
    [
        # Before the after-market: when the last off-hours trade is over.
        (date(2026, 9, 11), at(date(2026, 9, 11), 20)),
        (date(2025, 11, 13), at(date(2025, 11, 13), 21)),
        (date(2016, 7, 29), at(date(2016, 7, 29), 19, 30)),
        # Since: at six on the morning of the next session.
        (date(2026, 9, 14), at(date(2026, 9, 15), 6)),
        (date(2026, 9, 18), at(date(2026, 9, 21), 6)),
        (date(2026, 9, 23), at(date(2026, 9, 28), 6)),
        (date(2026, 10, 2), at(date(2026, 10, 6), 6)),
        (date(2026, 11, 19), at(date(2026, 11, 20), 6)),
        (date(2026, 11, 30), at(date(2026, 12, 1), 6)),
        (date(2026, 12, 30), at(date(2027, 1, 4), 6)),
    ],
)
def test_a_candle_is_final_from_an_instant_on(day: date, final_at: datetime) -> None:
    assert finality.final_at(day) == final_at
    assert finality.is_final(day, final_at)
    assert not finality.is_final(day, final_at - timedelta(seconds=1))


def test_days_that_the_calendar_does_not_know_are_final_when_they_are_over() -> None:
    for day in (date(1999, 5, 7), date(2026, 10, 3)):
        assert finality.is_final(day, at(day + timedelta(days=1), 0))
        assert not finality.is_final(day, at(day, 23))


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        (at(date(2026, 10, 1), 15, 45), date(2026, 9, 30)),
        (at(date(2026, 10, 1), 23), date(2026, 9, 30)),
        (at(date(2026, 10, 2), 5, 59), date(2026, 9, 30)),
        (at(date(2026, 10, 2), 6), date(2026, 10, 1)),
        (at(date(2026, 10, 4), 12), date(2026, 10, 1)),
        (at(date(2026, 10, 6), 6), date(2026, 10, 2)),
        (at(date(2026, 3, 17), 19, 59), date(2026, 3, 16)),
        (at(date(2026, 3, 17), 20), date(2026, 3, 17)),
    ],
)
def test_the_newest_day_whose_candles_are_final(now: datetime, newest: date) -> None:
    assert finality.newest_final_day(now) == newest


def test_the_night_before_a_session_that_was_called_off_corrects_nothing() -> None:
    friday, monday, tuesday = (date(2026, 10, day) for day in (16, 19, 20))
    assert finality.newest_final_day(at(monday, 9), closed=[monday]) < friday
    assert finality.newest_final_day(at(tuesday, 5, 59), closed=[monday]) < friday
    assert finality.newest_final_day(at(tuesday, 6), closed=[monday]) >= friday
    assert finality.newest_final_day(at(tuesday, 6)) == monday


THURSDAY, FRIDAY = date(2026, 10, 1), date(2026, 10, 2)


@pytest.mark.parametrize(
    ("now", "doubted"),
    [
        (at(FRIDAY, 5, 59), None),
        (at(FRIDAY, 6), THURSDAY),
        (at(FRIDAY, 15, 29), THURSDAY),
        (at(FRIDAY, 15, 30), None),
        (at(date(2026, 10, 4), 12), None),
        (at(date(2026, 10, 6), 7, 30), FRIDAY),
        (at(date(2026, 9, 14), 7, 30), None),  # Friday the 11th had no after-market
    ],
)
def test_only_the_last_nights_correction_is_doubted(now: datetime, doubted: date | None) -> None:
    assert finality.unconfirmed_day(now) == doubted


def closes(code: str, close: int, stated: int | None, before: int = 100) -> finality.ChartClose:
    return finality.ChartClose(code, close, before, stated)


def test_a_close_that_is_the_stated_one_is_corrected() -> None:
    assert finality.not_corrected([closes("A", 105, 105), closes("B", 98, 98)]) == set()


def test_a_close_that_is_not_the_stated_one_is_not_corrected_yet() -> None:
    assert finality.not_corrected([closes("A", 105, 105), closes("B", 99, 98)]) == {"B"}


def test_where_the_day_before_is_stated_of_all_nothing_can_be_said() -> None:
    # When KIS turns to the new day is not known: equal to the close before means "not yet".
    assert finality.not_corrected([closes("A", 105, 100), closes("B", 99, 100)]) == set()


def test_an_unchanged_close_is_told_from_a_day_that_has_not_turned_by_the_others() -> None:
    others = [closes("A", 105, 105), closes("B", 98, 98)]
    assert finality.not_corrected([*others, closes("C", 101, 100)]) == {"C"}
    others = [closes("A", 105, 100), closes("B", 98, 100)]
    assert finality.not_corrected([*others, closes("C", 101, 100)]) == set()


def test_where_nothing_is_stated_nothing_is_doubted() -> None:
    assert finality.not_corrected([closes("A", 105, None), closes("B", 98, 0)]) == set()


def test_minutes_are_complete_five_minutes_after_the_last_trade() -> None:
    assert finality.minutes_final_at(date(2026, 10, 1)) == at(date(2026, 10, 1), 20, 5)
    # Whether the after-market of a late day lasts longer is not known.
    assert finality.minutes_final_at(date(2026, 11, 19)) == at(date(2026, 11, 19), 21, 5)
    assert finality.minutes_final_at(date(2026, 3, 17)) == at(date(2026, 3, 17), 20, 5)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul"])
def test_rows_of_before_the_column_are_judged_alike_by_duckdb_and_by_polars(zone: str) -> None:
    days = calendar.trading_days(date(2026, 9, 1), date(2026, 12, 30))
    rows = pl.DataFrame(
        [(day, moment) for day in days for moment in _around(finality.final_at(day))],
        {"trading_day": pl.Date, "fetched_at": INSTANT},
        orient="row",
    )
    expected = [finality.is_final(*row) for row in rows.rows()]
    sql = finality.is_final_in_sql()
    assert rows.select(pl.sql_expr(sql)).to_series().to_list() == expected
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{zone}'")
        connection.register("stored", rows)
        found = connection.execute(f"SELECT {sql} FROM stored").fetchall()
    assert [row[0] for row in found] == expected


def _around(moment: datetime) -> list[datetime]:
    return [(moment + timedelta(seconds=s)).astimezone(UTC) for s in (-86400, -1, 0, 86400)]


@pytest.mark.parametrize(
    ("now", "sessions", "newest"),
    [
        ("2026-11-18 07:39", 1, "2026-11-16"),  # a Wednesday morning, too early for Tuesday
        ("2026-11-18 07:40", 1, "2026-11-17"),
        ("2026-11-18 23:59", 1, "2026-11-17"),  # no row of a day is final on that day
        ("2026-11-21 12:00", 1, "2026-11-19"),  # a Saturday: Friday's come on Monday
        ("2026-11-23 07:40", 1, "2026-11-20"),
        ("2026-11-18 07:40", 3, "2026-11-13"),
        ("2026-11-18 07:39", 3, "2026-11-12"),
        ("2026-09-28 07:40", 1, "2026-09-23"),  # after the holidays of Chuseok
    ],
)
def test_flows_of_a_day_are_settled_on_the_morning_of_a_later_session(
    now: str, sessions: int, newest: str
) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=calendar.SEOUL)
    assert finality.newest_settled_day(at, sessions) == date.fromisoformat(newest)


def test_a_session_that_was_called_off_settles_nothing() -> None:
    at = datetime(2026, 11, 18, 8, tzinfo=calendar.SEOUL)
    closed = {date(2026, 11, 18)}
    assert finality.newest_settled_day(at, 1, closed) == date(2026, 11, 16)
