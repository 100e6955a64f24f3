"""The lake: what may enter, what changes, what survives, and who may read meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_assets import tables
from kis_assets.lake.lake import Change, Lake, LakeError, Refused, Scope
from kis_assets.lake.views import VIEWS
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS, PRICE_SNAPSHOTS, TABLES, Table
from kis_assets_tests.conftest import BUILD

DAY = date(2026, 3, 17)
NEXT = date(2026, 3, 18)
OPENING = datetime(2026, 3, 17, 0, 5, tzinfo=UTC)
NOON = datetime(2026, 3, 17, 3, 0, tzinfo=UTC)
SAMSUNG, HYNIX, NAVER = "005930", "000660", "035420"


class Clock:
    """A clock that goes forward only when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_days(self, days: int) -> datetime:
        self.at += timedelta(days=days)
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lake(tmp_path: Path, clock: Clock) -> Lake:
    return Lake(tmp_path / "data" / "mock", source="mock", clock=clock)


def rows(table: Table, *given: dict[str, object]) -> pl.DataFrame:
    """Rows of a table: what is given, and something plausible for the rest."""
    plain: dict[str, object] = {"Int64": 100, "String": "00", "Float64": 0.5, "Boolean": True}
    made: list[dict[str, object]] = []
    for values in given:
        row: dict[str, object] = {}
        for column in table.columns:
            kind = str(column.dtype)
            row[column.name] = DAY if kind == "Date" else plain.get(kind, OPENING)
        made.append({**row, "source": "mock", **values})
    return pl.DataFrame(made, schema=table.schema)


def candles(*given: tuple[date, str, int]) -> pl.DataFrame:
    return rows(
        DAILY_CANDLES,
        *({"trading_day": day, "stock_code": code, "volume": n} for day, code, n in given),
    )


def prices(*given: tuple[datetime, str, int]) -> pl.DataFrame:
    return rows(
        PRICE_SNAPSHOTS,
        *({"captured_at": at, "stock_code": code, "price": price} for at, code, price in given),
    )


def volumes(frame: pl.LazyFrame | pl.DataFrame) -> dict[tuple[date, str], int]:
    kept = frame.lazy().select("trading_day", "stock_code", "volume").collect()
    return {(day, code): volume for day, code, volume in kept.iter_rows()}


def counts(change: Change) -> tuple[int, int, int]:
    return change.added, change.removed, change.altered


def files(lake: Lake, pattern: str) -> list[Path]:
    return sorted(path for path in lake.folder.glob(pattern) if path.is_file())


def stable(lake: Lake, table: Table, unit: str) -> Path:
    return lake.folder / "parquet" / table.name / f"{unit}.parquet"


def assert_healthy(lake: Lake) -> None:
    """Every stable name is the newest version, and nothing is left behind."""
    for folder in lake.folder.glob("versions/*/*=*"):
        newest = max(folder.glob("*.parquet"))
        table, unit = folder.parent.name, folder.name
        there = lake.folder / "parquet" / table / f"{unit}.parquet"
        assert there.read_bytes() == newest.read_bytes()
    assert files(lake, ".tmp/*") == []


# --- writing and reading --------------------------------------------------------------------------


def test_rows_come_back_as_they_were_written(lake: Lake) -> None:
    written = candles((DAY, SAMSUNG, 1), (NEXT, SAMSUNG, 2), (DAY, HYNIX, 3))
    change = lake.replace(DAILY_CANDLES, Scope.month(DAY), written)
    assert change.path is not None
    assert (change.table, change.unit, change.rows) == ("daily_candles", "month=2026-03", 3)
    read = lake.scan(DAILY_CANDLES).collect()
    assert read.schema == DAILY_CANDLES.schema
    assert read.equals(written.sort("stock_code", "trading_day"))


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_table_without_rows_has_its_columns_everywhere(lake: Lake, table: Table) -> None:
    lake.publish()
    assert lake.scan(table).collect().equals(table.empty())
    assert lake.scan(table, as_of=NOON, first=DAY, last=DAY).collect().equals(table.empty())
    assert lake.read(f"SELECT * FROM {table.name}").equals(table.empty())
    assert lake.units(table) == []


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_plain_glob_gives_what_the_view_gives(lake: Lake, table: Table) -> None:
    for day in (DAY, date(2026, 4, 1), date(2027, 1, 4)):
        lake.replace(table, Scope.day(day), rows(table, {table.clock: day, "source": "mock"}))
        lake.replace(table, Scope.day(day), rows(table, {table.clock: day, "fetched_at": NOON}))
    glob = f"'{lake.folder}/parquet/{table.name}/**/*.parquet'"
    with duckdb.connect(lake.database, read_only=True) as connection:
        assert (
            connection.sql(f"DESCRIBE SELECT * FROM {glob}").fetchall()
            == connection.sql(f"DESCRIBE SELECT * FROM {table.name}").fetchall()
        )
        order = "ORDER BY ALL"
        globbed = connection.sql(f"SELECT * FROM {glob} {order}").fetchall()
        assert globbed == connection.sql(f"SELECT * FROM {table.name} {order}").fetchall()
        assert len(globbed) == 3
    by_polars = pl.scan_parquet(f"{lake.folder}/parquet/{table.name}/**/*.parquet").collect()
    assert by_polars.schema == table.schema
    assert lake.read(f"SELECT * FROM {table.name}").schema == table.schema


