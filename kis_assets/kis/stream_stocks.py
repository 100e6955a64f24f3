"""Trades and order books of the real-time feed: their records, and how to read them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.fields import Field, amount, clock, day, decimal, text, whole
from kis_assets.kis.stream_values import FALLING, Layout, amounts
from kis_assets.tables import LEVELS

_TRADE_WORDS = """
    MKSC_SHRN_ISCD STCK_CNTG_HOUR STCK_PRPR PRDY_VRSS_SIGN PRDY_VRSS PRDY_CTRT
    WGHN_AVRG_STCK_PRC STCK_OPRC STCK_HGPR STCK_LWPR ASKP1 BIDP1 CNTG_VOL ACML_VOL ACML_TR_PBMN
    SELN_CNTG_CSNU SHNU_CNTG_CSNU NTBY_CNTG_CSNU CTTR SELN_CNTG_SMTN SHNU_CNTG_SMTN CCLD_DVSN
    SHNU_RATE PRDY_VOL_VRSS_ACML_VOL_RATE OPRC_HOUR OPRC_VRSS_PRPR_SIGN OPRC_VRSS_PRPR HGPR_HOUR
    HGPR_VRSS_PRPR_SIGN HGPR_VRSS_PRPR LWPR_HOUR LWPR_VRSS_PRPR_SIGN LWPR_VRSS_PRPR BSOP_DATE
    NEW_MKOP_CLS_CODE TRHT_YN ASKP_RSQN1 BIDP_RSQN1 TOTAL_ASKP_RSQN TOTAL_BIDP_RSQN VOL_TNRT
    PRDY_SMNS_HOUR_ACML_VOL PRDY_SMNS_HOUR_ACML_VOL_RATE HOUR_CLS_CODE
"""
"""The leading fields of a trade, of 47 as of 2026-09."""
_LEAST_OF_TRADE = 36
"""Fields up to `TRHT_YN` are required; later ones may be missing."""

_PLACES = range(1, LEVELS + 1)
_BOOK_WORDS = f"""
    MKSC_SHRN_ISCD BSOP_HOUR HOUR_CLS_CODE
    {" ".join(f"{it}{n}" for it in ("ASKP", "BIDP", "ASKP_RSQN", "BIDP_RSQN") for n in _PLACES)}
    TOTAL_ASKP_RSQN TOTAL_BIDP_RSQN OVTM_TOTAL_ASKP_RSQN OVTM_TOTAL_BIDP_RSQN
    ANTC_CNPR ANTC_CNQN ANTC_VOL
"""
"""The leading fields of an order book, of 63 (KRX) or 65 as of 2026-09."""
_LEVELS = slice(3, 3 + 4 * LEVELS)

_SESSIONS = {"1": "pre_market", "2": "regular", "3": "after_market", "5": "closing_price"}
"""Meanings of `MARKET_CLS_CODE`, which KIS appends since 2026-09-14."""
_SESSION_OF_TRADE = 46
_BOOKS_WITH_SESSION = (60, 63)
"""Widths of KRX's order books that end with this field, from 59 fields in the documents and 62 as
recorded in 2026-06. NXT's and unified books do not have it."""
_SIDES = {"1": "buy", "5": "sell"}
_HOURS = {
    "0": "in_session", "A": "after_close", "B": "before_open", "C": "auction", "D": "single_price",
}  # fmt: skip
_FORTNIGHT = timedelta(days=14)
"""How far a trade's day may be from today: in a replay it is the session before."""

