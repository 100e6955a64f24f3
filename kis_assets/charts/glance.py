"""A picture at a glance: a few bars, so small that Dagster's page of an asset shows it unasked.

The page shows Markdown of less than 1,000 characters at once, and puts what is longer behind
"[Show Markdown]". Like all pictures these have no paper, so that they fit the dark theme too.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import polars as pl

from kis_assets.charts.canvas import DOWN, UP, colour_of
from kis_assets.tables import LEVELS

AT_ONCE = 1_000
"""Characters from which on Dagster wants a click."""
_HIGH, _STEP = 60, 6
_CANDLES, _BARS = 24, 40
_SAFE = "/:=',"
"""What stands in an address as it is; all other signs would end it or the Markdown around it."""

Bar = tuple[float, float, str]
"""The lower end of a bar, its upper end, and its colour."""


def markdown(bars: Sequence[Bar], words: str) -> str:
    """Bars side by side as a picture in Markdown; empty where there is none to draw."""
    if not bars:
        return ""
    low, high = min(bar[0] for bar in bars), max(bar[1] for bar in bars)
    scale = (_HIGH - 2) / (high - low) if high > low else 0.0
    paths: dict[str, str] = {}
    for place, (bottom, top, colour) in enumerate(bars):
        rise = max(1, round((top - bottom) * scale))
        down = round(_HIGH - 1 - (bottom - low) * scale)
        paths[colour] = paths.get(colour, "") + f"M{_STEP * place + 3},{down}v-{rise}"
    drawn = "".join(f"<path stroke='{it}' d='{path}'/>" for it, path in paths.items())
    width = _STEP * len(bars)
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{2 * width}' height='{2 * _HIGH}' "
        f"viewBox='0 0 {width} {_HIGH}' stroke-width='4'>{drawn}</svg>"
    )
    text = f"![{words}](data:image/svg+xml,{quote(svg, safe=_SAFE)})"
    return text if len(text) < AT_ONCE else ""


def candles(rows: pl.DataFrame) -> list[Bar]:
    """The newest sessions of a stock, each from its low to its high."""
    newest = rows.sort("trading_day").tail(_CANDLES).filter(pl.col("open") > 0)
    shown = newest.select("low", "high", "open", "close").iter_rows()
    return [(low, high, colour_of(close - opened)) for low, high, opened, close in shown]


def breadth(snapshots: pl.DataFrame) -> list[Bar]:
    """How many stocks changed by how much, two percent a bar."""
    step = pl.col("change_rate").clip(-30, 30).truediv(2)
    at = step.sign() * step.abs().ceil()
    counts = dict(snapshots.group_by(at.alias("at")).len().iter_rows())
    return [(0, counts.get(float(place), 0), colour_of(place)) for place in range(-15, 16)]


def depth(row: dict[str, int | None]) -> list[Bar]:
    """The volumes of a book by price: to buy on the left, to sell on the right."""
    buy, sell = (
        [(0.0, float(row[f"{side}_volume_{level}"] or 0), colour) for level in range(1, LEVELS + 1)]
        for side, colour in (("bid", UP), ("ask", DOWN))
    )
    return [*reversed(buy), *sell]


def sums(values: Sequence[float], colour: str) -> list[Bar]:
    """Values in a row, added up to as many bars as there is room for."""
    size = -(-len(values) // _BARS) or 1
    return [(0.0, float(sum(values[at : at + size])), colour) for at in range(0, len(values), size)]


def course(prices: Sequence[float]) -> list[Bar]:
    """Prices in a row, thinned out: each bar from the price before to its own."""
    size = -(-len(prices) // _BARS) or 1
    shown = prices[size - 1 :: size]
    before = [prices[0], *shown][: len(shown)] if shown else []
    return [
        (min(old, new), max(old, new), colour_of(new - old))
        for old, new in zip(before, shown, strict=True)
    ]
