"""The issues of the invented market, with listing and delisting days. No price movements.

Enough issues are listed before 2020 and never delisted, so that any day of 2020 to 2030 has 2,500
common shares of KOSPI and KOSDAQ. Two or three newcomers are listed per month, and some are
delisted again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from random import Random

from kis_assets.exchange import calendar
from kis_assets.simulator.market.chance import key_of
from kis_assets.simulator.market.market import Stock
from kis_assets.simulator.market.names import (
    KNOWN,
    KNOWN_PREFERRED,
    THEMES,
    Names,
    isin_of,
    share_isin,
)

_NEWCOMERS_FROM, _NEWCOMERS_UNTIL = 2020, 2036
# KRX uses codes with letters since 2024; the month is this simulator's choice.
_LETTERS_FROM = date(2024, 6, 1)
_NAME_TOO_LONG = "마중 글로벌 2차전지 밸류체인 액티브 레버리지(합성 H) 채권혼합 30"


@dataclass(frozen=True, slots=True)
class Issue:
    """A stock and the parameters of its prices: log price, daily spread, log of the daily value."""

    stock: Stock
    key: int
    level: float
    spread: float
    turnover: float


@lru_cache(maxsize=8)
def universe(seed: int) -> dict[str, Issue]:
    """Every issue that is ever listed, by code."""
    builder = _Builder(seed)
    builder.known()
    builder.companies("KOSPI", 800 - builder.count("KOSPI"), 100, 38_000)
    builder.companies("KOSDAQ", 1_725 - builder.count("KOSDAQ"), 3_800, 49_900)
    builder.preferred(120)
    builder.companies("KONEX", 112, 6_000, 47_000)
    builder.foreign()
    builder.funds()
    builder.newcomers()
    return builder.issues


class _Builder:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.issues: dict[str, Issue] = {}
        self.chance = Random(key_of(seed, "universe"))
        self.names = Names(self.chance)

    def count(self, market: str) -> int:
        found = (issue.stock for issue in self.issues.values())
        return sum(stock.market == market and not stock.preferred for stock in found)

    def add(self, stock: Stock, level: float, spread: float, turnover: float) -> None:
        key = key_of(self.seed, "stock", stock.code)
        if stock.market != "KOSPI":
            stock = replace(stock, department=_department(stock, key))
        self.issues[stock.code] = Issue(stock, key, level, spread, turnover)

    def known(self) -> None:
        for code, name, market, price, shares, value in KNOWN:
            stock = Stock(
                code, share_isin(code), name, market,
                listed_on=self._old_day(1975, 1999),
                listed_shares=round(shares * 1e6), face_value=500, sector=13,
                industry="대표 기업", offer_price=0, on_nxt=True,
            )  # fmt: skip
            self.add(stock, math.log(price), 0.017, math.log(value * 1e9))
        for code, name, _parent, price, shares, value in KNOWN_PREFERRED:
            stock = Stock(
                code, share_isin(code), name, "KOSPI", preferred=1 if code[5] == "5" else 2,
                listed_on=self._old_day(1989, 1999), listed_shares=round(shares * 1e6),
                face_value=500, sector=13, industry="대표 기업", on_nxt=code == "005935",
            )  # fmt: skip
            self.add(stock, math.log(price), 0.016, math.log(value * 1e9))

    def companies(self, market: str, count: int, first: int, last: int) -> None:
        for _ in range(count):
            listed_on = (
                self._old_day(1976, 2019) if market == "KOSPI" else self._old_day(1997, 2019)
            )
            self.company(market, self.names.digits(first, last), listed_on)

    def company(
        self, market: str, code: str, listed_on: date, delisted_on: date | None = None
    ) -> None:
        chance = self.chance
        name, industry, sector = self.names.company()
        price = min(max(chance.lognormvariate(math.log(9_000), 1.1), 600), 700_000)
        if market == "KONEX":
            value = chance.lognormvariate(math.log(8e6), 1.6)
        else:
            value = chance.lognormvariate(math.log(2.2e9), 1.7)
        shares = round(chance.lognormvariate(math.log(24e6), 0.8)) + 1_000_000
        troubled = chance.random()
        stock = Stock(
            code, share_isin(code), name, market, group="KN" if market == "KONEX" else "ST",
            listed_on=listed_on, delisted_on=delisted_on, listed_shares=shares,
            face_value=chance.choice((100, 500, 500, 500, 1_000, 5_000)),
            is_administrative=troubled < 0.03 and market != "KONEX",
            warning="01" if 0.03 < troubled < 0.04 else "00",
            settle_month=12 if chance.random() < 0.95 else chance.choice((3, 6, 9)),
            sector=sector, industry=industry, on_nxt=market != "KONEX" and value > 9e9,
        )  # fmt: skip
        # KONEX has half the price limit, and after days without a trade a price has to catch up.
        wide = (0.006, 0.014) if market == "KONEX" else (0.012, 0.034)
        self.add(stock, math.log(price), chance.uniform(*wide), math.log(value))

    def preferred(self, count: int) -> None:
        commons = [issue for issue in self.issues.values() if issue.stock.market == "KOSPI"]
        endings = (("5", "우", 1), ("7", "2우B", 2), ("K", "3우C", 2))
        while count:
            parent = self.chance.choice(commons)
            ending, suffix, kind = self.chance.choices(endings, (70, 15, 25))[0]
            code = parent.stock.code[:5] + ending
            if parent.stock.preferred or code in self.issues or parent.stock.code[5] != "0":
                continue
            count -= 1
            stock = Stock(
                code, share_isin(code), parent.stock.name + suffix, "KOSPI", preferred=kind,
                listed_on=parent.stock.listed_on,
                listed_shares=max(parent.stock.listed_shares // 40, 100_000),
                face_value=parent.stock.face_value, sector=parent.stock.sector,
                industry=parent.stock.industry,
            )  # fmt: skip
            level = parent.level + self.chance.uniform(-0.6, 0.2)
            self.add(stock, max(level, math.log(600)), min(parent.spread, 0.02), math.log(6e7))

    def foreign(self) -> None:
        for number in range(20):
            code = f"9{number % 2 * 5}0{number:02d}0"
            name, industry, sector = self.names.company()
            stock = Stock(
                code, isin_of(f"HK00{number:07d}"), f"{name}인터내셔널",
                "KOSDAQ" if number else "KOSPI", group="FS", listed_on=self._old_day(2007, 2019),
                listed_shares=40_000_000, face_value=0, sector=sector, industry=industry,
            )  # fmt: skip
            self.add(stock, math.log(2_500), 0.025, math.log(6e8))

    def funds(self) -> None:
        chance, themes = self.chance, list(THEMES)
        for number in range(24):
            group = "IF" if number < 2 else "RT"
            name = f"{self.names.company()[0][:2]}{'인프라' if group == 'IF' else '리츠'}"
            code = self.names.digits(8_800, 48_000)
            self._fund(code, share_isin(code), name, group, 4_500, 7e8, face=500)
        for number in range(120):
            code = self.names.digits(6_000, 48_000)
            name = _NAME_TOO_LONG if number == 0 else self.names.fund(chance.choice(themes))
            self._fund(code, isin_of(f"KR7{code}00"), name, "EF", 12_000, 3e9)
        for number in range(40):
            code = f"Q{500_000 + number * 7:06d}"
            name = self.names.fund(chance.choice(themes), "ETN")
            self._fund(code, isin_of(f"KRG{code[1:]}00"), name, "EN", 10_000, 2e7)
        for number in range(12):
            code = f"58{number:03d}J"
            name = f"마중{1_001 + number} KOSPI200 콜"
            self._fund(code, isin_of(f"KRA58{number:03d}000"), name, "EW", 300, 1e7)

    def _fund(
        self, code: str, isin: str, name: str, group: str, price: int, value: float, face: int = 0
    ) -> None:
        listed_on = self._old_day(2003, 2019)
        stock = Stock(
            code, isin, name, "KOSPI", group=group, listed_on=listed_on,
            listed_shares=self.chance.randint(5, 400) * 100_000, face_value=face,
        )  # fmt: skip
        level = math.log(price) + self.chance.uniform(-0.7, 0.9)
        self.add(stock, level, 0.011, math.log(value) + self.chance.uniform(-1.5, 1.5))

    def newcomers(self) -> None:
        for year in range(_NEWCOMERS_FROM, _NEWCOMERS_UNTIL):
            for month in range(1, 13):
                days = _days_of_month(year, month)
                self._newcomer("KOSDAQ", self.chance.choice(days[2:]), spac=False)
                if month % 3 == 2:
                    self._newcomer("KOSPI", self.chance.choice(days[2:]), spac=False)
                self._newcomer("KOSDAQ", self.chance.choice(days[2:]), spac=True)

    def _newcomer(self, market: str, day: date, *, spac: bool) -> None:
        code = self.names.lettered() if day >= _LETTERS_FROM else self.names.digits(30_000, 47_999)
        if spac:
            name = f"{self.names.company()[0][:2]}제{day.month}호스팩"
            stock = Stock(
                code, share_isin(code), name, market, is_spac=True, listed_on=day,
                delisted_on=_trading_day_after(day + timedelta(days=1_050)),
                listed_shares=self.chance.randint(40, 80) * 100_000, face_value=100,
                industry="기타 금융업", sector=21,
            )  # fmt: skip
            self.add(stock, math.log(2_080), 0.003, math.log(4e7))
            return
        stays = self.chance.random() < 0.6
        end = day + timedelta(days=self.chance.randint(700, 2_400))
        self.company(market, code, day, None if stays else _trading_day_after(end))

    def _old_day(self, first: int, last: int) -> date:
        day = date(first, 1, 5) + timedelta(days=self.chance.randrange((last - first + 1) * 355))
        # The calendar begins in 2000; before that any weekday is accepted.
        if day < calendar.FIRST_DAY:
            return day - timedelta(days=max(0, day.weekday() - 4))
        return _trading_day_after(day)


def _department(stock: Stock, key: int) -> str:
    """The department (소속부) of an issue of KOSDAQ or KONEX."""
    if stock.market == "KONEX":
        return "일반기업부"
    if stock.is_spac:
        return "SPAC(소속부없음)"
    if stock.group == "FS":
        return "외국기업(소속부없음)"
    if stock.is_administrative:
        return "관리종목(소속부없음)"
    return ("우량기업부", "벤처기업부", "중견기업부", "기술성장기업부")[key % 4]


def _trading_day_after(day: date) -> date:
    return day if calendar.is_trading_day(day) else calendar.next_trading_day(day)


def _days_of_month(year: int, month: int) -> list[date]:
    following = date(year + month // 12, month % 12 + 1, 1)
    return calendar.trading_days(date(year, month, 1), following - timedelta(days=1))
