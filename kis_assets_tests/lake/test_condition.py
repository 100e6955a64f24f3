"""Which days people may rely on: `quality`, and `dataset_condition` that is made from it."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from kis_assets.defs.assets.market_days import computed_days
from kis_assets.errors import ServiceUnavailable
from kis_assets.exchange import calendar, finality
from kis_assets.lake import quality
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import ACCOUNTED, Finding, absences, account, record
from kis_assets.market import Market
from kis_assets.tables import (
    DAILY_CANDLES,
    MARKET_DAYS,
    MINUTE_CANDLES,
    PRICE_SNAPSHOTS,
    QUALITY,
    STREAM_GAPS,
    TRADES,
    Table,
)
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.small_rows import based, frame

MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 16), date(2026, 3, 17), date(2026, 3, 18)
CHECK = "prices_are_possible"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = Lake(tmp_path / "lake", source="kis")
    found.replace(MARKET_DAYS, Scope.year(2026), computed_days(2026, "kis", calendar.now()))
    return found


def stored(lake: Lake, table: Table, *days: date, rows: int = 10) -> None:
    record(lake, table, [account(dict.fromkeys(days, rows), {}, {})])


def found(day: date, failing: int, severity: str = "ERROR", tolerated: float = 0.0) -> Finding:
    return Finding(CHECK, severity, {day: 10}, {day: failing} if failing else {}, tolerated)


def condition(lake: Lake, table: Table, day: date) -> tuple[str, str]:
    rows = lake.read(
        "SELECT condition, reason FROM dataset_condition WHERE table_name = ? AND trading_day = ?",
        [table.name, day],
    ).rows()
    assert len(rows) == 1
    return rows[0]


def test_a_stored_day_is_available(lake: Lake) -> None:
    stored(lake, PRICE_SNAPSHOTS, TUESDAY)
    assert condition(lake, PRICE_SNAPSHOTS, TUESDAY) == ("available", "")


def test_an_error_degrades_its_day_alone_and_says_what_it_is(lake: Lake) -> None:
    stored(lake, DAILY_CANDLES, MONDAY, TUESDAY)
    record(lake, DAILY_CANDLES, [found(MONDAY, 3)])
    assert condition(lake, DAILY_CANDLES, MONDAY) == ("degraded", f"{CHECK} fails for 3")
    assert condition(lake, DAILY_CANDLES, TUESDAY) == ("available", "")


def test_what_is_right_again_is_available_again(lake: Lake) -> None:
    stored(lake, DAILY_CANDLES, MONDAY)
    record(lake, DAILY_CANDLES, [found(MONDAY, 3)])
    record(lake, DAILY_CANDLES, [found(MONDAY, 0)])
    assert condition(lake, DAILY_CANDLES, MONDAY) == ("available", "")


def test_a_warning_leaves_a_day_available_and_is_told(lake: Lake) -> None:
    stored(lake, DAILY_CANDLES, MONDAY)
    record(lake, DAILY_CANDLES, [found(MONDAY, 3, "WARN")])
    assert condition(lake, DAILY_CANDLES, MONDAY) == (
        "available",
        f"worth a look: {CHECK} fails for 3",
    )


def test_a_tolerated_share_is_no_failure(lake: Lake) -> None:
    stored(lake, DAILY_CANDLES, MONDAY)
    record(lake, DAILY_CANDLES, [found(MONDAY, 3, tolerated=0.3)])
    assert condition(lake, DAILY_CANDLES, MONDAY) == ("available", "")
    record(lake, DAILY_CANDLES, [found(MONDAY, 4, tolerated=0.3)])
    assert condition(lake, DAILY_CANDLES, MONDAY)[0] == "degraded"


def test_a_day_between_of_which_nothing_was_found_keeps_what_it_has(lake: Lake) -> None:
    record(lake, DAILY_CANDLES, [found(TUESDAY, 3)])
    record(lake, DAILY_CANDLES, [Finding(CHECK, "ERROR", {MONDAY: 10, WEDNESDAY: 10})])
    known = lake.scan(QUALITY).sort("trading_day").collect()
    assert known.select("trading_day", "passed").rows() == [
        (MONDAY, True),
        (TUESDAY, False),
        (WEDNESDAY, True),
    ]


def test_what_was_written_is_published_though_nothing_was_found_about_it(lake: Lake) -> None:
    """As of a month whose first session is still to come."""
    rows = frame(DAILY_CANDLES, based(MONDAY, 100, 100), source="kis")
    lake.replace(DAILY_CANDLES, Scope.month(MONDAY), rows, publish=False)
    record(lake, DAILY_CANDLES, [account({}, {}, {})])
    with duckdb.connect(lake.database, read_only=True) as connection:
        assert connection.sql("SELECT close FROM daily_candles").fetchall() == [(100,)]
    nowhere = Lake(lake.folder / "nowhere", source="krx")
    record(nowhere, DAILY_CANDLES, [account({}, {}, {})])
    assert not nowhere.folder.exists()


def test_a_stock_that_failed_degrades_its_day(lake: Lake) -> None:
    failed = {"005930": ServiceUnavailable("down")}
    record(lake, PRICE_SNAPSHOTS, [account({TUESDAY: 9}, {}, failed)])
    assert condition(lake, PRICE_SNAPSHOTS, TUESDAY) == ("degraded", f"{ACCOUNTED} fails for 1")


def test_a_recorded_day_without_a_gap_is_available(lake: Lake) -> None:
    stored(lake, STREAM_GAPS, MONDAY, rows=0)
    stored(lake, TRADES, MONDAY)
    stored(lake, TRADES, WEDNESDAY)
    assert condition(lake, STREAM_GAPS, MONDAY) == ("available", "")
    assert condition(lake, STREAM_GAPS, TUESDAY)[0] == "missing"  # nothing was recorded


def test_a_session_between_without_rows_is_missing_and_a_holiday_is_no_day_at_all(
    lake: Lake,
) -> None:
    stored(lake, PRICE_SNAPSHOTS, MONDAY)
    stored(lake, PRICE_SNAPSHOTS, WEDNESDAY)
    assert condition(lake, PRICE_SNAPSHOTS, TUESDAY) == (
        "missing",
        "was not captured; live data is not available later",
    )
    days = lake.read("SELECT DISTINCT trading_day FROM dataset_condition")["trading_day"]
    assert date(2026, 5, 5) not in days  # Children's Day
    assert min(days) == MONDAY


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (TUESDAY, "was not fetched; it is still available"),
        (date(2025, 1, 3), "was not fetched in time; KIS keeps 246 sessions"),
    ],
)
def test_minutes_can_be_had_for_246_sessions(lake: Lake, day: date, reason: str) -> None:
    lake.replace(MARKET_DAYS, Scope.year(2025), computed_days(2025, "kis", calendar.now()))
    stored(lake, MINUTE_CANDLES, date(2025, 1, 2))
    assert condition(lake, MINUTE_CANDLES, day) == ("missing", reason)


def at(lake: Lake, moment: str) -> Lake:
    """The lake as it is looked at at that moment."""
    now = datetime.fromisoformat(f"{moment}:00+09:00")
    return Lake(lake.folder, source="kis", replay_at=now)


def fetched(lake: Lake, day: date, moment: str) -> Lake:
    """The lake after a day's candle was fetched at that moment."""
    then = at(lake, moment)
    row = based(day, 100, 100, is_final=finality.is_final(day, then.now()))
    rows = frame(DAILY_CANDLES, row, source="kis")
    then.replace(DAILY_CANDLES, Scope.month(day).of({"005930"}), rows)
    stored(then, DAILY_CANDLES, day, rows=1)
    return then


