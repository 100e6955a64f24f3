"""KIS's words into values, each bounded, and pages and frames of them. No service is known here.

Every value on the wire is a string; a blank one means that there is no value. What no figure of a
stock can be is refused here, where all of them are read, and never reaches a frame or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from typing import Any, NamedTuple

import polars as pl

from kis_assets.errors import UnexpectedAnswer

Row = Mapping[str, Any]

LARGEST = 10**17
"""What no figure of a stock reaches: in KRW it is fifty times what the largest company is worth. An
Int64 holds it ninety times."""
LONGEST_TEXT = 500
"""Characters of a name or a sentence."""


class Field(NamedTuple):
    """A column's name here, KIS's name for it, how to read it, and whether it must be there."""

    column: str
    kis: str
    read: Callable[[str], Any]
    required: bool = True


def plain(value: object) -> str:
    """Text or a number as text, cut where it is longer than any sentence; of anything else none."""
    if isinstance(value, str):
        return value.strip()[:LONGEST_TEXT]
    return str(value)[:LONGEST_TEXT] if isinstance(value, int | float) else ""


def whole(word: str) -> int:
    """A whole number: `0012`, `+5`, `1,234` and `12.0` included, `12.5` and 10^30 not."""
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
        number = int(word)  # as most are written
    except ValueError:
        number = whole(word)
    if 0 <= number < LARGEST:
        return number
    raise ValueError(word)


def decimal(word: str) -> float:
    """A decimal number; what is no finite number, or larger than any figure, is refused."""
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
    """A day written YYYYMMDD or with separators; None where it is all zeros."""
    digits = "".join(letter for letter in word if letter not in "/-. ")
    return day(digits) if digits.strip("0") else None


def text(word: str) -> str:
    """The word itself; what is longer than any name or sentence is refused."""
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
    """What stands where a text should: nothing, or a number that is not written as one."""
    if given is None or isinstance(given, int | float):
        return plain(given)
    raise UnexpectedAnswer(f"{kis} is neither text nor a number")


def output(body: Row, name: str, kind: type[Any]) -> Any:
    """The payload of that name; UnexpectedAnswer when it is missing or of another shape."""
    payload = body.get(name)
    if not isinstance(payload, kind):
        raise UnexpectedAnswer(f"the answer's {name} is missing or has another shape")
    return payload


def rows_of(body: Row, name: str) -> list[Row]:
    """The list of that name; UnexpectedAnswer when it is none, or holds what is no object."""
    found = output(body, name, list)
    if not all(isinstance(row, dict) for row in found):
        raise UnexpectedAnswer(f"the answer's {name} has another shape")
    return found


def is_nothing(row: Row, kis: str) -> bool:
    """Whether a price is there and blank or 0: so KIS says that it knows no such code."""
    return kis in row and is_zero(row[kis])


def is_zero(value: object) -> bool:
    """Whether a value is missing, blank or 0."""
    return value is None or (isinstance(value, str | int | float) and not plain(value).strip(" 0"))


def refusal(body: Row) -> tuple[str, str]:
    """KIS's code and sentence for a refusal; empty where it gives none."""
    return (
        plain(body.get("msg_cd") or body.get("error_code"))[:20],
        plain(body.get("msg1") or body.get("error_description")),
    )


_MORE = ("F", "M")


class Page(NamedTuple):
    """The rows of one page, and the keys that ask for the next; None when there is none.

    `given` is how many rows KIS gave, where one of them may have become two.
    """

    rows: list[Any]
    following: dict[str, str] | None
    given: int = 0


def page(body: Row, rows: list[Any], keys: dict[str, str]) -> Page:
    """A page by the header tr_cont; `keys` name the parameters and where their values stand."""
    if not rows or plain(body.get("tr_cont")) not in _MORE:
        return Page(rows, None)
    return Page(rows, {name: plain(body.get(key)) for name, key in keys.items()})


def frame(rows: list[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Rows as a frame of that schema, column by column: rows of dictionaries are slow to take."""
    return pl.DataFrame(
        {
            name: pl.Series([row.get(name) for row in rows], dtype=dtype)
            for name, dtype in schema.items()
        }
    )
