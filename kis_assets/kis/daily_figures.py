"""Daily figures of a stock or an index, from services that return the newest days up to a day.

Flows, short sales, loans, programme trades, credit and indices come this way. The file of each
service has its parameters and reads its rows; this module requests the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.client import Client
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, day, plain, read

Day = dict[str, Any]
"""What a service tells of a day: `trading_day`, and its columns; of an odd one `ODD` alone."""
ODD = "odd"
"""Why a day cannot be right, in place of its columns."""


@dataclass(frozen=True)
class DailyService:
    """A service that returns days of a stock or an index, newest first."""

    endpoint: Endpoint
    rows: int
    """Most days of one answer."""
    parameters: Callable[[str, date, date, str], dict[str, str]]
    """Parameters for a code, the first and last day, and KIS's code of the market."""
    read: Callable[[Row, str], list[Day]]
    """Reads the days of an answer about a code.

    Raises:
        UnexpectedAnswer: the answer is inconsistent.
    """
    spread: Callable[[Day], list[Day]] = lambda day: [day]
    """Turns a day into rows of the table; one row unless a day has several classes."""
    compare: Callable[[Day, Day], None] = lambda _day, _before: None
    """Adds to a day the figures that need the day before."""
    other_codes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Replacement codes for codes without data."""
    is_own: bool = False
    """Whether equal figures of two stocks are an error: one would be an answer about the other."""


def page(
    client: Client,
    service: DailyService,
    code: str,
    first: date,
    last: date,
) -> list[Day]:
    """The newest days up to `last`, newest first. An empty answer is requested twice.

    Raises:
        UnexpectedAnswer: days are out of order, or `read` raises it.
    """

    def read(body: Row) -> list[Day]:
        # An answer by settlement day may begin later than `last`; later days are not final.
        days = [day for day in service.read(body, code) if day["trading_day"] <= last]
        if any(newer["trading_day"] <= older["trading_day"] for newer, older in pairwise(days)):
            raise UnexpectedAnswer("the days are not in order, newest first")
        return days

    def ask() -> list[Day]:
        sent = service.parameters(code, first, last, client.market)
        return client.ask(service.endpoint, sent, read, about=code)

    return ask() or ask()


def each_page(
    client: Client,
    service: DailyService,
    code: str,
    first: date,
    last: date,
) -> Iterator[list[Day]]:
    """Pages from `last` backwards, until one reaches `first` or the next is empty.

    The last page may hold days before `first`. A failed page fails the whole: it never counts as
    the end of history.
    """
    while calendar.possible_trading_days(first, last):
        days = page(client, service, code, first, last)
        if not days:
            return
        yield days
        last = days[-1]["trading_day"] - timedelta(days=1)


def days(
    client: Client,
    service: DailyService,
    code: str,
    first: date,
    last: date,
) -> list[Day]:
    """All days of the pages from `last` back to `first`, newest first."""
    found = [day for one in each_page(client, service, code, first, last) for day in one]
    if not found and code in service.other_codes:
        return days(client, service, service.other_codes[code], first, last)
    for newer, older in pairwise(found):
        compared(service, newer, older)
    return found


def compared(service: DailyService, newer: Day, older: Day) -> None:
    """Add to a day what follows from the one before it, where both are known."""
    if ODD not in newer and ODD not in older:
        service.compare(newer, older)


def days_of(rows: list[Row], kis: str, judge: Callable[[Row], Day]) -> list[Day]:
    """The days of the rows that have one in that field: others are padding.

    One row that cannot be right takes none of the others along: its day has `ODD` alone.

    Raises:
        UnexpectedAnswer: none of the rows can be right, or a day cannot be read.
    """
    found: list[Day] = []
    errors: list[UnexpectedAnswer] = []
    for row in rows:
        if not plain(row.get(kis)):
            continue
        try:
            found.append(judge(row))
        except UnexpectedAnswer as error:
            on = read(row, (Field("trading_day", kis, day),))
            said = error.message.removeprefix(f"{on['trading_day']}: ")
            found.append(on | {ODD: said})
            errors.append(error)
    if errors and len(errors) == len(found):
        raise errors[0]
    return found


def list_of(body: Row, *names: str) -> list[Row]:
    """The rows of the first of these lists that exists, in any case; one object is one row.

    Raises:
        UnexpectedAnswer: there is no such list, or it is no list of objects.
    """
    named = {key.lower(): value for key, value in body.items()}
    for name in names:
        found = named.get(name)
        if isinstance(found, dict):
            return [found]
        if isinstance(found, list):
            if all(isinstance(row, dict) for row in found):
                return found
            break
    raise UnexpectedAnswer(f"the answer's {names[0]} is missing or has another shape")
