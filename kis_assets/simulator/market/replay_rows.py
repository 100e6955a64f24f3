"""Reads rows of a folder of real market days: bars, limits, kinds of issues."""

from __future__ import annotations

from typing import Any

from kis_assets.simulator.market.grid import grid
from kis_assets.simulator.market.market import Bar, Stock, rate_of, sign_of

# KRX's sign codes in the files: 1 up, 2 down, 3 unchanged, 4 and 5 the limits, 0 no trade.
_SIGNS = {"0": "3", "1": "2", "2": "5", "3": "3", "4": "1", "5": "4"}
_INFRASTRUCTURE = frozenset(("088980", "415640"))


def market_of(row: dict[str, Any]) -> str:
    """KOSPI, KOSDAQ or KONEX."""
    # KOSDAQ GLOBAL is a segment of KOSDAQ.
    return row["market"].split(" ")[0]


def group_of(row: dict[str, Any]) -> str:
    """The kind of issue, in KIS's two letters."""
    code, name = row["code"], row["name"]
    if row["market"] == "KONEX":
        return "KN"
    if code.startswith("9"):
        return "FS"
    if row["market"] == "KOSPI" and name.endswith(("리츠", "이리츠코크렙")):
        return "RT"
    return "IF" if code in _INFRASTRUCTURE else "ST"


def bar_of(row: dict[str, Any], before: dict[str, Any] | None) -> Bar:
    """The bar of a day; `before` is the row of the day before."""
    base = row["close"] - row["change"]
    previous = before["close"] if before else base
    flag, reason = _base_price_change(row, base, before)
    return Bar(
        row["date"], row["open"], row["high"], row["low"], row["close"], row["volume"],
        row["trading_value"], row["change"], round(row["change_rate"] * 100),
        _SIGNS[row["change_code"]], base, previous, row["listed_shares"], flag, reason,
    )  # fmt: skip


def _base_price_change(
    row: dict[str, Any], base: int, before: dict[str, Any] | None
) -> tuple[str, str]:
    """Ex-flag and reason if the base price is more than a tick from the previous close."""
    if before is None or base == before["close"]:
        return "00", ""
    tick = grid(market_of(row), row["date"]).tick(max(base, before["close"]))
    if abs(base - before["close"]) < tick:
        return "00", ""
    # Fewer shares at a higher price: a reverse split or a reduction. Otherwise an ex-rights day.
    return ("00", "99") if base > before["close"] else ("01", "")


def unopened(final: dict[str, Any], before: dict[str, Any] | None) -> Bar:
    """The bar before the day's first trade: the previous close, for today's share count."""
    bar = bar_of(final, before)
    price = bar.base if bar.revaluation else bar.previous_close
    change = price - bar.base
    return bar._replace(
        open=0, high=0, low=0, close=price, volume=0, trading_value=0, change=change,
        change_rate=rate_of(change, bar.base), sign=sign_of(change, price, 0, 0),
    )  # fmt: skip


def limits_of(bar: Bar, stock: Stock) -> tuple[int, int]:
    """The day's limits, wider if the day's prices exceeded the ordinary limits.

    The files do not say which stocks trade without a limit (first days, liquidation).
    """
    lower, upper = grid(stock.market, bar.day).limits(bar.base)
    if stock.listed_on == bar.day:
        return max(1, bar.base * 6 // 10), bar.base * 4
    if bar.volume and (bar.low < lower or bar.high > upper):
        return min(lower, bar.low), max(upper, bar.high)
    return lower, upper
