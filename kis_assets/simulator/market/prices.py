"""The invented market's daily bars: one month of a stock at a time, computed from the seed only.

The sum of a few random waves gives a stock's log price at every month's end; inside a month it
moves randomly from one end to the other. So every month costs the same, and no computation starts
in 2000. Prices are first drawn for the share count of 2000 and then converted by the stock's
corporate actions.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import lru_cache

from kis_assets.exchange import calendar
from kis_assets.simulator.market.actions import FIRST_YEAR, Actions, month_days
from kis_assets.simulator.market.after_market import takes_part, traded_after
from kis_assets.simulator.market.chance import key_of, random_for, unit
from kis_assets.simulator.market.grid import Grid, grid
from kis_assets.simulator.market.market import (
    ETP_GROUPS,
    Action,
    Bar,
    Piece,
    Stock,
    rate_of,
    sign_of,
)
from kis_assets.simulator.market.universe import Issue, universe

# The waves of a price: months between knots, height in log price.
_WAVES = ((3, 0.06), (12, 0.25), (40, 0.45))
_NO_TRADE_BELOW = math.log(1.2e8)
# Within this distance of the base price no limit can be reached, so limits need no computation.
_CLEAR = 0.12


class Prices:
    """Months of bars, with a bounded cache."""

    def __init__(self, issues: dict[str, Issue], seed: int) -> None:
        self._issues = issues
        self.actions = Actions(issues, key_of(seed, "actions"), self._anchor, self.rests)
        self.month = lru_cache(maxsize=12_000)(self._make_month)

    def rests(self, issue: Issue, index: int) -> bool:
        """Whether the stock is halted for a whole month."""
        stock = issue.stock
        if stock.on_nxt or stock.delisted_on or stock.group in ETP_GROUPS:
            return False
        year, month = divmod(index, 12)
        if unit(issue.key, 4, year) >= 0.06:
            return False
        if stock.listed_on is None or index_of(stock.listed_on) >= index - 3:
            return False
        start = int(unit(issue.key, 5, year) * 9)
        return start <= month <= min(start + int(unit(issue.key, 6, year) * 5), 11)

    def limits(self, stock: Stock, bar: Bar) -> tuple[int, int]:
        """Lowest and highest price of the day."""
        ticks = grid_of(stock, bar.day)
        if bar.day != stock.listed_on:
            return ticks.limits(bar.base)
        # The listing day: 60 % to 400 % of the offer price (KRX, since 2023-06-26).
        lower, upper = -(-bar.base * 6 // 10), bar.base * 4
        low_tick, high_tick = ticks.tick(lower), ticks.tick(upper)
        return -(-lower // low_tick) * low_tick, upper // high_tick * high_tick

    def ex_dividend_day(self, issue: Issue, index: int) -> date | None:
        """The trading day before the last of the year, for stocks that pay dividends."""
        if index % 12 != 11 or issue.stock.group != "ST" or issue.stock.is_spac:
            return None
        if unit(issue.key, 15, index // 12) >= 0.45:
            return None
        return month_days(*_year_month(index))[-2]

    def factor(self, code: str, day: date) -> float:
        """The factor of all actions up to a day on a price of 2000."""
        factor = 1.0
        for action in self.actions.of(code, day):
            if action.ex_day > day:
                break
            factor *= float(action.factor)
        return factor

    def _wave(self, issue: Issue, index: int) -> float:
        calm = min(1.0, issue.spread / 0.012)
        height = 0.05 * (2 * unit(issue.key, 7, index) - 1)
        for number, (period, size) in enumerate(_WAVES):
            knot, part = divmod(index, period)
            left = unit(issue.key, 8 + number, knot)
            right = unit(issue.key, 8 + number, knot + 1)
            height += size * (2 * (left + (right - left) * part / period) - 1)
        return issue.level + calm * calm * height

    def _anchor(self, issue: Issue, index: int) -> float:
        """Log price for the share count of 2000 when the month begins; constant in a halt."""
        while self.rests(issue, index - 1):
            index -= 1
        return self._wave(issue, index)

    def _make_month(self, code: str, index: int) -> list[Bar]:
        issue = self._issues[code]
        stock, days = issue.stock, month_days(*_year_month(index))
        start, end = stock.listed_on or date.min, stock.delisted_on or date.max
        if end <= days[0] or start > days[-1]:
            return []
        grids = _grids(stock.market, index, stock.group in ETP_GROUPS)
        actions = {
            action.ex_day: action
            for action in self.actions.of(code, days[-1])
            if days[0] <= action.ex_day <= days[-1]
        }
        draw = random_for(issue.key, 3, index).random
        spread = issue.spread
        steps = [(draw() + draw() + draw() - 1.5) * 2 * spread for _ in days]
        height, goal = self._anchor(issue, index), self._anchor(issue, index + 1)
        drift = (goal - height - sum(steps)) / len(days)
        eve, resumed = days[0] - timedelta(days=1), index
        while self.rests(issue, resumed - 1):
            resumed -= 1
        factor = self.factor(code, eve)
        shares = self.actions.shares_and_face(issue, eve)[0]
        # The last month with trades ended here: the same formula, so that the two months match.
        end_grid = _grids(stock.market, resumed - 1, stock.group in ETP_GROUPS)[-1:] or grids[:1]
        before = end_grid[0].nearest(math.exp(height) * factor)
        rests, ex_dividend = self.rests(issue, index), self.ex_dividend_day(issue, index)
        idleness = _idleness(issue)
        evenings = None
        if days[-1] >= calendar.AFTER_MARKET_SINCE and takes_part(stock):
            evenings = random_for(issue.key, 20, index)
        bars: list[Bar] = []
        for place, day in enumerate(days):
            height += steps[place] + drift
            luck = (draw(), draw(), draw(), draw(), draw(), draw(), draw())
            action = actions.get(day) if actions else None
            ratio = 1.0
            if action:
                shares, ratio = action.shares_after, float(action.factor)
                factor *= ratio
            if day < start or day >= end:
                continue
            ticks, last, first = grids[place], place == len(days) - 1, day == start
            target = ticks.nearest(math.exp(goal if last else height) * factor)
            if first:
                before = ticks.nearest(target / (0.75 + 2.6 * luck[0] * luck[0]))
            base, flag, why = before, "00", ""
            if action:
                base, flag, why = _new_base_price(action, before * ratio, luck[0], ticks)
            elif day == ex_dividend:
                flag = "02"
            halted = rests or _is_halted(actions, day)
            if halted or (luck[1] < idleness and not (last or first or action)):
                bars.append(
                    Bar(day, 0, 0, 0, before, 0, 0, 0, 0, "3", base, before, shares, flag, why)
                )
                continue
            wild = luck[2] < 0.0008 and 1 < place < len(days) - 5 and not stock.is_spac
            if first or wild or abs(target - base) > base * _CLEAR:
                frame = Bar(day, 0, 0, 0, 0, 0, 0, 0, 0, "3", base, before, shares, flag, why)
                limits = self.limits(stock, frame)
                if not last:
                    target = min(max(target, limits[0]), limits[1])
                    if wild and not (action or first):
                        target = limits[1] if luck[3] < 0.6 else limits[0]
            else:
                limits = None
            traded = _traded(base, target, limits, ticks, issue, luck, first=first)
            after: Piece | None = None
            if evenings is not None and day >= calendar.AFTER_MARKET_SINCE:
                _, *regular, value = traded[:6]
                after = traded_after(evenings, *regular, 0 if first else base, ticks, issue)
                if after is not None:
                    grown = regular[-1] + after.volume, value + after.value
                    traded = (*traded[:4], *grown, *traded[6:])
            bars.append(Bar(day, *traded, base, before, shares, flag, why, after))
            before = target
        return bars


@lru_cache(maxsize=4)
def prices_of(seed: int) -> Prices:
    """The prices of a seed's market; they never change, so all its markets share them."""
    return Prices(universe(seed), seed)


