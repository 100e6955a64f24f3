"""Checks that compare stored rows with a second source: another service of KIS, or KRX."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from hashlib import sha256

import polars as pl

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.defs.checks.prices import last_price
from kis_assets.errors import NotSupported
from kis_assets.exchange import calendar, finality
from kis_assets.monitoring.costs import COMPARED
from kis_assets.sources.tables import Fetched
from kis_assets.tables import CORPORATE_ACTIONS, DAILY_CANDLES, KRX_DAILY

log = logging.getLogger(__name__)

STRATA = 10
"""The sample has COMPARED stocks, the same number from each tenth of the market by trading value.
It misses one altered stock of 2,500 in 96 of 100 cases. If one in a hundred is altered, it misses
all in 36 of 100 cases."""

WITH_ACTION = WITHOUT_ACTION = 30

_DAY = ("trading_day", "stock_code")
_PRICES = ("open", "high", "low", "close", "change")


def sample(rows: pl.LazyFrame) -> list[str]:
    """A hundred stocks of the newest day, ten from each tenth by trading value.

    The day is the seed: a growing month has a new sample every evening, and all tables of a day
    have the same. Each stock draws its own number, so that a changed trading value affects only the
    stocks at the borders of a tenth.
    """
    newest = rows.filter(pl.col("trading_day") == pl.col("trading_day").max()).collect()
    ranked = newest.sort("trading_value", "stock_code").select("trading_day", "stock_code").rows()
    found: list[str] = []
    for number in range(STRATA):
        stratum = ranked[number * len(ranked) // STRATA : (number + 1) * len(ranked) // STRATA]
        lots = sorted((sha256(f"{day} {code}".encode()).digest(), code) for day, code in stratum)
        found += [code for _, code in lots[: COMPARED // STRATA]]
    return sorted(found)


def a_hundred_stocks_agree_with_a_second_source(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Prices, change and volume of 100 stocks equal those of a second source, shown side by side.

    The sample depends on the newest stored day and has ten stocks of each tenth by trading value.
    The second source is KRX for days in krx_daily, or else KIS's short history of thirty sessions.
    Only final candles and quotes at the official close are compared: in between, both services of
    KIS show the same after-market prices, which proves nothing. One altered stock of 2,500 is
    missed with a probability of 96 %, one in each hundred with 36 %.
    """
    session_days = [session.day for session in window.sessions]
    stored = _at_the_close(window, rows).filter(pl.col("trading_day").is_in(session_days))
    codes = sample(stored)
    if not codes:
        raise NotComparable("no row of these days is final, and none was captured at the close")
    known = _of_krx(window, codes)
    krx_days = set(known["trading_day"])
    days = set(stored.select("trading_day").unique().collect()["trading_day"])
    if left := {day for day in days - krx_days if _is_official(day, window.now)}:
        try:
            asked = window.source().recent_candles(codes, window.progress)
        except NotSupported as error:
            if known.is_empty():
                raise NotComparable(str(error)) from None
        else:
            # Fetching may take longer than the quarter of an hour in which the close is shown.
            now = window.clock() if window.clock else window.now
            left = {day for day in left if _is_official(day, now)}
            other = _answered(asked).filter(pl.col("trading_day").is_in(list(left)))
            other = _corrected(stored.collect(), other, finality.unconfirmed_day(window.now))
            known = pl.concat([known, other.select(known.columns)])
    both = stored.join(known.lazy(), on=_DAY, suffix="_second").collect()
    if both.is_empty():
        raise NotComparable(
            "KIS's short history has only the last thirty sessions. It shows the official close "
            "of a day until its after-market opens, and again from the next session on. krx_daily "
            "has none of these days; with a KRX_API_KEY it can be fetched"
        )
    return _all_different(both)


