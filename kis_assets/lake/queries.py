"""What notebooks and the command line both ask, as SQL with its parameters. Asks nobody itself."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from kis_assets.security.text_input import composed

Day = date | str

NEWEST = "trading_day = (SELECT max(trading_day) FROM stock_master)"
_LISTED = (
    "stock_code, stock_name, market, security_type, listed_shares, base_price, is_halted, "
    "is_administrative, listed_on, trading_day"
)


def finding(text: str) -> tuple[str, tuple[str, ...]]:
    """The query for stocks by a part of the name or the beginning of the code."""
    word = composed(text)
    return (
        f"SELECT {_LISTED} FROM stock_master WHERE {NEWEST} "  # noqa: S608
        "AND (contains(lower(nfc_normalize(stock_name)), lower(?)) "
        "OR starts_with(stock_code, upper(?))) "
        "ORDER BY nfc_normalize(stock_name) <> ?, length(stock_name), stock_code",
        (word, word, word),
    )


def conditions(
    table: str | None, start: Day | None, end: Day | None
) -> tuple[str, tuple[object, ...]]:
    """The query for the condition of a table's days, or of all tables'."""
    query, params = "SELECT * FROM dataset_condition WHERE true", list[object]()
    for term, value in (
        ("table_name = ?", table),
        ("trading_day >= ?", day_of(start)),
        ("trading_day <= ?", day_of(end)),
    ):
        if value is not None:
            query += f" AND {term}"
            params.append(value)
    return f"{query} ORDER BY table_name, trading_day", tuple(params)


def day_of(day: Day | None) -> date | None:
    """The day that is meant by a date or by ISO text.

    Raises:
        ValueError: the text is no day.
        TypeError: it is neither; of an instant, which day it is depends on its zone.
    """
    if isinstance(day, datetime):
        raise TypeError(f"a day is wanted, not the instant {day.isoformat()}")
    if isinstance(day, str):
        try:
            return date.fromisoformat(day)
        except ValueError:
            raise ValueError(f"{day!r} is no day; write it as 2026-03-17") from None
    known: Any = day
    if known is not None and not isinstance(known, date):
        raise TypeError(f'a day is wanted, such as "2026-03-17", not {known!r}')
    return day
