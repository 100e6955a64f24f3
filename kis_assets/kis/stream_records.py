"""Frames of KIS's real-time feed into records. Pure functions; the connection is in `stream`.

A frame is `0|H0STCNT0|002|value^value^...`: the records stand one after another without a mark
between them, and KIS appends fields without notice. So the values are divided by the stated count
of records, and each record is read by its leading fields.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from kis_assets.errors import NotSupported, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue
from kis_assets.kis.fields import Field, amount, clock, day, decimal, read, text, whole
from kis_assets.tables import LEVELS

Kind = Literal["trade", "book"]

TR_IDS: dict[tuple[Kind, Venue], str] = {
    ("trade", Venue.KRX): "H0STCNT0",
    ("trade", Venue.NXT): "H0NXCNT0",
    ("trade", Venue.UNIFIED): "H0UNCNT0",
    ("book", Venue.KRX): "H0STASP0",
    ("book", Venue.NXT): "H0NXASP0",
    ("book", Venue.UNIFIED): "H0UNASP0",
}
"""What KIS calls the feed of a kind on a venue; the virtual server has those of KRX alone."""

_KINDS = {tr_id: kind for (kind, _), tr_id in TR_IDS.items()}

_TRADE_WORDS = """
    MKSC_SHRN_ISCD STCK_CNTG_HOUR STCK_PRPR PRDY_VRSS_SIGN PRDY_VRSS PRDY_CTRT
    WGHN_AVRG_STCK_PRC STCK_OPRC STCK_HGPR STCK_LWPR ASKP1 BIDP1 CNTG_VOL ACML_VOL ACML_TR_PBMN
    SELN_CNTG_CSNU SHNU_CNTG_CSNU NTBY_CNTG_CSNU CTTR SELN_CNTG_SMTN SHNU_CNTG_SMTN CCLD_DVSN
    SHNU_RATE PRDY_VOL_VRSS_ACML_VOL_RATE OPRC_HOUR OPRC_VRSS_PRPR_SIGN OPRC_VRSS_PRPR HGPR_HOUR
    HGPR_VRSS_PRPR_SIGN HGPR_VRSS_PRPR LWPR_HOUR LWPR_VRSS_PRPR_SIGN LWPR_VRSS_PRPR BSOP_DATE
    NEW_MKOP_CLS_CODE TRHT_YN
"""
TRADE_FIELDS = _TRADE_WORDS.split()
"""The leading fields of a trade, of 47 as of 2026-09."""

_PLACES = range(1, LEVELS + 1)
BOOK_FIELDS = [
    *("MKSC_SHRN_ISCD", "BSOP_HOUR", "HOUR_CLS_CODE"),
    *(f"{name}{n}" for name in ("ASKP", "BIDP", "ASKP_RSQN", "BIDP_RSQN") for n in _PLACES),
    *("TOTAL_ASKP_RSQN", "TOTAL_BIDP_RSQN", "OVTM_TOTAL_ASKP_RSQN", "OVTM_TOTAL_BIDP_RSQN"),
    *("ANTC_CNPR", "ANTC_CNQN", "ANTC_VOL"),
]
"""The leading fields of an order book, of 63 (KRX) or 65 as of 2026-09."""

_SESSIONS = {"1": "pre_market", "2": "regular", "3": "after_market", "5": "closing_price"}
"""What `MARKET_CLS_CODE` says, which KIS appends since 2026-09-14."""
_SESSION_OF_TRADE = 46
_BOOKS_WITH_SESSION = (60, 63)
"""Widths of KRX's order books that end with it: of 59 fields in the documents, of 62 as recorded in
2026-06. NXT's and the unified ones have none."""

_TRADE = (
    Field("stock_code", "MKSC_SHRN_ISCD", text),
    Field("time", "STCK_CNTG_HOUR", clock),
    Field("price", "STCK_PRPR", amount),
    Field("sign", "PRDY_VRSS_SIGN", text, required=False),
    Field("change", "PRDY_VRSS", whole),
    Field("change_rate", "PRDY_CTRT", decimal),
    Field("open", "STCK_OPRC", amount),
    Field("high", "STCK_HGPR", amount),
    Field("low", "STCK_LWPR", amount),
    Field("best_ask", "ASKP1", amount, required=False),
    Field("best_bid", "BIDP1", amount, required=False),
    Field("quantity", "CNTG_VOL", amount),
    Field("volume", "ACML_VOL", amount),
    Field("trading_value", "ACML_TR_PBMN", amount),
    Field("side", "CCLD_DVSN", text, required=False),
    Field("day", "BSOP_DATE", day, required=False),
    Field("is_halted", "TRHT_YN", text, required=False),
)
_BOOK = (
    Field("stock_code", "MKSC_SHRN_ISCD", text),
    Field("time", "BSOP_HOUR", clock),
    *(Field(name, name, amount) for name in BOOK_FIELDS[3:43]),
    Field("total_ask_volume", "TOTAL_ASKP_RSQN", amount),
    Field("total_bid_volume", "TOTAL_BIDP_RSQN", amount),
    Field("expected_price", "ANTC_CNPR", amount, required=False),
    Field("expected_volume", "ANTC_VOL", amount, required=False),
)
_SIDES = {"1": "buy", "5": "sell"}
_FALLING = ("4", "5")
_DIGITS = 4
"""Of a count of records; KIS writes three."""
_FORTNIGHT = timedelta(days=14)
"""How far a trade's day may lie from the one that it is: a replay's is the session before."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade (체결). Prices are KRW, instants are aware.

    `quantity` are the shares of this trade; `volume` and `trading_value` are the day's so far, as
    are open, high and low. `side` is who came to the other's price: buy, sell, or None in an
    auction. A quote that is not there is None. `session` is pre_market, regular, closing_price or
    after_market, as KIS says, and None where it does not.
    """

    stock_code: str
    traded_at: datetime
    price: int
    quantity: int
    side: str | None
    change: int
    change_rate: float
    open: int
    high: int
    low: int
    best_ask: int | None
    best_bid: int | None
    volume: int
    trading_value: int
    is_halted: bool
    session: str | None
    received_at: datetime

    def row(self) -> dict[str, Any]:
        """Plain values by name."""
        return {"kind": "trade"} | asdict(self)


