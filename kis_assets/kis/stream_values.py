"""Reads the values of real-time records by position: thousands of records come in a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.fields import LARGEST, Field, amount, read, text, whole

FALLING = ("4", "5")
"""Sign codes of a falling change, which may come without a minus."""


class Layout:
    """The positions of the values in a record; created once per feed.

    Args:
        names: KIS's names in the order of the values, separated by blanks.
        fields: the fields to read.
        least: the fewest values of a record; fields beyond are optional.
    """

    def __init__(self, names: str, fields: Sequence[Field], least: int) -> None:
        self.least = least
        self._names, self._fields = names.split(), fields
        place_of = {name: place for place, name in enumerate(self._names)}
        whole_ones = [field for field in fields if field.read is amount]
        others = [field for field in fields if field.read is not amount]
        self._columns = [field.column for field in (*whole_ones, *others)]
        self._amounts = [place_of[field.kis] for field in whole_ones]
        self._others = [
            (place_of[field.kis], _not_blank if field.read is text else field.read)
            for field in others
        ]

    def read(self, row: Sequence[str]) -> dict[str, Any]:
        """The fields by column.

        Raises:
            UnexpectedAnswer: a required field is blank, or a value cannot be read.
        """
        try:
            values: list[Any] = _amounts([row[place] for place in self._amounts])
            values += [read(row[place]) for place, read in self._others]
        except (ValueError, IndexError):
            # A value is odd, blank or missing: the slow way finds which.
            return read(dict(zip(self._names, row, strict=False)), self._fields)
        return dict(zip(self._columns, values, strict=True))


def _not_blank(word: str) -> str:
    if word := word.strip():
        return text(word)
    raise ValueError(word)


def _amounts(words: Sequence[str]) -> list[int]:
    numbers = [int(word) for word in words]
    if numbers and (min(numbers) < 0 or max(numbers) >= LARGEST):
        raise ValueError(words)
    return numbers


def amounts(words: Sequence[str], name: str) -> list[int]:
    """Many whole numbers that are never negative.

    Raises:
        UnexpectedAnswer: one of them is not such a number.
    """
    try:
        return _amounts(words)
    except ValueError:
        pass
    try:
        return [amount(word.strip()) for word in words]
    except ValueError as error:
        raise UnexpectedAnswer(f"{name}: {str(error)[:60]!r} cannot be read") from None


def times(unit: int, *, signed: bool = False) -> Callable[[str], int]:
    """A reader of numbers in thousands or millions, as whole numbers."""

    def read(word: str) -> int:
        number = unit * (whole(word) if signed else amount(word))
        if -LARGEST < number < LARGEST:
            return number
        raise ValueError(word)

    return read
