"""Legal prices: ticks and limits of one market on one day, fast enough for a whole market.

The rules are those of `kis_assets.exchange.prices`; this module only caches their results.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from functools import lru_cache

from kis_assets.exchange import prices

_ETP_FINE_TICK_FROM = date(2023, 12, 11)
_STEPS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)


class Grid:
    """Ticks and limits of a market on a day; `etp` for ETF, ETN and ELW."""

    __slots__ = ("_bounds", "_day", "_etp", "_market", "_ticks")

    def __init__(self, market: str, day: date, *, etp: bool) -> None:
        self._market, self._day, self._etp = market, day, etp
        if etp:
            self._bounds = (2_000,)
            self._ticks = (1 if day >= _ETP_FINE_TICK_FROM else 5, 5)
        else:
            self._bounds = _STEPS
            self._ticks = tuple(prices.tick_size(price, day, market) for price in (1, *_STEPS))

    def tick(self, price: int) -> int:
        """The tick at a price."""
        return self._ticks[bisect_right(self._bounds, price)]

    def nearest(self, price: float) -> int:
        """The legal price closest to a price, at least one tick."""
        tick = self._ticks[bisect_right(self._bounds, price)]
        return max(tick, int(price / tick + 0.5) * tick)

    def limits(self, base: int) -> tuple[int, int]:
        """Lowest and highest legal price of the day."""
        lower, upper = _limits(base, self._market, self._day)
        if self._etp:
            low_tick, high_tick = self.tick(lower), self.tick(upper)
            return -(-lower // low_tick) * low_tick, upper // high_tick * high_tick
        return lower, upper

    def step(self, price: int, ticks: int) -> int:
        """The legal price that is `ticks` above (or below) a legal price."""
        for _ in range(abs(ticks)):
            if ticks > 0:
                price += self.tick(price)
            else:
                price -= self.tick(price - 1)
        return price


@lru_cache(maxsize=65_536)
def _limits(base: int, market: str, day: date) -> tuple[int, int]:
    return prices.price_limits(base, market, day)


@lru_cache(maxsize=4_096)
def grid(market: str, day: date, etp: bool = False) -> Grid:
    """The shared grid of a market and day."""
    return Grid(market, day, etp=etp)