def index_of(day: date) -> int:
    """The number of a month."""
    return day.year * 12 + day.month - 1


def has_month(index: int) -> bool:
    """Whether the market has this month."""
    return index >= FIRST_YEAR * 12


def grid_of(stock: Stock, day: date) -> Grid:
    """The legal prices of a stock."""
    return grid(stock.market, day, stock.group in ETP_GROUPS)


def _year_month(index: int) -> tuple[int, int]:
    return index // 12, index % 12 + 1


@lru_cache(maxsize=512)
def _grids(market: str, index: int, etp: bool) -> tuple[Grid, ...]:
    if not has_month(index):
        return ()
    return tuple(grid(market, day, etp) for day in month_days(*_year_month(index)))


def _idleness(issue: Issue) -> float:
    short = _NO_TRADE_BELOW - issue.turnover
    return min(0.55, 0.18 * short) if short > 0 else 0.0


def _is_halted(actions: dict[date, Action], day: date) -> bool:
    return any(
        action.halted_from is not None and action.halted_from <= day < action.ex_day
        for action in actions.values()
    )


def _new_base_price(action: Action, price: float, luck: float, ticks: Grid) -> tuple[int, str, str]:
    if action.kind in ("bonus", "rights"):
        return ticks.nearest(price), "01", ""
    if action.kind == "split":
        return ticks.nearest(price), "00", "99"
    # With fewer shares, the opening auction sets the base price, which differs from the ratio.
    reason = "02" if action.kind == "reduction" else "99"
    return ticks.nearest(price * (0.94 + 0.12 * luck)), "00", reason


def _traded(
    base: int,
    close: int,
    limits: tuple[int, int] | None,
    ticks: Grid,
    issue: Issue,
    luck: tuple[float, ...],
    *,
    first: bool,
) -> tuple[int, int, int, int, int, int, int, int, str]:
    """Open, high, low, close, volume, value, change, rate, sign of a day that ends at `close`."""
    spread = issue.spread
    middle = close * (0.85 + 0.3 * luck[3]) if first else base * (1 + (luck[3] - 0.5) * spread)
    opened = ticks.nearest(middle)
    top, bottom = (opened, close) if opened > close else (close, opened)
    high = ticks.nearest(top * (1 + luck[4] * luck[4] * spread))
    low = ticks.nearest(bottom * (1 - luck[5] * luck[5] * spread))
    high, low = (high if high > top else top), (low if low < bottom else bottom)
    if limits is not None:
        lower, upper = limits
        opened = min(max(opened, lower), upper)
        high, low = max(min(high, upper), close), min(max(low, lower), close)
    change = close - base
    moved = min(abs(change) / base, 0.5)
    value = math.exp(issue.turnover + (luck[6] + luck[0] - 1) * 1.3) * (1 + 8 * moved)
    volume = max(1, int(value / close))
    if volume < 4:
        opened = high = low = close
    value = volume * ((3 * (opened + close) + 2 * (high + low)) // 10)
    sign = "2" if change > 0 else "5" if change else "3"
    if limits is not None:
        sign = sign_of(change, close, limits[1], limits[0])
    return opened, high, low, close, volume, value, change, rate_of(change, base), sign