def test_a_scan_opens_only_the_units_of_the_days_asked_for(lake: Lake) -> None:
    months = [date(2026, month, 3) for month in range(1, 7)]
    for day in months:
        lake.replace(DAILY_CANDLES, Scope.month(day), candles((day, SAMSUNG, day.month)))
    for path in files(lake, "versions/daily_candles/month=2026-0[1256]/*"):
        path.write_bytes(b"not to be opened")
    found = lake.scan(DAILY_CANDLES, first=date(2026, 3, 3), last=date(2026, 4, 30)).collect()
    assert volumes(found) == {(months[2], SAMSUNG): 3, (months[3], SAMSUNG): 4}
    none = lake.scan(DAILY_CANDLES, first=date(2026, 3, 4), last=date(2026, 4, 2)).collect()
    assert none.equals(DAILY_CANDLES.empty())


def test_units_are_hive_styled_and_oldest_first(lake: Lake) -> None:
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((NOON, SAMSUNG, 1)))
    lake.replace(MARKET_DAYS, Scope.year(2026), rows(MARKET_DAYS, {"day": DAY}))
    for day in (date(2026, 3, 2), date(2025, 12, 1)):
        lake.replace(DAILY_CANDLES, Scope.month(day), candles((day, SAMSUNG, 1)))
    assert lake.units(PRICE_SNAPSHOTS) == ["trading_day=2026-03-17"]
    assert lake.units(MARKET_DAYS) == ["year=2026"]
    assert lake.units(DAILY_CANDLES) == ["month=2025-12", "month=2026-03"]
    # Beside them the adjustment factors of two years, which follow the candles.
    assert len(files(lake, "parquet/*/*.parquet")) == 4 + 2
    assert_healthy(lake)


def test_the_same_rows_make_the_same_file_whatever_their_order(tmp_path: Path) -> None:
    frame = candles((DAY, SAMSUNG, 1), (DAY, HYNIX, 2), (NEXT, HYNIX, 3))
    made: list[bytes] = []
    for name, shown in (("a", frame), ("b", frame.reverse().select(reversed(frame.columns)))):
        path = (
            Lake(tmp_path / name, source="mock")
            .replace(DAILY_CANDLES, Scope.month(DAY), shown)
            .path
        )
        assert path
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_a_file_says_what_its_columns_mean(lake: Lake) -> None:
    path = lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1))).path
    schema = pq.read_schema(path)
    assert pq.read_metadata(path).metadata[b"table"] == b"daily_candles"
    assert schema.field("close").metadata[b"unit"] == b"KRW"
    assert "종가" in schema.field("close").metadata[b"description"].decode()


# --- scopes ---------------------------------------------------------------------------------------


def test_a_day_of_a_month_is_replaced_and_the_others_stay(lake: Lake) -> None:
    lake.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 1), (NEXT, SAMSUNG, 2)))
    change = lake.replace(DAILY_CANDLES, Scope.day(NEXT), candles((NEXT, HYNIX, 9)))
    assert counts(change) == (1, 1, 0)
    assert volumes(lake.scan(DAILY_CANDLES)) == {(DAY, SAMSUNG): 1, (NEXT, HYNIX): 9}


def test_a_second_capture_of_a_day_adds_rows_and_replaces_none(lake: Lake) -> None:
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, OPENING), prices((OPENING, SAMSUNG, 10)))
    seoul = NOON.astimezone(ZoneInfo("Asia/Seoul"))
    change = lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, seoul), prices((NOON, SAMSUNG, 11)))
    assert counts(change) == (1, 0, 0)
    assert lake.scan(PRICE_SNAPSHOTS).collect()["price"].to_list() == [10, 11]
    again = lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((NOON, SAMSUNG, 12)))
    assert counts(again) == (0, 0, 1)
    assert lake.scan(PRICE_SNAPSHOTS).collect()["price"].to_list() == [10, 12]


def test_stocks_that_a_narrowed_scope_does_not_name_keep_their_rows(lake: Lake) -> None:
    lake.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 1), (DAY, HYNIX, 2)))
    narrowed = Scope.month(DAY).of([HYNIX, NAVER])
    change = lake.replace(DAILY_CANDLES, narrowed, candles((DAY, NAVER, 3)))
    assert counts(change) == (1, 1, 0)
    assert volumes(lake.scan(DAILY_CANDLES)) == {(DAY, SAMSUNG): 1, (DAY, NAVER): 3}


def test_an_empty_frame_empties_its_scope(lake: Lake) -> None:
    lake.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 1)))
    change = lake.replace(DAILY_CANDLES, Scope.month(DAY), DAILY_CANDLES.empty())
    assert counts(change) == (0, 1, 0)
    assert lake.scan(DAILY_CANDLES).collect().is_empty()
    assert lake.read("SELECT * FROM daily_candles").equals(DAILY_CANDLES.empty())


