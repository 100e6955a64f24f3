"""Turns KIS's strings into bounded values, and these into pages and frames. Knows no service.

Every value in an answer is a string; a blank string means no value. Impossible figures are refused
here, where all are read, so they never reach a frame or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from typing import Any, NamedTuple

import polars as pl

from kis_assets.errors import UnexpectedAnswer

Row = Mapping[str, Any]

LARGEST = 10**17
"""No figure of a stock reaches this: in KRW it is fifty times the value of the largest company. The
maximum of Int64 is ninety times as large."""
LONGEST_TEXT = 500
"""Most characters of a name or a sentence."""


class Field(NamedTuple):
    """A column's name, KIS's name for it, its reader, and whether it is required."""

    column: str
    kis: str
    read: Callable[[str], Any]
    required: bool = True


def plain(value: object) -> str:
    """A text or number as text, shortened to the longest sentence; empty for anything else."""
    if isinstance(value, str):
        return value.strip()[:LONGEST_TEXT]
    return str(value)[:LONGEST_TEXT] if isinstance(value, int | float) else ""


def whole(word: str) -> int:
    """A whole number: accepts `0012`, `+5`, `1,234` and `12.0`, but not `12.5` or 10^30."""
    word = word.replace(",", "")
    try:
        number = int(word)
    except ValueError:
        exact = float(word)
        if not exact.is_integer():
            raise ValueError(word) from None
        number = int(exact)
    if -LARGEST < number < LARGEST:
        return number
    raise ValueError(word)


def amount(word: str) -> int:
    """A whole number that is never negative: a price, a volume, a value."""
    try:
        number = int(word)  # the usual form
    except ValueError:
        number = whole(word)
    if 0 <= number < LARGEST:
        return number
    raise ValueError(word)


def decimal(word: str) -> float:
    """A decimal number; refuses values that are not finite or larger than any figure."""
    number = float(word.replace(",", ""))
    if not -LARGEST < number < LARGEST:
        raise ValueError(word)
    return number


def day(word: str) -> date:
    """A day written YYYYMMDD."""
    if len(word) != 8 or not word.isdecimal():
        raise ValueError(word)
    return date(int(word[:4]), int(word[4:6]), int(word[6:]))


def clock(word: str) -> time:
    """A time of day written HHMMSS."""
    if len(word) != 6 or not word.isdecimal():
        raise ValueError(word)
    return time(int(word[:2]), int(word[2:4]), int(word[4:]))


def flag(word: str) -> bool:
    """Y or N."""
    if word not in ("Y", "N"):
        raise ValueError(word)
    return word == "Y"


def any_day(word: str) -> date | None:
    """A day written YYYYMMDD or with separators; None if it is all zeros."""
    digits = "".join(letter for letter in word if letter not in "/-. ")
    return day(digits) if digits.strip("0") else None


def text(word: str) -> str:
    """The text itself; refuses texts longer than any name or sentence."""
    if len(word) > LONGEST_TEXT:
        raise ValueError(word)
    return word


def read(row: Row, fields: Iterable[Field]) -> dict[str, Any]:
    """One object of an answer, read by `fields`.

    Raises:
        UnexpectedAnswer: a required field is missing or blank, or a value cannot be read.
    """
    values: dict[str, Any] = {}
    for column, kis, reader, required in fields:
        given = row.get(kis)
        word = given.strip() if isinstance(given, str) else _number(given, kis)
        if not word:
            if required:
                raise UnexpectedAnswer(f"the answer lacks {kis}")
            values[column] = None
            continue
        try:
            values[column] = reader(word)
        except ValueError:
            raise UnexpectedAnswer(f"{kis} is {word[:20]!r}, which cannot be read") from None
    return values


def _number(given: object, kis: str) -> str:
    """The value of a field that should be text: empty if null, or a bare number as text."""
    if given is None or isinstance(given, int | float):
        return plain(given)
    raise UnexpectedAnswer(f"{kis} is neither text nor a number")


def output(body: Row, name: str, kind: type[Any]) -> Any:
    """The payload of that name; UnexpectedAnswer if it is missing or has another shape."""
    payload = body.get(name)
    if not isinstance(payload, kind):
        raise UnexpectedAnswer(f"the answer's {name} is missing or has another shape")
    return payload


def rows_of(body: Row, name: str) -> list[Row]:
    """The list of that name; UnexpectedAnswer if it is not a list of objects."""
    found = output(body, name, list)
    if not all(isinstance(row, dict) for row in found):
        raise UnexpectedAnswer(f"the answer's {name} has another shape")
    return found


def is_nothing(row: Row, kis: str) -> bool:
    """Whether a price exists but is blank or 0: KIS does not know the code."""
    return kis in row and is_zero(row[kis])


def is_zero(value: object) -> bool:
    """Whether a value is missing, blank or 0."""
    return value is None or (isinstance(value, str | int | float) and not plain(value).strip(" 0"))


def refusal(body: Row) -> tuple[str, str]:
    """KIS's code and message of a refusal; empty if missing."""
    return (
        plain(body.get("msg_cd") or body.get("error_code"))[:20],
        plain(body.get("msg1") or body.get("error_description")),
    )


_MORE = ("F", "M")


class Page(NamedTuple):
    """The rows of one page, and the parameters of the next page; None after the last.

    `given` is how many rows KIS sent; one of them may have become two.
    """

    rows: list[Any]
    following: dict[str, str] | None
    given: int = 0


def page(body: Row, rows: list[Any], keys: dict[str, str]) -> Page:
    """A page, by the header tr_cont; `keys` maps parameters to the fields with their values."""
    if not rows or plain(body.get("tr_cont")) not in _MORE:
        return Page(rows, None)
    return Page(rows, {name: plain(body.get(key)) for name, key in keys.items()})


def frame(rows: list[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Rows as a frame of this schema, built by columns: building from dictionaries is slow."""
    return pl.DataFrame(
        {
            name: pl.Series([row.get(name) for row in rows], dtype=dtype)
            for name, dtype in schema.items()
        }
    )
