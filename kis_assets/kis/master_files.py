"""Stock master files: turns fixed-width byte records into rows of `stock_master`.

Names hold two-byte characters, so records are cut as bytes first and decoded (cp949) after. Beyond
their documented layouts the files hold preferred shares of class 9, funds whose code has nine
characters, the group PF, and shares of KONEX under the group ST.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import time
from typing import Any

import polars as pl

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange.stocks import security_type
from kis_assets.kis.archive import unpacked
from kis_assets.kis.client import Client
from kis_assets.kis.master_layouts import FIELDS, LAYOUTS, Column, Market
from kis_assets.tables import STOCK_MASTER

FILES: dict[Market, str] = {
    "KOSPI": "kospi_code.mst",
    "KOSDAQ": "kosdaq_code.mst",
    "KONEX": "konex_code.mst",
}
NXT_FILES: dict[Market, str] = {"KOSPI": "nxt_kospi_code.mst", "KOSDAQ": "nxt_kosdaq_code.mst"}
"""The stocks that NXT trades; the layout of these records after the code is unknown."""
SECTORS = "idxcode.mst"
"""Names of indices and sectors: a digit for the market, a code of four, a name of 40 bytes."""

ARE_NEW = time(7, 30)
"""From this time on a trading day, the files are those of that day: KIS rebuilds them before the
open, at an unstated hour; the official advice is to download at 08:00 or later."""

_CODE = re.compile(rb"Q?[0-9A-Z]{6}")

# These fields are required; every other field may be blank and is null then.
_REQUIRED = {"stock_code", "isin", "stock_name", "security_group"}

_UNREADABLE = 0.01
"""Share of records whose optional field may be unreadable; more means a changed layout."""
_MOST_LINES = 100_000
"""Most lines of a master file; KOSPI's has some thousands."""


def issues(client: Client) -> pl.DataFrame:
    """Every listed issue of KOSPI, KOSDAQ and KONEX; rows of `stock_master` without a day."""
    frames: list[pl.DataFrame] = []
    for market, file_name in FILES.items():
        content = client.download_master(f"{file_name}.zip")
        frames.append(parse(unzip(content, market), market))
    return pl.concat(frames)


def nxt_codes(client: Client) -> frozenset[str]:
    """The stocks that NXT trades, of KOSPI and KOSDAQ."""
    found: set[str] = set()
    for market, file_name in NXT_FILES.items():
        content = client.download_master(f"{file_name}.zip")
        found |= codes(unzip(content, market, file_name), file_name)
    return frozenset(found)


def sector_names(client: Client) -> dict[str, str]:
    """Names of the index sectors by their code of four digits."""
    content = client.download_master(f"{SECTORS}.zip")
    return read_sector_names(unzip(content, "KOSPI", SECTORS))


def unzip(content: bytes, market: Market, file_name: str = "") -> bytes:
    """The file in a downloaded archive: the market's file, unless another is named.

    Raises:
        UnexpectedAnswer: not a zip archive, damaged, without the expected file, or too long.
    """
    return unpacked(content, file_name or FILES[market], f"the {file_name or market} master file")


def _lines(content: bytes, what: str) -> list[bytes]:
    """The lines of a file that are not blank, without line ends."""
    if content.count(b"\n") > _MOST_LINES:
        raise UnexpectedAnswer(f"{what} has more than {_MOST_LINES:,} lines")
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    return [line for line in lines if line.strip()]


def read_sector_names(content: bytes) -> dict[str, str]:
    """Names of sectors by code; KOSPI and KOSDAQ have no code in common.

    Raises:
        UnexpectedAnswer: a record has another length, or is no text.
    """
    records = _lines(content, SECTORS)
    if any(len(record) != 45 for record in records):
        raise UnexpectedAnswer(f"{SECTORS} has a record not of 45 bytes: its layout is another one")
    try:
        return {record[1:5].decode(): record[5:].decode("cp949").strip() for record in records}
    except UnicodeDecodeError as error:
        raise UnexpectedAnswer(f"{SECTORS} cannot be read: {error.reason}") from None


