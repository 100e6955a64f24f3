"""Indices that follow the stocks: a basket by market value, free of splits and rights issues.

Thirty stocks determine the index; their trading is scaled up to that of all stocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Bar, Market, Stock

_BASKET = 30
"""Stocks in a basket: few enough to compute ten years in one or two seconds."""
_REFERENCE = date(2019, 12, 30)
"""Baskets and weights are those of this day, or of the market's first day."""


class IndexBar(NamedTuple):
    """A day of an index: hundredths of a point, shares and KRW."""

    day: date
    open: int
    high: int
    low: int
    close: int
    volume: int
    value: int


@dataclass(frozen=True)
class Index:
    """An index: its code of four digits, the digit of the master file, name, start, members."""

    code: str
    digit: str
    name: str
    level: int
    holds: Callable[[Stock], bool]


def _sector(market: str, number: int) -> Callable[[Stock], bool]:
    return lambda stock: stock.market == market and stock.sector == number


def _large(market: str) -> Callable[[Stock], bool]:
    return lambda stock: stock.market == market and stock.on_nxt


def _small(market: str) -> Callable[[Stock], bool]:
    return lambda stock: stock.market == market and not stock.on_nxt


def _of(market: str) -> Callable[[Stock], bool]:
    return lambda stock: stock.market == market


_SECTORS = {
    5: "음식료품", 8: "화학", 9: "의약품", 11: "철강금속", 12: "기계", 13: "전기전자",
    16: "유통업", 17: "전기가스업", 18: "건설업", 19: "운수창고", 21: "금융업",
}  # fmt: skip

INDICES: dict[str, Index] = {
    index.code: index
    for index in (
        Index("0001", "0", "종합", 220_000, _of("KOSPI")),
        Index("0002", "0", "대형주", 218_000, _large("KOSPI")),
        Index("0004", "0", "소형주", 205_000, _small("KOSPI")),
        *(
            Index(f"{number:04d}", "0", name, 100_000 + 9_000 * number, _sector("KOSPI", number))
            for number, name in _SECTORS.items()
        ),
        Index("1001", "1", "KOSDAQ", 67_000, _of("KOSDAQ")),
        Index("1002", "1", "KOSDAQ 대형주", 120_000, _large("KOSDAQ")),
        Index("2001", "2", "KOSPI200", 29_000, _large("KOSPI")),
        # The index master has 3003, but KIS returned bars for 2203.
        Index("3003", "3", "KOSDAQ150", 105_000, _large("KOSDAQ")),
        Index("2203", "2", "KOSDAQ150", 105_000, _large("KOSDAQ")),
    )
}


class Indices:
    """The indices of a market."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._basket = lru_cache(maxsize=64)(self._make_basket)
        self._start = lru_cache(maxsize=64)(self._value_at_start)
        self.scale = lru_cache(maxsize=64)(self._scale)

    def bars(self, code: str, first: date, last: date) -> list[IndexBar]:
        """Bars of an index, oldest first, until now at most; empty for an unknown index."""
        index = INDICES.get(code)
        basket = self._basket(code) if index else None
        if index is None or not basket:
            return []
        members = {
            stock.code: {bar.day: bar for bar in self._regular_bars(stock.code, first, last)}
            for stock, _ in basket
        }
        days = sorted({day for bars in members.values() for day in bars})
        return [bar for day in days if (bar := self._bar(index, basket, members, day))]

    def members(self, code: str) -> list[str]:
        """The codes in an index's basket."""
        return [stock.code for stock, _ in self._basket(code)]

    def _regular_bars(self, code: str, first: date, last: date) -> list[Bar]:
        """A stock's bars without the after-market, which does not affect indices."""
        market = self._market
        found = market.bars(code, first, last)
        session = calendar.session(found[-1].day) if found else None
        if session and session.closes_at <= market.now():
            found[-1] = market.final_bar(code, session.day) or found[-1]
        return found

    def _make_basket(self, code: str) -> tuple[tuple[Stock, int], ...]:
        index = INDICES[code]
        able = [stock for stock in self._stocks_of(index) if stock.delisted_on is None]
        able.sort(key=lambda stock: (stock.on_nxt, stock.listed_shares), reverse=True)
        return tuple((stock, stock.listed_shares) for stock in able[:_BASKET])

    def _stocks_of(self, index: Index) -> list[Stock]:
        market = self._market
        listed = market.stocks(_REFERENCE) or market.stocks(market.now().date())
        return [
            stock for stock in listed
            if index.holds(stock) and stock.group == "ST" and not stock.preferred
            and not stock.is_spac
        ]  # fmt: skip

    def _scale(self, code: str) -> float:
        """Trading of all stocks of an index relative to its basket, from days that never change."""
        last = _REFERENCE if self._market.stocks(_REFERENCE) else self._market.now().date()
        value = {
            stock.code: sum(
                bar.trading_value
                for bar in self._market.bars(stock.code, last - timedelta(days=40), last)
            )
            for stock in self._stocks_of(INDICES[code])
        }
        of_basket = sum(value[stock.code] for stock, _ in self._basket(code))
        return sum(value.values()) / of_basket if of_basket else 1.0

    def _bar(
        self,
        index: Index,
        basket: tuple[tuple[Stock, int], ...],
        members: dict[str, dict[date, Bar]],
        day: date,
    ) -> IndexBar | None:
        opened, high, low, close = (Fraction(0) for _ in range(4))
        volume = value = 0
        for stock, shares in basket:
            bar = members[stock.code].get(day)
            if bar is None:
                return None
            weight = shares / self._market.adjustment(stock.code, _REFERENCE, day)
            opened += weight * (bar.open or bar.close)
            high += weight * (bar.high or bar.close)
            low += weight * (bar.low or bar.close)
            close += weight * bar.close
            volume += bar.volume
            value += bar.trading_value
        start = self._start(index.code)
        opened, high, low, close = (
            int(index.level * part / start) for part in (opened, high, low, close)
        )
        scale = self.scale(index.code)
        return IndexBar(day, opened, high, low, close, int(volume * scale), int(value * scale))

    def _value_at_start(self, code: str) -> Fraction:
        total = Fraction(0)
        for stock, shares in self._basket(code):
            bars = self._market.bars(stock.code, _REFERENCE - timedelta(days=40), _REFERENCE)
            bars = bars or self._market.bars(stock.code, _REFERENCE, self._market.now().date())[:1]
            total += shares * (bars[-1].close if bars else 1)
        return total or Fraction(1)


@lru_cache(maxsize=8)
def indices_of(market: Market) -> Indices:
    """The indices of a market; their baskets are built once."""
    return Indices(market)
