"""A day's minutes from its bar: the minutes add up to the bar. No market, no wire format.

The day is divided into half-hours and these into minutes, by the same rule, each with its own
random numbers. So a snapshot in the afternoon needs a dozen half-hours and the minutes of one, not
381 minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from kis_assets.exchange.calendar import Session
from kis_assets.simulator.market.chance import random_for, unit
from kis_assets.simulator.market.market import Piece
from kis_assets.simulator.market.stretches import LEAST, divide, join

_BLOCK = 30
_AUCTION = timedelta(minutes=10)
_REGULAR_MINUTES = 381
# Minutes of a day relative to its volume, measured (kis_measured: without off-hours trades).
_MINUTE_SHARE = 0.984
# Lower bound of daily value (KRW); median and 10th percentile of the share of minutes with a bar:
# measured.
_COVERAGE = (
    (50e9, 1.000, 0.997),
    (20e9, 1.000, 0.995),
    (10e9, 1.000, 0.992),
    (5e9, 0.993, 0.971),
    (2e9, 0.962, 0.887),
    (0.5e9, 0.844, 0.556),
    (0.0, 0.424, 0.173),
)


class Course:
    """Continuous trading from its start, minute by minute; a `share` of the minutes has trades."""

    __slots__ = ("_blocks", "_key", "_length", "_start", "_tick")

    def __init__(
        self,
        key: int,
        chance: Random,
        start: datetime,
        length: int,
        share: float,
        whole: Piece,
        tick: int,
        *,
        exact: bool = True,
    ) -> None:
        self._key, self._start, self._length, self._tick = key, start, length, tick
        counts = _counts(chance, length, share, whole.volume)
        weights = [
            count * (0.5 + 2.0 * (2 * place / len(counts) - 1) ** 2) * (0.5 + chance.random())
            for place, count in enumerate(counts)
        ]
        used = [place for place, count in enumerate(counts) if count]
        parts = [weights[place] for place in used]
        pieces = divide(chance, whole, parts, tick, exact=exact)
        self._blocks = [
            # After a move to higher prices, a stretch may have fewer shares than minutes.
            (place, min(counts[place], max(1, piece.volume // LEAST)), piece)
            for place, piece in zip(used, pieces, strict=True)
        ]

    def so_far(self, at: datetime) -> list[Piece]:
        """The trading in the minutes that have begun by `at`, in a few stretches."""
        last = int((at - self._start).total_seconds() // 60)
        seen: list[Piece] = []
        for place, count, piece in self._blocks:
            if (place + 1) * _BLOCK <= last + 1:
                seen.append(piece)
            elif place * _BLOCK <= last:
                seen += [p for n, p in self._minutes_of(place, count, piece) if n <= last]
        return seen

    def minutes(self) -> Iterator[tuple[datetime, Piece]]:
        """Every minute with a trade, labelled by its start."""
        for place, count, piece in self._blocks:
            for number, minute in self._minutes_of(place, count, piece):
                yield self._start + timedelta(minutes=number), minute

    def _minutes_of(self, place: int, count: int, whole: Piece) -> list[tuple[int, Piece]]:
        first = place * _BLOCK
        length = min(_BLOCK, self._length - first)
        chance = random_for(self._key, 3, place)
        numbers = _some_of(chance, length, count)
        if place == 0 and count > _BLOCK // 2:
            numbers[0] = 0
        weights = [0.2 + chance.random() ** 2 for _ in numbers]
        if place == 0:
            # The opening auction is in the first minute.
            weights[0] += 2.0
        pieces = divide(chance, whole, weights, self._tick)
        return [(first + number, piece) for number, piece in zip(numbers, pieces, strict=True)]


class Intraday:
    """The course of one stock's regular session, from its final bar."""

    __slots__ = ("_course", "auction", "session")

    def __init__(
        self, key: int, session: Session, whole: Piece, tick: int, until: datetime | None = None
    ) -> None:
        self.session = session
        continuous = session.closes_at - session.opens_at - _AUCTION
        if until is not None:
            # Only this part of the day has happened; the minute of `until` counts.
            continuous = min(continuous, until - session.opens_at + timedelta(minutes=1))
        length = max(1, int(continuous.total_seconds()) // 60)
        share = _coverage(unit(key, 1), whole.value)
        volume = whole.volume if whole.volume < 64 else round(whole.volume * _MINUTE_SHARE)
        value = whole.value * volume // whole.volume
        chance = random_for(key, 2)
        self.auction: Piece | None = None
        close = whole.close
        if until is None and volume >= 20 and chance.random() < 0.4 + share:
            cut = max(1, int(volume * chance.uniform(0.03, 0.11)))
            self.auction = Piece(close, close, close, close, cut, cut * close)
            volume, value = volume - cut, value - cut * close
            near = close + tick * chance.choice((-2, -1, -1, 0, 0, 1, 1, 2))
            close = min(max(near, whole.low), whole.high)
        trading = Piece(whole.open, whole.high, whole.low, close, volume, value)
        self._course = Course(
            key, chance, session.opens_at, length, share, trading, tick, exact=False
        )

    def so_far(self, at: datetime) -> Piece | None:
        """All trading in the minutes that have begun by `at`; None before the first."""
        seen = self._course.so_far(at)
        if self.auction and at >= self.session.closes_at:
            seen.append(self.auction)
        return join(seen) if seen else None

    def minutes(self) -> Iterator[tuple[datetime, Piece]]:
        """Every minute with a trade, labelled by its start; the closing auction by its end."""
        yield from self._course.minutes()
        if self.auction:
            yield self.session.closes_at, self.auction


def after_market_course(
    key: int, start: datetime, end: datetime, whole: Piece, tick: int
) -> Course:
    """The course of one stock's after-market; its minutes add up exactly."""
    length = int((end - start).total_seconds()) // 60
    # The share of minutes with trades is that of an equally busy regular session.
    share = _coverage(unit(key, 4), whole.value * _REGULAR_MINUTES // length)
    return Course(key + 1, random_for(key, 5), start, length, share, whole, tick)


def _some_of(chance: Random, length: int, count: int) -> list[int]:
    """`count` of the numbers below `length`, in order; much faster than sorting a sample."""
    chosen: list[int] = []
    for number in range(length):
        if count and chance.random() * (length - number) < count:
            chosen.append(number)
            count -= 1
    return chosen


def _coverage(luck: float, value: int) -> float:
    place = next(n for n, (start, *_) in enumerate(_COVERAGE) if value >= start)
    _, median, tenth = _COVERAGE[place]
    if luck < 0.5:
        lowest = max(tenth - (median - tenth) / 4, 0.02)
        return lowest + (median - lowest) * luck * 2
    best = _COVERAGE[max(place - 1, 0)][1]
    return median + (best - median) * (luck - 0.5)


def _counts(chance: Random, length: int, share: float, volume: int) -> list[int]:
    """How many minutes have trades in each half-hour; midday has more gaps."""
    blocks = math.ceil(length / _BLOCK)
    share = min(share, max(1, volume // 5) / length)
    counts: list[int] = []
    for place in range(blocks):
        size = min(_BLOCK, length - place * _BLOCK)
        if share > 0.99:
            dense = share
        else:
            edge = (2 * (place + 0.5) / blocks - 1) ** 2
            dense = min(1.0, share * (1 + 0.9 * (1 - share) * (edge * 3 - 1)))
        counts.append(min(size, int(size * dense + chance.random())))
    allowed = max(1, volume // 4)
    middle_out = sorted(range(blocks), key=lambda place: abs(place - blocks // 2))
    for place in middle_out:
        excess = sum(counts) - allowed
        if excess <= 0:
            break
        counts[place] = max(0, counts[place] - excess)
    if not any(counts):
        counts[0] = 1
    return counts
