"""One entry an endpoint: path, tr_id, parameters and where it exists. Asks nothing.

What makes an answer right beyond `rt_cd` is judged where it is read, in `answers`. Source:
open-trading-api and the developer portal, as of 2026-07.
"""

from __future__ import annotations

from dataclasses import dataclass

from kis_assets.exchange.venues import Venue

QUOTATIONS = "/uapi/domestic-stock/v1/quotations/"
DEPOSITORY = "/uapi/domestic-stock/v1/ksdinfo/"
MARKET_CODES = {Venue.KRX: "J", Venue.NXT: "NX", Venue.UNIFIED: "UN"}
"""What KIS calls a venue in the parameter FID_COND_MRKT_DIV_CODE."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: `name` is what messages and counts call it."""

    name: str
    path: str
    tr_id: str
    virtual: bool = True
    """Whether the virtual server has it."""


TOKEN_PATH = "/oauth2/tokenP"  # noqa: S105 - an address, not a token
APPROVAL_PATH = "/oauth2/Approval"
MASTER_PATH = "/common/master/"

PRICE = Endpoint("inquire-price", QUOTATIONS + "inquire-price", "FHKST01010100")
MANY_PRICES = Endpoint(
    "intstock-multprice", QUOTATIONS + "intstock-multprice", "FHKST11300006", virtual=False
)
DAILY_CHART = Endpoint(
    "inquire-daily-itemchartprice", QUOTATIONS + "inquire-daily-itemchartprice", "FHKST03010100"
)
RECENT_DAYS = Endpoint("inquire-daily-price", QUOTATIONS + "inquire-daily-price", "FHKST01010400")

STOCK_INFO = Endpoint(
    "search-stock-info", QUOTATIONS + "search-stock-info", "CTPF1002R", virtual=False
)
CALENDAR = Endpoint("chk-holiday", QUOTATIONS + "chk-holiday", "CTCA0903R", virtual=False)


def _depository(name: str, tr_id: str) -> Endpoint:
    return Endpoint(name, DEPOSITORY + name, tr_id, virtual=False)


RIGHTS_ISSUES = _depository("paidin-capin", "HHKDB669100C0")
BONUS_ISSUES = _depository("bonus-issue", "HHKDB669101C0")
DIVIDENDS = _depository("dividend", "HHKDB669102C0")
MERGERS = _depository("merger-split", "HHKDB669104C0")
FACE_VALUES = _depository("rev-split", "HHKDB669105C0")
REDUCTIONS = _depository("cap-dcrs", "HHKDB669106C0")

ORDER_BOOK = Endpoint(
    "inquire-asking-price-exp-ccn", QUOTATIONS + "inquire-asking-price-exp-ccn", "FHKST01010200"
)
PAST_MINUTES = Endpoint(
    "inquire-time-dailychartprice",
    QUOTATIONS + "inquire-time-dailychartprice",
    "FHKST03010230",
    virtual=False,
)
TODAYS_MINUTES = Endpoint(
    "inquire-time-itemchartprice", QUOTATIONS + "inquire-time-itemchartprice", "FHKST03010200"
)

CODES_A_REQUEST = 30
"""Codes that intstock-multprice takes."""
BARS_A_PAGE = 100
"""Bars that inquire-daily-itemchartprice gives at most."""
DAYS_KEPT = 30
"""Bars that inquire-daily-price gives, and no others."""
PAST_MINUTES_A_PAGE = 120
"""Minutes that inquire-time-dailychartprice gives at most."""
TODAYS_MINUTES_A_PAGE = 30
"""Minutes that inquire-time-itemchartprice gives at most."""
