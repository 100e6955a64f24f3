"""KIS's formats: numbers as text, envelopes, dates. The other modules here build the bodies.

Every value of a payload is a string. A wire function takes a `Request` and returns an `Answer`, or
raises a `Refusal` for a wrong request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from kis_assets.simulator.market.market import Bar, Market, Quote, Stock, business_day

DONE = ("MCA00000", "정상처리 되었습니다.")
FOUND = ("KIOK0530", "조회되었습니다")
MORE = ("KIOK0500", "조회가 계속됩니다.")
NOTHING = ("KIOK0560", "조회할 내용이 없습니다")
MARKET_CODES = frozenset({"J", "NX", "UN"})

Record = dict[str, str]


def words(text: str) -> list[str]:
    """The field names in one line."""
    return text.split()


@dataclass(frozen=True, slots=True)
class Request:
    """One quotation call that the gateway has admitted; parameter names are in upper case."""

    market: Market
    now: datetime
    parameters: Mapping[str, str]
    page: bool = False
    after_market_code: str = "40"

    def __getitem__(self, name: str) -> str:
        return self.parameters.get(name, "").strip()

    @property
    def today(self) -> date:
        """The trading day that KIS shows at this moment."""
        return business_day(self.now, self.market.rolls_at)

    def stock(self, name: str = "FID_INPUT_ISCD") -> Stock | None:
        """The requested stock; None if unknown or not traded on the requested market."""
        self.check_market("FID_COND_MRKT_DIV_CODE")
        return self.stock_on(self[name], self["FID_COND_MRKT_DIV_CODE"])

    def stock_on(self, code: str, market: str) -> Stock | None:
        """The stock of a code on KRX (`J`), NXT (`NX`) or both (`UN`)."""
        found = self.market.stock(code)
        return None if found and market == "NX" and not found.on_nxt else found

    def check_market(self, name: str) -> None:
        """Refuse an unknown market code."""
        if self[name] not in MARKET_CODES:
            raise Refusal("2", "OPSQ2001", "ERROR INVALID FID_COND_MRKT_DIV_CODE")

    def day(self, name: str) -> date:
        """A parameter as a date; `00000101` becomes the earliest date."""
        text = self[name]
        if text.startswith("0000") and text.isdigit() and len(text) == 8:
            return date.min
        found = parse_day(text)
        if found is None:
            raise Refusal("2", "OPSQ2001", f"ERROR INVALID {name}")
        return found


@dataclass(slots=True)
class Answer:
    """The answer of a service: the payload without the envelope."""

    payload: dict[str, Any]
    message: tuple[str, str] = DONE
    rt_cd: str = "0"
    tr_cont: str = ""


@dataclass(slots=True)
class Refusal(Exception):
    """A refusal by a service or the gateway."""

    rt_cd: str
    msg_cd: str
    msg1: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])


def parse_day(text: str) -> date | None:
    """`YYYYMMDD` as a date, None for anything else."""
    if len(text) != 8 or not text.isdigit():
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def ymd(day: date | None) -> str:
    """A date as KIS writes it; blank for None."""
    return f"{day:%Y%m%d}" if day else ""


def rate(hundredths: int) -> str:
    """Hundredths as a decimal with two places."""
    sign = "-" if hundredths < 0 else ""
    whole, part = divmod(abs(hundredths), 100)
    return f"{sign}{whole}.{part:02d}"


def percent(part: int, whole: int) -> str:
    """`part` in percent of `whole` with two decimals; `0.00` if `whole` is 0."""
    return rate(round(part * 10_000 / whole)) if whole else "0.00"


def flag(value: bool) -> str:
    """Y or N."""
    return "Y" if value else "N"


def scaled(price: int, factor: Fraction) -> int:
    """A price times a factor, rounded half up."""
    if factor == 1:
        return price
    return (2 * price * factor.numerator + factor.denominator) // (2 * factor.denominator)


def change_of(bar: Bar, prefix: str = "prdy_vrss") -> Record:
    """The change of a bar in its three fields."""
    return {
        prefix: str(bar.change),
        "prdy_vrss_sign": bar.sign,
        "prdy_ctrt": rate(bar.change_rate),
    }


def eokwon(won: int) -> str:
    """Whole hundred millions of won."""
    return str(won // 100_000_000)


def sector_name(stock: Stock) -> str:
    """The sector as inquire-price names it."""
    return stock.industry.split(" ")[0] or "기타"


def market_name(stock: Stock) -> str:
    """The market as multprice and inquire-price name it."""
    return "KOSPI200" if stock.market == "KOSPI" and stock.on_nxt else stock.market


def snapshot(quote: Quote | None, stock: Stock | None) -> Record:
    """`output1` of the minute charts: the current figures of the stock for any request."""
    if quote is None or stock is None:
        return {
            "prdy_vrss": "0", "prdy_vrss_sign": "3", "prdy_ctrt": "0.00", "stck_prdy_clpr": "0",
            "acml_vol": "0", "acml_tr_pbmn": "0", "hts_kor_isnm": "", "stck_prpr": "0",
        }  # fmt: skip
    return {
        **change_of(quote.bar),
        "stck_prdy_clpr": str(quote.bar.previous_close),
        "acml_vol": str(quote.bar.volume),
        "acml_tr_pbmn": str(quote.bar.trading_value),
        "hts_kor_isnm": stock.name,
        "stck_prpr": str(quote.price),
    }