class Level(NamedTuple):
    """One price of a book and the shares that wait there."""

    price: int
    volume: int


@dataclass(frozen=True, slots=True)
class BookUpdate:
    """A whole order book (호가), best level first; a level without a price is left out.

    The expected price and volume are there in auctions alone. `session` is as of a trade.
    """

    stock_code: str
    booked_at: datetime
    asks: tuple[Level, ...]
    bids: tuple[Level, ...]
    total_ask_volume: int
    total_bid_volume: int
    expected_price: int | None
    expected_volume: int | None
    session: str | None
    received_at: datetime

    def row(self) -> dict[str, Any]:
        """Plain values by name; levels under the names of the table `order_books`."""
        values: dict[str, Any] = {"kind": "book", **asdict(self)}
        for side in ("ask", "bid"):
            levels: tuple[Level, ...] = values.pop(f"{side}s")
            for n in _PLACES:
                price, volume = levels[n - 1] if n <= len(levels) else (None, None)
                values[f"{side}_price_{n}"], values[f"{side}_volume_{n}"] = price, volume
        return values


RealTime = Trade | BookUpdate
"""What the feed is made of."""


def records(frame: str, today: date, received_at: datetime) -> list[RealTime]:
    """The records of a data frame, in the order in which they stand in it.

    Times come without a date: a trade's is in its business date, a book's is `today` in Seoul.

    Raises:
        NotSupported: the frame is encrypted, which KIS does with the orders of an account alone.
        UnexpectedAnswer: it is cut, of an unknown feed or another age, or a value cannot be read.
    """
    encrypted, tr_id, count, content = (*frame.split("|", 3), "", "", "")[:4]
    if encrypted == "1":
        raise NotSupported(
            f"an encrypted frame of {tr_id[:8]}; prices and order books come in the clear"
        )
    kind = _KINDS.get(tr_id)
    is_counted = len(count) <= _DIGITS and count.isdecimal() and int(count) > 0
    if encrypted != "0" or kind is None or not is_counted:
        raise UnexpectedAnswer(f"a frame that is none of a known feed: {frame[:20]!r}")
    values = content.split("^")
    width, rest = divmod(len(values), int(count))
    names = TRADE_FIELDS if kind == "trade" else BOOK_FIELDS
    if rest or width < len(names):
        raise UnexpectedAnswer(
            f"a frame of {tr_id} with {len(values)} values for {int(count)} records"
        )
    rows = [values[start : start + width] for start in range(0, len(values), width)]
    make = _trade if kind == "trade" else _book
    return [
        make(dict(zip(names, row, strict=False)), _session(tr_id, row), today, received_at)
        for row in rows
    ]


def _session(tr_id: str, row: list[str]) -> str | None:
    """The session that a record says it is of."""
    if _KINDS[tr_id] == "trade":
        code = row[_SESSION_OF_TRADE] if len(row) > _SESSION_OF_TRADE else ""
    else:
        is_of_krx = tr_id == TR_IDS["book", Venue.KRX]
        code = row[-1] if is_of_krx and len(row) in _BOOKS_WITH_SESSION else ""
    return _SESSIONS.get(code.strip())


def _trade(row: dict[str, str], session: str | None, today: date, received_at: datetime) -> Trade:
    values = read(row, _TRADE)
    traded_on, traded_at = values.pop("day") or today, values.pop("time")
    if abs(traded_on - today) > _FORTNIGHT:
        raise UnexpectedAnswer(f"a trade of {traded_on}, and it is {today}")
    if values.pop("sign") in _FALLING:
        values["change"] = -abs(values["change"])
        values["change_rate"] = -abs(values["change_rate"])
    values |= {
        "side": _SIDES.get(values["side"]),
        "is_halted": values["is_halted"] == "Y",
        "best_ask": values["best_ask"] or None,
        "best_bid": values["best_bid"] or None,
    }
    return Trade(
        traded_at=datetime.combine(traded_on, traded_at, calendar.SEOUL),
        session=session,
        received_at=received_at,
        **values,
    )


def _book(
    row: dict[str, str], session: str | None, today: date, received_at: datetime
) -> BookUpdate:
    values = read(row, _BOOK)
    asks, bids = (
        tuple(
            Level(values[f"{side}{n}"], values[f"{side}_RSQN{n}"])
            for n in _PLACES
            if values[f"{side}{n}"]
        )
        for side in ("ASKP", "BIDP")
    )
    in_auction = bool(values["expected_price"])
    return BookUpdate(
        stock_code=values["stock_code"],
        booked_at=datetime.combine(today, values["time"], calendar.SEOUL),
        asks=asks,
        bids=bids,
        total_ask_volume=values["total_ask_volume"],
        total_bid_volume=values["total_bid_volume"],
        expected_price=values["expected_price"] if in_auction else None,
        expected_volume=values["expected_volume"] if in_auction else None,
        session=session,
        received_at=received_at,
    )
