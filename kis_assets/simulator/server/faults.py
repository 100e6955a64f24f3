"""What may go wrong, and when: switches a test turns. How it goes wrong is in `damage`.

Every switch is off. It is turned on for the next calls, for calls whose path contains a text,
with a probability, or for good:

    faults.bad_gateway = When(calls=2)
    faults.bad_number = When(path="inquire-price")
    faults.truncated = When(probability=0.05)
    faults.padded_numbers = True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from threading import RLock
from typing import Any


@dataclass(frozen=True, slots=True)
class When:
    """When a fault strikes.

    Args:
        calls: Only so many times, counting the calls it strikes; None for ever.
        path: Only calls whose path contains this.
        probability: How likely it strikes a call that fits.
        seconds: How long, for the faults that take time.
        status: The HTTP status, for those that come with either of two.
        skip: So many calls that fit are left alone first.
    """

    calls: int | None = None
    path: str = ""
    probability: float = 1.0
    seconds: float = 0.0
    status: int = 0
    skip: int = 0


Switch = When | bool


@dataclass(slots=True)
class Faults:
    """All switches. Safe to turn while calls are running.

    The first ones break the way of an answer, the others what an answer says. `seed` decides the
    draws of everything that strikes with a probability.
    """

    seed: int = 0

    # Before any answer.
    down: Switch = False
    """Nobody is listening."""
    reset: Switch = False
    """The connection is closed without an answer."""
    hang: Switch = False
    """The answer comes after `seconds`."""
    latency: Switch = False
    """Like hang, for what is merely slow."""
    drip: Switch = False
    """The body comes in pieces, `seconds` apart."""

    # An answer that is none of the service's.
    server_error: Switch = False
    """500 without a body."""
    bad_gateway: Switch = False
    """502 with HTML."""
    unavailable: Switch = False
    """503 with HTML."""
    html: Switch = False
    """A maintenance page with status 200."""
    empty: Switch = False
    """Status 200 and nothing."""
    truncated: Switch = False
    """JSON cut in the middle."""
    wrong_type: Switch = False
    """The right JSON called text/html."""
    garbage_gzip: Switch = False
    """Bytes that claim to be gzip."""

    # An envelope that refuses.
    refusal_rate: float = 0.0
    """Share of calls refused with EGW00201 below the limit."""
    refused: Switch = False
    """EGW00201 whatever the rate."""
    refusals_as_ok: bool = False
    """EGW00201 comes with HTTP 200 instead of 500."""
    refuse_page: int = 0
    """The so-and-so-many-th call for one stock and path is refused with EGW00201, once."""
    query_again: Switch = False
    """EGW00316, `status` 500 or 200."""
    expired_token: Switch = False
    """EGW00123 for a good token, `status` 500 or 200."""
    invalid_token: Switch = False
    """EGW00121 for a good token, `status` 500 or 200."""
    expired_status: int = 500
    """HTTP status of EGW00123 when a token really has expired."""

    # What nobody has seen yet.
    after_market_code: str = "40"
    """`new_mkop_cls_code` of order books and trades of the after-market."""

    # KRX's Open API; most other faults work there as well, and `refused` is its 429.
    unauthorized: Switch = False
    """401, as for an API that the key was not applied for."""
    empty_day: Switch = False
    """No rows, as on a day without a session."""
    published_early: Switch = False
    """A day is there from its close on, not only from the next trading day at 08:00."""

    # The real-time feed; `extra_fields` is heeded there as well. Those of a frame have the path
    # `/tryitout/H0STCNT0/005930`, so that they can be turned on for a feed or a stock.
    stream_drop: Switch = False
    """The connection is torn when there are frames to send, without a word."""
    stream_silence: Switch = False
    """No frames and no pings for `seconds`; what happens in them is never sent."""
    stream_half_frame: Switch = False
    """A frame is cut in the middle; what stood in it is never sent again."""
    stream_repeat: Switch = False
    """The last frame of a stock is sent again when it is registered anew."""
    stream_stranger: Switch = False
    """After a frame its records come once more, as those of a stock that nobody asked for."""

    # A success that lies.
    missing_optional_fields: Switch = False
    missing_required_field: Switch = False
    blank_numbers: Switch = False
    bad_number: Switch = False
    padded_numbers: Switch = False
    extra_fields: Switch = False
    short_multprice: Switch = False
    """multprice leaves unknown codes out instead of giving zeros."""
    repeat_page: Switch = False
    """The last answer for the same path and stock comes again."""
    no_rows: Switch = False
    """Lists are empty, and nothing else says so."""
    rows_out_of_order: Switch = False
    wrong_code_answer: Switch = False
    """Another stock's data."""
    another_days_bars: Switch = False
    """Bars of other days than those asked for."""
    doubled_closing_minute: Switch = False
    """Today's minutes: the closing auction's volume twice."""
    minutes_ahead: Switch = False
    """Today's minutes go on for `seconds` after the server's clock, as where later ones are asked
    for; only in pages that reach the clock."""
    minute_of_2000: Switch = False
    """The after-market's last minute is labelled by 20:00 instead of 19:59."""
    empty_minutes: Switch = False
    """A page of past minutes comes empty, of those that follow a stock's first page."""
    untraded_as_close: Switch = False
    """In daily bars without a trade, open, high and low are the close instead of 0."""
    cut_lists: Switch = False
    """Lists of corporate actions end with the first page, and nothing says that there is more."""
    calendar_inclusive: Switch = False
    """The calendar's next page begins with the day that the last one ended with."""

    _lock: RLock = None  # type: ignore[assignment]
    _struck: dict[str, int] = None  # type: ignore[assignment]
    _seen: dict[str, int] = None  # type: ignore[assignment]
    _chance: Random = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._lock = RLock()
        self._struck, self._seen = {}, {}
        self._chance = Random(self.seed)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        # A switch turned anew starts counting anew.
        if not name.startswith("_") and self._is_ready():
            with self._lock:
                self._struck.pop(name, None)
                self._seen.pop(name, None)

    def _is_ready(self) -> bool:
        return getattr(self, "_chance", None) is not None

    def strikes(self, name: str, path: str) -> When | None:
        """Whether a fault strikes this call, and how; counts it."""
        with self._lock:
            switch: Switch = getattr(self, name)
            if switch is False:
                return None
            when = When() if switch is True else switch
            if when.path not in path:
                return None
            self._seen[name] = self._seen.get(name, 0) + 1
            if self._seen[name] <= when.skip:
                return None
            if when.calls is not None and self._struck.get(name, 0) >= when.calls:
                return None
            if when.probability < 1.0 and self._chance.random() >= when.probability:
                return None
            self._struck[name] = self._struck.get(name, 0) + 1
            return when

    def refuses(self) -> bool:
        """Whether a call within the limit is refused all the same."""
        with self._lock:
            return self.refusal_rate > 0 and self._chance.random() < self.refusal_rate

    def first(self, names: tuple[str, ...], path: str) -> tuple[str, When] | None:
        """The first of several faults that strikes."""
        for name in names:
            when = self.strikes(name, path)
            if when is not None:
                return name, when
        return None

    def clear(self) -> None:
        """Turn everything off."""
        with self._lock:
            for field in fields(self):
                if not field.name.startswith("_") and field.name != "seed":
                    setattr(self, field.name, field.default)

    def update(self, settings: Mapping[str, Any]) -> None:
        """Turn switches from plain JSON: `{"bad_gateway": {"calls": 2}, "html": true}`.

        Raises:
            ValueError: there is no such switch, or its setting makes no sense.
        """
        known = {field.name for field in fields(self) if not field.name.startswith("_")}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ValueError(f"no such fault: {', '.join(unknown)}")
        for name, value in settings.items():
            try:
                setattr(self, name, When(**value) if isinstance(value, dict) else value)
            except TypeError as error:
                raise ValueError(f"{name}: {error}") from error
