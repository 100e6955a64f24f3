"""One entry an endpoint: path, tr_id, parameters and where it exists. Asks nothing.

What makes an answer right beyond `rt_cd` is judged where it is read, in `answers`. Source:
open-trading-api and the developer portal, as of 2026-07.
"""

from __future__ import annotations

from dataclasses import dataclass

QUOTATIONS = "/uapi/domestic-stock/v1/quotations/"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: `name` is what messages and counts call it."""

    name: str
    path: str
    tr_id: str
    virtual: bool = True
    """Whether the virtual server has it."""


TOKEN_PATH = "/oauth2/tokenP"  # noqa: S105 - an address, not a token
MASTER_PATH = "/common/master/"

PRICE = Endpoint("inquire-price", QUOTATIONS + "inquire-price", "FHKST01010100")
MANY_PRICES = Endpoint(
    "intstock-multprice", QUOTATIONS + "intstock-multprice", "FHKST11300006", virtual=False
)
DAILY_CHART = Endpoint(
    "inquire-daily-itemchartprice", QUOTATIONS + "inquire-daily-itemchartprice", "FHKST03010100"
)

CODES_A_REQUEST = 30
"""Codes that intstock-multprice takes."""
BARS_A_PAGE = 100
"""Bars that inquire-daily-itemchartprice gives at most."""
