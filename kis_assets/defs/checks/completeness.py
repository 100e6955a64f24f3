"""Checks for any table: keys, stocks, sessions, numbers of rows."""

from __future__ import annotations

from datetime import date, timedelta
from statistics import median

import polars as pl

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.exchange import calendar
from kis_assets.exchange.finality import newest_settled_day
from kis_assets.lake import quality
from kis_assets.lake.closed_days import closed_before
from kis_assets.lake.diff import compare
from kis_assets.lake.scope import day_of, order_of, unit_of
from kis_assets.lake.universe import wanted
from kis_assets.tables import QUALITY, STOCK_MASTER, Table

SESSIONS_BACK = 5
"""The number of sessions with which a day's number of rows is compared."""
WEEKS_BACK = 3


def key_is_unique(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """No two rows have the same key."""
    # Hashes take a tenth of the memory of keys; only rows with equal hashes are compared.
    hashed = pl.struct(window.table.key).hash().alias("hash")
    hashes = rows.select(hashed).collect(engine="streaming")["hash"].sort()
    equal = hashes.filter(hashes == hashes.shift())
    return (
        rows.filter(hashed.is_in(equal.implode()))
        .filter(pl.struct(window.table.key).is_duplicated())
        .select(window.table.key)
    )


def universe_is_covered(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every stock of a day's universe has a row in the latest capture, or it is known why not."""
    master = window.rows(STOCK_MASTER).filter(
        wanted(window.settings, window.lake),
        pl.col("listed_on").is_null() | (pl.col("listed_on") <= pl.col("trading_day")),
    )
    if "captured_at" in window.table.schema:
        rows = rows.filter(pl.col("captured_at") == pl.col("captured_at").max().over("trading_day"))
    known = quality.absences(window.lake, window.table, window.first, window.last).lazy()
    both = ["trading_day", "stock_code"]
    # A master is from the morning: until the close its stocks need no rows yet.
    days = [session.day for session in window.sessions]
    if "captured_at" not in window.table.schema:
        master = master.filter(pl.col("trading_day").is_in(days))
    return (
        master.join(rows.select(both).unique(), on=both, how="anti")
        .join(known, on=both, how="anti")
        .select(*both, "stock_name", "market", "is_halted")
    )


def every_session_is_present(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every past session has rows, from the first stored session on."""
    found = set(rows.select("trading_day").unique().collect()["trading_day"])
    first_unit = next(iter(window.lake.units(window.table)), "")
    is_first = first_unit == unit_of(window.table, window.first)
    since = min(found, default=window.last) if is_first else window.first
    missing = [s.day for s in window.sessions if s.day >= since and s.day not in found]
    return pl.LazyFrame({"trading_day": missing}, schema={"trading_day": pl.Date})


def every_published_session_is_present(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every session with published figures has rows, from the first stored session on."""
    published = newest_settled_day(
        window.now, window.table.published_after, closed_before(window.lake, window.now)
    )
    missing = every_session_is_present(window, rows)
    return missing.filter(pl.col("trading_day") <= published)


def settled_days_are_unchanged(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows that were final when they were stored equal the previous version, cell by cell.

    Differences are shown with both values; `kis-assets diff` shows all of them.
    """
    written = window.lake.written_at(window.table, window.first)
    if len(written) < 2:
        raise NotComparable("these rows have only one version")
    order = order_of(window.table)
    settled = (
        window.lake.scan(window.table, as_of=written[-2], first=window.first, last=window.last)
        .filter(is_final(window.table))
        .collect()
        .sort(order)
    )
    now = rows.join(settled.lazy(), on=window.table.key, how="semi").collect().sort(order)
    most = (settled.height + 1) * len(window.table.columns)
    return compare(window.table, settled, now, most)[3].lazy()


def is_final(table: Table) -> pl.Expr:
    """Whether rows of a table are final; KRX publishes only final rows."""
    return pl.col("is_final") if "is_final" in table.schema else pl.lit(value=True)


def as_many_rows_as_in_the_last_sessions(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The number of rows of a day is within 3 % of the median of the five sessions before.

    KRX's number of stocks changed by 0.07 % between 9 and 17 March 2026.
    """
    return _unusual(_counted(window, rows), _counted_before(window), 0.97, 1.03)


def as_many_minutes_as_in_the_last_sessions(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """A past session has about as many minutes as the median of the five days before.

    The regular session is within 15 %: the market had 576,000 to 606,000 per day in August 2026.
    The after-market, which is not measured yet, has half to twice as many.
    """
    is_after = pl.col("session") == "after_market"
    day = calendar.session(window.first)
    if day is None or window.now < day.closes_at:
        raise NotComparable("the session is not over")
    # `quality` has the number of rows of a day; those of the after-market are counted.
    earlier, found = _counted_before(window), _counted(window, rows)
    after, after_earlier = _counted(window, rows.filter(is_after)), dict[date, int]()
    if day.day > calendar.AFTER_MARKET_SINCE:
        stored = window.lake.scan(
            window.table,
            first=max(_weeks_before(window), calendar.AFTER_MARKET_SINCE),
            last=window.first - timedelta(days=1),
        )
        after_earlier = _counted(window, stored.filter(is_after))
    regular = _unusual(_without(found, after), _without(earlier, after_earlier), 0.85, 1.15)
    odd = [regular.with_columns(session=pl.lit("regular"))]
    if window.now >= day.over_at:
        counts = {day.day: after.get(day.day, 0)}
        evening = _unusual(counts, after_earlier, 0.5, 2.0)
        odd.append(evening.with_columns(session=pl.lit("after_market")))
    return pl.concat(odd)


def _without(counts: dict[date, int], others: dict[date, int]) -> dict[date, int]:
    return {day: count - others.get(day, 0) for day, count in counts.items()}


def _weeks_before(window: Window) -> date:
    return window.first - timedelta(weeks=WEEKS_BACK)


def _counted(window: Window, rows: pl.LazyFrame) -> dict[date, int]:
    """The number of rows of each day, or of its latest capture."""
    capture = ["captured_at"] if "captured_at" in window.table.schema else []
    counted = rows.group_by(day_of(window.table).alias("trading_day"), *capture).len()
    return dict(
        counted.sort("trading_day", *capture).select("trading_day", "len").collect().iter_rows()
    )


def _counted_before(window: Window) -> dict[date, int]:
    """The number of rows of each earlier day, from `quality`."""
    return dict(
        window.lake.scan(
            QUALITY, first=_weeks_before(window), last=window.first - timedelta(days=1)
        )
        .filter(
            pl.col("table_name") == window.table.name,
            pl.col("check_name") == quality.ACCOUNTED,
            pl.col("rows") > 0,
        )
        .select("trading_day", "rows")
        .sort("trading_day")
        .collect()
        .iter_rows()
    )


def _unusual(
    found: dict[date, int], before: dict[date, int], fewer: float, more: float
) -> pl.LazyFrame:
    """The days whose number is outside these shares of the median of the sessions before."""
    earlier = dict(before)
    unusual: list[tuple[object, int, float]] = []
    for day, count in found.items():
        if day >= calendar.FIRST_DAY and not calendar.is_trading_day(day):
            continue  # checked elsewhere
        last = [number for other, number in earlier.items() if other < day][-SESSIONS_BACK:]
        if last and not fewer * median(last) <= count <= more * median(last):
            unusual.append((day, count, float(median(last))))
        earlier[day] = count
    schema = {"trading_day": pl.Date, "rows": pl.Int64, "usual": pl.Float64}
    return pl.LazyFrame(unusual, schema, orient="row")
