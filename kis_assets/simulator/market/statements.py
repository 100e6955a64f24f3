"""Accounts of the invented companies: balance sheet and income of each fiscal quarter.

Amounts are 100 million KRW, as KIS writes them; amounts per share are KRW.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from kis_assets.simulator.market.chance import key_of, unit
from kis_assets.simulator.market.market import Market, Stock

_SIZED_ON = date(2019, 12, 30)
"""A company's sales are proportional to its market value on this day, or on its first day."""
_SEASONS = (0.22, 0.25, 0.24, 0.29)
_FILED_AFTER = timedelta(days=45)
_YEAR_FILED_AFTER = timedelta(days=90)
_LISTED = 30
_FIRST_YEAR = 2008


class Accounts(NamedTuple):
    """A company's figures at the end of a period; income since the start of its fiscal year."""

    year: int
    month: int
    revenue: int
    cost: int
    operating: int
    pretax: int
    net: int
    current_assets: int
    fixed_assets: int
    current_debt: int
    fixed_debt: int
    capital: int
    eps: int
    bps: int

    @property
    def assets(self) -> int:
        """All assets."""
        return self.current_assets + self.fixed_assets

    @property
    def debt(self) -> int:
        """All liabilities."""
        return self.current_debt + self.fixed_debt

    @property
    def equity(self) -> int:
        """All equity."""
        return self.assets - self.debt

    @property
    def quarter(self) -> str:
        """Year and month, as KIS writes it."""
        return f"{self.year}{self.month:02d}"


def has_accounts(stock: Stock) -> bool:
    """Whether the issue has statements: funds, shells and preferred shares have none."""
    return stock.group in ("ST", "KN") and not stock.is_spac and not stock.preferred


def annual(market: Market, stock: Stock, until: date) -> list[Accounts]:
    """Full fiscal years filed by a day, newest first, at most 30."""
    found = _filed(market, stock, until, 12)
    return found[:_LISTED]


def quarterly(market: Market, stock: Stock, until: date) -> list[Accounts]:
    """Quarters filed by a day, newest first, at most 30."""
    return _filed(market, stock, until, 3)[:_LISTED]


def _filed(market: Market, stock: Stock, until: date, months: int) -> list[Accounts]:
    if not has_accounts(stock):
        return []
    worth = _worth(market, stock.code)
    found: list[Accounts] = []
    year, month = until.year, until.month
    while worth and year >= _FIRST_YEAR:
        place = (month - stock.settle_month) % 12
        if place % months == 0:
            end = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
            wait = _FILED_AFTER if place else _YEAR_FILED_AFTER
            if end + wait <= until:
                found.append(_accounts(stock, worth, year, month, (place // 3) or 4))
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return found


@lru_cache(maxsize=4_096)
def _worth(market: Market, code: str) -> int:
    """A company's market value in 100 million KRW; 0 if it was never traded."""
    bars = market.bars(code, _SIZED_ON, _SIZED_ON + timedelta(days=30))
    bars = bars or market.bars(code, _SIZED_ON, market.now().date())[:1]
    return bars[0].close * bars[0].listed_shares // 100_000_000 if bars else 0


def _accounts(stock: Stock, worth: int, year: int, month: int, quarters: int) -> Accounts:
    """The accounts after this number of quarters of a fiscal year."""
    key = key_of("accounts", stock.code)
    fiscal = year if month <= stock.settle_month else year + 1
    size = worth * (0.3 + 1.2 * unit(key, 1))
    growth = 1.0
    for past in range(min(fiscal, 2020), max(fiscal, 2020)):
        growth *= 0.94 + 0.16 * unit(key, 2, past)
    if fiscal < 2020:
        growth = 1 / growth
    whole = size * growth
    share = sum(_SEASONS[:quarters])
    margin = 0.16 * unit(key, 3) - 0.03 + 0.08 * (unit(key, 4, fiscal) - 0.5)
    revenue = max(1, int(whole * share))
    cost = int(revenue * (0.6 + 0.2 * unit(key, 5)))
    operating = int(revenue * margin)
    pretax = operating + int(revenue * 0.02 * (unit(key, 6, fiscal) - 0.4))
    net = pretax - int(pretax * 0.22) if pretax > 0 else pretax
    assets = int(whole * (0.9 + 1.2 * unit(key, 7)))
    current = int(assets * (0.3 + 0.4 * unit(key, 8)))
    debt = int(assets * (0.15 + 0.55 * unit(key, 9)))
    short = int(debt * 0.6)
    capital = max(1, stock.face_value * stock.listed_shares // 100_000_000)
    equity = assets - debt
    return Accounts(
        year, month, revenue, cost, operating, pretax, net,
        current, assets - current, short, debt - short, capital,
        net * 100_000_000 // stock.listed_shares, equity * 100_000_000 // stock.listed_shares,
    )  # fmt: skip
