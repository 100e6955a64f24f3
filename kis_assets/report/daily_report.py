"""A summary of a trading day from stored rows: frames for the page, not the page itself.

Reads from the lake only the days that are needed. No Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake
from kis_assets.lake.universe import wanted
from kis_assets.report.figures import Figures, figures
from kis_assets.settings import Settings
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_MASTER,
)

WINDOW = 20
"""A day's close is compared with this many earlier sessions."""
AHEAD = timedelta(days=30)
MOST = 10

_QUOTE = [
    "trading_day",
    "captured_at",
    "stock_code",
    "stock_name",
    "market",
    "price",
    "base_price",
    "change_rate",
    "volume",
    "trading_value",
    "upper_limit",
    "lower_limit",
    "shares",
    "source",
    "is_official",
]


@dataclass(frozen=True)
class DayReport:
    """A day: its quotes, their highlights, and missing data.

    `quotes` has a row per stock: from the last capture, or from the daily candles if there is no
    capture. If `is_official`, the price is the official close; else it is the last price seen,
    maybe of the after-market. `highs` and `lows` are None if no close is official, or if fewer than
    WINDOW earlier sessions are stored. `condition` has rows of `dataset_condition` for the last 60
    sessions.
    """

    day: date
    from_captures: bool
    quotes: pl.DataFrame
    markets: pl.DataFrame
    risers: pl.DataFrame
    fallers: pl.DataFrame
    leaders: pl.DataFrame
    highs: pl.DataFrame | None
    lows: pl.DataFrame | None
    candles: pl.DataFrame
    actions: pl.DataFrame
    upcoming: pl.DataFrame
    without_price: pl.DataFrame
    figures: Figures
    stored: pl.DataFrame
    condition: pl.DataFrame


def day_report(lake: Lake, day: date, settings: Settings) -> DayReport | None:
    """The report of a day; None if neither captures nor daily candles are stored."""
    master = _master(lake, day)
    captured = lake.scan(PRICE_SNAPSHOTS, first=day, last=day).collect()
    quotes = (
        _from_captures(captured, master, day)
        if captured.height
        else _from_candles(lake, day, master)
    )
    if quotes.is_empty():
        return None
    traded = quotes.filter(pl.col("volume") > 0)
    leaders = _first(traded, "trading_value")
    highs, lows = _extremes(lake, quotes, day)
    actions = _named(
        lake.scan(CORPORATE_ACTIONS, first=day, last=day + AHEAD).collect(), master
    ).sort("effective_on", "stock_code")
    return DayReport(
        day=day,
        from_captures=bool(captured.height),
        quotes=quotes,
        markets=_markets(quotes),
        risers=_first(traded.filter(pl.col("change_rate") > 0), "change_rate"),
        fallers=_first(traded.filter(pl.col("change_rate") < 0), "change_rate", descending=False),
        leaders=leaders,
        highs=highs,
        lows=lows,
        candles=_sessions_of(lake, leaders, captured, day),
        actions=actions.filter(pl.col("effective_on") == day),
        upcoming=actions.filter(pl.col("effective_on") > day),
        without_price=_without_price(master, quotes, wanted(settings, lake)),
        figures=figures(
            lake, day, dict(master.select("stock_code", "stock_name").iter_rows()), settings
        ),
        stored=_stored(lake, day),
        condition=_condition(lake, day),
    )


def _master(lake: Lake, day: date) -> pl.DataFrame:
    """The listed issues of the day, or of the last earlier day for which they are stored."""
    rows = lake.scan(STOCK_MASTER, first=day - timedelta(days=40), last=day).collect()
    return rows.filter(pl.col("trading_day") == pl.col("trading_day").max())


def _from_captures(captured: pl.DataFrame, master: pl.DataFrame, day: date) -> pl.DataFrame:
    latest = captured.sort("captured_at").unique("stock_code", keep="last")
    session = calendar.session(day) or calendar.ordinary_session(day)
    is_official = pl.col("regular_close").is_not_null()
    if session.after_market is None:  # the last price is the close then
        is_official |= pl.col("captured_at") >= session.closes_at.astimezone(UTC)
    close, base = pl.coalesce("regular_close", "price"), pl.col("base_price")
    return (
        latest.join(master.select("stock_code", "market"), on="stock_code", how="left")
        .with_columns(
            shares=pl.col("market_cap") / pl.col("price"),
            is_official=is_official,
            price=close,
            change_rate=pl.when(pl.col("price") != close, base > 0)
            .then(100 * (close - base) / base)
            .otherwise("change_rate"),
        )
        .select(_QUOTE)
        .sort("stock_code")
    )


def _from_candles(lake: Lake, day: date, master: pl.DataFrame) -> pl.DataFrame:
    rows = lake.scan(DAILY_CANDLES, first=day, last=day).collect()
    session = calendar.session(day) or calendar.ordinary_session(day)
    return (
        rows.join(
            master.select("stock_code", "stock_name", "market", shares="listed_shares"),
            on="stock_code",
            how="left",
        )
        .with_columns(
            captured_at=pl.lit(session.closes_at).dt.convert_time_zone("UTC"),
            stock_name=pl.coalesce("stock_name", "stock_code"),
            price="close",
            change_rate=pl.when(pl.col("base_price") > 0)
            .then(100 * pl.col("change") / pl.col("base_price"))
            .otherwise(0.0),
            # No price of a venue other than KRX is official.
            is_official=pl.col("is_final") & ~pl.col("source").str.contains("-"),
            upper_limit=pl.lit(None, pl.Int64),
            lower_limit=pl.lit(None, pl.Int64),
        )
        .select(_QUOTE)
        .sort("stock_code")
    )