def test_nothing_written_over_nothing_makes_no_file(lake: Lake) -> None:
    change = lake.replace(DAILY_CANDLES, Scope.month(DAY), DAILY_CANDLES.empty())
    assert change.path is None
    assert lake.units(DAILY_CANDLES) == []
    assert lake.read("SELECT * FROM daily_candles").is_empty()


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        (lambda: Scope.year(2026), "daily_candles: .* is not within one month"),
        (lambda: Scope(NEXT, DAY), "is not within one month"),
        (lambda: Scope.capture(DAY, NOON), "daily_candles has no captures"),
        (lambda: Scope.capture(DAY, NOON.replace(tzinfo=None)), "has no time zone"),
        (lambda: Scope.day(DAY).of(SAMSUNG), "not the single text '005930'"),
    ],
)
def test_a_scope_that_does_not_fit_is_refused(
    lake: Lake, scope: Callable[[], Scope], says: str
) -> None:
    with pytest.raises(LakeError, match=says):
        lake.replace(DAILY_CANDLES, scope(), DAILY_CANDLES.empty())


def test_a_table_without_stocks_cannot_be_narrowed_to_stocks(lake: Lake) -> None:
    with pytest.raises(LakeError, match="market_days has no stock_code"):
        lake.replace(MARKET_DAYS, Scope.year(DAY).of([SAMSUNG]), MARKET_DAYS.empty())


def test_scopes_span_whole_months_and_years() -> None:
    assert Scope.month(date(2028, 2, 10)) == Scope(date(2028, 2, 1), date(2028, 2, 29))
    assert Scope.month(date(2026, 12, 31)) == Scope(date(2026, 12, 1), date(2026, 12, 31))
    assert Scope.year(2026) == Scope.year(DAY) == Scope(date(2026, 1, 1), date(2026, 12, 31))


# --- what changed ---------------------------------------------------------------------------------


def test_a_change_tells_added_removed_and_altered_with_samples(lake: Lake) -> None:
    lake.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 1), (DAY, HYNIX, 2)))
    change = lake.replace(
        DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 7), (DAY, NAVER, 3))
    )
    assert counts(change) == (1, 1, 1)
    assert change.samples.columns == ["what", "trading_day", "stock_code", "column", "old", "new"]
    assert change.samples.rows() == [
        ("altered", DAY, SAMSUNG, "volume", "1", "7"),
        ("removed", DAY, HYNIX, None, None, None),
        ("added", DAY, NAVER, None, None, None),
    ]


def test_a_change_counts_the_rows_of_each_day_with_those_of_other_stocks(lake: Lake) -> None:
    march = candles((DAY, SAMSUNG, 1), (NEXT, SAMSUNG, 2), (date(2026, 3, 19), HYNIX, 3))
    lake.replace(DAILY_CANDLES, Scope.month(DAY), march)
    some = Scope(DAY, NEXT).of([HYNIX, NAVER])
    for _ in ("written", "nothing differs"):
        change = lake.replace(DAILY_CANDLES, some, candles((DAY, HYNIX, 4), (DAY, NAVER, 5)))
        assert change.rows == 2
        assert change.days == {DAY: 3, NEXT: 1}
    assert lake.replace(DAILY_CANDLES, Scope.day(NEXT), DAILY_CANDLES.empty()).days == {}
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, OPENING), prices((OPENING, SAMSUNG, 10)))
    capture = lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((NOON, SAMSUNG, 11)))
    assert capture.days == {DAY: 1}


def test_samples_are_at_most_twenty(lake: Lake) -> None:
    many = [(DAY, f"{n:06d}", n) for n in range(50)]
    change = lake.replace(DAILY_CANDLES, Scope.day(DAY), candles(*many))
    assert (change.added, change.samples.height) == (50, 20)
    altered = candles(*many).with_columns(pl.col("volume") + 1, pl.col("close") + 1)
    change = lake.replace(DAILY_CANDLES, Scope.day(DAY), altered)
    assert (change.altered, change.samples.height) == (50, 20)


def test_a_value_that_becomes_null_or_stops_being_so_is_altered(lake: Lake) -> None:
    frame = prices((NOON, SAMSUNG, 5))
    scope = Scope.capture(DAY, NOON)
    lake.replace(PRICE_SNAPSHOTS, scope, frame)
    without = frame.with_columns(market_cap=pl.lit(None, dtype=pl.Int64))
    change = lake.replace(PRICE_SNAPSHOTS, scope, without)
    assert change.samples.select("column", "old", "new").rows() == [("market_cap", "100", None)]
    assert counts(lake.replace(PRICE_SNAPSHOTS, scope, without)) == (0, 0, 0)
    assert counts(lake.replace(PRICE_SNAPSHOTS, scope, frame)) == (0, 0, 1)


def test_rows_fetched_again_and_equal_make_no_new_version(lake: Lake) -> None:
    frame = candles((DAY, SAMSUNG, 1), (NEXT, SAMSUNG, 2))
    lake.replace(DAILY_CANDLES, Scope.month(DAY), frame)
    before = files(lake, "versions/**/*")
    later = frame.with_columns(fetched_at=pl.lit(NOON).cast(tables.INSTANT))
    change = lake.replace(DAILY_CANDLES, Scope.month(DAY), later)
    assert change.path is None
    assert (change.rows, counts(change)) == (2, (0, 0, 0))
    assert change.samples.is_empty()
    assert files(lake, "versions/**/*") == before


# --- the door -------------------------------------------------------------------------------------