@pytest.mark.parametrize(
    ("day", "moment", "seen"),
    [
        (TUESDAY, "2026-03-17 16:00", "pending"),
        (TUESDAY, "2026-03-17 20:00", "available"),
        # Since 14 September a close is the after-market's until the next session's morning.
        (date(2026, 10, 1), "2026-10-01 20:40", "pending"),
        (date(2026, 10, 1), "2026-10-02 05:59", "pending"),
        (date(2026, 10, 1), "2026-10-02 06:00", "available"),
        (date(2026, 10, 2), "2026-10-04 12:00", "pending"),
        (date(2026, 10, 2), "2026-10-06 07:30", "available"),
        (date(2026, 12, 30), "2027-01-03 12:00", "pending"),
        (date(2026, 12, 30), "2027-01-04 07:30", "available"),
    ],
)
def test_candles_are_pending_until_they_are_fetched_when_they_are_final(
    lake: Lake, day: date, moment: str, seen: str
) -> None:
    assert condition(fetched(lake, day, moment), DAILY_CANDLES, day)[0] == seen


def test_what_was_never_fetched_again_is_told_how_to_repair(lake: Lake) -> None:
    day = date(2026, 10, 30)
    fetched(lake, day, "2026-10-30 20:40")
    seen, why = condition(at(lake, "2026-11-01 12:00"), DAILY_CANDLES, day)
    assert seen == "pending"
    assert "final when fetched at 06:00 of 2026-11-02 or later" in why
    seen, why = condition(at(lake, "2026-11-02 09:30"), DAILY_CANDLES, day)
    assert seen == "pending"
    assert "kis-assets repair" in why


def test_a_row_of_a_stock_that_left_the_universe_keeps_its_day_pending(lake: Lake) -> None:
    day = date(2026, 10, 1)
    fetched(lake, day, "2026-10-01 20:40")
    left = frame(DAILY_CANDLES, based(day, 5, 5, stock_code="000020"), source="kis")
    lake.replace(DAILY_CANDLES, Scope.month(day).of({"000020"}), left)
    stored(at(lake, "2026-10-02 07:30"), DAILY_CANDLES, day, rows=2)
    assert condition(lake, DAILY_CANDLES, day)[0] == "pending"


