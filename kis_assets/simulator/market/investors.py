"""Buyers and sellers of a day's trading, and its programme trades. Needs only a bar."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time
from typing import NamedTuple

from kis_assets.exchange import calendar
from kis_assets.simulator.market.chance import key_of, unit
from kis_assets.simulator.market.market import Bar

# KIS's twelve classes, each with its usual share of trading.
CLASSES: dict[str, float] = {
    "individual": 0.58,
    "foreign_registered": 0.22,
    "foreign_unregistered": 0.01,
    "securities": 0.05,
    "investment_trust": 0.03,
    "private_fund": 0.03,
    "bank": 0.005,
    "insurance": 0.01,
    "merchant_bank": 0.001,
    "pension": 0.05,
    "other_institution": 0.002,
    "other_corporation": 0.012,
}
INSTITUTIONS = (
    *("securities", "investment_trust", "private_fund", "bank"),
    *("insurance", "merchant_bank", "pension"),
)
FOREIGNERS = ("foreign_registered", "foreign_unregistered")
OTHERS = ("other_corporation", "other_institution")
SETTLED = time(21, 5)
"""Until this time the figures of a day with an after-market may change."""


class Flow(NamedTuple):
    """The shares and KRW that a class bought and sold on a day."""

    bought: int
    sold: int
    bought_value: int
    sold_value: int

    def times(self, scale: float) -> Flow:
        """The flow, multiplied by `scale`."""
        return Flow(*(round(part * scale) for part in self))

    @property
    def net(self) -> int:
        """Shares bought less shares sold."""
        return self.bought - self.sold

    @property
    def net_value(self) -> int:
        """KRW bought less KRW sold."""
        return self.bought_value - self.sold_value


def summed(flows: Iterable[Flow]) -> Flow:
    """The flow of several classes or stocks together."""
    columns = tuple(zip(*flows, strict=True))
    return Flow(*map(sum, columns)) if columns else Flow(0, 0, 0, 0)


def flows(code: str, bar: Bar, now: datetime) -> dict[str, Flow]:
    """What each class bought and sold; both sums equal the day's volume and value."""
    is_early = now < datetime.combine(bar.day, SETTLED, calendar.SEOUL)
    key = key_of("flows", code, bar.day, "early" if is_early and bar.after else "")
    bought = _divided(key, 1, bar.volume)
    sold = _divided(key, 2, bar.volume)
    bought_value = _priced(bought, bar)
    sold_value = _priced(sold, bar)
    return {
        name: Flow(bought[name], sold[name], bought_value[name], sold_value[name])
        for name in CLASSES
    }


def _divided(key: int, stream: int, whole: int) -> dict[str, int]:
    weights = {
        name: usual * (0.3 + 1.4 * unit(key, stream, place))
        for place, (name, usual) in enumerate(CLASSES.items())
    }
    total = sum(weights.values())
    parts = {name: int(whole * weight / total) for name, weight in weights.items()}
    parts["individual"] += whole - sum(parts.values())
    return parts


def _priced(parts: dict[str, int], bar: Bar) -> dict[str, int]:
    if not bar.volume:
        return dict.fromkeys(parts, 0)
    values = {name: bar.trading_value * part // bar.volume for name, part in parts.items()}
    values["individual"] += bar.trading_value - sum(values.values())
    return values


def programme(code: str, bar: Bar) -> Flow:
    """The programme trades of a day."""
    key = key_of("programme", code, bar.day)
    shares = [0.3 * unit(key, stream) ** 2 for stream in (1, 2)]
    bought, sold = (int(bar.volume * share) for share in shares)
    # A share of the day's value, not price times volume: it must not fall during the day.
    values = (
        int(bar.trading_value * share) if count else 0
        for share, count in zip(shares, (bought, sold), strict=True)
    )
    return Flow(bought, sold, *values)
