"""Pictures of the market and of the data: a frame in, a PNG out. How to draw: `canvas.py`.

Every function takes rows with the columns of their table, or no rows, and returns at most 60 KB of
PNG.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from kis_assets.charts.canvas import (
    DOWN,
    FLAT,
    LINE,
    UP,
    Canvas,
    colour_of,
    nothing,
    short,
    spread_out,
    thousands,
)
from kis_assets.exchange.calendar import SEOUL


def market_breadth(snapshots: pl.DataFrame) -> bytes:
    """How many stocks rose and fell in a capture, by market, and by how much.

    Args:
        snapshots: rows of `price_snapshots` of one capture. An extra column `market`, as in
            `stock_master`, splits them; null becomes "other".
    """
    if snapshots.is_empty():
        return nothing("Market breadth", snapshots)
    rates = snapshots["change_rate"]
    up, down = int((rates > 0).sum()), int((rates < 0).sum())
    at_upper = int((snapshots["price"] == snapshots["upper_limit"]).sum())
    at_lower = int((snapshots["price"] == snapshots["lower_limit"]).sum())
    moment = snapshots["captured_at"][0].astimezone(SEOUL)
    canvas = Canvas(
        f"{up:,} stocks up, {down:,} down",
        f"{snapshots['trading_day'][0]}, captured {moment:%m-%d %H:%M} in Seoul   "
        f"median {rates.median():+.2f} %   "
        f"traded {short(int(snapshots['trading_value'].sum()))} KRW",
        snapshots,
    )
    markets = canvas.axes(0.95, 0.55, 2.55, 3.05)
    canvas.title(markets, "by market: down, unchanged, up")
    _shares(canvas, markets, snapshots)

    spread = canvas.axes(4.1, 0.55, 4.25, 3.05)
    canvas.title(spread, "stocks by change, % of the base price")
    edge = 30
    bins = rates.clip(-edge, edge)
    # Unchanged stocks get their own bar; otherwise the middle bar would mix rises and falls.
    counts = (
        pl.DataFrame({"at": bins})
        .with_columns(pl.col("at").sign() * pl.col("at").abs().ceil())
        .group_by("at")
        .len()
        .sort("at")
    )
    canvas.bars(
        spread,
        [(at, 0, count) for at, count in counts.iter_rows()],
        [colour_of(at) for at in counts["at"]],
    )
    spread.set_ylim(bottom=0)
    spread.set_xlim(-edge - 1, edge + 1)
    spread.set_xticks([-30, -20, -10, 0, 10, 20, 30], ["-30", "-20", "-10", "0", "10", "20", "30"])
    spread.grid(axis="y", color=LINE)
    spread.yaxis.get_major_locator().set_params(integer=True)
    spread.yaxis.set_major_formatter(thousands)
    top = spread.transAxes
    if snapshots["upper_limit"].count():
        lower, upper = f"lower limit (하한가): {at_lower:,}", f"upper limit (상한가): {at_upper:,}"
        canvas.text(spread, 0, 0.93, lower, transform=top, color=DOWN)
        canvas.text(spread, 1, 0.93, upper, transform=top, color=UP, ha="right")
    return canvas.png()


def _shares(canvas: Canvas, axes: Any, snapshots: pl.DataFrame) -> None:
    """Draw one bar per market, divided into stocks that fell, were unchanged and rose."""
    market = pl.col("market").fill_null("other") if "market" in snapshots.columns else pl.lit("all")
    rate = pl.col("change_rate")
    by_market = (
        snapshots.group_by(market.alias("market"))
        .agg(down=(rate < 0).sum(), flat=(rate == 0).sum(), up=(rate > 0).sum(), all=pl.len())
        .sort("all")
    )
    for number, row in enumerate(by_market.iter_rows(named=True)):
        left = 0.0
        for what, colour in (("down", DOWN), ("flat", FLAT), ("up", UP)):
            part = row[what] / row["all"]
            axes.barh(number, part, left=left, color=colour, height=0.5, linewidth=0)
            if part > 0.1:
                canvas.text(
                    axes,
                    left + part / 2,
                    number,
                    f"{row[what]:,}",
                    color="white",
                    ha="center",
                    va="center",
                )
            left += part
    names = [f"{row['market']}\n{row['all']:,}" for row in by_market.iter_rows(named=True)]
    axes.set_yticks(range(by_market.height), names)
    axes.set_ylim(-0.6, max(by_market.height, 2) - 0.4)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])


MINUTES, _VALUES = "#4f86ab", "#c58a3d"


def minute_coverage(minutes: pl.LazyFrame) -> bytes:
    """How many stocks have a bar in each minute of a day, and the trading value of the minute.

    Args:
        minutes: rows of `minute_candles` of one day, lazy: of half a million rows only the sums
            need memory.
    """
    started = pl.col("started_at").dt.convert_time_zone("Asia/Seoul")
    by_minute = (
        minutes.group_by("started_at")
        .agg(stocks=pl.len(), value=pl.col("trading_value").sum())
        .sort("started_at")
        .with_columns(at=started.dt.hour().cast(pl.Int64) * 60 + started.dt.minute())
        .collect(engine="streaming")
    )
    whole = minutes.select(
        pl.col("trading_day", "source").first(),
        pl.len().alias("bars"),
        pl.col("stock_code").n_unique().alias("stocks"),
    ).collect(engine="streaming")
    if by_minute.is_empty():
        return nothing("Minutes of the day", whole)
    day, _, bars, stocks = whole.row(0)
    canvas = Canvas(
        f"Minutes of {day}: {bars:,} bars of {stocks:,} stocks",
        f"median {by_minute['stocks'].median():,.0f} stocks a minute   "
        f"traded {short(int(by_minute['value'].sum()))} KRW",
        whole,
    )
    at, zero = by_minute["at"].to_list(), pl.lit(0)
    counts = canvas.axes(0.75, 2.2, 7.6, 1.4)
    canvas.title(counts, "stocks with a trade in the minute")
    canvas.bars(counts, by_minute.select("at", zero, "stocks").iter_rows(), MINUTES)
    counts.set_ylim(0, stocks * 1.02)
    values = canvas.axes(0.75, 0.45, 7.6, 1.2, sharex=counts)
    canvas.title(values, "trading value of the minute, billion KRW")
    canvas.bars(values, by_minute.select("at", zero, pl.col("value") / 1e9).iter_rows(), _VALUES)
    values.set_ylim(bottom=0)
    for axes in (counts, values):
        axes.grid(axis="y", color=LINE)
        axes.yaxis.set_major_formatter(thousands)
        axes.yaxis.get_major_locator().set_params(nbins=4)
    counts.yaxis.get_major_locator().set_params(integer=True)
    counts.tick_params(labelbottom=False)
    hours = range(min(at) // 60 * 60, max(at) + 30, 30)
    values.set_xticks(list(hours), [f"{minute // 60:02}:{minute % 60:02}" for minute in hours])
    values.set_xlim(min(at) - 3, max(at) + 3)
    return canvas.png()


CONDITIONS = {"available": "#3f9d6b", "degraded": "#e0a82e", "pending": "#b9c4d0", "missing": UP}
"""The conditions of a table's day, and their colours."""