@pytest.mark.parametrize(
    ("moment", "seen"), [("2026-10-01 20:04", "pending"), ("2026-10-01 20:05", "available")]
)
def test_minutes_are_pending_until_five_past_eight_in_the_evening(
    lake: Lake, moment: str, seen: str
) -> None:
    day = date(2026, 10, 1)
    stored(at(lake, moment), MINUTE_CANDLES, day)
    assert condition(at(lake, moment), MINUTE_CANDLES, day)[0] == seen


def test_a_day_that_is_not_over_is_pending(lake: Lake) -> None:
    stored(lake, PRICE_SNAPSHOTS, MONDAY)
    now = datetime.now(UTC)
    today = (
        lake.scan(MARKET_DAYS)
        .collect()
        .head(1)
        .with_columns(
            day=pl.lit(TUESDAY),
            is_open=pl.lit(value=True),
            opens_at=pl.lit(now - timedelta(hours=2)).cast(pl.Datetime("us", "UTC")),
            closes_at=pl.lit(now + timedelta(hours=4)).cast(pl.Datetime("us", "UTC")),
        )
    )
    lake.replace(MARKET_DAYS, Scope.day(TUESDAY), today)
    assert condition(lake, PRICE_SNAPSHOTS, TUESDAY) == ("pending", "the day is not over")


def test_in_a_replay_days_after_its_instant_are_none_yet(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(lake, PRICE_SNAPSHOTS, MONDAY)
    evening = datetime(2026, 3, 17, 20, 50, tzinfo=calendar.SEOUL)
    replay = Lake(lake.folder, source="kis", replay_at=evening)
    query = "SELECT trading_day, condition FROM dataset_condition"
    seen = [(MONDAY, "available"), (TUESDAY, "pending")]
    assert replay.read(query).rows() == seen
    assert len(lake.read(query)) > len(seen)
    # And what people type shows the same.
    shutil.copytree(lake.folder, lake.folder.parent / "data" / "kis")
    for name, value in {
        "DATA_SOURCE_TYPE": "kis",
        "KIS_DATA_DIR": str(lake.folder.parent / "data"),
        "KIS_REPLAY_AT": evening.isoformat(),
        "KIS_USE_VIRTUAL_SERVER": "false",
        "KIS_APP_KEY": APP_KEY,
        "KIS_APP_SECRET": APP_SECRET,
        "KIS_API_BASE_URL_REAL": "http://kis.test",
        "KIS_MASTER_BASE_URL": "http://kis.test",
    }.items():
        monkeypatch.setenv(name, value)
    assert [row[1:3] for row in Market().condition("price_snapshots").rows()] == seen


def test_without_a_calendar_the_days_of_which_something_is_known_are_there(tmp_path: Path) -> None:
    lake = Lake(tmp_path, source="kis")
    stored(lake, DAILY_CANDLES, MONDAY, WEDNESDAY)
    rows = lake.read("SELECT trading_day, condition FROM dataset_condition").rows()
    assert rows == [(MONDAY, "available"), (WEDNESDAY, "available")]


def test_why_a_stock_has_no_row_is_kept_apart_from_what_failed(lake: Lake) -> None:
    absent = {"000020": "halted", "000040": "no trade"}
    record(
        lake, DAILY_CANDLES, [account({MONDAY: 8}, absent, {"000050": ServiceUnavailable("down")})]
    )
    assert absences(lake, DAILY_CANDLES, MONDAY, TUESDAY).rows() == [
        (MONDAY, "000020", "halted"),
        (MONDAY, "000040", "no trade"),
    ]
    detail = lake.scan(QUALITY).collect().row(0, named=True)["detail"]
    assert '"failed": {"ServiceUnavailable": ["000050"]}' in detail


def test_other_checks_tables_and_days_are_left_alone(lake: Lake) -> None:
    stored(lake, DAILY_CANDLES, MONDAY, TUESDAY)
    stored(lake, PRICE_SNAPSHOTS, MONDAY)
    before = lake.scan(QUALITY).collect().height
    record(lake, DAILY_CANDLES, [found(MONDAY, 0)])
    record(lake, DAILY_CANDLES, [found(MONDAY, 1)])
    assert lake.scan(QUALITY).collect().height == before + 1


def test_days_between_that_were_not_looked_at_keep_what_is_known(lake: Lake) -> None:
    stored(lake, DAILY_CANDLES, TUESDAY)
    stored(lake, DAILY_CANDLES, MONDAY, WEDNESDAY)
    assert condition(lake, DAILY_CANDLES, TUESDAY) == ("available", "")


def test_findings_of_a_year_are_kept_month_by_month(lake: Lake) -> None:
    days = {date(2026, month, 2): 1 for month in (1, 2, 3)}
    quality.record(lake, MARKET_DAYS, [Finding("key_is_unique", "ERROR", days)])
    assert lake.units(QUALITY) == ["month=2026-01", "month=2026-02", "month=2026-03"]
