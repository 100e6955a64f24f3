"""What a stream brings is on the disk within a second, once, in order, and gaps are noted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from kis_assets.exchange import calendar
from kis_assets.kis.stream_records import BookUpdate, Trade
from kis_assets.kis.stream_stocks import Level
from kis_assets.lake import live_parts
from kis_assets.lake.lake import Lake, LakeError
from kis_assets.tables import ORDER_BOOK_TICKS, STREAM_GAPS, TRADES, Table
from kis_assets.ticks import compaction, recorder
from kis_assets.ticks.journal import Journal, days
from kis_assets.ticks.recorder import Recorder

DAY = date(2026, 3, 17)
SAMSUNG, HYNIX = "005930", "000660"


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"{DAY}T{clock}").replace(tzinfo=calendar.SEOUL)


class Clock:
    """The wall clock, turned by hand."""

    def __init__(self) -> None:
        self.now = at("08:50:00")

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "mock", source="mock")


@pytest.fixture
def recording(lake: Lake, clock: Clock) -> Iterator[Recorder]:
    made = begun(lake, clock)
    yield made
    made.close()


def begun(lake: Lake, clock: Clock, *codes: str) -> Recorder:
    made = Recorder(lake, DAY, clock)
    made.follow(codes or (SAMSUNG, HYNIX))
    if clock.now < at("09:00:00"):
        made.opened(codes or (SAMSUNG, HYNIX), clock.now)
    return made


def trade(
    clock: str, volume: int, quantity: int = 10, code: str = SAMSUNG, price: int = 100, **more: str
) -> Trade:
    return Trade(
        stock_code=code, traded_at=at(clock), price=price, quantity=quantity, side="buy",
        change=0, change_rate=0.0, open=100, high=100, low=100, best_ask=101, best_bid=None,
        volume=volume, trading_value=volume * 100, is_halted=False, session="regular",
        received_at=at(clock) + timedelta(milliseconds=250),
    )  # fmt: skip


def book(clock: str, total: int, code: str = SAMSUNG) -> BookUpdate:
    return BookUpdate(
        stock_code=code, booked_at=at(clock), asks=(Level(101, 5), Level(102, 6)),
        bids=(Level(99, 7),), total_ask_volume=total, total_bid_volume=7, expected_price=None,
        expected_volume=None, session=None, received_at=at(clock),
    )  # fmt: skip


def stored(lake: Lake, table: Table) -> pl.DataFrame:
    """What the journal of the day holds."""
    found = [rows for _, rows in Journal(lake.folder, DAY).frames(table, "mock")]
    return pl.concat([table.empty(), *found]).sort("sequence")


def gaps(lake: Lake) -> list[tuple[str, str, str | None, int | None, str]]:
    def clock(moment: datetime | None) -> str | None:
        return None if moment is None else f"{moment.astimezone(calendar.SEOUL):%H:%M:%S}"

    return [
        (row["stock_code"], clock(row["since"]) or "", clock(row["until"]),
         row["missing_volume"], row["reason"])
        for row in stored(lake, STREAM_GAPS).iter_rows(named=True)
    ]  # fmt: skip


# Rows


def test_a_trade_is_kept_with_all_that_it_says(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    recording.commit()
    assert stored(lake, TRADES).row(0, named=True) == {
        "trading_day": DAY, "stock_code": SAMSUNG, "sequence": 1, "traded_at": at("09:00:01"),
        "session": "regular", "price": 100, "quantity": 10, "side": "buy", "volume": 10,
        "trading_value": 1000, "change": 0, "best_ask": 101, "best_bid": None, "is_halted": False,
        "source": "mock", "fetched_at": at("09:00:01") + timedelta(milliseconds=250),
    }  # fmt: skip


def test_a_book_is_kept_level_by_level(lake: Lake, recording: Recorder) -> None:
    recording.take(book("09:00:01", 11))
    recording.commit()
    row = stored(lake, ORDER_BOOK_TICKS).row(0, named=True)
    levels = {name: row[name] for name in row if "price_" in name or "volume_" in name}
    told = {
        *{("ask_price_1", 101), ("ask_volume_1", 5), ("ask_price_2", 102), ("ask_volume_2", 6)},
        *{("bid_price_1", 99), ("bid_volume_1", 7)},
    }
    assert {(name, value) for name, value in levels.items() if value is not None} == told
    assert (row["booked_at"], row["total_ask_volume"]) == (at("09:00:01"), 11)


def test_nothing_is_on_the_disk_before_a_commit_and_all_after_it(
    lake: Lake, recording: Recorder
) -> None:
    for number in range(1, 4):
        recording.take(trade("09:00:01", 10 * number))
    assert stored(lake, TRADES).is_empty()
    recording.commit()
    assert stored(lake, TRADES)["volume"].to_list() == [10, 20, 30]


def test_records_of_another_day_are_left_out_and_counted(lake: Lake, recording: Recorder) -> None:
    other = trade("09:00:01", 10)
    recording.take(
        Trade(**{name: getattr(other, name) for name in Trade.__slots__}
              | {"traded_at": other.traded_at - timedelta(days=1)})
    )  # fmt: skip
    recording.commit()
    assert stored(lake, TRADES).is_empty()
    assert recording.strays == 1


def test_a_disk_that_fails_loses_nothing_once_it_works_again(
    lake: Lake, recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.take(trade("09:00:01", 10))
    with monkeypatch.context() as broken:

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        broken.setattr(Journal, "add", full)
        with pytest.raises(sqlite3.OperationalError):
            recording.commit()
    recording.take(trade("09:00:02", 20))
    recording.commit()
    assert stored(lake, TRADES)["volume"].to_list() == [10, 20]


# Once


def test_what_is_sent_twice_after_a_break_is_kept_once(lake: Lake, recording: Recorder) -> None:
    sent = [trade("09:00:01", 10), trade("09:00:01", 20), trade("09:00:02", 30)]
    books = [book("09:00:01", total) for total in (1, 2, 1)]
    for record in (*sent, *books):
        recording.take(record)
    recording.broke([SAMSUNG], at("09:00:03"))
    recording.opened([SAMSUNG], at("09:00:04"))
    for record in (*sent[1:], *books[1:], trade("09:00:05", 40), book("09:00:05", 2)):
        recording.take(record)
    recording.commit()
    assert stored(lake, TRADES)["volume"].to_list() == [10, 20, 30, 40]
    assert stored(lake, ORDER_BOOK_TICKS)["total_ask_volume"].to_list() == [1, 2, 1, 2]
    assert recording.duplicates == 4


def test_a_book_that_comes_back_to_what_it_was_is_kept(lake: Lake, recording: Recorder) -> None:
    for total in (1, 2, 1, 2):
        recording.take(book("09:00:01", total))
    recording.commit()
    assert stored(lake, ORDER_BOOK_TICKS)["total_ask_volume"].to_list() == [1, 2, 1, 2]


def test_a_running_volume_that_falls_is_kept_to_be_seen(lake: Lake, recording: Recorder) -> None:
    for volume in (10, 20, 5):
        recording.take(trade("09:00:01", volume, quantity=5))
    recording.commit()
    assert stored(lake, TRADES)["volume"].to_list() == [10, 20, 5]


# Gaps


def test_a_day_that_is_followed_from_before_the_open_has_no_gap(
    lake: Lake, recording: Recorder
) -> None:
    recording.take(trade("09:00:01", 10))
    recording.take(trade("09:00:02", 20))
    recording.commit()
    assert gaps(lake) == []


def test_a_late_start_is_a_gap_from_the_open_with_what_was_traded(lake: Lake, clock: Clock) -> None:
    clock.now = at("10:00:00")
    late = begun(lake, clock)
    late.opened([SAMSUNG, HYNIX], at("10:00:00"))
    late.take(trade("10:00:05", 5_010, quantity=10))
    late.take(trade("10:00:05", 20, quantity=20, code=HYNIX))
    late.close()
    # Of the other stock nothing had been traded before.
    assert gaps(lake) == [(SAMSUNG, "09:00:00", "10:00:00", 5_000, "late_start")]


def test_a_break_is_a_gap_for_every_stock_with_the_shares_that_are_missing(
    lake: Lake, recording: Recorder
) -> None:
    recording.take(trade("09:00:01", 10))
    recording.take(trade("09:00:01", 10, code=HYNIX))
    recording.broke([SAMSUNG, HYNIX], at("09:00:10"))
    recording.opened([SAMSUNG, HYNIX], at("09:00:40"))
    recording.take(trade("09:00:41", 1_020, quantity=10))
    recording.take(trade("09:01:30", 15, quantity=5, code=HYNIX))
    recording.take(trade("09:01:31", 1_030, quantity=10))
    recording.commit()
    assert gaps(lake) == [
        (SAMSUNG, "09:00:10", "09:00:40", 1_000, "disconnected"),
        (HYNIX, "09:00:10", "09:00:40", 0, "disconnected"),
    ]


def test_two_breaks_without_a_trade_between_are_one_gap(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    for broke, opened in (("09:00:10", "09:00:20"), ("09:00:30", "09:00:40")):
        recording.broke([SAMSUNG], at(broke))
        recording.opened([SAMSUNG], at(opened))
    recording.take(trade("09:00:41", 120, quantity=10))
    recording.commit()
    assert gaps(lake) == [(SAMSUNG, "09:00:10", "09:00:40", 100, "disconnected")]


def test_a_break_of_one_key_is_none_of_the_stocks_of_another(
    lake: Lake, recording: Recorder
) -> None:
    recording.broke([SAMSUNG], at("09:00:10"))
    recording.opened([SAMSUNG], at("09:00:20"))
    recording.take(trade("09:00:30", 10, code=HYNIX))
    recording.commit()
    assert gaps(lake) == []


def test_a_jump_of_the_running_volume_is_a_gap_too(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    recording.take(trade("09:00:05", 1_000, quantity=10))
    recording.commit()
    assert gaps(lake) == [(SAMSUNG, "09:00:01", "09:00:05", 980, "unexplained")]


def test_what_ended_and_began_again_notes_the_time_between(lake: Lake, clock: Clock) -> None:
    first = begun(lake, clock)
    first.take(trade("09:00:01", 10))
    clock.now = at("09:00:02")
    first.commit()
    first.take(trade("09:00:03", 20))  # the process is killed with it
    clock.now = at("09:05:00")
    second = begun(lake, clock)
    second.opened([SAMSUNG, HYNIX], at("09:05:01"))
    second.take(trade("09:05:02", 500, quantity=40))
    second.close()
    assert gaps(lake) == [(SAMSUNG, "09:00:02", "09:05:01", 450, "stopped")]
    assert stored(lake, TRADES)["sequence"].to_list() == [1, 2]


def test_what_began_again_knows_what_is_sent_twice(lake: Lake, clock: Clock) -> None:
    first = begun(lake, clock)
    sent = [trade("09:00:01", 10), book("09:00:01", 1), trade("09:00:02", 20)]
    for record in sent:
        first.take(record)
    first.close()
    second = begun(lake, clock)
    for record in sent:
        second.take(record)
    second.close()
    assert stored(lake, TRADES).height == 2
    assert stored(lake, ORDER_BOOK_TICKS).height == 1


def test_a_stock_that_leaves_the_list_and_comes_back_has_a_gap(lake: Lake, clock: Clock) -> None:
    made = begun(lake, clock)
    made.take(trade("09:00:01", 10))
    clock.now = at("12:00:00")
    made.follow([HYNIX])
    clock.now = at("13:00:00")
    made.follow([HYNIX, SAMSUNG])
    made.opened([HYNIX, SAMSUNG], at("13:00:00"))
    made.take(trade("13:00:01", 110, quantity=10))
    made.close()
    assert gaps(lake) == [(SAMSUNG, "12:00:00", "13:00:00", 90, "left_out")]


# What the views read


def shown(lake: Lake, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(lake.database, read_only=True) as connection:
        return connection.sql(query).fetchall()


def test_views_show_a_day_while_it_is_recorded_and_one_file_when_it_is_stored(
    lake: Lake, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "PARTS_EVERY", 2)
    made = begun(lake, clock)
    query = "SELECT stock_code, sequence, volume FROM trades ORDER BY sequence"
    assert shown(lake, query) == []
    made.take(trade("09:00:01", 10))
    made.commit()
    assert shown(lake, query) == []  # not yet: a file a second would be too many
    made.take(trade("09:00:02", 20))
    made.take(trade("09:00:02", 30, code=HYNIX, quantity=30))
    made.commit()
    rows = [(SAMSUNG, 1, 10), (SAMSUNG, 2, 20), (HYNIX, 3, 30)]
    assert shown(lake, query) == rows
    made.take(trade("09:00:03", 30))
    made.close()
    rows.append((SAMSUNG, 4, 30))
    assert shown(lake, query) == rows  # each in one of the small files
    change = compaction.store(lake, TRADES, DAY, compaction.trades)
    assert (change.rows, change.added) == (4, 4)
    assert shown(lake, query) == rows
    [path] = (lake.folder / "parquet" / "trades").iterdir()
    assert pl.read_parquet(path)["stock_code"].to_list() == [HYNIX, SAMSUNG, SAMSUNG, SAMSUNG]


def test_what_is_stored_again_makes_no_second_version(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    recording.commit()
    first = compaction.store(lake, TRADES, DAY, compaction.trades)
    again = compaction.store(lake, TRADES, DAY, compaction.trades)
    assert first.path is not None
    assert (again.path, again.added, again.rows) == (None, 0, 1)
    recording.take(trade("09:00:02", 20))
    recording.commit()
    assert compaction.store(lake, TRADES, DAY, compaction.trades).added == 1


def test_a_gap_that_no_trade_ended_is_stored_without_a_volume(
    lake: Lake, recording: Recorder
) -> None:
    recording.take(trade("09:00:01", 10))
    recording.broke([SAMSUNG], at("15:29:00"))
    recording.commit()
    compaction.store(lake, STREAM_GAPS, DAY, compaction.gaps)
    query = "SELECT stock_code, until, missing_volume, reason FROM stream_gaps"
    assert shown(lake, query) == [(SAMSUNG, None, None, "disconnected")]


def test_a_record_that_came_twice_long_after_the_first_is_stored_once(
    lake: Lake, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_REMEMBERED", 1)
    made = begun(lake, clock)
    for record in (trade("09:00:01", 10), trade("09:00:02", 20), trade("09:00:01", 10)):
        made.take(record)
    made.close()
    assert stored(lake, TRADES).height == 3
    compaction.store(lake, TRADES, DAY, compaction.trades)
    assert shown(lake, "SELECT volume FROM trades ORDER BY sequence") == [(10,), (20,)]


def test_small_files_go_a_day_after_the_day_is_stored(
    lake: Lake, recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.take(trade("09:00:01", 10))
    recording.commit()
    compaction.store(lake, TRADES, DAY, compaction.trades)
    folder = lake.folder / "live" / "trades"
    lake.maintain()
    assert list(folder.iterdir())
    monkeypatch.setattr(live_parts, "READ_FOR", -1.0)
    lake.maintain()
    assert list(folder.iterdir()) == []
    assert shown(lake, "SELECT volume FROM trades") == [(10,)]
    # What is not stored yet stays.
    assert list((lake.folder / "live" / "order_book_ticks").iterdir())


def test_a_day_that_nobody_recorded_cannot_be_stored(lake: Lake) -> None:
    with pytest.raises(FileNotFoundError, match="nothing was recorded on 2026-03-17"):
        compaction.store(lake, TRADES, DAY, compaction.trades)
    assert days(lake.folder) == []


def test_many_threads_lose_nothing(lake: Lake, recording: Recorder) -> None:
    def take(code: str) -> None:
        for number in range(1, 301):
            recording.take(trade("09:00:01", 10 * number, code=code))
            if number % 100 == 0:
                recording.commit()

    threads = [threading.Thread(target=take, args=(code,)) for code in (SAMSUNG, HYNIX)]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    recording.commit()
    rows = stored(lake, TRADES)
    assert rows["sequence"].to_list() == list(range(1, 601))
    for code in (SAMSUNG, HYNIX):
        found = rows.filter(stock_code=code)["volume"].to_list()
        assert found == [10 * number for number in range(1, 301)]


# What was found by trying to break it


def volumes(lake: Lake) -> list[object]:
    return [row[0] for row in shown(lake, "SELECT volume FROM trades ORDER BY sequence")]


@pytest.mark.parametrize("harm", ["cut", "deleted"])
def test_a_small_file_that_is_damaged_or_gone_is_made_again(
    lake: Lake, recording: Recorder, harm: str
) -> None:
    for number in (1, 2, 3):
        recording.take(trade(f"09:00:0{number}", 10 * number))
        recording.commit()
        compaction.show(lake, Journal(lake.folder, DAY))
    [path] = (lake.folder / "live" / "trades").glob("*/2-2-*.parquet")
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    compaction.store(lake, TRADES, DAY, compaction.trades)
    assert volumes(lake) == [10, 20, 30]


def test_a_folder_without_a_version_hides_no_day(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    recording.close()
    # What a process leaves that is killed before its first version has its name.
    (lake.folder / "versions" / "trades" / f"trading_day={DAY}").mkdir(parents=True)
    lake.publish()
    assert volumes(lake) == [10]


def test_nothing_is_deleted_while_a_day_is_stored(
    lake: Lake, recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.take(trade("09:00:01", 10))
    recording.close()
    compaction.store(lake, TRADES, DAY, compaction.trades)
    monkeypatch.setattr(live_parts, "READ_FOR", -1.0)
    held: list[str] = []

    def meanwhile(rows: pl.LazyFrame, journal: Journal, source: str) -> Iterator[pl.DataFrame]:
        sweeper = threading.Thread(target=lake.maintain, daemon=True)
        sweeper.start()
        sweeper.join(0.3)
        held.append("waits" if sweeper.is_alive() else "swept")
        yield from compaction.trades(rows, journal, source)

    compaction.store(lake, TRADES, DAY, meanwhile)
    assert (held, volumes(lake)) == (["waits"], [10])


def test_a_day_that_is_recorded_is_not_stored(lake: Lake, recording: Recorder) -> None:
    with lake.recording(DAY), pytest.raises(LakeError, match="another process records"):
        compaction.store(lake, TRADES, DAY, compaction.trades)


def test_a_price_that_cannot_be_keeps_no_other_out(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    recording.take(trade("09:00:02", 20, price=0))
    recording.close()
    compaction.store(lake, TRADES, DAY, compaction.trades)
    assert (volumes(lake), recording.strays) == ([10], 1)


def test_records_that_come_late_make_no_gap(lake: Lake, recording: Recorder) -> None:
    for volume in (10, 30, 20, 40):
        recording.take(trade("09:00:01", volume))
    recording.commit()
    # What the late one brings was told missing before it came.
    assert [missing for *_, missing, _ in gaps(lake)] == [10]


def test_a_count_that_begins_anew_is_followed(lake: Lake, recording: Recorder) -> None:
    for volume in (10, 20, 10, 20, 50):
        recording.take(trade(f"09:00:0{volume // 10}", volume))
    recording.commit()
    assert [missing for *_, missing, _ in gaps(lake)] == [20]


def test_books_push_no_trade_out_of_what_is_remembered(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    for total in range(1, 600):
        recording.take(book("09:00:02", total))
    recording.broke([SAMSUNG], at("09:00:03"))
    recording.opened([SAMSUNG], at("09:00:04"))
    recording.take(trade("09:00:01", 10))
    recording.take(trade("09:00:05", 50))
    recording.commit()
    assert stored(lake, TRADES)["volume"].to_list() == [10, 50]
    assert gaps(lake) == [(SAMSUNG, "09:00:03", "09:00:04", 30, "disconnected")]


def test_the_last_book_of_long_ago_is_known_again(lake: Lake, clock: Clock) -> None:
    first = begun(lake, clock)
    first.take(book("09:00:01", 1))
    for number in range(recorder._RESENT + 10):
        first.take(trade("09:00:02", 10 * (number + 1), code=HYNIX))
        first.take(book("09:00:02", number, code=HYNIX))
        first.commit()
    first.close()
    second = begun(lake, clock)
    second.take(book("09:00:01", 1))
    second.close()
    assert stored(lake, ORDER_BOOK_TICKS).filter(stock_code=SAMSUNG).height == 1


def test_an_expected_price_that_changes_is_a_new_book(lake: Lake, recording: Recorder) -> None:
    recording.take(book("09:00:01", 1))
    changed = book("09:00:01", 1)
    recording.take(
        BookUpdate(**{name: getattr(changed, name) for name in BookUpdate.__slots__}
                   | {"expected_price": 100})
    )  # fmt: skip
    recording.commit()
    assert stored(lake, ORDER_BOOK_TICKS).height == 2


def test_a_gap_that_is_over_stays_as_it_is(lake: Lake, recording: Recorder) -> None:
    recording.take(trade("09:00:01", 10))
    recording.broke([SAMSUNG], at("09:10:00"))
    recording.opened([SAMSUNG], at("09:10:30"))
    recording.opened([SAMSUNG, HYNIX], at("11:00:00"))  # the list of its key has changed
    recording.take(trade("11:00:01", 30))
    recording.commit()
    assert gaps(lake) == [(SAMSUNG, "09:10:00", "09:10:30", 10, "disconnected")]


def test_a_late_start_of_a_stock_that_never_trades_again_is_told(lake: Lake, clock: Clock) -> None:
    clock.now = at("10:00:00")
    begun(lake, clock, SAMSUNG).close()
    compaction.store(lake, STREAM_GAPS, DAY, compaction.gaps)
    found = shown(lake, "SELECT stock_code, missing_volume, reason FROM stream_gaps")
    assert found == [(SAMSUNG, None, "late_start")]


def test_a_disk_that_is_full_at_the_end_is_waited_for(
    lake: Lake, recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, tries = Journal.add, iter([True, True, False])

    def full(self: Journal, *given: object) -> None:
        if next(tries):
            raise sqlite3.OperationalError("database or disk is full")
        add(self, *given)  # type: ignore[arg-type]

    slept: list[float] = []
    monkeypatch.setattr(Journal, "add", full)
    monkeypatch.setattr(recorder.time, "sleep", slept.append)
    recording.take(trade("09:00:01", 10))
    recording.close()
    monkeypatch.setattr(Journal, "add", add)
    assert (stored(lake, TRADES).height, slept.count(recorder.EVERY)) == (1, 2)


def test_a_journal_that_was_lost_goes_on_after_what_the_views_show(
    lake: Lake, clock: Clock
) -> None:
    first = begun(lake, clock)
    for volume in (10, 20, 30):
        first.take(trade("09:00:01", volume))
        first.commit()
    first.close()
    for path in (lake.folder / "live").glob("*.sqlite*"):
        path.unlink()
    second = begun(lake, clock)
    second.take(trade("09:00:05", 40))
    second.close()
    assert volumes(lake) == [10, 20, 30, 40]
    compaction.store(lake, TRADES, DAY, compaction.trades)
    assert volumes(lake) == [10, 20, 30, 40]


def test_rows_of_earlier_columns_are_read_while_a_day_is_not_stored(
    lake: Lake, recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.take(trade("09:00:01", 10))
    recording.close()
    for path in (lake.folder / "live" / "trades").glob("*/*.parquet"):
        fewer = pl.read_parquet(path, hive_partitioning=False).drop("change")
        fewer.write_parquet(path.with_name(path.name.replace(path.stem[-6:], "0ddba1")))
        path.unlink()
    lake.publish()
    assert shown(lake, "SELECT volume, change FROM trades") == [(10, None)]


def test_a_busy_minute_is_several_small_files(
    lake: Lake, recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_OF_A_PART", 2)
    for volume in range(10, 60, 10):
        recording.take(trade("09:00:01", volume))
        recording.commit()
    compaction.show(lake, Journal(lake.folder, DAY))
    parts = sorted(path.name[:3] for path in (lake.folder / "live" / "trades").glob("*/*.parquet"))
    assert parts == ["0-0", "1-2", "3-4", "5-5"]
    assert volumes(lake) == [10, 20, 30, 40, 50]


def test_a_journal_goes_a_week_after_all_of_its_day_is_stored(
    lake: Lake, recording: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.take(trade("09:00:01", 10))
    recording.commit()
    compaction.store(lake, TRADES, DAY, compaction.trades)
    compaction.store(lake, ORDER_BOOK_TICKS, DAY, compaction.books)
    monkeypatch.setattr(live_parts, "JOURNAL_FOR", -1.0)
    lake.maintain()
    assert days(lake.folder) == [DAY]  # the gaps are not stored
    compaction.store(lake, STREAM_GAPS, DAY, compaction.gaps)
    monkeypatch.setattr(live_parts, "JOURNAL_FOR", 3600.0)
    lake.maintain()
    assert days(lake.folder) == [DAY]
    monkeypatch.setattr(live_parts, "JOURNAL_FOR", -1.0)
    lake.maintain()
    assert days(lake.folder) == []
    Journal(lake.folder, DAY, writes=True)  # for the fixture, which closes the recording


def test_a_session_that_opens_late_is_a_late_start(lake: Lake, clock: Clock) -> None:
    made = Recorder(lake, DAY, clock)
    made.follow([SAMSUNG])  # before the open, and nobody can be reached
    made.opened([SAMSUNG], at("11:00:00"))
    made.take(trade("11:00:01", 510, quantity=10))
    made.close()
    assert gaps(lake) == [(SAMSUNG, "09:00:00", "11:00:00", 500, "late_start")]


def test_a_session_that_never_opens_is_told(lake: Lake, clock: Clock) -> None:
    made = Recorder(lake, DAY, clock)
    made.follow([SAMSUNG])
    made.commit()  # the process ends with it
    compaction.store(lake, STREAM_GAPS, DAY, compaction.gaps)
    found = shown(lake, "SELECT stock_code, until, missing_volume, reason FROM stream_gaps")
    assert found == [(SAMSUNG, None, None, "late_start")]
