"""The records that a source returns to programs: quotes, order books, bars, stock facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kis_assets.exchange import calendar


class PriceType(Enum):
    """The period of a bar."""

    DAILY = "D"
    WEEKLY = "W"
    MONTHLY = "M"
    MINUTE_1 = "1"
    MINUTE_5 = "5"
    MINUTE_30 = "30"


@dataclass(frozen=True)
class CurrentPrice:
    """A quote: prices in whole KRW, volume in shares, rate in percent.

    The timestamp is ISO 8601 in Seoul.
    """

    stock_code: str
    stock_name: str
    current_price: int
    change_price: int
    change_rate: float
    open_price: int
    high_price: int
    low_price: int
    volume: int
    trading_value: int
    market_cap: int | None
    timestamp: str
    is_stale: bool = False
    """Expired, but returned because the source is down."""
    age_seconds: float = 0.0
    """The age of a stale record in seconds."""
    session: str | None = None
    """The session of the quote: pre_open, regular, closing_price, after_market or closed. After the
    close the price may be that of the after-market."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> CurrentPrice:
        """A row of `price_snapshots` as a record."""
        return cls(
            stock_code=row["stock_code"],
            stock_name=row["stock_name"],
            current_price=row["price"],
            change_price=row["change"],
            change_rate=row["change_rate"],
            open_price=row["open"],
            high_price=row["high"],
            low_price=row["low"],
            volume=row["volume"],
            trading_value=row["trading_value"],
            market_cap=row["market_cap"],
            timestamp=row["fetched_at"].astimezone(calendar.SEOUL).isoformat(timespec="seconds"),
            session=row["session"],
        )


@dataclass(frozen=True)
class OrderBookLevel:
    """A price and the shares quoted at it. KIS states no number of orders: `count` stays None."""

    price: int
    volume: int
    count: int | None = None


@dataclass(frozen=True)
class OrderBook:
    """An order book: up to ten levels per side, the best first; a side may be empty.

    Only auctions have an expected price and volume, and only there the two sides may cross. Prices
    in whole KRW, volumes in shares, timestamp ISO 8601 in Seoul.
    """

    stock_code: str
    stock_name: str
    bid_levels: tuple[OrderBookLevel, ...]
    ask_levels: tuple[OrderBookLevel, ...]
    total_bid_volume: int
    total_ask_volume: int
    timestamp: str
    expected_price: int | None = None
    expected_volume: int | None = None
    is_stale: bool = False
    age_seconds: float = 0.0

    @property
    def best_bid(self) -> int | None:
        """The highest bid; None when there is none."""
        return self.bid_levels[0].price if self.bid_levels else None

    @property
    def best_ask(self) -> int | None:
        """The lowest ask; None when there is none."""
        return self.ask_levels[0].price if self.ask_levels else None

    @property
    def spread(self) -> int | None:
        """Best ask minus best bid; None when a side is empty."""
        if self.best_ask is None or self.best_bid is None:
            return None
        return self.best_ask - self.best_bid


@dataclass(frozen=True)
class ChartData:
    """A bar. `date` is YYYYMMDD, or YYYYMMDDHHmmss for minutes; prices in whole KRW.

    For days, weeks and months `is_final` says whether the bar is final: until the next session's
    morning KIS shows the after-market's close, high and low. For minutes it is None.
    """

    stock_code: str
    date: str
    open_price: int
    high_price: int
    low_price: int
    close_price: int
    volume: int
    trading_value: int
    is_stale: bool = False
    age_seconds: float = 0.0
    is_final: bool | None = None


@dataclass(frozen=True)
class StockInfo:
    """Slowly changing facts of a stock; unknown facts are None."""

    stock_code: str
    stock_name: str | None = None
    market: str | None = None
    sector: str | None = None
    industry: str | None = None
    listed_shares: int | None = None
    face_value: float | None = None
    is_stale: bool = False
    age_seconds: float = 0.0

    @classmethod
    def of(cls, stock_code: str, facts: Mapping[str, Any]) -> StockInfo:
        """A record of these facts."""
        # The large class is a size class, not a sector.
        sector = facts.get("sector_medium_name") or facts.get("sector_small_name")
        return cls(
            stock_code,
            facts["stock_name"],
            facts["market"],
            sector,
            facts.get("industry"),
            facts["listed_shares"],
            facts["face_value"],
        )
