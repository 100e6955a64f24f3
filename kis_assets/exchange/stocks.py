"""Stocks: their codes, their security types, and the groups of a universe. Pure."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

if TYPE_CHECKING:
    import polars as pl

_STOCK_CODE = re.compile(r"Q?[0-9A-Z]{6}")
_WRITTEN = re.compile(
    r"(?:(?:KRX|XKRX|KOSPI|KOSDAQ|KONEX):)?(?:A(?=[0-9A-Z]{6}(?:\.|$)))?"
    r"(Q?[0-9A-Z]{6}|[0-9]{1,5})(?:\.K[SQN])?"
)
"""As TradingView and Google (KRX:005930), KRX itself (A005930) and Yahoo (005930.KS) write codes,
and as a spreadsheet leaves them (5930)."""

_ISIN = re.compile(r"KR7([0-9A-Z]{6})[0-9]{3}")
"""Of a share or a fund: its code is in it."""

_SECURITY_TYPES = {
    "FS": "foreign",
    "RT": "reit",
    "EF": "etf",
    "EN": "etn",
    "EW": "elw",
    "DR": "dr",
    "IF": "infrastructure_fund",
    "SC": "ship_fund",
    "MF": "investment_company",
    "BC": "beneficiary_certificate",
    "FE": "foreign_etf",
    "SW": "warrant",
    "SR": "right",
}


def is_stock_code(code: object) -> bool:
    """True for a short code: six digits or capital letters; for an ETN, Q and six of them."""
    return isinstance(code, str) and _STOCK_CODE.fullmatch(code) is not None


def code_of(given: object) -> str | None:
    """The code that is meant: 005930, 5930, 005930.KS, KRX:005930, A005930 or KR7005930003.

    None where it is no code; then it may be a name. Every code has a digit, which tells it from
    names of six letters.
    """
    known: Any = given
    if not isinstance(known, str):
        if isinstance(known, bool) or not hasattr(known, "__index__"):
            return None
        known = str(operator.index(known))
    word = normalize("NFKC", known).strip().upper()
    found = _ISIN.fullmatch(word) or _WRITTEN.fullmatch(word)
    if found is None or not any(map(str.isdigit, found[1])):
        return None
    return found[1].zfill(6)


def security_type() -> pl.Expr:
    """The security type of a row, from its group and its kind of share."""
    import polars as pl  # not needed by settings and by commands that only read

    group = pl.col("security_group")
    is_share = group.is_in(["ST", "KN"])
    return (
        pl.when(is_share & pl.col("is_spac").fill_null(False))
        .then(pl.lit("spac"))
        .when(is_share & pl.col("preferred_class").is_in(["1", "2", "9"]))
        .then(pl.lit("preferred"))
        .when(is_share)
        .then(pl.lit("common"))
        .otherwise(group.replace_strict(_SECURITY_TYPES, default="other", return_dtype=pl.String))
    )


def in_universe(groups: tuple[str, ...]) -> pl.Expr:
    """Which rows of `stock_master` belong to the groups of `KIS_UNIVERSE`.

    `common` means common shares of KOSPI and KOSDAQ; `konex` every share of KONEX; the other
    groups name a security type.
    """
    import polars as pl

    if "all" in groups:
        return pl.lit(True)
    on_konex = pl.col("market") == "KONEX"
    chosen = pl.lit(False)
    for group in groups:
        if group == "konex":
            chosen = chosen | on_konex
        else:
            chosen = chosen | ((pl.col("security_type") == group) & ~on_konex)
    return chosen