def broken(column: str, value: object) -> pl.DataFrame:
    good, other = candles((DAY, SAMSUNG, 1)), candles((DAY, HYNIX, 2))
    dtype = DAILY_CANDLES.column(column).dtype
    return pl.concat([good, other.with_columns(pl.lit(value, dtype=dtype).alias(column))])


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (lambda: broken("close", None), "close: 1 row is null .*000660, close None"),
        (lambda: broken("close", 0), "close: 1 row is below 1; .*000660, close 0"),
        (lambda: broken("volume", -1), "volume: 1 row is below 0"),
        (lambda: broken("split_ratio", float("nan")), "split_ratio: 1 row is not a finite"),
        (lambda: broken("stock_code", " "), "stock_code: 1 row is empty"),
        (lambda: broken("source", "kis"), "source: 1 row is not of source mock"),
        (lambda: broken("trading_day", NEXT), "trading_day: 1 row is outside the scope 2026-03-17"),
        (
            lambda: candles((DAY, SAMSUNG, 1), (DAY, SAMSUNG, 2)),
            "trading_day, stock_code: 1 row is a",
        ),
        (lambda: candles((DAY, SAMSUNG, 1)).drop("close", "open"), "missing columns: open, close;"),
        (
            lambda: candles((DAY, SAMSUNG, 1)).with_columns(extra=1, more=2),
            "unknown columns: extra, more;",
        ),
        (
            lambda: candles((DAY, SAMSUNG, 1)).with_columns(pl.col("volume").cast(pl.Float64)),
            "volume is Float64 and must be Int64; nothing is cast",
        ),
        (
            lambda: candles((DAY, SAMSUNG, 1)).with_columns(
                pl.col("fetched_at").dt.replace_time_zone(None)
            ),
            "fetched_at is Datetime.* and must be Datetime.*UTC",
        ),
    ],
)
def test_what_can_never_be_right_is_refused_and_nothing_is_written(
    lake: Lake, frame: Callable[[], pl.DataFrame], says: str
) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, NAVER, 5)))
    before = files(lake, "versions/**/*")
    with pytest.raises(Refused, match=f"^daily_candles: .*{says}"):
        lake.replace(DAILY_CANDLES, Scope.day(DAY), frame())
    assert files(lake, "versions/**/*") == before
    assert volumes(lake.scan(DAILY_CANDLES)) == {(DAY, NAVER): 5}


def test_all_offenders_are_counted_and_the_first_is_named(lake: Lake) -> None:
    frame = candles((DAY, SAMSUNG, -1), (DAY, HYNIX, -2), (DAY, NAVER, 5))
    with pytest.raises(
        Refused, match=r"volume: 2 rows are below 0; the first: .*005930, volume -1"
    ):
        lake.replace(DAILY_CANDLES, Scope.day(DAY), frame)


def test_rows_of_another_capture_or_stock_are_outside_the_scope(lake: Lake) -> None:
    with pytest.raises(Refused, match="captured_at: 1 row is of another capture"):
        lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((OPENING, SAMSUNG, 1)))
    with pytest.raises(
        Refused, match=r"stock_code: 1 row is of a stock_code that the scope .* not name"
    ):
        lake.replace(DAILY_CANDLES, Scope.day(DAY).of([HYNIX]), candles((DAY, SAMSUNG, 1)))


def test_a_key_that_a_row_outside_the_scope_has_is_refused(lake: Lake) -> None:
    table = replace(DAILY_CANDLES, name="once", key=("stock_code",))
    lake.replace(table, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    with pytest.raises(Refused, match="once: stock_code: 2 rows are a key that another row has"):
        lake.replace(table, Scope.day(NEXT), candles((NEXT, SAMSUNG, 2)))


def test_a_folder_that_duckdb_takes_for_a_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="choose a data folder without"):
        Lake(tmp_path / "data[1]", source="mock")


# --- earlier states -------------------------------------------------------------------------------


def test_as_of_gives_what_was_known_then(lake: Lake, clock: Clock) -> None:
    before = clock.at - timedelta(seconds=1)
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    first = clock.at
    second = clock.pass_days(1)
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    assert volumes(lake.scan(DAILY_CANDLES, as_of=before)) == {}
    assert volumes(lake.scan(DAILY_CANDLES, as_of=first)) == {(DAY, SAMSUNG): 1}
    assert volumes(lake.scan(DAILY_CANDLES, as_of=second)) == {(DAY, SAMSUNG): 2}
    assert volumes(lake.scan(DAILY_CANDLES)) == {(DAY, SAMSUNG): 2}
    with pytest.raises(LakeError, match="has no time zone"):
        lake.scan(DAILY_CANDLES, as_of=first.replace(tzinfo=None))


@pytest.mark.parametrize("days", [0, -400])
def test_the_last_write_counts_even_if_the_clock_stands_still_or_goes_back(
    lake: Lake, clock: Clock, days: int
) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    clock.pass_days(days)
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    assert volumes(lake.scan(DAILY_CANDLES)) == {(DAY, SAMSUNG): 2}
    assert volumes(lake.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 2}


def test_pruning_counts_from_when_a_version_was_superseded(lake: Lake, clock: Clock) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    first = clock.at
    clock.pass_days(100)
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    # The first is 100 days old, yet it was current until just now: somebody may be reading it.
    assert lake.prune() == 0
    assert volumes(lake.scan(DAILY_CANDLES, as_of=first)) == {(DAY, SAMSUNG): 1}
    clock.pass_days(31)
    assert lake.prune() == 1
    assert lake.prune() == 0
    assert volumes(lake.scan(DAILY_CANDLES)) == {(DAY, SAMSUNG): 2}
    assert volumes(lake.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 2}