def _markets(quotes: pl.DataFrame) -> pl.DataFrame:
    """A row per market: stocks that rose and fell, and the change of market value in percent."""
    rate = pl.col("change_rate")
    before = (pl.col("base_price") * pl.col("shares")).sum()
    now = (pl.col("price") * pl.col("shares")).filter(pl.col("base_price").is_not_null()).sum()
    return (
        quotes.with_columns(pl.col("market").fill_null("other"))
        .group_by("market")
        .agg(
            stocks=pl.len(),
            up=(rate > 0).sum(),
            flat=(rate == 0).sum(),
            down=(rate < 0).sum(),
            weighted=pl.when(before > 0).then(100 * (now / before - 1)),
            median=rate.median(),
            trading_value=pl.col("trading_value").sum(),
        )
        .sort("trading_value", descending=True)
    )


def _first(rows: pl.DataFrame, by: str, *, descending: bool = True) -> pl.DataFrame:
    return rows.sort([by, "stock_code"], descending=[descending, False]).head(MOST)


def _extremes(
    lake: Lake, quotes: pl.DataFrame, day: date
) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """Stocks that closed above, and below, every close of the sessions before.

    Only official closes are compared, of stocks with a candle in each session. Stocks whose base
    price was reset meanwhile are left out: their prices before and after are not comparable.
    """
    before = calendar.trading_days(day - timedelta(days=2 * WINDOW + 20), day)[-WINDOW - 1 : -1]
    rows = (
        lake.scan(DAILY_CANDLES, first=before[0], last=day)
        .select("trading_day", "stock_code", "close", "split_ratio", "revaluation", "is_final")
        .collect()
    )
    past = rows.filter(pl.col("trading_day") < day, pl.col("is_final"))
    if past["trading_day"].n_unique() < WINDOW or not quotes["is_official"].any():
        return None, None
    moved = rows.filter((pl.col("split_ratio") != 0) | (pl.col("revaluation") != "00"))
    bounds = past.group_by("stock_code").agg(
        sessions=pl.len(), highest=pl.col("close").max(), lowest=pl.col("close").min()
    )
    known = (
        quotes.filter(pl.col("volume") > 0, pl.col("is_official"))
        .join(bounds.filter(pl.col("sessions") == WINDOW), on="stock_code")
        .join(moved, on="stock_code", how="anti")
    )
    highs = known.filter(pl.col("price") > pl.col("highest"))
    lows = known.filter(pl.col("price") < pl.col("lowest"))
    ranked = ["trading_value", "stock_code"]
    return (
        highs.sort(ranked, descending=[True, False]),
        lows.sort(ranked, descending=[True, False]),
    )


def _sessions_of(
    lake: Lake, leaders: pl.DataFrame, captured: pl.DataFrame, day: date
) -> pl.DataFrame:
    """The last 60 stored sessions of the most traded stock, with the official prices of the day.

    A candle that is not final has after-market prices: those of the capture after the close replace
    them; without such a capture the candle is left out.
    """
    if leaders.is_empty():
        return DAILY_CANDLES.empty()
    stored = lake.scan(DAILY_CANDLES, first=day - timedelta(days=120), last=day)
    code = pl.col("stock_code") == leaders["stock_code"][0]
    rows = stored.filter(code).collect().sort("trading_day").tail(60)
    official = captured.filter(
        code, pl.col("session") == "closing_price", pl.col("regular_close") == pl.col("price")
    ).sort("captured_at")
    names = ("open", "high", "low", "change")
    known = official.tail(1).select("trading_day", *names, close="price")
    both = rows.join(known, on="trading_day", how="left", suffix="_official")
    is_known = pl.col("close_official").is_not_null() & ~pl.col("is_final")
    return (
        both.with_columns(
            pl.when(is_known).then(f"{name}_official").otherwise(name).alias(name)
            for name in (*names, "close")
        )
        .filter(pl.col("is_final") | pl.col("close_official").is_not_null())
        .select(rows.columns)
        .sort("trading_day")
    )


def _named(actions: pl.DataFrame, master: pl.DataFrame) -> pl.DataFrame:
    names = master.select("stock_code", listed_name="stock_name")
    return actions.join(names, on="stock_code", how="left").with_columns(
        stock_name=pl.coalesce("listed_name", "stock_name", "stock_code")
    )


def _without_price(master: pl.DataFrame, quotes: pl.DataFrame, chosen: pl.Expr) -> pl.DataFrame:
    """The stocks that should have a price on the day but have none."""
    return master.filter(chosen).join(quotes, on="stock_code", how="anti").sort("stock_code")


def _stored(lake: Lake, day: date) -> pl.DataFrame:
    """How many rows and stocks of the day each table has."""
    tables = (STOCK_MASTER, PRICE_SNAPSHOTS, ORDER_BOOKS, DAILY_CANDLES, MINUTE_CANDLES)
    counts = pl.collect_all(
        lake.scan(table, first=day, last=day).select(
            pl.lit(table.name).alias("table"),
            pl.len().alias("rows"),
            pl.col("stock_code").n_unique().alias("stocks"),
        )
        for table in tables
    )
    return pl.concat(counts)


def _condition(lake: Lake, day: date) -> pl.DataFrame:
    return lake.read(
        "SELECT table_name, trading_day, condition, reason FROM dataset_condition "
        "WHERE trading_day BETWEEN ? AND ? ORDER BY table_name, trading_day",
        [day - timedelta(days=90), day],
    )
