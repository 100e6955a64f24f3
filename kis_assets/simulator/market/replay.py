"""A replay of real market data: a folder of daily rows and session snapshots. No invented prices.

Missing data (minutes, order books) is derived from the day's figures, always in the same way.
During a session the figures are those of the newest snapshot; from the close on, those of the day's
final row; before the first snapshot, the previous close.

A stock counts as halted if no day of the folder so far has a trade of it: a single day without
trades is normal for an illiquid stock.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date, datetime
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.simulator.market.books import book_of
from kis_assets.simulator.market.chance import key_of
from kis_assets.simulator.market.grid import grid
from kis_assets.simulator.market.intraday import Intraday
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
)
from kis_assets.simulator.market.replay_rows import bar_of, group_of, limits_of, market_of, unopened
from kis_assets.simulator.market.trades import Trade, so_far, trades_of


class ReplayMarket:
    """The market of a folder with `daily.parquet`, `intraday_snapshots.parquet`, `listing.parquet`.

    Args:
        folder: The folder of the files; the listing may be missing.
        clock: Returns the current moment of the market, aware.
    """

    def __init__(self, folder: Path | str, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        root = Path(folder)
        daily = pl.read_parquet(root / "daily.parquet").sort("date", "code")
        snapshots = pl.read_parquet(root / "intraday_snapshots.parquet").sort("captured_at")
        self._days: list[date] = daily["date"].unique().sort().to_list()
        self._finals: dict[date, dict[str, dict[str, Any]]] = {day: {} for day in self._days}
        for row in daily.iter_rows(named=True):
            self._finals[row["date"]][row["code"]] = row
        self._moments: dict[date, list[datetime]] = {}
        self._seen: dict[datetime, dict[str, dict[str, Any]]] = {}
        for row in snapshots.iter_rows(named=True):
            moment = row["captured_at"]
            if moment not in self._seen:
                self._seen[moment] = {}
                self._moments.setdefault(row["date"], []).append(moment)
            self._seen[moment][row["code"]] = row
        listing = root / "listing.parquet"
        self._listing: dict[str, dict[str, Any]] = {}
        if listing.exists():
            rows = pl.read_parquet(listing).iter_rows(named=True)
            self._listing = {row["code"]: row for row in rows}
        self._listed = lru_cache(maxsize=16)(self._make_listed)

    rolls_at = ROLLOVER

    def now(self) -> datetime:
        """The current moment of the market."""
        return self._clock().astimezone(calendar.SEOUL)

    def is_trading_day(self, day: date) -> bool:
        """Whether the exchange opens on that day."""
        return calendar.is_trading_day(day)

    def stocks(self, day: date) -> Sequence[Stock]:
        """Every stock of the newest day in the folder up to this day."""
        return list(self._listed(self._day_of(day)).values())

    def stock(self, code: str) -> Stock | None:
        """The stock with its current facts, or its last ones if it is delisted."""
        until = business_day(self.now())
        for day in reversed([day for day in self._days if day <= until]):
            if code in self._listed(day):
                return self._listed(day)[code]
        return None

    def quote(self, code: str, at: datetime) -> Quote | None:
        """The quote of a stock at a moment."""
        day = self._day_of(business_day(at))
        if day is None:
            return None
        bar = self._bar_at(code, day, at)
        stock = self._listed(day).get(code)
        if bar is None or stock is None:
            return None
        lower, upper = limits_of(bar, stock)
        row = self._row_at(code, day, at)
        return Quote(
            code, at, bar, upper, lower, self._before(code, day), stock.is_halted,
            stated_value=row["market_cap"] if row else None,
        )  # fmt: skip

    def bars(self, code: str, first: date, last: date) -> list[Bar]:
        """Raw bars of the folder's days, oldest first, until now at most."""
        now = self.now()
        last = min(last, calendar.latest_session(now).day)
        days = [day for day in self._days if first <= day <= last]
        return [bar for day in days if (bar := self._bar_at(code, day, now))]

    def final_bar(self, code: str, day: date) -> Bar | None:
        """The folder's own row of the day."""
        return next(iter(self.bars(code, day, day)), None)

    def adjustment(self, code: str, day: date, at: date) -> Fraction:
        """The factor that converts a raw price of `day` to the share count of `at`."""
        factor = Fraction(1)
        for action in self._code_actions(code):
            if day < action.ex_day <= at:
                factor *= action.factor
        return factor

    def minutes(self, code: str, day: date) -> list[Minute]:
        """Minutes that add up to the day's figures known so far."""
        now, session = self.now(), calendar.session(day)
        if session is None or day not in self._finals or now < session.opens_at:
            return []
        bar = self._bar_at(code, day, now)
        if bar is None or not bar.volume:
            return []
        tick = grid("KOSPI", day).tick(bar.high)
        whole = Piece(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trading_value)
        until = None if now >= session.closes_at else self._newest(day, now)
        course = Intraday(key_of("replay", code, day), session, whole, tick, until=until)
        return [Minute(started_at, *piece) for started_at, piece in course.minutes()]

    def trades(self, code: str, day: date) -> list[Trade]:
        """Trades that add up to the minutes; during a session each snapshot changes them."""
        now, session, bar = self.now(), calendar.session(day), self.final_bar(code, day)
        if session is None or bar is None:
            return []
        return so_far(trades_of(bar, self.minutes(code, day), session), now)

    def book(self, code: str, at: datetime) -> Book | None:
        """A plausible book around the price, None outside the session."""
        quote = self.quote(code, at)
        if quote is None:
            return None
        stock = self._listed(quote.bar.day)[code]
        before = quote.previous.trading_value if quote.previous else 0
        turnover = math.log(max(quote.bar.trading_value, before, 1_000_000))
        key = key_of("book", code, int(at.timestamp()) // 5)
        return book_of(key, quote, grid(stock.market, quote.bar.day), turnover)

    def actions(self, first: date, last: date) -> list[Action]:
        """The actions that base prices and share counts in the folder imply, oldest first."""
        found: list[Action] = []
        for code in self._finals[self._days[-1]]:
            found += [a for a in self._code_actions(code) if first <= a.ex_day <= last]
        return sorted(found, key=lambda action: (action.ex_day, action.code))

    # Access to the files.

    def _day_of(self, day: date) -> date | None:
        place = bisect_right(self._days, day)
        return self._days[place - 1] if place else None

    def _newest(self, day: date, at: datetime) -> datetime | None:
        moments = self._moments.get(day, [])
        place = bisect_right(moments, at)
        return moments[place - 1] if place else None

    def _bar_at(self, code: str, day: date, at: datetime) -> Bar | None:
        final = self._finals[day].get(code)
        if final is None:
            return None
        row, before = self._row_at(code, day, at), self._row_before(code, day)
        return bar_of(row, before) if row else unopened(final, before)

    def _row_at(self, code: str, day: date, at: datetime) -> dict[str, Any] | None:
        """The row that is valid at a moment; None before the first."""
        session = calendar.session(day)
        if session is None or at >= session.closes_at:
            return self._finals[day].get(code)
        moment = self._newest(day, at)
        return self._seen[moment].get(code) if moment and at >= session.opens_at else None

    def _row_before(self, code: str, day: date) -> dict[str, Any] | None:
        place = bisect_right(self._days, day) - 2
        return self._finals[self._days[place]].get(code) if place >= 0 else None

    def _before(self, code: str, day: date) -> Bar | None:
        place = bisect_right(self._days, day) - 2
        if place < 0:
            return None
        row = self._finals[self._days[place]].get(code)
        return bar_of(row, self._row_before(code, self._days[place])) if row else None

    def _code_actions(self, code: str) -> list[Action]:
        found: list[Action] = []
        for day in self._days[1:]:
            row, before = self._finals[day].get(code), self._row_before(code, day)
            if row is None or before is None:
                continue
            bar = bar_of(row, before)
            if bar.ex_flag == "00" and not bar.revaluation:
                continue
            shares = before["listed_shares"], row["listed_shares"]
            kind = "reverse_split" if bar.revaluation else "rights"
            factor = Fraction(bar.base, bar.previous_close)
            found.append(
                Action(
                    kind, code, row["name"], market_of(row), day, day, None, factor,
                    shares[0], shares[1], 0, 0,
                )
            )  # fmt: skip
        return found

    def _make_listed(self, day: date | None) -> dict[str, Stock]:
        if day is None:
            return {}
        so_far = [self._finals[other] for other in self._days if other <= day]
        return {
            code: self._stock(row, all(not rows.get(code, row)["volume"] for rows in so_far))
            for code, row in self._finals[day].items()
        }

    def _stock(self, row: dict[str, Any], halted: bool) -> Stock:
        code, name, department = row["code"], row["name"], row["department"] or ""
        known = self._listing.get(code, {})
        listed_on, settles = known.get("listing_date"), known.get("settle_month")
        return Stock(
            code, row["isin"], name, market_of(row), group=group_of(row),
            preferred=0 if code[5] == "0" else 1 if code[5] == "5" else 2,
            is_spac="SPAC" in department or name.endswith("스팩"),
            listed_on=date.fromisoformat(listed_on) if listed_on else None,
            listed_shares=row["listed_shares"], face_value=0, is_halted=halted,
            is_administrative="관리종목" in department,
            settle_month=int(settles[:2]) if settles else 12,
            industry=known.get("industry") or "", on_nxt=row["trading_value"] > 10_000_000_000,
            department=department,
        )  # fmt: skip