def test_a_time_whose_versions_are_gone_is_refused_not_answered_with_less(
    lake: Lake, clock: Clock
) -> None:
    first = clock.at
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    second = clock.pass_days(1)
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    clock.pass_days(60)
    lake.prune()
    with pytest.raises(LakeError, match=r"daily_candles: what was known at .* has been pruned"):
        lake.scan(DAILY_CANDLES, as_of=first)
    assert volumes(lake.scan(DAILY_CANDLES, as_of=second)) == {(DAY, SAMSUNG): 2}


def test_files_of_any_earlier_columns_are_read_as_the_view_reads_them(lake: Lake) -> None:
    """Columns that came, that went, whose type grew, and those that follow from others."""

    def whole(name: str) -> tables.Column:
        return replace(DAILY_CANDLES.column(name), dtype=pl.Int64())

    today = {column.name: column for column in DAILY_CANDLES.columns}
    gone = tables.Column("gone", pl.Int64(), "A column that was dropped since")
    pasts = (
        {name: column for name, column in today.items() if name not in ("is_final", "ex_flag")},
        today | {"split_ratio": whole("split_ratio"), "gone": gone},
        {"fetched_at": today["fetched_at"]} | today,
        today,
    )
    days = (DAY, date(2026, 4, 1), date(2026, 5, 4), date(2026, 6, 1))
    for day, past in zip(days, pasts, strict=True):
        table = replace(DAILY_CANDLES, columns=tuple(past.values()))
        lake.replace(table, Scope.month(day), rows(table, {"trading_day": day}))
    found = lake.scan(DAILY_CANDLES).sort("trading_day").collect()
    assert found.schema == DAILY_CANDLES.schema
    # Fetched at 09:05 of the first of these days, whose session was not over then.
    assert found["is_final"].to_list() == [False, True, True, True]
    assert found["ex_flag"].to_list() == [None, "00", "00", "00"]
    assert found["split_ratio"].to_list() == [0.5, 100.0, 0.5, 0.5]
    assert lake.read("SELECT * FROM daily_candles ORDER BY trading_day").equals(found)
    some = lake.scan(DAILY_CANDLES).filter(~pl.col("is_final")).select("trading_day").collect()
    assert some["trading_day"].to_list() == [DAY]


def test_rows_stored_before_a_column_came_are_read_with_nulls_in_it(lake: Lake) -> None:
    fewer = tuple(column for column in DAILY_CANDLES.columns if column.name != "revaluation")
    gone = tables.Column("gone", pl.Int64(), "A column that was dropped since")
    past = replace(DAILY_CANDLES, columns=(*fewer, gone))
    old = candles((DAY, SAMSUNG, 1)).drop("revaluation").with_columns(gone=pl.lit(1, pl.Int64))
    lake.replace(past, Scope.day(DAY), old)
    april = date(2026, 4, 1)
    lake.replace(DAILY_CANDLES, Scope.day(april), candles((april, SAMSUNG, 2)))
    for read in (
        lake.scan(DAILY_CANDLES).collect(),
        lake.read("SELECT * FROM daily_candles ORDER BY trading_day"),
    ):
        assert read.schema == DAILY_CANDLES.schema
        assert read.sort("trading_day")["revaluation"].to_list() == [None, "00"]
    lake.replace(DAILY_CANDLES, Scope.day(NEXT), candles((NEXT, SAMSUNG, 3)))
    assert volumes(lake.scan(DAILY_CANDLES, last=NEXT)) == {(DAY, SAMSUNG): 1, (NEXT, SAMSUNG): 3}


# --- the catalog --------------------------------------------------------------------------------


def test_the_catalog_explains_tables_and_columns(lake: Lake) -> None:
    lake.publish()
    with duckdb.connect(lake.database, read_only=True) as connection:
        views = dict(
            connection.sql(
                "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
            ).fetchall()
        )
        columns = {
            (view, column): comment
            for view, column, comment in connection.sql(
                "SELECT table_name, column_name, comment FROM duckdb_columns()"
            ).fetchall()
        }
    assert set(TABLES) < set(views)
    assert all(views.values())
    assert views["daily_candles"] == DAILY_CANDLES.description
    assert columns["daily_candles", "close"].endswith("(종가) [KRW]")
    assert columns["latest_prices", "price"] == columns["price_snapshots", "price"]


def test_the_catalog_can_be_attached_under_any_name(lake: Lake, tmp_path: Path) -> None:
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((NOON, SAMSUNG, 5)))
    with duckdb.connect(tmp_path / "own.duckdb") as connection:
        connection.execute(f"ATTACH '{lake.database}' AS theirs (READ_ONLY)")
        assert connection.sql("SELECT price FROM theirs.latest_prices").fetchall() == [(5,)]


def test_latest_prices_has_the_newest_row_of_each_stock(lake: Lake) -> None:
    lake.replace(
        PRICE_SNAPSHOTS,
        Scope.day(DAY),
        prices((OPENING, SAMSUNG, 1), (NOON, SAMSUNG, 2), (OPENING, HYNIX, 3)),
    )
    later = NOON + timedelta(days=1)
    frame = prices((later, NAVER, 4)).with_columns(trading_day=NEXT)
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(NEXT, later), frame)
    found = lake.read("SELECT stock_code, price FROM latest_prices")
    assert found.rows() == [(HYNIX, 3), (SAMSUNG, 2), (NAVER, 4)]


