"""A day's bar as shown at a moment, from the final bar and the trading until then."""

from __future__ import annotations

from datetime import datetime, timedelta

from kis_assets.exchange.calendar import Session
from kis_assets.simulator.market.market import Bar, Piece, rate_of, sign_of

CLOSING_PRICE_TRADES_AFTER = timedelta(minutes=10)
"""Time from the close to the first trade at the closing price."""


def untraded(bar: Bar) -> Bar:
    """The bar before the first trade."""
    return bar._replace(
        open=0, high=0, low=0, close=bar.base, volume=0, trading_value=0, change=0, change_rate=0,
        sign="3", after=None,
    )  # fmt: skip


def as_far(bar: Bar, seen: Piece, lower: int, upper: int) -> Bar:
    """The bar in the regular session, of which `seen` has been traded."""
    change = seen.close - bar.base
    return bar._replace(
        open=seen.open, high=seen.high, low=seen.low, close=seen.close, volume=seen.volume,
        trading_value=seen.value, change=change, change_rate=rate_of(change, bar.base),
        sign=sign_of(change, seen.close, upper, lower), after=None,
    )  # fmt: skip


def at_closing_price(bar: Bar, seen: Piece, session: Session, at: datetime) -> Bar:
    """The bar during trading at the closing price; `seen` is the regular session."""
    bar = before_after_market(bar)
    moments = closing_price_moments(session)
    begun = sum(moment <= at for moment in moments)
    volume, value = bar.volume - seen.volume, bar.trading_value - seen.value
    return bar._replace(
        volume=seen.volume + volume * begun // len(moments),
        trading_value=seen.value + value * begun // len(moments),
    )


def closing_price_moments(session: Session) -> list[datetime]:
    """The moments of trades at the closing price: once a minute."""
    begins = session.closes_at + CLOSING_PRICE_TRADES_AFTER
    count = (session.closing_price_until - begins) // timedelta(minutes=1)
    return [begins + timedelta(minutes=number) for number in range(count)]


def before_after_market(bar: Bar) -> Bar:
    """The bar at the start of the after-market."""
    after = bar.after
    if after is None:
        return bar
    return bar._replace(
        volume=bar.volume - after.volume, trading_value=bar.trading_value - after.value, after=None
    )


def in_after_market(bar: Bar, seen: Piece | None, lower: int, upper: int) -> Bar:
    """The bar in the after-market, of which `seen` has been traded, and after it."""
    bar = before_after_market(bar)
    if seen is None:
        return bar
    change = seen.close - bar.base
    return bar._replace(
        high=max(bar.high, seen.high), low=min(bar.low, seen.low), close=seen.close,
        volume=bar.volume + seen.volume, trading_value=bar.trading_value + seen.value,
        change=change, change_rate=rate_of(change, bar.base),
        sign=sign_of(change, seen.close, upper, lower), after=seen,
    )  # fmt: skip