TRADE = Layout(
    _TRADE_WORDS,
    (
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
        Field("average_price", "WGHN_AVRG_STCK_PRC", decimal, required=False),
        Field("buy_count", "SHNU_CNTG_CSNU", amount, required=False),
        Field("sell_count", "SELN_CNTG_CSNU", amount, required=False),
        Field("buy_volume", "SHNU_CNTG_SMTN", amount, required=False),
        Field("sell_volume", "SELN_CNTG_SMTN", amount, required=False),
        Field("strength", "CTTR", decimal, required=False),
        Field("best_ask_volume", "ASKP_RSQN1", amount, required=False),
        Field("best_bid_volume", "BIDP_RSQN1", amount, required=False),
        Field("total_ask_volume", "TOTAL_ASKP_RSQN", amount, required=False),
        Field("total_bid_volume", "TOTAL_BIDP_RSQN", amount, required=False),
        Field("hour_class", "HOUR_CLS_CODE", text, required=False),
        Field("phase_code", "NEW_MKOP_CLS_CODE", text, required=False),
    ),
    _LEAST_OF_TRADE,
)
BOOK = Layout(
    _BOOK_WORDS,
    (
        Field("stock_code", "MKSC_SHRN_ISCD", text),
        Field("time", "BSOP_HOUR", clock),
        Field("total_ask_volume", "TOTAL_ASKP_RSQN", amount),
        Field("total_bid_volume", "TOTAL_BIDP_RSQN", amount),
        Field("expected_price", "ANTC_CNPR", amount, required=False),
        Field("expected_volume", "ANTC_VOL", amount, required=False),
    ),
    50,
)


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade (체결). Prices are KRW, volumes are shares, instants are aware.

    `quantity` is the shares of this trade; `volume`, `trading_value`, open, high and low are the
    day's so far. `side` is the aggressor: buy, sell, or None in an auction. A missing quote is
    None. `session` is pre_market, regular, closing_price or after_market as KIS states it, else
    None.

    The following fields are None if KIS leaves them out. Of the day so far: `average_price` is
    weighted by shares; `buy_count` and `buy_volume` cover trades with an aggressive buyer,
    `sell_count` and `sell_volume` those with an aggressive seller, and auction trades count in
    neither; `strength` (체결강도) is buy volume divided by sell volume, in percent. Of the book at
    that moment: volumes at the best prices, and the total of each side. `hour_class` is in_session,
    or for an expected price before_open, auction, after_close or single_price. `phase_code` is
    KIS's code of two characters, time and state; 20 is ordinary continuous trading.
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
    average_price: float | None = None
    buy_count: int | None = None
    sell_count: int | None = None
    buy_volume: int | None = None
    sell_volume: int | None = None
    strength: float | None = None
    best_ask_volume: int | None = None
    best_bid_volume: int | None = None
    total_ask_volume: int | None = None
    total_bid_volume: int | None = None
    hour_class: str | None = None
    phase_code: str | None = None

    def row(self) -> dict[str, Any]:
        """Plain values by name."""
        return {"kind": "trade"} | asdict(self)


class Level(NamedTuple):
    """One price of a book and its shares."""

    price: int
    volume: int


@dataclass(frozen=True, slots=True)
class BookUpdate:
    """A whole order book (호가), best level first, without levels that have no price.

    The expected price and volume exist only in auctions. `session` is as in a trade.
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


def read_trade(row: list[str], tr_id: str, today: date, received_at: datetime) -> Trade:
    """A trade of a frame; `today` is its day if it states none.

    Raises:
        UnexpectedAnswer: it is of another time, or a value cannot be read.
    """
    values = TRADE.read(row)
    traded_on, traded_at = values.pop("day") or today, values.pop("time")
    if abs(traded_on - today) > _FORTNIGHT:
        raise UnexpectedAnswer(f"a trade of {traded_on}, and it is {today}")
    if values.pop("sign") in FALLING:
        values["change"] = -abs(values["change"])
        values["change_rate"] = -abs(values["change_rate"])
    for quote in ("best_ask", "best_bid"):
        if not values[quote]:
            values[quote] = values[f"{quote}_volume"] = None
    values["side"] = _SIDES.get(values["side"])
    values["hour_class"] = _HOURS.get(values["hour_class"])
    values["is_halted"] = values["is_halted"] == "Y"
    code = row[_SESSION_OF_TRADE].strip() if len(row) > _SESSION_OF_TRADE else ""
    return Trade(
        traded_at=datetime.combine(traded_on, traded_at, calendar.SEOUL),
        session=_SESSIONS.get(code),
        received_at=received_at,
        **values,
    )


def read_book(row: list[str], tr_id: str, today: date, received_at: datetime) -> BookUpdate:
    """An order book of a frame, which is of `today`.

    Raises:
        UnexpectedAnswer: a value cannot be read.
    """
    values = BOOK.read(row)
    levels = amounts(row[_LEVELS], "an order book")
    asks, bids, ask_volumes, bid_volumes = (
        levels[place : place + LEVELS] for place in range(0, 4 * LEVELS, LEVELS)
    )
    in_auction = bool(values["expected_price"])
    is_told = tr_id.startswith("H0ST") and len(row) in _BOOKS_WITH_SESSION
    return BookUpdate(
        stock_code=values["stock_code"],
        booked_at=datetime.combine(today, values["time"], calendar.SEOUL),
        asks=tuple(Level(*level) for level in zip(asks, ask_volumes, strict=True) if level[0]),
        bids=tuple(Level(*level) for level in zip(bids, bid_volumes, strict=True) if level[0]),
        total_ask_volume=values["total_ask_volume"],
        total_bid_volume=values["total_bid_volume"],
        expected_price=values["expected_price"] if in_auction else None,
        expected_volume=values["expected_volume"] if in_auction else None,
        session=_SESSIONS.get(row[-1].strip()) if is_told else None,
        received_at=received_at,
    )