def test_a_catalog_of_many_small_changes_is_that_of_one_go(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for volume in (1, 2):
        lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, volume)))
        lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((NOON, SAMSUNG, volume)))
    views = "SELECT view_name, sql, comment FROM duckdb_views() WHERE NOT internal ORDER BY 1"
    columns = (
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() ORDER BY ALL"
    )
    found = [lake.read(query).rows() for query in (views, columns)]
    monkeypatch.setattr("kis_assets.lake.catalog.build", BUILD)
    lake.publish()
    assert [lake.read(query).rows() for query in (views, columns)] == found
    assert {name for name, *_ in found[0]} == {*TABLES, *VIEWS}


def test_what_is_written_without_publishing_is_shown_by_the_next_that_does(lake: Lake) -> None:
    frame = candles((DAY, SAMSUNG, 1))
    lake.replace(DAILY_CANDLES, Scope.day(DAY), frame, publish=False)
    assert not lake.database.exists()
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((NOON, SAMSUNG, 5)))
    with duckdb.connect(lake.database, read_only=True) as connection:
        assert connection.sql("SELECT volume FROM daily_candles").fetchall() == [(1,)]


def test_a_query_takes_parameters_and_cannot_write(lake: Lake) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1), (DAY, HYNIX, 2)))
    found = lake.read("SELECT volume FROM daily_candles WHERE stock_code = ?", [HYNIX])
    assert found.rows() == [(2,)]
    with pytest.raises(duckdb.Error, match="read-only"):
        lake.read("CREATE TABLE mine AS SELECT 1")


def test_a_moved_folder_is_published_anew_at_its_new_place(lake: Lake, tmp_path: Path) -> None:
    frame = candles((DAY, SAMSUNG, 1))
    lake.replace(DAILY_CANDLES, Scope.day(DAY), frame)
    moved = Lake(lake.folder.rename(tmp_path / "moved"), source="mock")
    assert moved.replace(DAILY_CANDLES, Scope.day(DAY), frame).path is None
    assert volumes(moved.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 1}


def test_a_query_sees_the_newest_rows_while_the_same_process_holds_an_old_connection(
    lake: Lake,
) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    with duckdb.connect(lake.database) as held:
        lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
        assert held.sql("SELECT volume FROM daily_candles").fetchall() == [(1,)]
        assert lake.read("SELECT volume FROM daily_candles").item() == 2


# --- crashes --------------------------------------------------------------------------------------


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links on this file system")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_links")
def test_stable_names_are_copies_where_links_do_not_work(lake: Lake) -> None:
    for volume in (1, 2):
        lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, volume)))
    there = stable(lake, DAILY_CANDLES, "month=2026-03")
    assert there.stat().st_nlink == 1
    assert volumes(pl.read_parquet(there)) == {(DAY, SAMSUNG): 2}
    made = there.stat().st_ino
    lake.publish()
    assert there.stat().st_ino == made, "a healthy copy is not made again"


