"""Turns frames of KIS's real-time feed into records. Pure functions; `stream` has the connection.

A frame is `0|H0STCNT0|002|value^value^...`: the records follow each other without a separator, and
KIS appends fields without notice. Therefore the values are divided by the stated count of records,
and only the leading fields of each record are read.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Literal

from kis_assets.errors import NotSupported, UnexpectedAnswer
from kis_assets.exchange.venues import Venue
from kis_assets.kis.stream_market import (
    INDEX,
    PROGRAM,
    STATE,
    IndexTick,
    MarketState,
    ProgramTick,
    read_index,
    read_program,
    read_state,
)
from kis_assets.kis.stream_stocks import BOOK, TRADE, BookUpdate, Trade, read_book, read_trade

Kind = Literal["trade", "book", "state", "program", "index"]

TR_IDS: dict[tuple[Kind, Venue], str] = {
    ("trade", Venue.KRX): "H0STCNT0",
    ("trade", Venue.NXT): "H0NXCNT0",
    ("trade", Venue.UNIFIED): "H0UNCNT0",
    ("book", Venue.KRX): "H0STASP0",
    ("book", Venue.NXT): "H0NXASP0",
    ("book", Venue.UNIFIED): "H0UNASP0",
    ("state", Venue.KRX): "H0STMKO0",
    ("state", Venue.NXT): "H0NXMKO0",
    ("state", Venue.UNIFIED): "H0UNMKO0",
    ("program", Venue.KRX): "H0STPGM0",
    ("program", Venue.NXT): "H0NXPGM0",
    ("program", Venue.UNIFIED): "H0UNPGM0",
    # Indices are always KRX's.
    ("index", Venue.KRX): "H0UPCNT0",
    ("index", Venue.NXT): "H0UPCNT0",
    ("index", Venue.UNIFIED): "H0UPCNT0",
}
"""KIS's code for the feed of a kind on a venue; the virtual server has KRX's trades and books."""

KINDS: tuple[Kind, ...] = tuple(dict.fromkeys(kind for kind, _ in TR_IDS))

RealTime = Trade | BookUpdate | MarketState | ProgramTick | IndexTick
"""The records of the feed."""

_Read = Callable[[list[str], str, date, datetime], RealTime]
_READ: dict[Kind, tuple[int, _Read]] = {
    "trade": (TRADE.least, read_trade),
    "book": (BOOK.least, read_book),
    "state": (STATE.least, read_state),
    "program": (PROGRAM.least, read_program),
    "index": (INDEX.least, read_index),
}
_READ_BY_FEED = {tr_id: _READ[kind] for (kind, _), tr_id in TR_IDS.items()}
_DIGITS = 4
"""Most digits of the count of records; KIS writes three."""


def code_of(record: RealTime) -> str:
    """The stock or index code that the record's registration used."""
    return record.index_code if isinstance(record, IndexTick) else record.stock_code


def records(frame: str, today: date, received_at: datetime) -> list[RealTime]:
    """The records of a data frame, in their order.

    Times have no date: a trade has its own business date, all others are of `today` in Seoul.

    Raises:
        NotSupported: the frame is encrypted; KIS encrypts only the orders of an account.
        UnexpectedAnswer: it is truncated, of an unknown feed or another time, or unreadable.
    """
    encrypted, tr_id, count, content = (*frame.split("|", 3), "", "", "")[:4]
    if encrypted == "1":
        raise NotSupported(
            f"an encrypted frame of {tr_id[:8]}; prices and order books come in the clear"
        )
    known = _READ_BY_FEED.get(tr_id)
    is_counted = len(count) <= _DIGITS and count.isdecimal() and int(count) > 0
    if encrypted != "0" or known is None or not is_counted:
        raise UnexpectedAnswer(f"a frame of an unknown feed: {frame[:20]!r}")
    least, read = known
    values = content.split("^")
    width, rest = divmod(len(values), int(count))
    if rest or width < least:
        raise UnexpectedAnswer(
            f"a frame of {tr_id} with {len(values)} values for {int(count)} records"
        )
    return [
        read(values[start : start + width], tr_id, today, received_at)
        for start in range(0, len(values), width)
    ]