def condition_calendar(frame: pl.DataFrame) -> bytes:
    """The condition of each day of each table: available, degraded, pending or missing.

    Args:
        frame: rows with `table_name`, `trading_day`, `condition` (a key of CONDITIONS) and
            `reason`; the last 60 days are shown.
    """
    known = frame.drop_nulls("trading_day").filter(pl.col("condition").is_in(list(CONDITIONS)))
    if known.is_empty():
        return nothing("Condition of the data", frame)
    days: list[date] = known["trading_day"].unique().sort().tail(60).to_list()
    known = known.filter(pl.col("trading_day") >= days[0])
    tables: list[str] = known["table_name"].unique(maintain_order=True).to_list()
    worst = known.filter(pl.col("condition").is_in(["degraded", "missing"]))
    canvas = Canvas(
        "Condition of the data",
        f"{days[0]} to {days[-1]}   "
        + (
            f"{worst.height:,} of {known.height:,} not as they should be"
            if worst.height
            else "nothing missing or degraded"
        ),
        frame,
        height=1.5 + 0.27 * len(tables),
    )
    axes = canvas.axes(1.55, 0.62, 6.85, 0.27 * len(tables))
    marks = {"degraded": ("_", "–"), "missing": ("x", "×")}
    for condition, colour in CONDITIONS.items():
        cells = known.filter(pl.col("condition") == condition)
        xs = [days.index(day) for day in cells["trading_day"]]
        ys = [tables.index(name) for name in cells["table_name"]]
        for y in set(ys):
            spans = [(x - 0.44, 0.88) for x, row in zip(xs, ys, strict=True) if row == y]
            axes.broken_barh(spans, (y - 0.42, 0.84), facecolors=colour)
        shape, sign = marks.get(condition, ("", ""))
        axes.bar(0, 0, color=colour, label=f"{sign} {condition} ({cells.height:,})".strip())
        if shape:  # for readers who cannot tell the colours apart
            axes.scatter(xs, ys, marker=shape, s=12, color="white", linewidths=1.2)
    axes.set_yticks(range(len(tables)), tables)
    axes.set_ylim(len(tables) - 0.5, -0.5)
    shown = spread_out(days, 12)
    axes.set_xticks(shown, [f"{days[number]:%m-%d}" for number in shown])
    axes.set_xlim(-0.6, max(len(days), 15) - 0.4)
    axes.spines["bottom"].set_visible(False)
    inch = 1 / (0.27 * len(tables))
    canvas.legend(
        axes, ncols=4, loc="upper left", bbox_to_anchor=(-0.01, -0.22 * inch), borderpad=0
    )
    return canvas.png()
