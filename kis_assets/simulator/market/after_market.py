"""KRX's after-market since 2026-09-14: its stocks, its trades, how long KIS shows its prices.

Its trades count permanently in the day's volume and value. KIS shows its prices as the day's close,
high and low until the night before the next session, then again those of the regular session.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, time
from random import Random

from kis_assets.exchange import calendar
from kis_assets.simulator.market.chance import key_of, unit
from kis_assets.simulator.market.grid import Grid
from kis_assets.simulator.market.market import ETP_GROUPS, Piece, Stock
from kis_assets.simulator.market.universe import Issue

# Last trade relative to official close, for a stock with the usual daily spread: measured on five
# evenings (market-wide: equal 21 %, median 0.34 to 0.44 %, p99 4.4 to 5.1 %).
_USUAL_SPREAD = 0.021
_MEDIAN_MOVE = math.log(0.0062)
_MOVE_SPREAD = 1.03
_STAYS = 0.10
# How often its prices leave the range of the regular session: measured 5 % above, 4 % below.
_LEAVES_RANGE = 0.27
# Its share of the day's volume.
_LEAST_SHARE, _MOST_SHARE = 0.02, 0.20
_THIN = math.log(6e8)


@dataclass(frozen=True, slots=True)
class Correction:
    """When KIS restores the regular session's prices: on the next session's day, before the open.

    The instant was not observed: nearly all stocks are corrected by 05:28, one of eleven was not.

    Args:
        at: The time of the correction.
        late: Codes of stocks that are corrected later.
        late_share: The share of other stocks that are later, too, chosen anew each day.
        late_at: The time of these later corrections.
    """

    at: time = time(5, 0)
    late: frozenset[str] = frozenset()
    late_share: float = 0.09
    late_at: time = time(5, 45)

    def instant(self, code: str, day: date, following: date) -> datetime:
        """When a stock's bar of a day becomes final; `following` is the next session."""
        is_late = code in self.late or unit(key_of("late", code, day), 1) < self.late_share
        return datetime.combine(following, self.late_at if is_late else self.at, calendar.SEOUL)


def takes_part(stock: Stock) -> bool:
    """Whether a stock trades in the after-market: shares of KOSPI and KOSDAQ, no funds."""
    return stock.market != "KONEX" and stock.group not in ETP_GROUPS


def traded_after(
    chance: Random,
    high: int,
    low: int,
    close: int,
    volume: int,
    base: int,
    ticks: Grid,
    issue: Issue,
) -> Piece | None:
    """The trading after a regular session; None without any.

    Always draws the same count of random numbers, so that a day does not change the next. A day
    without a base price (the first day) has other limits, so its range is not left.
    """
    draw, spread, official = chance.random, issue.spread, close
    silent, part, still, way, wick, leaves = draw(), draw(), draw(), draw(), draw(), draw()
    move = chance.gauss(_MEDIAN_MOVE, _MOVE_SPREAD)
    share = _LEAST_SHARE + (_MOST_SHARE - _LEAST_SHARE) * part * part
    volume = int(volume * share / (1 - share))
    if not volume or silent < 0.12 * (_THIN - issue.turnover):
        return None
    if base and leaves < _LEAVES_RANGE:
        low, high = ticks.limits(base)
    if still >= _STAYS:
        move = math.exp(move) * spread / _USUAL_SPREAD
        close = ticks.nearest(close * (1 + move if still * 1000 % 2 < 1 else 1 - move))
        close = min(max(close, low), high)
    if volume < 4:
        return Piece(close, close, close, close, volume, volume * close)
    first = ticks.nearest(official + (close - official) * 0.4 * way)
    top, bottom = (first, close) if first > close else (close, first)
    wick *= wick * 0.1 * spread
    high = max(min(ticks.nearest(top * (1 + wick)), high), top)
    low = min(max(ticks.nearest(bottom * (1 - wick)), low), bottom)
    value = volume * ((3 * (first + close) + 2 * (high + low)) // 10)
    return Piece(first, high, low, close, volume, value)
