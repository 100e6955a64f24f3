"""The types and the interface of markets in the simulator. No invented data, no wire format.

Prices are whole KRW and rates hundredths of a percent, so that no value passes through a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kis_assets.exchange import calendar

if TYPE_CHECKING:
    from kis_assets.simulator.market.trades import Trade

ROLLOVER = time(7, 0)
"""From this time of a trading day on, KIS shows the coming session instead of the last one.

The protocol notes give no hour; the master files are rebuilt "every morning before the open".
"""

ETP_GROUPS = frozenset({"EF", "EN", "EW"})


@dataclass(frozen=True, slots=True)
class Stock:
    """A listed issue with its facts on one day."""

    code: str
    isin: str
    name: str
    market: str
    group: str = "ST"
    preferred: int = 0
    is_spac: bool = False
    listed_on: date | None = None
    delisted_on: date | None = None
    listed_shares: int = 0
    face_value: int = 500
    is_halted: bool = False
    is_administrative: bool = False
    is_liquidating: bool = False
    warning: str = "00"
    settle_month: int = 12
    sector: int = 0
    industry: str = ""
    offer_price: int = 0
    on_nxt: bool = False
    department: str = ""


class Piece(NamedTuple):
    """A stretch of trading."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    value: int


class Bar(NamedTuple):
    """One trading day of a stock, raw. A day without a trade has open, high and low 0.

    Prices are those of the regular session, volume and value those of the whole day. `after` is the
    part traded in the after-market; None without any.

    It is a tuple because a month of the market has fifty thousand bars.
    """

    day: date
    open: int
    high: int
    low: int
    close: int
    volume: int
    trading_value: int
    change: int
    change_rate: int
    sign: str
    base: int
    previous_close: int
    listed_shares: int
    ex_flag: str = "00"
    revaluation: str = ""
    after: Piece | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The figures that KIS shows for a stock at one moment."""

    code: str
    at: datetime
    bar: Bar
    upper: int
    lower: int
    previous: Bar | None
    is_halted: bool = False
    stated_value: int | None = None

    @property
    def price(self) -> int:
        """The last price."""
        return self.bar.close

    @property
    def market_cap(self) -> int:
        """Market capitalisation, KRW: as stated, else price times listed shares."""
        if self.stated_value is not None:
            return self.stated_value
        return self.bar.close * self.bar.listed_shares


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute with trades, labelled by its start.

    `volume_before` and `value_before` were traded since the minute before and are in no minute.
    """

    started_at: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int
    trading_value: int
    volume_before: int = 0
    value_before: int = 0


Level = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Book:
    """Up to ten levels per side, best first; in an auction also the expected price.

    `last_auction` is price and quantity of the last auction, which KIS still shows as expected
    during continuous trading.
    """

    at: datetime
    asks: tuple[Level, ...]
    bids: tuple[Level, ...]
    total_ask: int
    total_bid: int
    phase: str
    expected_price: int = 0
    expected_volume: int = 0
    last_auction: Level = (0, 0)


@dataclass(frozen=True, slots=True)
class Action:
    """A corporate action. `factor` converts an earlier price to a later one; 1 for no change."""

    kind: str
    code: str
    name: str
    market: str
    record_day: date
    ex_day: date
    halted_from: date | None
    factor: Fraction
    shares_before: int
    shares_after: int
    face_before: int
    face_after: int
    amount: int = 0


class Market(Protocol):
    """The data that the simulator can serve."""

    rolls_at: time
    """The time from which a trading day is shown instead of the day before."""

    def now(self) -> datetime:
        """The current moment of the market, aware, in Seoul."""
        ...

    def stocks(self, day: date) -> Sequence[Stock]:
        """Every issue listed on the day, all security types."""
        ...

    def stock(self, code: str) -> Stock | None:
        """The issue with its current facts; None if unknown or not listed."""
        ...

    def quote(self, code: str, at: datetime) -> Quote | None:
        """The quote of a stock at a moment; None if unknown or not listed."""
        ...

    def bars(self, code: str, first: date, last: date) -> list[Bar]:
        """Raw bars, oldest first, until now at most; provisional bars as shown now."""
        ...

    def final_bar(self, code: str, day: date) -> Bar | None:
        """The final bar of a past day, independent of what is shown now."""
        ...

    def adjustment(self, code: str, day: date, at: date) -> Fraction:
        """The factor that converts a raw price of `day` to the share count of `at`."""
        ...

    def minutes(self, code: str, day: date) -> list[Minute]:
        """Raw minutes with trades, oldest first, until now at most."""
        ...

    def trades(self, code: str, day: date) -> list[Trade]:
        """Every trade of a day, oldest first, until now at most, for the real-time feed."""
        ...

    def book(self, code: str, at: datetime) -> Book | None:
        """The order book; None outside the session and for stocks that do not trade."""
        ...

    def actions(self, first: date, last: date) -> list[Action]:
        """Corporate actions whose record day or ex-day is in the range, oldest first."""
        ...

    def is_trading_day(self, day: date) -> bool:
        """Whether the exchange opens on that day."""
        ...


def business_day(at: datetime, rolls_at: time = ROLLOVER) -> date:
    """The trading day that KIS shows at a moment: the next session from the rollover on."""
    local = at.astimezone(calendar.SEOUL)
    day = local.date()
    if local.time() >= rolls_at and calendar.is_trading_day(day):
        return day
    return calendar.previous_trading_day(day)


def phase(at: datetime) -> str:
    """`closed`, `pre_open`, `continuous`, `closing_auction` or `after_market`."""
    session = calendar.session(at.astimezone(calendar.SEOUL).date())
    if session is None:
        return "closed"
    if at >= session.closes_at:
        after = session.after_market
        return "after_market" if after and after[0] <= at < after[1] else "closed"
    if at >= session.closes_at - timedelta(minutes=10):
        return "closing_auction"
    if at >= session.opens_at:
        return "continuous"
    return "pre_open" if at >= session.opens_at - timedelta(minutes=30) else "closed"


def rate_of(change: int, base: int) -> int:
    """Change in hundredths of a percent of the base, rounded half away from zero as by KRX."""
    if base <= 0:
        return 0
    rate = (abs(change) * 20000 + base) // (2 * base)
    return rate if change >= 0 else -rate


def sign_of(change: int, close: int, upper: int, lower: int) -> str:
    """KIS's sign code: 1 upper limit, 2 up, 3 unchanged, 4 lower limit, 5 down."""
    if change > 0:
        return "1" if upper and close >= upper else "2"
    if change < 0:
        return "4" if lower and close <= lower else "5"
    return "3"