def codes(content: bytes, file_name: str) -> frozenset[str]:
    """The short codes of a master file: the first nine bytes of each record.

    Raises:
        UnexpectedAnswer: there are no records, or one does not begin with a code.
    """
    heads = [line[:9].strip() for line in _lines(content, file_name)]
    wrong = [head for head in heads if not _CODE.fullmatch(head)]
    if wrong or not heads:
        raise UnexpectedAnswer(
            f"{file_name} has {len(heads)} records, {len(wrong)} of them not of a stock: its "
            "layout is another one"
        )
    return frozenset(head.decode() for head in heads)


def parse(content: bytes, market: Market) -> pl.DataFrame:
    """Rows of `stock_master` without the columns of day and origin, one per record.

    Raises:
        UnexpectedAnswer: there are no records, a record has another length, or fields cannot be
            read.
    """
    layout = [word.split(":") for word in LAYOUTS[market].split()]
    cuts: list[tuple[Column | None, int, int]] = []
    width = 0
    for name, length in layout:
        cuts.append((FIELDS.get(name), width, width + int(length)))
        width += int(length)
    records = _lines(content, f"the {market} master file")
    wrong = [record for record in records if len(record) != width]
    if wrong or not records:
        raise UnexpectedAnswer(
            f"the {market} master file has {len(records)} records, {len(wrong)} of them not of "
            f"{width} bytes: its layout is another one"
        )
    columns: dict[str, list[Any]] = {}
    for field, start, end in cuts:
        if field is None:
            continue
        words = [record[start:end] for record in records]
        columns[field.column] = _read(words, field, market)
    frame = pl.DataFrame(
        {
            column.name: pl.Series(columns.get(column.name), dtype=column.dtype)
            if column.name in columns
            else pl.repeat(None, len(records), dtype=column.dtype, eager=True)
            for column in STOCK_MASTER.columns
            if column.name not in ("trading_day", "source", "fetched_at")
        }
    ).with_columns(market=pl.lit(market), security_type=security_type(), net_income=_net_income())
    doubled = frame.filter(pl.col("stock_code").is_duplicated())["stock_code"]
    if len(doubled):
        raise UnexpectedAnswer(f"the {market} master file has {doubled[0]} twice")
    return frame


def _read(words: list[bytes], field: Column, market: Market) -> list[Any]:
    known: dict[bytes, Any] = {}
    different = set(words)
    for word in different:  # most fields are flags: two different words for thousands of stocks
        with suppress(ValueError):
            known[word] = field.read(word.decode("cp949").strip())
    values = [known.get(word) for word in words]
    if field.column in _REQUIRED:
        unreadable = sum(value is None for value in values)
        allowed = 0.0
    else:
        unread = different - known.keys()
        unreadable = sum(word in unread for word in words) if unread else 0
        allowed = max(5, _UNREADABLE * len(words))
    if unreadable > allowed:
        raise UnexpectedAnswer(
            f"the {market} master file has {unreadable} records whose {field.column} cannot be "
            "read: its layout is another one"
        )
    return values


def _net_income() -> pl.Expr:
    """Net income; null if its last digit may have been cut off.

    The field has five places, one of them for a minus sign, and KIS cuts off the rest: 123,456
    becomes 12345. Only the ordinary profit, which has nine places, can tell it from 12,345. If all
    five places are full and the ordinary profit has more digits than fit in them, a digit is
    assumed to be lost.
    """
    net, ordinary = pl.col("net_income"), pl.col("ordinary_profit").abs()
    cut = pl.when(net > 0).then((net >= 10_000) & (ordinary >= 100_000))
    cut = cut.otherwise((net <= -1_000) & (ordinary >= 10_000))
    return pl.when(cut.fill_null(value=False)).then(None).otherwise(net)
