"""Checks of minutes on days with an after-market: what they hold against what, and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.checks import completeness as counts
from kis_assets.defs.checks import minute_candles as checks
from kis_assets.defs.checks.check import FindFailing, NotComparable, Window
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import account, record
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, PRICE_SNAPSHOTS, Table

pytestmark = pytest.mark.usefixtures("published_when_read")

DAY = date(2026, 9, 22)
NEXT = date(2026, 9, 23)
BEFORE = date(2026, 9, 11)
EXAM = date(2026, 11, 19)
SAMSUNG, HYNIX, FUND = "005930", "000660", "069500"


def moment(text: str, day: date = DAY) -> datetime:
    return datetime.combine(day, time.fromisoformat(text), calendar.SEOUL)


EVENING, MORNING = moment("20:40"), moment("08:30", NEXT)


def filled(table: Table, rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Rows whose other columns hold something that may stand there."""
    empty: dict[type[pl.DataType] | pl.DataType, Any] = {
        pl.Int64(): 1, pl.Float64(): 1.0, pl.String(): "x", pl.Boolean(): False,
    }  # fmt: skip
    usual = {
        column.name: None if column.nullable else empty.get(column.dtype)
        for column in table.columns
    } | {"source": "kis"}
    return pl.DataFrame([usual | row for row in rows], table.schema)


def minute(
    text: str, volume: int = 10, *, code: str = SAMSUNG, day: date = DAY,
    at: datetime = EVENING, **changed: Any,
) -> dict[str, Any]:  # fmt: skip
    prices = dict.fromkeys(("open", "high", "low", "close"), 1000)
    started_at = moment(text, day)
    name = "after_market" if started_at.time() >= time(16) else "regular"
    return {
        "trading_day": day, "started_at": started_at, "stock_code": code, "session": name,
        "volume": volume, "fetched_at": at, **prices, **changed,
    }  # fmt: skip


def candle(
    volume: int = 100, *, code: str = SAMSUNG, day: date = DAY, at: datetime = EVENING,
    **changed: Any,
) -> dict[str, Any]:  # fmt: skip
    prices = dict.fromkeys(("open", "high", "low", "close"), 1000)
    return {
        "trading_day": day, "stock_code": code, "volume": volume, "fetched_at": at,
        "is_final": False, **prices, **changed,
    }  # fmt: skip


def captured(price: int | None, code: str = SAMSUNG) -> dict[str, Any]:
    at = moment("15:45")
    return {
        "trading_day": DAY, "captured_at": at, "stock_code": code, "price": price or 1,
        "regular_close": price, "fetched_at": at,
    }  # fmt: skip


