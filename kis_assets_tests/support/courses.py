"""What was traded of invented stocks in seven days, and the oddities that real days have.

`make_extract.py` chooses the stocks and writes the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

from kis_assets.exchange import calendar, prices
from kis_assets.simulator.market.market import Stock

DAYS = calendar.trading_days(date(2026, 3, 9), date(2026, 3, 17))
MON, TUE, WED, THU, FRI, NEXT_MON, LAST = DAYS


class Row(NamedTuple):
    """What was traded of a stock on a day, or until a moment of it. Prices and value are KRW."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    value: int


@dataclass
class Course:
    """A stock's rows of the days and moments.

    `bases` holds the base prices that are not the previous close, and that of the first day.
    """

    stock: Stock
    rows: dict[date, Row]
    seen: dict[datetime, Row]
    bases: dict[date, int]
    shares: dict[date, int]
    segment: str = ""

    def base(self, day: date) -> int:
        """What the day's change is counted from."""
        return self.bases[day] if day in self.bases else self.rows[day_before(day)].close

    def tick(self, price: float, day: date) -> int:
        """That price on the grid."""
        tick = prices.tick_size(max(1, round(price)), day, self.stock.market)
        return max(tick, round(price / tick) * tick)

    def change(self, first: date, how: Callable[[Row, date], Row]) -> None:
        """Change all rows from a day on."""
        self.rows |= {day: how(row, day) for day, row in self.rows.items() if day >= first}
        late = {at: row for at, row in self.seen.items() if at.date() >= first}
        self.seen |= {at: how(row, at.date()) for at, row in late.items()}

    def scale(self, first: date, factor: float) -> None:
        """Multiply prices from a day on; each stays on the grid."""

        def scaled(row: Row, day: date) -> Row:
            opened, high, low, close = (self.tick(p * factor, day) if p else 0 for p in row[:4])
            value = min(max(round(row.value * factor), low * row.volume), high * row.volume)
            return Row(opened, high, low, close, row.volume, value)

        self.change(first, scaled)

    def follow(self, day: date, close: int) -> None:
        """Move all later days, so that they begin from that close of the day."""
        old = self.rows[day].close
        self.rows[day] = self.rows[day]._replace(close=close)
        if day != LAST:
            self.scale(DAYS[DAYS.index(day) + 1], close / old)

    def rest(self, day: date) -> None:
        """Leave a day without a trade: what remains is its base price."""
        still = Row(0, 0, 0, self.base(day), 0, 0)
        self.follow(day, still.close)
        self.rows[day] = still
        self.seen |= {at: still for at in self.seen if at.date() == day}

    def keep(self, first: date = DAYS[0], last: date = DAYS[-1]) -> None:
        """Leave the stock listed from one day to another."""
        self.rows = {day: row for day, row in self.rows.items() if first <= day <= last}
        self.seen = {at: row for at, row in self.seen.items() if first <= at.date() <= last}


def day_before(day: date) -> date:
    """The one of the seven before it."""
    return DAYS[DAYS.index(day) - 1]


def rights(course: Course, day: date, factor: float) -> None:
    """The base falls without a word: a right has gone."""
    before = course.base(day)
    base = course.tick(before * factor, day)
    course.scale(day, base / before)
    course.bases[day] = base


def reverse_split(course: Course, day: date) -> None:
    """A tenth of the shares after days without a trade, at 8.4 times the price and not at ten."""
    for other in DAYS[: DAYS.index(day)]:
        course.rest(other)
    rights(course, day, 8.4)
    course.shares |= {other: count // 10 for other, count in course.shares.items() if other >= day}


def rounded_base(course: Course, day: date) -> None:
    """A close off the tick, rounded to it for the next base: no action at all."""
    row = course.rows[day_before(day)]
    course.bases[day] = row.close
    close = row.close - 2
    course.rows[day_before(day)] = row._replace(low=min(row.low, close), close=close)


def first_day(course: Course, day: date, offer: int, top: int) -> None:
    """Listed that day, and at its high in the evening, far above the offer price."""
    course.stock = replace(course.stock, listed_on=day)
    course.keep(first=day)
    course.scale(day, top / course.rows[day].high)
    course.bases[day] = offer
    course.follow(day, top)


def liquidation(course: Course, day: date, factor: float, last: date = LAST) -> None:
    """Trading before a delisting, which knows no limit."""
    course.stock = replace(course.stock, department="관리종목(소속부없음)")
    course.scale(day, factor)
    course.keep(last=last)


def bid_up(course: Course, day: date) -> None:
    """No trade, and yet another price: a bid stood above the previous close."""
    course.rest(day)
    price = course.rows[day].close
    course.follow(day, price + prices.tick_size(price, day, course.stock.market))


def at_the_limit(course: Course, day: date, side: int) -> None:
    """Closes at the lower (0) or upper (1) limit."""
    row = course.rows[day]
    limit = prices.price_limits(course.base(day), course.stock.market, day)[side]
    course.rows[day] = row._replace(high=max(row.high, limit), low=min(row.low, limit))
    course.follow(day, limit)


def off_the_tick(course: Course, day: date) -> None:
    """A high between two ticks: a trade at the middle of the book."""
    row = course.rows[day]
    tick = prices.tick_size(row.high, day, course.stock.market)
    course.rows[day] = row._replace(high=row.high + tick // 2)


def priced(course: Course, price: int) -> None:
    """About as dear as that."""
    factor = price / course.bases[MON]
    course.bases[MON] = price
    course.scale(MON, factor)


def two_krw(course: Course) -> None:
    """At 2 KRW, where one step is half the price."""

    def two(row: Row, _day: date) -> Row:
        return Row(2, 3, 2, 2, row.volume, row.volume * 2 + row.volume // 3)

    course.change(MON, two)
    course.bases[MON] = 2
