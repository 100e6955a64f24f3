"""Days as people give them: a date, a text, a month or a year, a timestamp at midnight. Pure."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, timedelta
from typing import Any

Day = date | str
When = Day | None
Days = Day | tuple[When, When]

_TEXT = re.compile(r"(\d{4})(?:[-./]?(\d{2})|[-./](\d))?(?:[-./]?(\d{2})|[-./](\d))?\.?")
_IN_SEOUL = (None, timedelta(hours=9))


def as_day(given: When) -> date | None:
    """The one day that is meant: a date, a text, a pandas or NumPy timestamp at midnight.

    Raises:
        ValueError: the text is not a day, or is a month or a year.
        TypeError: it is none of these; of an instant, which day it is depends on its zone.
    """
    if given is None:
        return None
    first, last = _span_of(given, "write it as 2026-03-17")
    if first != last:
        raise ValueError(f"{given!r} is not a day; write it as 2026-03-17")
    return first


def both(days: Days) -> tuple[When, When]:
    """The first and the last of a day, a month, a year, or of two."""
    return days if isinstance(days, tuple) else (days, days)


def span(start: When, end: When) -> tuple[date | None, date | None]:
    """The days from one to another; of a month or a year its first day, and as the end its last.

    Raises:
        ValueError: a text is not a day, or the second day is before the first.
        TypeError: as of `as_day`.
    """
    how = "write it as 2026-03-17, a month as 2026-03, a year as 2026"
    first = None if start is None else _span_of(start, how)[0]
    last = None if end is None else _span_of(end, how)[1]
    if first is not None and last is not None and last < first:
        raise ValueError(f"the span ends on {last}, before it starts on {first}")
    return first, last


def _span_of(given: object, how: str) -> tuple[date, date]:
    known: Any = given
    if type(known).__module__ == "numpy" and "datetime64" in type(known).__name__:
        known = str(known)
    if isinstance(known, str):
        text = known.strip()
        try:
            if found := _TEXT.fullmatch(text):
                return _of_numbers(*(int(part) for part in found.groups() if part))
            known = datetime.fromisoformat(text)
            if not _is_day(known):
                raise ValueError("an instant")
        except ValueError:
            raise ValueError(f"{given!r} is not a day; {how}") from None
    if isinstance(known, datetime) and known == known:  # NaT of pandas is not
        if not _is_day(known):
            raise TypeError(f"expected a day, not the instant {known.isoformat()}")
        return known.date(), known.date()
    if isinstance(known, date) and not isinstance(known, datetime):
        return known, known
    raise TypeError(f'expected a day such as "2026-03-17", not {given!r}')


def _is_day(instant: datetime) -> bool:
    """Whether it is a midnight, of Seoul or of no zone."""
    is_midnight = instant.time() == datetime.min.time() and not getattr(instant, "nanosecond", 0)
    return is_midnight and instant.utcoffset() in _IN_SEOUL


def _of_numbers(year: int, month: int = 0, day: int = 0) -> tuple[date, date]:
    if day:
        return date(year, month, day), date(year, month, day)
    first, last = (month, month) if month else (1, 12)
    return date(year, first, 1), date(year, last, monthrange(year, last)[1])
