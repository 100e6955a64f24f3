"""The invented market: any stock on any day since 2000, always the same for a seed. No wire format.

Bars come from `prices`, what is listed from `universe`, the course of a day from `intraday`; here
they become what the market shows at a moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache

from kis_assets import krx
from kis_assets.simulator.actions import FIRST_YEAR, month_days
from kis_assets.simulator.books import book_of
from kis_assets.simulator.chance import key_of
from kis_assets.simulator.intraday import Intraday, Piece
from kis_assets.simulator.market import (
    Action,
    Bar,
    Book,
    Minute,
    Quote,
    Stock,
    business_day,
    rate_of,
    sign_of,
)
from kis_assets.simulator.prices import grid_of, has_month, index_of, prices_of
from kis_assets.simulator.universe import Issue, universe

_LIQUIDATION_DAYS = 10


class ModelMarket:
    """An invented market, `seed` saying which.

    Args:
        seed: The same seed gives the same market, on any machine, in any process.
        clock: The moment the market is at, aware; by default the real one.
    """

    def __init__(self, seed: int = 0, clock: Callable[[], datetime] = krx.now) -> None:
        self.seed, self._clock = seed, clock
        self._issues = universe(seed)
        self._prices = prices_of(seed)
        self._actions = self._prices.actions
        self._course = lru_cache(maxsize=4_096)(self._make_course)
        # An order book starts from the same quote as the price beside it.
        self._quote = lru_cache(maxsize=1_024)(self._make_quote)
        self._listed = lru_cache(maxsize=4)(self._make_listed)

    def now(self) -> datetime:
        """The moment the market is at."""
        return self._clock().astimezone(krx.SEOUL)

    def is_trading_day(self, day: date) -> bool:
        """Whether the exchange opens on that day."""
        return krx.is_trading_day(day)

    def stocks(self, day: date) -> Sequence[Stock]:
        """Every issue listed on the day, all security types."""
        return self._listed(day)

    def stock(self, code: str) -> Stock | None:
        """The issue as it stands now."""
        issue = self._issues.get(code)
        return self._as_of(issue, business_day(self.now())) if issue else None

    def quote(self, code: str, at: datetime) -> Quote | None:
        """The stock as seen at that moment."""
        return self._quote(code, at)

    def _make_quote(self, code: str, at: datetime) -> Quote | None:
        issue, day = self._issues.get(code), business_day(at)
        bar, before = self._bar_and_before(code, day)
        session = krx.session(day)
        if issue is None or bar is None or session is None:
            return None
        lower, upper = self._prices.limits(issue.stock, bar)
        halted = not bar.volume and self._is_halted(issue, day)
        if at < session.opens_at:
            bar = _untraded(bar)
        elif at < session.closes_at and bar.volume:
            seen = self._course(code, day).so_far(at)
            bar = _as_far(bar, seen, upper, lower) if seen else _untraded(bar)
        return Quote(code, at, bar, upper, lower, before, halted)

    def bars(self, code: str, first: date, last: date) -> list[Bar]:
        """Raw bars, oldest first, never beyond now."""
        issue, now = self._issues.get(code), self.now()
        if issue is None:
            return []
        running = krx.latest_session(now)
        last = min(last, running.day)
        first = max(first, issue.stock.listed_on or first, date(FIRST_YEAR, 1, 1))
        found: list[Bar] = []
        for index in range(index_of(first), index_of(last) + 1):
            found += self._prices.month(code, index)
        found = [bar for bar in found if first <= bar.day <= last]
        if found and found[-1].day == running.day and now < running.closes_at:
            quote = self.quote(code, now)
            if quote is not None:
                found[-1] = quote.bar
        return found

    def adjustment(self, code: str, day: date, at: date) -> Fraction:
        """Turns a raw price of `day` into one on the share count of `at`."""
        factor = Fraction(1)
        for action in self._actions.of(code, at):
            if day < action.ex_day <= at:
                factor *= action.factor
        return factor

    def minutes(self, code: str, day: date) -> list[Minute]:
        """Raw minutes with trades, oldest first, never beyond now."""
        bar, now = self._bar_and_before(code, day)[0], self.now()
        if bar is None or not bar.volume:
            return []
        return [
            Minute(started_at, *piece)
            for started_at, piece in self._course(code, day).minutes()
            if started_at <= now
        ]

    def book(self, code: str, at: datetime) -> Book | None:
        """The order book, None outside the session and for what does not trade."""
        issue, quote = self._issues.get(code), self.quote(code, at)
        if issue is None or quote is None:
            return None
        key = key_of(issue.key, "book", int(at.timestamp()) // 5)
        return book_of(key, quote, grid_of(issue.stock, quote.bar.day), issue.turnover)

    def actions(self, first: date, last: date) -> list[Action]:
        """Corporate actions whose record or ex-day lies in the range, oldest first."""
        found = self._actions.between(first, last)
        for year in range(first.year, last.year + 1):
            found += self._dividends(year, first, last)
        return sorted(found, key=lambda action: (action.record_day, action.code))

    def _make_listed(self, day: date) -> Sequence[Stock]:
        return [stock for issue in self._issues.values() if (stock := self._as_of(issue, day))]

    def _as_of(self, issue: Issue, day: date) -> Stock | None:
        stock = issue.stock
        if stock.listed_on is None or stock.listed_on > day:
            return None
        ends = stock.delisted_on
        if ends and ends <= day:
            return None
        shares, face = self._actions.shares_and_face(issue, day)
        leaving = ends is not None and (ends - day).days < _LIQUIDATION_DAYS and not stock.is_spac
        halted = self._is_halted(issue, day)
        if not leaving and not halted and shares == stock.listed_shares:
            return stock
        return replace(
            stock, listed_shares=shares, face_value=face, is_halted=halted, is_liquidating=leaving
        )

    def _is_halted(self, issue: Issue, day: date) -> bool:
        return self._prices.rests(issue, index_of(day)) or any(
            action.halted_from and action.halted_from <= day < action.ex_day
            for action in self._actions.of(issue.stock.code, day + timedelta(days=31))
        )

    def _bar_and_before(self, code: str, day: date) -> tuple[Bar | None, Bar | None]:
        index = index_of(day)
        if code not in self._issues or not has_month(index):
            return None, None
        before: Bar | None = None
        for bar in self._prices.month(code, index):
            if bar.day == day:
                if before is None and has_month(index - 1):
                    before = next(reversed(self._prices.month(code, index - 1)), None)
                return bar, before
            before = bar
        return None, None

    def _make_course(self, code: str, day: date) -> Intraday:
        bar, session = self._bar_and_before(code, day)[0], krx.session(day)
        if bar is None or session is None:
            raise LookupError(f"{code} does not trade on {day}")
        issue = self._issues[code]
        tick = grid_of(issue.stock, day).tick(bar.high)
        whole = Piece(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trading_value)
        return Intraday(key_of(issue.key, day), session, whole, tick)

    def _dividends(self, year: int, first: date, last: date) -> list[Action]:
        days = month_days(year, 12)
        if not any(first <= day <= last for day in days[-2:]):
            return []
        found: list[Action] = []
        for issue in self._issues.values():
            stock = self._as_of(issue, days[-1])
            if stock is None or self._prices.ex_dividend_day(issue, year * 12 + 11) is None:
                continue
            price = math.exp(issue.level) * self._prices.factor(stock.code, days[-1])
            amount = max(10, int(price * 0.02) // 10 * 10)
            shares, face = stock.listed_shares, stock.face_value
            found.append(
                Action(
                    "dividend", stock.code, stock.name, stock.market, days[-1], days[-2], None,
                    Fraction(1), shares, shares, face, face, amount,
                )
            )  # fmt: skip
        return found


def _untraded(bar: Bar) -> Bar:
    return bar._replace(
        open=0, high=0, low=0, close=bar.base, volume=0, trading_value=0, change=0, change_rate=0,
        sign="3",
    )  # fmt: skip


def _as_far(bar: Bar, seen: Piece, upper: int, lower: int) -> Bar:
    change = seen.close - bar.base
    return bar._replace(
        open=seen.open, high=seen.high, low=seen.low, close=seen.close, volume=seen.volume,
        trading_value=seen.value, change=change, change_rate=rate_of(change, bar.base),
        sign=sign_of(change, seen.close, upper, lower),
    )  # fmt: skip