def test_a_crash_between_version_and_link_heals(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    with monkeypatch.context() as patch:
        patch.setattr("kis_assets.lake.versions.Versions.heal", _die)
        with pytest.raises(KeyboardInterrupt):
            lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    there = stable(lake, DAILY_CANDLES, "month=2026-03")
    assert volumes(pl.read_parquet(there)) == {(DAY, SAMSUNG): 1}
    lake.publish()
    assert volumes(pl.read_parquet(there)) == {(DAY, SAMSUNG): 2}
    assert volumes(lake.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 2}


def test_a_crash_before_publishing_heals_even_when_nothing_differs(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    again = candles((DAY, SAMSUNG, 2))
    with monkeypatch.context() as patch:
        patch.setattr("kis_assets.lake.catalog.build", _die)
        with pytest.raises(KeyboardInterrupt):
            lake.replace(DAILY_CANDLES, Scope.day(DAY), again)
    assert shown(lake) == {(DAY, SAMSUNG): 1}
    assert lake.replace(DAILY_CANDLES, Scope.day(DAY), again).path is None
    assert shown(lake) == {(DAY, SAMSUNG): 2}


def test_a_crash_before_publishing_heals_by_reading(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    with monkeypatch.context() as patch:
        patch.setattr("kis_assets.lake.catalog.build", _die)
        with pytest.raises(KeyboardInterrupt):
            lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    assert volumes(lake.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 2}


def test_a_broken_copy_of_the_catalog_is_made_anew(lake: Lake) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    (lake.folder / ".locks" / "market.duckdb").write_bytes(b"broken")
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    assert volumes(lake.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 2}
    assert lake.read("SELECT count(*) FROM latest_prices").item() == 0


def test_what_a_killed_writer_left_is_removed(lake: Lake) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    for name in ("daily_candles-0000.parquet", "market-0000.duckdb", "market-0000.duckdb.wal"):
        (lake.folder / ".tmp" / name).write_bytes(b"half")
    stable(lake, DAILY_CANDLES, "month=2026-03").unlink()
    lake.publish()
    assert_healthy(lake)
    assert stable(lake, DAILY_CANDLES, "month=2026-03").exists()


def shown(lake: Lake) -> dict[tuple[date, str], int]:
    """What an analyst sees in `market.duckdb` as it lies there."""
    with duckdb.connect(lake.database, read_only=True) as connection:
        return volumes(connection.sql("SELECT * FROM daily_candles").pl())


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _full_in_polars(_: object, path: Path, **__: object) -> None:
    path.write_bytes(b"PAR1 and no more")
    raise pl.exceptions.ComputeError("parquet: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("place", "failure"),
    [
        ("polars.DataFrame.write_parquet", _full_in_polars),
        ("os.fsync", _full),
        ("os.replace", _full),
        ("kis_assets.lake.catalog.build", _full),
    ],
)
def test_a_full_disk_is_told_and_loses_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, place: str, failure: Callable[..., None]
) -> None:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    again = candles((DAY, SAMSUNG, 2))
    with monkeypatch.context() as patch:
        patch.setattr(place, failure)
        with pytest.raises(
            LakeError, match=r"disk that holds .*mock failed .*No space left"
        ) as told:
            lake.replace(DAILY_CANDLES, Scope.day(DAY), again)
    assert "\n" not in str(told.value)
    assert files(lake, ".tmp/*") == []
    assert shown(lake) == {(DAY, SAMSUNG): 1}
    lake.replace(DAILY_CANDLES, Scope.day(DAY), again)
    assert volumes(lake.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 2}
    assert_healthy(lake)


# Kills itself before the nth call to the operating system of its second write.
_KILLED = """
import os, signal, sys
from pathlib import Path
import polars as pl
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES

lake, last = Lake(Path(sys.argv[1]), source="mock"), int(sys.argv[2])
rows = lake.scan(DAILY_CANDLES).collect().with_columns(volume=pl.lit(2, dtype=pl.Int64))
scope = Scope.day(rows["trading_day"][0])
steps = 0

def counted(real):
    def step(*args, **kwargs):
        global steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return step

for name in ("fsync", "replace", "link", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
lake.replace(DAILY_CANDLES, scope, rows)
print(steps)
"""


def _run(script: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *map(str, args)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )


def _killed_at(folder: Path, step: int) -> str:
    """Kill a writer before that step; check all there is; say what it had printed."""
    lake = Lake(folder, source="mock")
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1), (DAY, HYNIX, 1)))
    printed, errors = _run(_KILLED, folder, step).communicate()
    assert errors == ""
    whole = [{(DAY, SAMSUNG): n, (DAY, HYNIX): n} for n in (1, 2)]
    every = "daily_candles/**/*.parquet"
    for path in files(lake, f"versions/{every}") + files(lake, f"parquet/{every}"):
        assert volumes(pl.read_parquet(path)) in whole
    with duckdb.connect(lake.database, read_only=True) as connection:
        found = connection.sql("SELECT DISTINCT volume, count(*) OVER () FROM daily_candles")
        assert found.fetchall() in ([(1, 2)], [(2, 2)])
    assert volumes(lake.scan(DAILY_CANDLES)) in whole
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 3)))
    assert volumes(lake.read("SELECT * FROM daily_candles")) == {(DAY, SAMSUNG): 3}
    assert_healthy(lake)
    return printed


@pytest.mark.parametrize("step", [2, 6])
def test_a_killed_writer_leaves_the_old_state_or_the_new_one(tmp_path: Path, step: int) -> None:
    assert _killed_at(tmp_path, step) == ""


@pytest.mark.slow
def test_a_writer_may_be_killed_before_any_step_at_all(tmp_path: Path) -> None:
    steps = int(_killed_at(tmp_path / "whole", 0))
    assert steps >= 10
    for step in range(1, steps + 1):
        assert _killed_at(tmp_path / str(step), step) == ""


# --- many at a time -------------------------------------------------------------------------------

_WRITER = """
import sys
from datetime import date
from pathlib import Path
import polars as pl
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES

lake = Lake(Path(sys.argv[1]), source="mock")
day, times = date.fromisoformat(sys.argv[2]), int(sys.argv[3])
row = lake.scan(DAILY_CANDLES, first=day, last=day).collect()
print("ready", flush=True)
sys.stdin.readline()
for n in range(2, times + 2):
    # As many rows as the volume says: a mixture of two writes shows in the total.
    codes = pl.DataFrame({"stock_code": [f"{i:06d}" for i in range(n)]})
    rows = row.drop("stock_code").join(codes, how="cross")
    rows = rows.with_columns(volume=pl.lit(n, dtype=pl.Int64))
    lake.replace(DAILY_CANDLES, Scope.day(day), rows)
"""

_READER = """
import sys
from pathlib import Path
import duckdb
from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES

lake, way = Lake(Path(sys.argv[1]), source="mock"), sys.argv[2]
held = duckdb.connect(lake.database, read_only=True) if way == "held" else None
good = 0

def opened():
    # DuckDB 2.0 reads a file's header and its blocks in two goes: of a file that was replaced in
    # that instant it says so, and is asked again.
    try:
        return duckdb.connect(lake.database, read_only=True)
    except (duckdb.IOException, duckdb.SerializationException):
        return duckdb.connect(lake.database, read_only=True)

def look():
    query = "SELECT trading_day, count(*), min(volume), max(volume) FROM daily_candles GROUP BY 1"
    if way == "held":
        found = held.execute(query).fetchall()
    elif way == "read":
        found = lake.read(query).rows()
    else:
        with opened() as connection:
            found = connection.execute(query).fetchall()
    assert len(found) == 2, found
    for _, count, least, most in found:
        assert count == least == most, found
    rows = lake.scan(DAILY_CANDLES).collect()
    assert rows["trading_day"].n_unique() == 2

look()
print("ready", flush=True)
sys.stdin.readline()
while True:
    done = Path(sys.argv[3]).exists()
    look()
    good += 1
    if done:
        break
print(good)
"""