class Desk:
    """A lake of a few rows, and what fails a check of them."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(folder / "kis", source="kis")

    def store(self, table: Table, *rows: dict[str, Any]) -> None:
        frame = filled(table, rows)
        days = frame["trading_day"]
        scope = Scope.month(days[0]) if table.partition == "month" else Scope.day(days[0])
        self.lake.replace(table, scope, frame)
        if table is MINUTE_CANDLES:
            record(self.lake, table, [account({days[0]: frame.height}, {}, {})])

    def broken(
        self, check: FindFailing, day: date = DAY, now: datetime = MORNING
    ) -> list[dict[str, Any]]:
        span = Window(self.lake, MINUTE_CANDLES, day, day, now, NotImplemented)
        return check(span, span.rows()).collect().to_dicts()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# Where minutes lie


@pytest.mark.parametrize(
    ("text", "day", "session", "right"),
    [
        ("09:00", DAY, "regular", True),
        ("15:19", DAY, "regular", True),
        ("15:25", DAY, "regular", False),
        ("15:30", DAY, "regular", True),
        ("15:39", DAY, "regular", True),
        ("15:45", DAY, "regular", False),
        ("16:00", DAY, "after_market", True),
        ("19:59", DAY, "after_market", True),
        ("20:00", DAY, "after_market", True),
        ("20:01", DAY, "after_market", False),
        ("16:00", DAY, "regular", False),
        ("15:30", DAY, "after_market", False),
        ("10:00", DAY, "x", False),
        ("16:00", BEFORE, "after_market", False),
        ("16:00", BEFORE, "regular", False),
        ("16:30", EXAM, "regular", True),
        ("16:30", EXAM, "after_market", False),
        ("17:00", EXAM, "after_market", True),
        ("20:59", EXAM, "after_market", True),
        ("09:30", EXAM, "regular", False),
    ],
)
def test_a_minute_lies_in_the_session_that_it_names(
    desk: Desk, text: str, day: date, session: str, right: bool
) -> None:
    desk.store(MINUTE_CANDLES, minute(text, day=day, session=session))
    assert (desk.broken(checks.minutes_lie_in_the_session, day) == []) is right


# Against the day


def test_all_minutes_of_both_sessions_make_nearly_the_whole_day(desk: Desk) -> None:
    desk.store(DAILY_CANDLES, candle(100))
    desk.store(MINUTE_CANDLES, minute("10:00", 85), minute("17:00", 13))
    assert desk.broken(checks.minutes_hold_most_of_the_day) == []
    desk.store(MINUTE_CANDLES, minute("10:00", 85), minute("17:00", 10))
    (found,) = desk.broken(checks.minutes_hold_most_of_the_day)
    assert (found["volume"], found["of_the_day"]) == (95, 100)


def test_regular_minutes_alone_are_no_alarm_since_there_is_an_after_market(desk: Desk) -> None:
    """They were stored so until its minutes were fetched, and funds have no others."""
    desk.store(DAILY_CANDLES, candle(100), candle(100, code=HYNIX))
    desk.store(MINUTE_CANDLES, minute("10:00", 82), minute("10:00", 79, code=HYNIX))
    assert desk.broken(checks.minutes_hold_most_of_the_day) == []
    desk.store(MINUTE_CANDLES, minute("10:00", 82), minute("10:00", 50, code=HYNIX))
    assert len(desk.broken(checks.minutes_hold_most_of_the_day)) == 1


def test_stocks_with_both_sessions_are_judged_apart_from_those_with_one(desk: Desk) -> None:
    """Half of a day that is fetched anew stands beside what was stored before."""
    desk.store(DAILY_CANDLES, candle(1000), candle(100, code=HYNIX))
    before = minute("10:00", 850)
    desk.store(
        MINUTE_CANDLES, before, minute("10:00", 80, code=HYNIX), minute("17:00", 18, code=HYNIX)
    )
    assert desk.broken(checks.minutes_hold_most_of_the_day) == []
    desk.store(
        MINUTE_CANDLES, before, minute("10:00", 60, code=HYNIX), minute("17:00", 18, code=HYNIX)
    )
    (found,) = desk.broken(checks.minutes_hold_most_of_the_day)
    assert found["has_after_market"]


def test_before_2026_09_14_nine_tenths_of_a_day_are_enough(desk: Desk) -> None:
    evening = moment("20:40", BEFORE)
    desk.store(DAILY_CANDLES, candle(100, day=BEFORE, at=evening))
    for volume, alarms in ((91, 0), (89, 1)):
        desk.store(MINUTE_CANDLES, minute("10:00", volume, day=BEFORE, at=evening))
        assert len(desk.broken(checks.minutes_hold_most_of_the_day, BEFORE)) == alarms


def test_what_was_fetched_while_the_day_went_on_is_held_against_nothing_newer(desk: Desk) -> None:
    """Minutes of 16:05 are no whole day of 20:40, and a candle of 16:00 not that of 20:40."""
    desk.store(DAILY_CANDLES, candle(100))
    desk.store(MINUTE_CANDLES, minute("10:00", 60, at=moment("16:05")))
    assert desk.broken(checks.minutes_hold_most_of_the_day, now=EVENING) == []
    desk.store(DAILY_CANDLES, candle(80, at=moment("16:00")))
    desk.store(MINUTE_CANDLES, minute("10:00", 80), minute("17:00", 20))
    assert desk.broken(checks.minutes_do_not_exceed_the_day, now=EVENING) == []


@pytest.mark.parametrize(
    ("candle_at", "minutes_at"),
    [
        (moment("16:06"), moment("16:05")),
        (moment("20:06"), moment("20:40")),
        (MORNING, moment("20:40")),
    ],
    ids=["newer", "both after the last trade", "next morning"],
)
def test_more_minutes_than_a_candle_has_that_is_as_new_are_an_alarm(
    desk: Desk, candle_at: datetime, minutes_at: datetime
) -> None:
    desk.store(DAILY_CANDLES, candle(80, at=candle_at))
    desk.store(MINUTE_CANDLES, minute("10:00", 80, at=minutes_at))
    assert desk.broken(checks.minutes_do_not_exceed_the_day) == []
    desk.store(MINUTE_CANDLES, minute("10:00", 81, at=minutes_at))
    assert len(desk.broken(checks.minutes_do_not_exceed_the_day)) == 1


# The closing auction


def test_an_auction_is_held_against_a_final_candle(desk: Desk) -> None:
    desk.store(MINUTE_CANDLES, minute("15:30"), minute("17:00", high=1200, close=1200))
    desk.store(DAILY_CANDLES, candle(is_final=True))
    assert desk.broken(checks.closing_auction_is_the_close) == []
    desk.store(DAILY_CANDLES, candle(is_final=True, close=990))
    (found,) = desk.broken(checks.closing_auction_is_the_close)
    assert (found["close"], found["official_close"]) == (1000, 990)


def test_a_close_of_the_after_market_is_not_what_an_auction_is_held_against(desk: Desk) -> None:
    desk.store(MINUTE_CANDLES, minute("15:30"))
    desk.store(DAILY_CANDLES, candle(close=1200, high=1200))
    with pytest.raises(NotComparable, match="no official close of this day is stored"):
        desk.broken(checks.closing_auction_is_the_close, now=EVENING)
    desk.store(PRICE_SNAPSHOTS, captured(1000))
    assert desk.broken(checks.closing_auction_is_the_close, now=EVENING) == []
    desk.store(PRICE_SNAPSHOTS, captured(1010))
    (found,) = desk.broken(checks.closing_auction_is_the_close, now=EVENING)
    assert (found["close"], found["official_close"]) == (1000, 1010)


def test_a_final_candle_goes_before_a_capture(desk: Desk) -> None:
    desk.store(MINUTE_CANDLES, minute("15:30"))
    desk.store(DAILY_CANDLES, candle(is_final=True))
    desk.store(PRICE_SNAPSHOTS, captured(1010))
    assert desk.broken(checks.closing_auction_is_the_close) == []


def test_prices_on_another_axis_are_held_against_nothing(desk: Desk) -> None:
    """Minutes that were fetched after a split are adjusted for it, candles and captures are not."""
    late = minute("15:30", at=moment("20:40", NEXT), high=200, close=200)
    desk.store(MINUTE_CANDLES, late, minute("15:30", code=HYNIX))
    desk.store(PRICE_SNAPSHOTS, captured(1000), captured(1000, HYNIX))
    assert desk.broken(checks.closing_auction_is_the_close) == []
    desk.store(DAILY_CANDLES, candle(is_final=True))
    assert desk.broken(checks.closing_auction_is_the_close) == []


@pytest.mark.parametrize("rows", [[], [minute("15:19")], [minute("17:00")]])
def test_without_an_auction_there_is_nothing_to_compare(
    desk: Desk, rows: list[dict[str, Any]]
) -> None:
    desk.store(DAILY_CANDLES, candle(is_final=True))
    if rows:
        desk.store(MINUTE_CANDLES, *rows)
    with pytest.raises(NotComparable):
        desk.broken(checks.closing_auction_is_the_close)


# As many as usual


def of_day(day: date, regular: int, after: int) -> list[dict[str, Any]]:
    at = moment("20:40", day)
    return [
        minute(f"{start + n // 60:02}:{n % 60:02}", day=day, at=at)
        for start, count in ((9, regular), (16, after))
        for n in range(count)
    ]


@pytest.fixture
def usual(desk: Desk) -> Desk:
    """Days of 100 regular minutes, of which the last two have 40 of the after-market as well."""
    for day, after in ((14, 0), (15, 0), (16, 0), (17, 40), (18, 40), (21, 40)):
        day = date(2026, 9, day)
        desk.store(MINUTE_CANDLES, *of_day(day, 100, after))
    return desk


def unusual(desk: Desk, regular: int, after: int, now: datetime = EVENING) -> list[str]:
    desk.store(MINUTE_CANDLES, *of_day(DAY, regular, after))
    found = desk.broken(counts.as_many_minutes_as_in_the_last_sessions, now=now)
    assert all(it["trading_day"] == DAY for it in found)
    return [it["session"] for it in found]


@pytest.mark.parametrize(
    ("regular", "after", "session"),
    [
        (100, 40, []),
        (90, 70, []),
        (100, 0, ["after_market"]),
        (80, 60, ["regular"]),
        (140, 40, ["regular"]),
        (100, 10, ["after_market"]),
        (100, 90, ["after_market"]),
        (20, 10, ["regular", "after_market"]),
    ],
)
def test_each_session_has_as_many_minutes_as_in_the_days_before(
    usual: Desk, regular: int, after: int, session: list[str]
) -> None:
    assert unusual(usual, regular, after) == session


def test_the_first_day_with_minutes_of_the_after_market_is_no_alarm(desk: Desk) -> None:
    for day in (date(2026, 9, 10), BEFORE, date(2026, 9, 14), date(2026, 9, 15)):
        desk.store(MINUTE_CANDLES, *of_day(day, 100, 0))
    assert unusual(desk, 100, 200) == []


def test_a_session_that_is_not_over_is_not_counted(usual: Desk) -> None:
    assert unusual(usual, 100, 5, now=moment("16:05")) == []
    assert unusual(usual, 100, 5, now=moment("20:00")) == ["after_market"]
    with pytest.raises(NotComparable, match="not over"):
        unusual(usual, 50, 0, now=moment("12:00"))
    assert unusual(usual, 50, 0, now=moment("15:35")) == ["regular"]


def test_the_days_before_are_counted_until_three_weeks_back(desk: Desk) -> None:
    desk.store(MINUTE_CANDLES, *of_day(DAY - timedelta(weeks=3, days=1), 10, 0))
    assert unusual(desk, 100, 40) == []
