"""The other real-time feeds: market state, programme trades, indices.

Their records state no day: it is the day of arrival. The state also has no time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from kis_assets.exchange import calendar
from kis_assets.kis.fields import Field, amount, clock, decimal, text, whole
from kis_assets.kis.investor_flows import MILLION
from kis_assets.kis.market_flows import THOUSAND
from kis_assets.kis.stream_values import FALLING, Layout, times

STATE = Layout(
    """
    MKSC_SHRN_ISCD TRHT_YN TR_SUSP_REAS_CNTT MKOP_CLS_CODE ANTC_MKOP_CLS_CODE MRKT_TRTM_CLS_CODE
    DIVI_APP_CLS_CODE ISCD_STAT_CLS_CODE VI_CLS_CODE OVTM_VI_CLS_CODE EXCH_CLS_CODE
    """,
    (
        Field("stock_code", "MKSC_SHRN_ISCD", text),
        Field("is_halted", "TRHT_YN", text, required=False),
        Field("halt_reason", "TR_SUSP_REAS_CNTT", text, required=False),
        Field("phase_code", "MKOP_CLS_CODE", text, required=False),
        Field("expected_phase", "ANTC_MKOP_CLS_CODE", text, required=False),
        Field("random_end", "MRKT_TRTM_CLS_CODE", text, required=False),
        Field("status", "ISCD_STAT_CLS_CODE", text, required=False),
        Field("is_in_vi", "VI_CLS_CODE", text, required=False),
        Field("is_in_off_hours_vi", "OVTM_VI_CLS_CODE", text, required=False),
        Field("exchange", "EXCH_CLS_CODE", text, required=False),
    ),
    10,  # the exchange was appended later
)
_NO_REASON = "(null)"
_FLAGS = {"Y": True, "N": False}
_EXCHANGES = {"1": "KRX", "2": "NXT"}
_PHASES = {
    "110": "opening_auction", "112": "open", "121": "closing_auction", "129": "closed",
    "130": "pre_hours", "139": "pre_hours_ended",
    "140": "closing_price", "149": "closing_price_ended",
    "150": "single_price", "159": "single_price_ended",
    "164": "stopped", "174": "circuit_breaker", "175": "circuit_breaker_ended",
    "182": "circuit_breaker_until_closing_auction",
    "184": "circuit_breaker", "185": "circuit_breaker_ended",
    "387": "sell_sidecar", "388": "sell_sidecar_ended",
    "397": "buy_sidecar", "398": "buy_sidecar_ended",
}  # fmt: skip
_EXPECTED_PHASES = {
    "311": "before_open", "112": "before_open_ended",
    "121": "before_close", "129": "before_close_ended",
}  # fmt: skip
_RANDOM_ENDS = {
    "1": "opening", "2": "opening_cleared", "3": "closing", "4": "closing_cleared",
    "5": "single_price", "6": "single_price_cleared",
}  # fmt: skip
_STATUSES = {
    "00": "ordinary", "51": "administrative", "52": "investment_risk", "53": "investment_warning",
    "54": "investment_caution", "55": "credit_eligible", "57": "full_margin", "58": "halted",
    "59": "overheated",
}  # fmt: skip

PROGRAM = Layout(
    """
    MKSC_SHRN_ISCD STCK_CNTG_HOUR SELN_CNQN SELN_TR_PBMN SHNU_CNQN SHNU_TR_PBMN NTBY_CNQN
    NTBY_TR_PBMN SELN_RSQN SHNU_RSQN
    """,
    (
        Field("stock_code", "MKSC_SHRN_ISCD", text),
        Field("time", "STCK_CNTG_HOUR", clock),
        Field("buy_volume", "SHNU_CNQN", amount),
        Field("sell_volume", "SELN_CNQN", amount),
        Field("net_volume", "NTBY_CNQN", whole),
        Field("buy_value", "SHNU_TR_PBMN", amount),
        Field("sell_value", "SELN_TR_PBMN", amount),
        Field("net_value", "NTBY_TR_PBMN", whole),
        Field("open_buy_volume", "SHNU_RSQN", amount, required=False),
        Field("open_sell_volume", "SELN_RSQN", amount, required=False),
    ),
    10,
)

INDEX = Layout(
    """
    BSTP_CLS_CODE BSOP_HOUR PRPR_NMIX PRDY_VRSS_SIGN BSTP_NMIX_PRDY_VRSS ACML_VOL ACML_TR_PBMN
    PCAS_VOL PCAS_TR_PBMN PRDY_CTRT OPRC_NMIX NMIX_HGPR NMIX_LWPR OPRC_VRSS_NMIX_PRPR
    OPRC_VRSS_NMIX_SIGN HGPR_VRSS_NMIX_PRPR HGPR_VRSS_NMIX_SIGN LWPR_VRSS_NMIX_PRPR
    LWPR_VRSS_NMIX_SIGN PRDY_CLPR_VRSS_OPRC_RATE PRDY_CLPR_VRSS_HGPR_RATE PRDY_CLPR_VRSS_LWPR_RATE
    UPLM_ISSU_CNT ASCN_ISSU_CNT STNR_ISSU_CNT DOWN_ISSU_CNT LSLM_ISSU_CNT
    """,
    (
        Field("index_code", "BSTP_CLS_CODE", text),
        Field("time", "BSOP_HOUR", clock),
        Field("level", "PRPR_NMIX", decimal),
        Field("sign", "PRDY_VRSS_SIGN", text, required=False),
        Field("change", "BSTP_NMIX_PRDY_VRSS", decimal),
        Field("change_rate", "PRDY_CTRT", decimal),
        Field("open", "OPRC_NMIX", decimal),
        Field("high", "NMIX_HGPR", decimal),
        Field("low", "NMIX_LWPR", decimal),
        Field("volume", "ACML_VOL", times(THOUSAND)),
        Field("trading_value", "ACML_TR_PBMN", times(MILLION)),
        Field("tick_volume", "PCAS_VOL", times(THOUSAND, signed=True), required=False),
        Field("tick_value", "PCAS_TR_PBMN", times(MILLION, signed=True), required=False),
        Field("at_upper_limit", "UPLM_ISSU_CNT", amount, required=False),
        Field("rising", "ASCN_ISSU_CNT", amount, required=False),
        Field("unchanged", "STNR_ISSU_CNT", amount, required=False),
        Field("falling", "DOWN_ISSU_CNT", amount, required=False),
        Field("at_lower_limit", "LSLM_ISSU_CNT", amount, required=False),
    ),
    27,
)


@dataclass(frozen=True, slots=True)
class MarketState:
    """A change for a stock: a halt, a volatility interruption (VI), a phase of the market.

    KIS sends it only on a change and without a time; use `received_at`. Missing values are None, as
    are the meanings of unknown codes.

    `phase` is opening_auction, open, closing_auction, closed, closing_price, circuit_breaker,
    sell_sidecar, buy_sidecar or similar, most also with `..._ended`; `phase_code` is KIS's code,
    also if unknown. `expected_phase` is the start or end of expected prices: before_open,
    before_close, each with `_ended`. `random_end` is a random end of an auction: opening, closing,
    single_price, each with `_cleared`. `status` is KIS's most important status of the stock:
    halted, administrative, overheated, ..., or ordinary. `exchange` is KRX or NXT.
    """

    stock_code: str
    is_halted: bool | None
    halt_reason: str | None
    phase: str | None
    phase_code: str | None
    expected_phase: str | None
    random_end: str | None
    status: str | None
    is_in_vi: bool | None
    is_in_off_hours_vi: bool | None
    exchange: str | None
    received_at: datetime

    def row(self) -> dict[str, Any]:
        """Plain values by name."""
        return {"kind": "state"} | asdict(self)


@dataclass(frozen=True, slots=True)
class ProgramTick:
    """Programme trades of a stock, of the day so far: shares and KRW.

    `net_volume` and `net_value` are bought minus sold, as KIS states them. `open_buy_volume` and
    `open_sell_volume` are shares of open programme orders.
    """

    stock_code: str
    traded_at: datetime
    buy_volume: int
    sell_volume: int
    net_volume: int
    buy_value: int
    sell_value: int
    net_value: int
    open_buy_volume: int | None
    open_sell_volume: int | None
    received_at: datetime

    def row(self) -> dict[str, Any]:
        """Plain values by name."""
        return {"kind": "program"} | asdict(self)


@dataclass(frozen=True, slots=True)
class IndexTick:
    """An index, in points; `volume` (shares) and `trading_value` (KRW) are the day's so far.

    KIS counts in thousands of shares and millions of KRW, also in `tick_volume` and `tick_value`,
    which were traded since the last tick. `change` and `change_rate` (percent) are relative to the
    close of the day before. The last five count issues; it is unknown whether `rising` includes
    issues at the upper limit, and `falling` those at the lower limit.
    """

    index_code: str
    calculated_at: datetime
    level: float
    change: float
    change_rate: float
    open: float
    high: float
    low: float
    volume: int
    trading_value: int
    tick_volume: int | None
    tick_value: int | None
    at_upper_limit: int | None
    rising: int | None
    unchanged: int | None
    falling: int | None
    at_lower_limit: int | None
    received_at: datetime

    def row(self) -> dict[str, Any]:
        """Plain values by name."""
        return {"kind": "index"} | asdict(self)


def read_state(row: list[str], tr_id: str, today: date, received_at: datetime) -> MarketState:
    """A market state of a frame.

    Raises:
        UnexpectedAnswer: it names no stock.
    """
    values = STATE.read(row)
    for flag in ("is_halted", "is_in_vi", "is_in_off_hours_vi"):
        values[flag] = _FLAGS.get(values[flag])
    if values["halt_reason"] == _NO_REASON:
        values["halt_reason"] = None
    for name, meanings in (
        ("expected_phase", _EXPECTED_PHASES),
        ("random_end", _RANDOM_ENDS),
        ("status", _STATUSES),
        ("exchange", _EXCHANGES),
    ):
        values[name] = meanings.get(values[name])
    phase = _PHASES.get(values["phase_code"])
    return MarketState(phase=phase, received_at=received_at, **values)


def read_program(row: list[str], tr_id: str, today: date, received_at: datetime) -> ProgramTick:
    """Programme trades of a frame, which are of `today`.

    Raises:
        UnexpectedAnswer: a value cannot be read.
    """
    values = PROGRAM.read(row)
    at = datetime.combine(today, values.pop("time"), calendar.SEOUL)
    return ProgramTick(traded_at=at, received_at=received_at, **values)


def read_index(row: list[str], tr_id: str, today: date, received_at: datetime) -> IndexTick:
    """An index of a frame, which is of `today`.

    Raises:
        UnexpectedAnswer: a value cannot be read.
    """
    values = INDEX.read(row)
    at = datetime.combine(today, values.pop("time"), calendar.SEOUL)
    if values.pop("sign") in FALLING:
        values["change"] = -abs(values["change"])
        values["change_rate"] = -abs(values["change_rate"])
    return IndexTick(calculated_at=at, received_at=received_at, **values)