def _write_and_read_at_once(folder: Path, times: int) -> int:
    """Two writers of one month and three readers; how many times the readers read."""
    lake = Lake(folder / "lake", source="mock")
    for day in (DAY, NEXT):
        lake.replace(DAILY_CANDLES, Scope.day(day), candles((day, "000000", 1)))
    done = folder / "done"
    writers = [_run(_WRITER, lake.folder, day, times) for day in (DAY, NEXT)]
    readers = [_run(_READER, lake.folder, way, done) for way in ("each", "read", "held")]
    for process in writers + readers:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "ready\n"
    for process in writers + readers:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate()[1] for process in writers]
    done.touch()
    looked = [process.communicate() for process in readers]
    assert told + [errors for _, errors in looked] == [""] * 5
    assert volumes(lake.scan(DAILY_CANDLES)) == {
        (day, f"{n:06d}"): times + 1 for day in (DAY, NEXT) for n in range(times + 1)
    }
    assert lake.read("SELECT sum(volume) FROM daily_candles").item() == 2 * (times + 1) ** 2
    assert_healthy(lake)
    return sum(int(printed) for printed, _ in looked)


def test_writers_and_readers_do_not_disturb_each_other(tmp_path: Path) -> None:
    assert _write_and_read_at_once(tmp_path, 4) >= 3


@pytest.mark.slow
def test_writers_and_readers_do_not_disturb_each_other_for_long(tmp_path: Path) -> None:
    assert _write_and_read_at_once(tmp_path, 60) > 50


_ANALYST = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE mine AS SELECT 1 AS n")
print(connection.execute("SELECT volume FROM daily_candles").fetchall(), flush=True)
sys.stdin.readline()
print(connection.execute("SELECT volume FROM daily_candles").fetchall(), flush=True)
"""


@pytest.fixture
def analyst(lake: Lake) -> Iterator[subprocess.Popen[str]]:
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 1)))
    process = _run(_ANALYST, lake.database)
    yield process
    process.kill()
    process.communicate()


def test_an_analyst_who_holds_the_catalog_for_writing_stops_no_run(
    lake: Lake, analyst: subprocess.Popen[str]
) -> None:
    assert analyst.stdout
    assert analyst.stdout.readline() == "[(1,)]\n"
    lake.replace(DAILY_CANDLES, Scope.day(DAY), candles((DAY, SAMSUNG, 2)))
    assert lake.read("SELECT volume FROM daily_candles").item() == 2
    with duckdb.connect(lake.database, read_only=True) as another:
        assert another.sql("SELECT volume FROM daily_candles").fetchall() == [(2,)]
        assert "mine" not in str(another.sql("SHOW TABLES").fetchall())
    printed, errors = analyst.communicate("\n")
    assert (printed, errors) == ("[(1,)]\n", "")


# --- any sequence of writes -----------------------------------------------------------------------

_days = st.sampled_from([date(2026, 3, 2), date(2026, 3, 3), date(2026, 4, 1)])
_codes = st.sampled_from([SAMSUNG, HYNIX, NAVER])
_writes = st.lists(
    st.tuples(
        _days,
        st.booleans(),
        st.none() | st.frozensets(_codes),
        st.dictionaries(st.tuples(_days, _codes), st.integers(0, 3)),
    ),
    max_size=8,
)


@settings(max_examples=20, deadline=None)
@given(_writes)
def test_any_sequence_of_writes_equals_a_dictionary(
    writes: list[tuple[date, bool, frozenset[str] | None, dict[tuple[date, str], int]]],
) -> None:
    model: dict[tuple[date, str], int] = {}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        lake = Lake(Path(folder), source="mock")
        # Publishing at each write is tested above and would make this one slow.
        patch.setattr(Lake, "publish", lambda *_, **__: None)
        patch.setattr(os, "fsync", lambda _: None)
        for day, is_month, codes, given_rows in writes:
            scope = Scope.month(day) if is_month else Scope.day(day)
            scope = scope if codes is None else scope.of(codes)

            def covered(key: tuple[date, str], scope: Scope = scope) -> bool:
                in_codes = all(key[1] in values for _, values in scope.among)
                return scope.first <= key[0] <= scope.last and in_codes

            new = {key: volume for key, volume in given_rows.items() if covered(key)}
            old = {key: volume for key, volume in model.items() if covered(key)}
            change = lake.replace(
                DAILY_CANDLES, scope, candles(*((*key, volume) for key, volume in new.items()))
            )
            assert change.rows == len(new)
            assert counts(change) == (
                len(new.keys() - old.keys()),
                len(old.keys() - new.keys()),
                sum(old[key] != new[key] for key in old.keys() & new.keys()),
            )
            assert (change.path is None) == (counts(change) == (0, 0, 0))
            model = {key: v for key, v in model.items() if not covered(key)} | new
            assert volumes(lake.scan(DAILY_CANDLES)) == model
        patch.undo()
        lake.publish()
        assert volumes(lake.read("SELECT * FROM daily_candles")) == model
        assert_healthy(lake)
