"""Short sales, lent shares and margin loans of a stock on a day. Needs only bars."""

from __future__ import annotations

from typing import NamedTuple

from kis_assets.simulator.market.chance import key_of, unit
from kis_assets.simulator.market.market import Bar

_KNOT = 20
"""Days between two turning points of a balance."""


class ShortSale(NamedTuple):
    """Shares sold short on a day and their average price in KRW; 0 without short sales."""

    volume: int
    price: int

    @property
    def value(self) -> int:
        """The value in KRW."""
        return self.volume * self.price


class Balance(NamedTuple):
    """A balance of shares after a day, with the shares added and removed."""

    rest: int
    new: int
    repaid: int


def short_sale(code: str, bar: Bar) -> ShortSale:
    """The short sales in a day's volume."""
    key = key_of("short", code, bar.day)
    if not bar.volume or unit(key, 1) < 0.2:
        return ShortSale(0, 0)
    volume = int(bar.volume * 0.12 * unit(key, 2) ** 2)
    low, high = min(bar.low or bar.close, bar.close), max(bar.high, bar.close)
    return ShortSale(volume, low + int((high - low) * unit(key, 3))) if volume else ShortSale(0, 0)


def lent(code: str, bar: Bar, before: Bar | None) -> Balance:
    """Lent shares. KIS's data has negative balances; here one stock in fifty has some."""
    key = key_of("lent", code)
    below = 0.02 if unit(key, 90) < 0.02 else 0.0
    return _balance(key, bar, before, 0.04, below)


def margin_loan(code: str, bar: Bar, before: Bar | None) -> Balance | None:
    """Shares bought on credit; None for the few stocks without credit."""
    key = key_of("credit", code)
    return None if unit(key, 90) < 0.02 else _balance(key, bar, before, 0.008, 0.0)


def stock_loan(code: str, bar: Bar, before: Bar | None) -> Balance:
    """Shares lent to individuals."""
    return _balance(key_of("stock loan", code), bar, before, 0.0002, 0.0)


def _balance(key: int, bar: Bar, before: Bar | None, most: float, below: float) -> Balance:
    rest = _level(key, bar, most, below)
    grown = 0 if before is None else rest - _level(key, before, most, below)
    turnover = int(bar.listed_shares * most * 0.02 * unit(key, 3, bar.day.toordinal()))
    return Balance(rest, turnover + max(grown, 0), turnover + max(-grown, 0))


def _level(key: int, bar: Bar, most: float, below: float) -> int:
    knot, part = divmod(bar.day.toordinal(), _KNOT)
    left, right = unit(key, 1, knot), unit(key, 1, knot + 1)
    wave = left + (right - left) * part / _KNOT
    return int(bar.listed_shares * most * (wave - below * 40))
