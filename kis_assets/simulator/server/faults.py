"""Switches for faults, which tests turn on. `damage` and `replies` carry them out.

Every switch is off at first. It can be turned on for the next calls, for calls whose path contains
a text, with a probability, or permanently:

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
    """When a fault applies.

    Args:
        calls: How many times the fault applies; None for always.
        path: A text that the path of the call must contain.
        probability: The probability for each matching call.
        seconds: The duration, for faults that take time.
        status: The HTTP status, for faults with two possible ones.
        skip: How many matching calls are spared first.
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
    """All switches. They may be changed while calls are running.

    The first ones break the transport of an answer, the others its content. `seed` is for all
    faults with a probability.
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
    """Like `hang`, for answers that are only slow."""
    drip: Switch = False
    """The body comes in pieces every `seconds`."""

    # An answer that does not come from the service.
    server_error: Switch = False
    """500 without a body."""
    bad_gateway: Switch = False
    """502 with HTML."""
    unavailable: Switch = False
    """503 with HTML."""
    html: Switch = False
    """A maintenance page with status 200."""
    empty: Switch = False
    """Status 200 with an empty body."""
    truncated: Switch = False
    """Truncated JSON."""
    wrong_type: Switch = False
    """The right JSON with the content type text/html."""
    garbage_gzip: Switch = False
    """Bytes that claim to be gzip."""

    # Refusals in the envelope.
    refusal_rate: float = 0.0
    """The share of calls that are refused with EGW00201 below the limit."""
    refused: Switch = False
    """EGW00201 at any rate."""
    refusals_as_ok: bool = False
    """EGW00201 has HTTP status 200 instead of 500."""
    refuse_page: int = 0
    """The call of this number for one stock and path is refused once with EGW00201."""
    query_again: Switch = False
    """EGW00316, `status` 500 or 200."""
    expired_token: Switch = False
    """EGW00123 for a valid token, `status` 500 or 200."""
    invalid_token: Switch = False
    """EGW00121 for a valid token, `status` 500 or 200."""
    expired_status: int = 500
    """HTTP status of EGW00123 for a token that has really expired."""

    # Possible behaviour that was never observed.
    after_market_code: str = "40"
    """`new_mkop_cls_code` of order books and trades of the after-market."""

    # KRX's Open API; most other faults apply there too, and `refused` is its 429.
    unauthorized: Switch = False
    """401, as for an API for which the key has no approval."""
    empty_day: Switch = False
    """No rows, as on a day without a session."""
    published_early: Switch = False
    """A day is available from its close on, not only from 08:00 of the next trading day."""

    # The real-time feed; `extra_fields` applies there too. Faults of a frame have the path
    # `/tryitout/H0STCNT0/005930`, so they can be turned on for a feed or a stock.
    stream_drop: Switch = False
    """The connection breaks without a message when there are frames to send."""
    stream_silence: Switch = False
    """No frames and no pings for `seconds`; records of this time are never sent."""
    stream_half_frame: Switch = False
    """A frame is truncated; its records are never sent again."""
    stream_repeat: Switch = False
    """The last frame of a stock is sent again when the stock is registered again."""
    stream_stranger: Switch = False
    """After a frame its records are repeated as those of a stock that was not registered."""

    # Successful answers with wrong content.
    missing_optional_fields: Switch = False
    missing_required_field: Switch = False
    blank_numbers: Switch = False
    bad_number: Switch = False
    padded_numbers: Switch = False
    extra_fields: Switch = False
    short_multprice: Switch = False
    """multprice leaves out unknown codes instead of returning zeros."""
    repeat_page: Switch = False
    """The last answer for the same path and stock is repeated."""
    no_rows: Switch = False
    """Lists are empty without any other sign."""
    rows_out_of_order: Switch = False
    wrong_code_answer: Switch = False
    """Another stock's data."""
    another_days_bars: Switch = False
    """Bars of other days than requested."""
    doubled_closing_minute: Switch = False
    """Today's minutes count the closing auction's volume twice."""
    minutes_ahead: Switch = False
    """Today's minutes continue for `seconds` after the server's clock, as if later ones were
    requested; only in pages that reach the clock."""
    minute_of_2000: Switch = False
    """The after-market's last minute is labelled 20:00 instead of 19:59."""
    empty_minutes: Switch = False
    """A page of past minutes after a stock's first page is empty."""
    untraded_as_close: Switch = False
    """Daily bars without a trade have the close as open, high and low instead of 0."""
    cut_lists: Switch = False
    """Lists of corporate actions end after the first page without a sign of more pages."""
    calendar_inclusive: Switch = False
    """The calendar's next page begins with the last day of the page before."""

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
        # Setting a switch resets its counts.
        if not name.startswith("_") and self._is_ready():
            with self._lock:
                self._struck.pop(name, None)
                self._seen.pop(name, None)

    def _is_ready(self) -> bool:
        return getattr(self, "_chance", None) is not None

    def strikes(self, name: str, path: str) -> When | None:
        """The setting of a fault if it applies to this call; counts the call."""
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
        """Whether to refuse a call within the limit."""
        with self._lock:
            return self.refusal_rate > 0 and self._chance.random() < self.refusal_rate

    def first(self, names: tuple[str, ...], path: str) -> tuple[str, When] | None:
        """The first of several faults that applies."""
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
        """Set switches from plain JSON: `{"bad_gateway": {"calls": 2}, "html": true}`.

        Raises:
            ValueError: there is no such switch, or its setting is invalid.
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
