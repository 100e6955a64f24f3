"""Stores a recorded day in the lake: small files during the day, then one file per table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import polars as pl

from kis_assets.lake.lake import Change, Lake, Scope
from kis_assets.tables import ORDER_BOOK_TICKS, STREAM_GAPS, TRADES, Table
from kis_assets.ticks.journal import Journal, instant

RECORDED = (STREAM_GAPS, TRADES, ORDER_BOOK_TICKS)
"""The tables that a stream records; checks compare trades with the gaps."""
Pieces = Callable[[pl.LazyFrame, Journal, str], Iterator[pl.DataFrame]]
"""Yields the rows of a day, one stock at a time, from recorded rows, journal and source."""
_AT_ONCE = 400_000
"""How many rows are in memory together; one stock may have more."""
_OF_A_PART = 50_000
"""Most rows of a small file: a busy minute of many stocks becomes several files."""
_ONE_TRADE = ("traded_at", "price", "quantity", "volume")


def show(lake: Lake, journal: Journal) -> None:
    """Write the rows recorded since the last call to files that the views read."""
    for table in RECORDED:
        parts = lake.live_parts(table, journal.day)
        with parts.lock():
            parts.begin()
            last, waiting = parts.last(), list[pl.DataFrame]()
            number = last
            for number, rows in journal.frames(table, lake.source, after=last):
                waiting.append(rows)
                if sum(it.height for it in waiting) >= _OF_A_PART:
                    parts.add(last + 1, number, pl.concat(waiting))
                    last, waiting = number, []
            if waiting:
                parts.add(last + 1, number, pl.concat(waiting))


def store(lake: Lake, table: Table, day: date, pieces: Pieces) -> Change:
    """Store a recorded day of a table as one file, and publish.

    Args:
        lake: the lake with the journal.
        table: the table.
        day: the trading day.
        pieces: yields its rows one stock at a time: `trades`, `books` or `gaps`.

    Raises:
        FileNotFoundError: nothing was recorded on that day.
        LakeError: the day is being recorded, or the disk is full or fails.
    """
    journal = Journal(lake.folder, day)
    if not journal.path.exists():
        raise FileNotFoundError(f"nothing was recorded on {day}: {journal.path} is not there")
    with lake.recording(day), lake.live_parts(table, day).storing():
        show(lake, journal)
        rows = lake.live_parts(table, day).scan()
        return lake.replace_stocks(table, Scope.day(day), pieces(rows, journal, lake.source))


def trades(rows: pl.LazyFrame, _: Journal, __: str) -> Iterator[pl.DataFrame]:
    """All trades, one stock at a time, without duplicates."""
    for piece in _by_stock(rows):  # KIS may send a trade twice, with a long delay
        yield piece.unique(_ONE_TRADE, keep="first", maintain_order=True)


def books(rows: pl.LazyFrame, _: Journal, __: str) -> Iterator[pl.DataFrame]:
    """All order books, one stock at a time."""
    yield from _by_stock(rows)


def _by_stock(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """All rows, one stock at a time, in the order of arrival."""
    counted = rows.group_by("stock_code").len().collect(engine="streaming").sort("stock_code")
    several: list[str] = []
    total = 0
    for code, count in counted.iter_rows():
        if several and total + count > _AT_ONCE:
            yield from _rows_by_stock(rows, several)
            several, total = [], 0
        several.append(code)
        total += count
    if several:
        yield from _rows_by_stock(rows, several)


def _rows_by_stock(rows: pl.LazyFrame, codes: list[str]) -> list[pl.DataFrame]:
    found = rows.filter(pl.col("stock_code").is_in(codes)).collect().sort("stock_code", "sequence")
    return found.partition_by("stock_code", maintain_order=True)


def gaps(rows: pl.LazyFrame, journal: Journal, source: str) -> Iterator[pl.DataFrame]:
    """The gaps of a day, including open ones, whose missing volume is unknown."""
    known = rows.collect()
    state = journal.state()
    number = known.height
    open_ones: list[dict[str, object]] = []
    for code, (_, _, gap, _, _) in state.get("stocks", {}).items():
        if gap is not None:
            since, until, reason = gap
            number += 1
            open_ones.append(
                {
                    "trading_day": journal.day,
                    "stock_code": code,
                    "sequence": number,
                    "since": instant(since),
                    "until": None if until is None else instant(until),
                    "missing_volume": None,
                    "reason": reason,
                    "source": source,
                    "fetched_at": instant(state["alive_at"]),
                }
            )
    everything = pl.concat([known, pl.DataFrame(open_ones, STREAM_GAPS.schema)])
    yield from everything.sort("stock_code", "sequence").partition_by(
        "stock_code", maintain_order=True
    )
