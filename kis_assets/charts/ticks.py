"""Pictures of a recorded day of one stock: a frame in, a PNG out. How to draw: `canvas.py`."""

from __future__ import annotations

from typing import Any

import polars as pl

from kis_assets.charts.canvas import (
    DOWN,
    FLAT,
    LINE,
    MUTED,
    UP,
    Canvas,
    legible,
    nothing,
    thousands,
)

_FEW = 50
"""Records below which each is a point: of one alone there is no line."""
_SIDES = (("buy", 1, UP), ("sell", -1, DOWN))


def trades(rows: pl.DataFrame, name: str = "") -> bytes:
    """The trades of one stock: each price, and by the minute what buyers and sellers began.

    Args:
        rows: rows of `trades` of one stock and day.
        name: the stock's name.
    """
    if rows.is_empty():
        return nothing("Trades", rows)
    timed = rows.sort("sequence").with_columns(at=_hours("traded_at"))
    about = (
        f"{rows.height:,} trades, {rows['quantity'].sum():,} shares   "
        f"last {timed['price'][-1]:,} KRW"
    )
    canvas, prices, shares = _panels(rows, name, about)
    canvas.title(prices, "price of each trade, KRW")
    few = {"marker": "."} if timed.height < _FEW else {}
    prices.step(timed["at"], timed["price"], where="post", color=MUTED, linewidth=0.9, **few)
    canvas.title(shares, "shares of a minute: bought by whoever came above, sold below")
    minute = (pl.col("at") * 60).floor() / 60
    for side, sign, colour in _SIDES:
        by_minute = timed.filter(side=side).group_by(minute).agg(pl.sum("quantity")).sort("at")
        shares.vlines(by_minute["at"], 0, sign * by_minute["quantity"], colors=colour, linewidth=1)
    shares.axhline(0, color=FLAT, linewidth=0.6)
    _of_day(prices, shares)
    shares.yaxis.set_major_formatter(_either_side)
    return canvas.png()


def order_books(rows: pl.DataFrame, name: str = "") -> bytes:
    """The best prices of one stock through a day, and how many shares stand on each side.

    Args:
        rows: rows of `order_book_ticks` of one stock and day.
        name: the stock's name.
    """
    if rows.is_empty():
        return nothing("Order books", rows)
    timed = rows.sort("sequence").with_columns(at=_hours("booked_at"))
    canvas, prices, shares = _panels(rows, name, f"{rows.height:,} order books")
    canvas.title(prices, "best price to buy and to sell, KRW")
    canvas.title(shares, "shares in all: to buy (매수) above, to sell (매도) below")
    few = {"marker": "."} if timed.height < _FEW else {}
    for side, sign, colour in (("bid", 1, UP), ("ask", -1, DOWN)):
        best = timed[f"{side}_price_1"]
        prices.step(timed["at"], best, where="post", color=colour, linewidth=1, **few)
        total = sign * timed[f"total_{side}_volume"]
        shares.fill_between(timed["at"], total, step="post", color=colour, alpha=0.6, linewidth=0)
    _of_day(prices, shares)
    shares.yaxis.set_major_formatter(_either_side)
    return canvas.png()


def _panels(rows: pl.DataFrame, name: str, about: str) -> tuple[Canvas, Any, Any]:
    """A canvas with the axes of the prices and, below, those of the shares."""
    title = f"{legible(name, '')} {rows['stock_code'][0]}".strip()
    canvas = Canvas(title, f"{rows['trading_day'][0]}   {about}", rows)
    prices = canvas.axes(0.2, 1.75, 7.6, 1.95)
    return canvas, prices, canvas.axes(0.2, 0.4, 7.6, 0.95, sharex=prices)


def _hours(column: str) -> pl.Expr:
    """An instant as hours of a clock in Seoul."""
    clock = pl.col(column).dt.convert_time_zone("Asia/Seoul").dt
    seconds = clock.hour().cast(pl.Int64) * 3600 + clock.minute().cast(pl.Int64) * 60
    return (seconds + clock.second()) / 3600


def _clock(hours: float, _: object) -> str:
    minutes = round(hours * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _either_side(value: float, _: object) -> str:
    return thousands(abs(value))


def _of_day(*several: Any) -> None:
    for axes in several:
        axes.yaxis.tick_right()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=LINE)
        axes.yaxis.set_major_formatter(thousands)
        axes.yaxis.get_major_locator().set_params(nbins=4)
        axes.xaxis.set_major_formatter(_clock)
    several[0].tick_params(labelbottom=False)