def candles_are_those_of_krx(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every final candle of KIS has the prices, change and volume that KRX publishes.

    The whole market is compared, not a sample. Stocks that were not fetched from KIS are ignored.
    """
    if window.other_lake is None:
        raise NotComparable("no candles of KIS are stored to compare with")
    inner = Window(
        window.other_lake, DAILY_CANDLES, window.first, window.last, window.now, window.source
    )
    stored = _at_the_close(inner, inner.rows())
    both = stored.join(rows, on=_DAY, suffix="_second").collect()
    if both.is_empty():
        raise NotComparable(f"no final candle of KIS is stored for {window.first}")
    return _all_different(both)


def _of_krx(window: Window, codes: Sequence[str]) -> pl.DataFrame:
    schema = {"trading_day": pl.Date, "stock_code": pl.String}
    names = [*schema, *_PRICES, "volume"]
    if window.other_lake is None:
        return pl.DataFrame(schema=schema | dict.fromkeys((*_PRICES, "volume"), pl.Int64))
    rows = window.other_lake.scan(KRX_DAILY, first=window.first, last=window.last)
    return rows.filter(pl.col("stock_code").is_in(codes)).select(names).collect()


def _answered(asked: Fetched) -> pl.DataFrame:
    """The rows of a second source, if it returned any; missing stocks are logged."""
    if asked.failed:
        code, error = next(iter(asked.failed.items()))
        if asked.rows.is_empty():
            raise error
        log.warning(
            "%d stocks are not compared with the second source; %s: %s",
            *(len(asked.failed), code, error),
        )
    return asked.rows


def _corrected(stored: pl.DataFrame, other: pl.DataFrame, unconfirmed: date | None) -> pl.DataFrame:
    """The rows of KIS's short history, without a day that it has not corrected yet.

    It is unknown whether this service is corrected at the same time as the chart. If it is not, the
    close of most stocks differs.
    """
    if unconfirmed is None:
        return other
    newest = stored.filter(pl.col("trading_day") == unconfirmed).join(
        other, on=_DAY, suffix="_second"
    )
    wrong = newest.filter(pl.col("close") != pl.col("close_second")).height
    return (
        other.filter(pl.col("trading_day") != unconfirmed) if 2 * wrong > newest.height else other
    )


def _all_different(both: pl.DataFrame) -> pl.LazyFrame:
    return pl.concat([_different(both, name) for name in (*_PRICES, "volume")]).sort(_DAY).lazy()


def _is_official(day: date, now: datetime) -> bool:
    """Whether KIS shows the regular session's prices of a day at this time."""
    session = calendar.session(day)
    after_market = session.after_market if session else None
    return after_market is None or now < after_market[0] or finality.is_final(day, now)


def _at_the_close(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Final candles; for quotes, the last ones at the official close.

    `is_whole` means that the volume is complete.
    """
    if "captured_at" in window.table.schema:
        seen = pl.col("fetched_at")
        found = (
            rows.join(window.official(), on="trading_day")
            .filter(seen >= pl.col("official_from"), seen < pl.col("official_until"))
            .sort("captured_at")
            .unique(_DAY, keep="last")
            .with_columns(is_whole=seen >= pl.col("over_at"))
        )
    else:
        found = rows.filter("is_final").with_columns(is_whole=pl.lit(value=True))
    return found.select(
        *_DAY,
        *("open", "high", "low", "change", "volume", "trading_value", "is_whole"),
        close=last_price(window.table),
    )


def _different(both: pl.DataFrame, name: str) -> pl.DataFrame:
    other = f"{name}_second"
    wrong = pl.col(name) != pl.col(other)
    if name == "volume":
        wrong = pl.when("is_whole").then(wrong).otherwise(pl.col(name) > pl.col(other))
    return both.filter(wrong).select(
        *_DAY, field=pl.lit(name), stored=pl.col(name), second=pl.col(other)
    )


def adjusted_series_is_that_of_kis(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """`daily_candles_adjusted` moves like KIS's own adjusted closes on final days.

    30 stocks with an action in the month and 30 without are compared over the month and the two
    weeks before. The tolerance is 0.2 % or 1.5 KRW, because KIS rounds adjusted prices to whole
    KRW. Stocks with a capital reduction are excluded: KIS does not adjust for reductions.
    """
    first = window.first - timedelta(days=14)
    stored = window.lake.scan(DAILY_CANDLES, first=first, last=window.last)
    everyone = stored.select("stock_code").unique().collect()["stock_code"].sort()
    reduced = rows.filter(pl.col("kind") == "capital_reduction").collect()["stock_code"]
    everyone = everyone.filter(~everyone.is_in(reduced.implode()))
    moved = everyone.filter(
        everyone.is_in(rows.select("stock_code").collect()["stock_code"].implode())
    )
    chance = random.Random(f"{CORPORATE_ACTIONS.name} {window.first}")
    still = everyone.filter(~everyone.is_in(moved.implode())).to_list()
    codes = _some(chance, moved.to_list(), WITH_ACTION) + _some(chance, still, WITHOUT_ACTION)
    if not codes:
        raise NotComparable("no daily candle of these days is stored")
    try:
        kis = window.source().adjusted_candles(
            codes, first, min(window.last, window.now.date()), window.progress
        )
    except NotSupported as error:
        raise NotComparable(str(error)) from None
    adjusted = _answered(kis)
    marks = ", ".join("?" for _ in codes)
    ours = window.lake.read(
        "SELECT trading_day, stock_code, close FROM daily_candles_adjusted "  # noqa: S608
        f"WHERE is_final AND stock_code IN ({marks}) AND trading_day BETWEEN ? AND ?",
        [*codes, first, min(window.last, finality.newest_final_day(window.now))],
    )
    both = ours.join(adjusted, on=list(_DAY), suffix="_of_kis").with_columns(
        # Either series may know a newer action, so only their ratio's changes matter.
        axis=(pl.col("close") / pl.col("close_of_kis")).median().over("stock_code")
    )
    expected = pl.col("close") / pl.col("axis")
    gap = (expected - pl.col("close_of_kis")).abs()
    return (
        both.filter(gap > pl.max_horizontal(1.5, 0.002 * pl.col("close_of_kis")))
        .select(*_DAY, adjusted=expected.round(1), of_kis="close_of_kis")
        .sort("stock_code", "trading_day")
        .lazy()
    )


def _some(chance: random.Random, codes: Sequence[str], most: int) -> list[str]:
    return sorted(chance.sample(list(codes), min(most, len(codes))))
