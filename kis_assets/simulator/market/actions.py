"""Corporate actions of the invented market: stock, day and ratio. No daily prices.

Every month has one split, one reverse split, one bonus issue, one rights issue and one capital
reduction. The table is built year by year from 2000 on, since a stock's earlier actions decide
whether it can be split; a year has about sixty entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from threading import Lock

from kis_assets.exchange import calendar
from kis_assets.simulator.market.chance import mix, unit
from kis_assets.simulator.market.market import Action
from kis_assets.simulator.market.universe import Issue

KINDS = ("split", "reverse_split", "bonus", "rights", "reduction")
FIRST_YEAR = 2000
_HALT = 3
_SETTLES = timedelta(days=200)  # no further action for a stock within this time


@lru_cache(maxsize=4_096)
def month_days(year: int, month: int) -> tuple[date, ...]:
    """The trading days of a month."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return tuple(calendar.trading_days(date(year, month, 1), following - timedelta(days=1)))


class Actions:
    """All actions of a market, built on demand."""

    def __init__(
        self,
        issues: dict[str, Issue],
        key: int,
        anchor: Callable[[Issue, int], float],
        rests: Callable[[Issue, int], bool],
    ) -> None:
        common = [
            issue for issue in issues.values()
            if issue.stock.group == "ST" and not issue.stock.preferred and not issue.stock.is_spac
        ]  # fmt: skip
        self._candidates = common
        self._anchor, self._rests, self._key = anchor, rests, key
        self._by_code: dict[str, list[Action]] = {}
        self._by_month: dict[int, list[Action]] = {}
        self._built = FIRST_YEAR
        self._lock = Lock()

    def of(self, code: str, until: date) -> list[Action]:
        """A stock's actions, oldest first, at least until that day."""
        self._build(until.year)
        return self._by_code.get(code, [])

    def between(self, first: date, last: date) -> list[Action]:
        """Every action whose record or ex-day lies in the range."""
        # A record day is at most two weeks before the ex-day, so one more month is enough.
        self._build(last.year + 1)
        found: list[Action] = []
        start = max(first.year * 12 + first.month - 2, FIRST_YEAR * 12)
        for index in range(start, last.year * 12 + last.month + 1):
            found += self._by_month.get(index, [])
        return [
            action for action in found
            if first <= action.ex_day <= last or first <= action.record_day <= last
        ]  # fmt: skip

    def shares_and_face(self, issue: Issue, day: date) -> tuple[int, int]:
        """Listed shares and face value on a day."""
        shares, face = issue.stock.listed_shares, issue.stock.face_value
        for action in self.of(issue.stock.code, day):
            if action.ex_day > day:
                break
            shares, face = action.shares_after, action.face_after
        return shares, face

    def _build(self, year: int) -> None:
        if year < self._built:
            return
        with self._lock:
            while self._built <= year:
                for month in range(1, 13):
                    self._build_month(self._built, month)
                self._built += 1

    def _build_month(self, year: int, month: int) -> None:
        index = year * 12 + month - 1
        days = month_days(year, month)
        made: list[Action] = []
        for number, kind in enumerate(KINDS):
            for attempt in range(400):
                pick = mix(self._key, 10 + number, index * 1_000 + attempt)
                issue = self._candidates[pick % len(self._candidates)]
                if any(action.code == issue.stock.code for action in made):
                    continue
                action = self._action(kind, issue, index, days, attempt)
                if action is not None:
                    made.append(action)
                    self._by_code.setdefault(issue.stock.code, []).append(action)
                    break
        self._by_month[index] = sorted(made, key=lambda action: action.ex_day)

    def _action(
        self, kind: str, issue: Issue, index: int, days: tuple[date, ...], attempt: int
    ) -> Action | None:
        stock, past = issue.stock, self._by_code.get(issue.stock.code, [])
        # Most candidates are refused here, by the month, before any computation.
        shares, face = stock.listed_shares, stock.face_value
        if past:
            shares, face = past[-1].shares_after, past[-1].face_after
        latest = days[-1] - _SETTLES
        if not _face_allows(kind, face) or stock.listed_on is None or stock.listed_on > latest:
            return None
        if past and past[-1].ex_day > latest:
            return None
        # Inside the month, with time for the halt before it and for the price to settle after it.
        place = _HALT + 2 + int(unit(issue.key, 20, index) * (len(days) - _HALT - 9))
        day = days[min(place, len(days) - 4)]
        settled = day - _SETTLES
        if stock.listed_on > settled:
            return None
        if stock.delisted_on and stock.delisted_on < day + timedelta(days=90):
            return None
        if (past and past[-1].ex_day > settled) or self._rests(issue, index):
            return None
        factor_so_far = math.prod((action.factor for action in past), start=Fraction(1))
        price = math.exp(self._anchor(issue, index)) * factor_so_far
        luck = unit(issue.key, 21, index)
        found = _terms(kind, float(price), face, luck, attempt)
        if found is None:
            return None
        share_ratio, factor, face_after, amount = found
        after = int(shares * share_ratio)
        halted = days[place - _HALT] if kind in ("split", "reverse_split", "reduction") else None
        return Action(
            kind, stock.code, stock.name, stock.market,
            record_day=calendar.previous_trading_day(halted or day) if halted
            else calendar.next_trading_day(day),
            ex_day=day, halted_from=halted, factor=factor, shares_before=shares,
            shares_after=after, face_before=face, face_after=face_after, amount=amount,
        )  # fmt: skip


def _face_allows(kind: str, face: int) -> bool:
    if kind == "split":
        return face >= 1_000 and face % 5 == 0
    return kind != "reverse_split" or face <= 500


def _terms(
    kind: str, price: float, face: int, luck: float, attempt: int
) -> tuple[Fraction, Fraction, int, int] | None:
    """New shares per old share, price factor, new face value, issue price."""
    desperate = attempt > 200
    if kind == "split":
        if price < 20_000 and not desperate:
            return None
        parts = 10 if face % 10 == 0 and luck < 0.5 else 5
        return Fraction(parts), Fraction(1, parts), face // parts, 0
    if kind == "reverse_split":
        if price > 3_000 and not desperate:
            return None
        parts = 10 if luck < 0.3 else 5
        return Fraction(1, parts), Fraction(parts), face * parts, 0
    if kind == "bonus":
        share = (Fraction(1, 10), Fraction(1, 2), Fraction(1))[int(luck * 3)]
        return 1 + share, 1 / (1 + share), face, 0
    if kind == "rights":
        share, discount = Fraction(int(10 + luck * 30), 100), Fraction(3, 4)
        factor = (1 + share * discount) / (1 + share)
        return 1 + share, factor, face, int(price * discount)
    if price > 5_000 and not desperate:
        return None
    parts = 3 if luck < 0.5 else 5
    return Fraction(1, parts), Fraction(parts), face, 0
