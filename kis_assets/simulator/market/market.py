"""What a market is to the simulator: plain facts and one interface. No invention, no wire format.

Prices are whole KRW, rates are hundredths of a percent, so that no value ever passes through a
float on its way to a client.
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
    """A listed issue as it stands on one day."""

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

    Prices are the regular session's, volume and value the whole day's. `after` is what of them was
    traded in the after-market, None where nothing was.

    A tuple because a month of the market is fifty thousand of them.
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
    """What the screen shows of a stock at one moment."""

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

    `volume_before` and `value_before` were traded since the minute before it and are in none.
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
    """Up to ten levels a side, best first; in an auction the expected price as well.

    `last_auction` is price and quantity of the auction before: what KIS leaves standing as expected
    while trading is continuous.
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
    """A corporate action. `factor` turns a price of before into one of after; 1 leaves it."""

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
    """Whatever the simulator can put on the wire."""

    rolls_at: time
    """From when on a trading day it is shown instead of the one before."""

    def now(self) -> datetime:
        """The moment the market is at, aware, in Seoul."""
        ...

    def stocks(self, day: date) -> Sequence[Stock]:
        """Every issue listed on the day, all security types."""
        ...

    def stock(self, code: str) -> Stock | None:
        """The issue as it stands now, None when unknown or not listed."""
        ...

    def quote(self, code: str, at: datetime) -> Quote | None:
        """The stock as seen at that moment, None when unknown or not listed."""
        ...

    def bars(self, code: str, first: date, last: date) -> list[Bar]:
        """Raw bars, oldest first, never beyond now; those not yet final as they are shown now."""
        ...

    def final_bar(self, code: str, day: date) -> Bar | None:
        """The bar that remains of a day that is over, whatever is shown of it now."""
        ...

    def adjustment(self, code: str, day: date, at: date) -> Fraction:
        """Turns a raw price of `day` into one on the share count of `at`."""
        ...

    def minutes(self, code: str, day: date) -> list[Minute]:
        """Raw minutes with trades, oldest first, never beyond now."""
        ...

    def trades(self, code: str, day: date) -> list[Trade]:
        """Every trade of a day, oldest first, never beyond now: what the real-time feed streams."""
        ...

    def book(self, code: str, at: datetime) -> Book | None:
        """The order book, None outside the session and for what does not trade."""
        ...

    def actions(self, first: date, last: date) -> list[Action]:
        """Corporate actions whose record or ex-day lies in the range, oldest first."""
        ...

    def is_trading_day(self, day: date) -> bool:
        """Whether the exchange opens on that day."""
        ...


def business_day(at: datetime, rolls_at: time = ROLLOVER) -> date:
    """The trading day KIS shows at that moment: the coming session from the rollover on."""
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
    """Change in hundredths of a percent of the base, half away from zero as KRX rounds."""
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
