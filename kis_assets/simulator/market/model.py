"""The invented market: any stock on any day since 2000, always the same for a seed. No wire format.

Bars come from `prices`, listed issues from `universe`, the course of a day from `intraday`; this
module computes what the market shows at a moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache

from kis_assets.exchange import calendar
from kis_assets.simulator.market.actions import FIRST_YEAR, month_days
from kis_assets.simulator.market.after_market import Correction, takes_part
from kis_assets.simulator.market.books import book_of
from kis_assets.simulator.market.chance import key_of
from kis_assets.simulator.market.intraday import Course, Intraday, after_market_course
from kis_assets.simulator.market.market import (
    ROLLOVER,
    Action,
    Bar,
    Book,
    Minute,
    Piece,
    Quote,
    Stock,
    business_day,
    phase,
)
from kis_assets.simulator.market.moments import (
    as_far,
    at_closing_price,
    before_after_market,
    in_after_market,
    untraded,
)
from kis_assets.simulator.market.prices import grid_of, has_month, index_of, prices_of
from kis_assets.simulator.market.stretches import join
from kis_assets.simulator.market.trades import Trade, minutes_of, so_far, trades_of
from kis_assets.simulator.market.universe import Issue, universe

_LIQUIDATION_DAYS = 10


class ModelMarket:
    """An invented market, determined by `seed`.

    Args:
        seed: The same seed gives the same market, on any machine, in any process.
        clock: Returns the current moment of the market, aware; by default the real one.
        correction: When the regular session's prices replace those of the after-market.
        rolls_at: The time from which a trading day is shown instead of the day before, except in
            bars. KIS's hour was not observed.
    """

    def __init__(
        self,
        seed: int = 0,
        clock: Callable[[], datetime] = calendar.now,
        *,
        correction: Correction | None = None,
        rolls_at: time = ROLLOVER,
    ) -> None:
        self.seed, self._clock = seed, clock
        self.rolls_at, self._correction = rolls_at, correction or Correction()
        self._issues = universe(seed)
        self._prices = prices_of(seed)
        self._actions = self._prices.actions
        self._course = lru_cache(maxsize=4_096)(self._make_course)
        self._after_market = lru_cache(maxsize=4_096)(self._make_after_market)
        self._session = lru_cache(maxsize=64)(calendar.session)
        self._following = lru_cache(maxsize=64)(calendar.next_trading_day)
        # Clients request a day of minutes page by page.
        self._minutes = lru_cache(maxsize=64)(self._make_minutes)
        self._trades = lru_cache(maxsize=64)(self._make_trades)
        # An order book starts from the same quote as the price.
        self._quote = lru_cache(maxsize=1_024)(self._make_quote)
        self._shown = lru_cache(maxsize=1_024)(self._make_shown)
        self._listed = lru_cache(maxsize=4)(self._make_listed)

    def now(self) -> datetime:
        """The current moment of the market."""
        return self._clock().astimezone(calendar.SEOUL)

    def is_trading_day(self, day: date) -> bool:
        """Whether the exchange opens on that day."""
        return calendar.is_trading_day(day)

    def stocks(self, day: date) -> Sequence[Stock]:
        """Every issue listed on the day, all security types."""
        return self._listed(day)

    def stock(self, code: str) -> Stock | None:
        """The issue with its current facts."""
        issue = self._issues.get(code)
        return self._as_of(issue, business_day(self.now(), self.rolls_at)) if issue else None

    def quote(self, code: str, at: datetime) -> Quote | None:
        """The quote of a stock at a moment."""
        return self._quote(code, at)

    def _make_quote(self, code: str, at: datetime) -> Quote | None:
        issue, day = self._issues.get(code), business_day(at, self.rolls_at)
        bar, previous = self._bar_and_before(code, day)
        if issue is None or bar is None:
            return None
        lower, upper = self._prices.limits(issue.stock, bar)
        halted = not bar.volume and self._is_halted(issue, day)
        return Quote(code, at, self._shown(code, day, at), upper, lower, previous, halted)

    def _make_shown(self, code: str, day: date, at: datetime) -> Bar:
        """The bar of a day, which must exist, as shown at a moment."""
        bar, session = self._bar_and_before(code, day)[0], self._session(day)
        if bar is None or session is None:
            raise LookupError(f"{code} does not trade on {day}")
        if at < session.opens_at:
            return untraded(bar)
        if not bar.volume:
            return bar
        hours, limits = session.after_market, self._prices.limits(self._issues[code].stock, bar)
        if at < (hours[0] if hours else session.closes_at):
            seen = self._course(code, day).so_far(at)
            if seen is None:
                return untraded(bar)
            if at < session.closes_at:
                return as_far(bar, seen, *limits)
            return at_closing_price(bar, seen, session, at)
        if hours is None or bar.after is None:
            return bar
        if at < hours[1]:
            pieces = self._after_market(code, day).so_far(at)
            return in_after_market(bar, join(pieces) if pieces else None, *limits)
        if at < self._final_at(code, session):
            return in_after_market(bar, bar.after, *limits)
        return bar

    def _final_at(self, code: str, session: calendar.Session) -> datetime:
        """When the bar of a session's day is final."""
        if session.after_market is None:
            return session.closes_at
        return self._correction.instant(code, session.day, self._following(session.day))

    def bars(self, code: str, first: date, last: date) -> list[Bar]:
        """Raw bars, oldest first, until now at most."""
        issue, now = self._issues.get(code), self.now()
        if issue is None:
            return []
        running = calendar.latest_session(now)
        last = min(last, running.day)
        first = max(first, issue.stock.listed_on or first, date(FIRST_YEAR, 1, 1))
        found: list[Bar] = []
        for index in range(index_of(first), index_of(last) + 1):
            found += self._prices.month(code, index)
        found = [bar for bar in found if first <= bar.day <= last]
        place = len(found)
        while place:
            session = self._session(found[place - 1].day)
            if session is None or now >= self._final_at(code, session):
                break
            place -= 1
            found[place] = self._shown(code, found[place].day, now)
        return found

    def final_bar(self, code: str, day: date) -> Bar | None:
        """The final bar of a day, independent of what is shown now."""
        return self._bar_and_before(code, day)[0]

    def adjustment(self, code: str, day: date, at: date) -> Fraction:
        """The factor that converts a raw price of `day` to the share count of `at`."""
        factor = Fraction(1)
        for action in self._actions.of(code, at):
            if day < action.ex_day <= at:
                factor *= action.factor
        return factor

    def minutes(self, code: str, day: date) -> list[Minute]:
        """Raw minutes with trades, oldest first, until now at most."""
        bar, now = self._bar_and_before(code, day)[0], self.now()
        if bar is None or not bar.volume:
            return []
        return [minute for minute in self._minutes(code, day) if minute.started_at <= now]

    def _make_minutes(self, code: str, day: date) -> list[Minute]:
        bar = self._bar_and_before(code, day)[0]
        if bar is None:
            return []
        after = self._after_market(code, day).minutes() if bar.after else ()
        return minutes_of(bar, self._course(code, day).minutes(), after)

    def trades(self, code: str, day: date) -> list[Trade]:
        """The trades of a day, oldest first, until now at most."""
        return so_far(self._trades(code, day), self.now())

    def _make_trades(self, code: str, day: date) -> list[Trade]:
        bar, session = self._bar_and_before(code, day)[0], self._session(day)
        if bar is None or session is None or not bar.volume:
            return []
        return trades_of(bar, self._minutes(code, day), session)

    def book(self, code: str, at: datetime) -> Book | None:
        """The order book; None outside the session and for stocks that do not trade."""
        issue, quote = self._issues.get(code), self.quote(code, at)
        if issue is None or quote is None:
            return None
        is_after, day = phase(at) == "after_market", quote.bar.day
        if is_after and not takes_part(issue.stock):
            return None
        key = key_of(issue.key, "book", int(at.timestamp()) // 5)
        final = self.final_bar(code, day)
        # This was recorded in May 2026 already, but days before the after-market stay unchanged.
        auctioned_at = 0 if day < calendar.AFTER_MARKET_SINCE else quote.bar.open
        if is_after and final:
            auctioned_at = final.close
        return book_of(key, quote, grid_of(issue.stock, day), issue.turnover, auctioned_at)

    def actions(self, first: date, last: date) -> list[Action]:
        """Corporate actions whose record day or ex-day is in the range, oldest first."""
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
        bar, session = self._bar_and_before(code, day)[0], self._session(day)
        if bar is None or session is None:
            raise LookupError(f"{code} does not trade on {day}")
        issue, bar = self._issues[code], before_after_market(bar)
        tick = grid_of(issue.stock, day).tick(bar.high)
        whole = Piece(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trading_value)
        return Intraday(key_of(issue.key, day), session, whole, tick)

    def _make_after_market(self, code: str, day: date) -> Course:
        bar, session = self._bar_and_before(code, day)[0], self._session(day)
        hours = session.after_market if session else None
        if bar is None or bar.after is None or hours is None:
            raise LookupError(f"{code} is not traded after the session of {day}")
        issue = self._issues[code]
        tick = grid_of(issue.stock, day).tick(bar.after.high)
        return after_market_course(key_of(issue.key, day), *hours, bar.after, tick)

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
            found.append(Action(
                "dividend", stock.code, stock.name, stock.market, days[-1], days[-2], None,
                Fraction(1), shares, shares, face, face, amount,
            ))  # fmt: skip
        return found
