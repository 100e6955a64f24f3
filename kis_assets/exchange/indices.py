"""Common names of indices, and KIS's codes for them."""

from __future__ import annotations

CODES = {"KOSPI": "0001", "KOSDAQ": "1001", "KOSPI 200": "2001", "KOSDAQ 150": "3003"}


def code_of(index: str) -> str:
    """The code of an index, given as KOSPI, kospi200, KOSPI 200 or 2001.

    Raises:
        ValueError: it is neither a known name nor four digits.
    """
    word = index.replace(" ", "").upper()
    known = {name.replace(" ", ""): code for name, code in CODES.items()}
    if word in known:
        return known[word]
    if len(word) == 4 and word.isdecimal():
        return word
    raise ValueError(f"{index!r} is no index: give {', '.join(CODES)} or a code of four digits")
