"""Pictures of one stock: a frame in, a PNG out. How to draw: `canvas.py`.

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
    legible,
    nothing,
    spread_out,
    thousands,
)
from kis_assets.exchange.calendar import SEOUL
from kis_assets.tables import LEVELS

_AVERAGED = 20


def candlestick(candles: pl.DataFrame, name: str = "") -> bytes:
    """Daily candles of one stock with their volumes.

    Args:
        candles: rows of `daily_candles` of one stock; more than about 120 blur.
        name: the stock's name; left out if the font cannot write it.
    """
    if candles.is_empty():
        return nothing("Daily candles", candles)
    rows = candles.sort("trading_day")
    code, last = str(rows["stock_code"][0]), rows.row(-1, named=True)
    days: list[date] = rows["trading_day"].to_list()
    change = 100 * last["change"] / last["base_price"] if last["base_price"] else 0.0
    canvas = Canvas(
        f"{legible(name, '')} {code}".strip(),
        f"{days[0]} to {days[-1]}   close {last['close']:,} KRW ({change:+.2f} %)",
        rows,
    )
    at = range(rows.height)
    opens, closes = rows["open"].to_list(), rows["close"].to_list()
    traded = [opened > 0 for opened in opens]  # off-hours trades alone make no open
    colours = [
        colour_of(c - o) if t else FLAT for o, c, t in zip(opens, closes, traded, strict=True)
    ]

    prices = canvas.axes(0.2, 1.45, 7.6, 2.4)
    # A day without a trade has no open, high and low: it is a dash at its close.
    lows = [low if t else c for low, c, t in zip(rows["low"], closes, traded, strict=True)]
    highs = [high if t else c for high, c, t in zip(rows["high"], closes, traded, strict=True)]
    firsts = [o if t else c for o, c, t in zip(opens, closes, traded, strict=True)]
    prices.vlines(at, lows, highs, colors=colours, linewidth=1)
    bodies = [(x, min(o, c), max(o, c)) for x, o, c in zip(at, firsts, closes, strict=True)]
    canvas.bars(prices, bodies, colours)
    if rows.height > _AVERAGED:
        average = rows["close"].rolling_mean(_AVERAGED).to_list()
        prices.plot(at, average, color="#d99a1c", linewidth=1.1, label=f"{_AVERAGED}-day average")
        canvas.legend(prices, loc="lower left", bbox_to_anchor=(-0.01, 0.98), borderpad=0)
    canvas.text(prices, 1, 1.03, "KRW", transform=prices.transAxes, ha="left")
    canvas.text(
        prices,
        1.005,
        last["close"],
        f"{last['close']:,}",
        transform=prices.get_yaxis_transform(),
        va="center",
        color="white",
        bbox={"boxstyle": "round,pad=0.25", "facecolor": colours[-1], "edgecolor": "none"},
        zorder=5,
    )
    volumes = canvas.axes(0.2, 0.4, 7.6, 0.85, sharex=prices)
    size, word = (1e6, "million") if rows["volume"].max() >= 2e6 else (1e3, "thousand")  # type: ignore[operator]
    traded_shares = (rows["volume"] / size).to_list()
    canvas.bars(
        volumes, [(x, 0, shares) for x, shares in zip(at, traded_shares, strict=True)], colours
    )
    volumes.set_ylim(bottom=0)
    canvas.text(volumes, 0, 1.06, f"volume, {word} shares", transform=volumes.transAxes)
    for axes, ticks in ((prices, 5), (volumes, 2)):
        _right_axis(axes, ticks)
    # The label of the current price would cover a label below it.
    least, most = prices.get_ylim()
    prices.set_yticks(
        [
            tick
            for tick in prices.get_yticks()
            if least < tick < most and abs(tick - last["close"]) > (most - least) / 16
        ]
    )
    prices.tick_params(labelbottom=False)
    shown = spread_out(days, 10)
    volumes.set_xticks(shown, [f"{days[number]:%m-%d}" for number in shown])
    volumes.set_xlim(-0.8, rows.height - 0.2)
    return canvas.png()


def _right_axis(axes: Any, ticks: int) -> None:
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=LINE)
    axes.yaxis.set_major_formatter(thousands)
    axes.yaxis.get_major_locator().set_params(nbins=ticks)


def order_book_depth(book: pl.DataFrame, name: str = "") -> bytes:
    """One stock's order book: its levels, and the cumulative volume up to each price.

    Args:
        book: rows of `order_books`; the one captured last is drawn.
        name: the stock's name.
    """
    if book.is_empty():
        return nothing("Order book", book)
    row = book.sort("captured_at").row(-1, named=True)
    asks, bids = _side(row, "ask"), _side(row, "bid")
    headline = f"{legible(name, '')} {row['stock_code']}".strip()
    if not asks and not bids:
        return nothing(headline, book, "nobody quotes")
    moment = (row["booked_at"] or row["captured_at"]).astimezone(SEOUL)
    spread = f"spread {asks[0][0] - bids[0][0]:,} KRW   " if asks and bids else ""
    canvas = Canvas(
        headline,
        f"order book of {moment:%Y-%m-%d %H:%M:%S} in Seoul   {spread}"
        f"all orders: {row['total_bid_volume']:,} to buy, {row['total_ask_volume']:,} to sell",
        book,
        height=5.0,
    )
    levels = [(*it, DOWN) for it in reversed(asks)] + [(*it, UP) for it in bids]
    ladder = canvas.axes(0.95, 0.5, 3.2, 3.6)
    canvas.title(ladder, "shares at each price (KRW)")
    most = max(volume for _, volume, _ in levels)
    places = range(len(levels), 0, -1)
    ladder.barh(
        places,
        [it[1] for it in levels],
        height=0.78,
        color=[it[2] for it in levels],
        alpha=0.8,
    )
    for place, (_, volume, _) in zip(places, levels, strict=True):
        canvas.text(ladder, volume + most * 0.02, place, f"{volume:,}", va="center", size=7.5)
    ladder.set_yticks(list(places), [f"{price:,}" for price, _, _ in levels])
    ladder.set_ylim(0.3, len(levels) + 0.7)
    ladder.set_xlim(0, most * 1.3)
    ladder.set_xticks([])

    depth = canvas.axes(5.05, 0.5, 3.3, 3.6)
    canvas.title(depth, "shares up to each price, ten levels (thousands)")
    for side, colour, label in ((bids, UP, "to buy (매수)"), (asks, DOWN, "to sell (매도)")):
        if side:
            total, sums = 0.0, list[float]()
            for _, volume in side:
                total += volume / 1000
                sums.append(total)
            at = [price for price, _ in side]
            depth.step(at, sums, where="post", color=colour, linewidth=1.6, label=label)
            depth.fill_between(at, sums, step="post", color=colour, alpha=0.12)
    depth.set_ylim(bottom=0)
    depth.grid(axis="y", color=LINE)
    depth.yaxis.set_major_formatter(thousands)
    prices = sorted(price for price, _, _ in levels)
    shown = list(dict.fromkeys((prices[0], prices[len(prices) // 2], prices[-1])))
    depth.set_xticks(shown, [f"{price:,}" for price in shown])
    canvas.legend(depth, loc="upper center")
    return canvas.png()


def _side(row: dict[str, Any], side: str) -> list[tuple[int, int]]:
    """Price and volume of the levels that exist, the best first."""
    levels = (
        (row[f"{side}_price_{level}"], row[f"{side}_volume_{level}"])
        for level in range(1, LEVELS + 1)
    )
    return [(price, volume or 0) for price, volume in levels if price is not None]
