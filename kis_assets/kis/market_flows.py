"""Who bought and sold on a market: inquire-investor-daily-by-market, net figures of 300 days.

Quantities are thousands of shares, values million KRW. For an unknown market KIS returns zeros.
"""

from __future__ import annotations

from datetime import date

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, day, read
from kis_assets.kis.investor_flows import CLASSES, MILLION, net_fields, spread

THOUSAND = 1_000
MARKETS = {"KOSPI": ("KSP", "0001"), "KOSDAQ": ("KSQ", "1001")}
"""KIS's name of a market, and the index that represents all of it."""

FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    *(field for name, kis in CLASSES.items() for field in net_fields(name, kis)),
)
_ROUNDED = 15
"""The sum of twelve rounded figures may differ from zero by this much."""


def read_days(body: Row, market: str) -> list[Day]:
    """Each day's classes: `<class>.net_volume` and `<class>.net_value`, shares and KRW.

    Raises:
        UnexpectedAnswer: no class traded on a day, or the sums bought and sold differ.
    """
    return days_of(list_of(body, "output"), "stck_bsop_date", lambda row: _judged(row, market))


def _judged(row: Row, market: str) -> Day:
    one = read(row, FIELDS)
    for column, unit in (("net_volume", THOUSAND), ("net_value", MILLION)):
        figures = [one[f"{name}.{column}"] for name in CLASSES]
        if not any(figures):
            raise UnexpectedAnswer(f"{one['trading_day']}: nobody traded on {market}")
        if abs(sum(figures)) > _ROUNDED:
            raise UnexpectedAnswer(f"{one['trading_day']}: the classes do not add up to zero")
        for name in CLASSES:
            one[f"{name}.{column}"] *= unit
    return one


def _parameters(name: str, _: date, last: date, __: str) -> dict[str, str]:
    market, index = MARKETS[name]
    return {
        "FID_COND_MRKT_DIV_CODE": "U",
        "FID_INPUT_ISCD": index,
        "FID_INPUT_ISCD_1": market,
        "FID_INPUT_ISCD_2": index,  # another index here would mix two in one row
        "FID_INPUT_DATE_1": f"{last:%Y%m%d}",
        "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
    }


SERVICE = DailyService(
    Endpoint("inquire-investor-daily-by-market", "FHPTJ04040000", virtual=False),
    300,
    _parameters,
    read_days,
    spread,
)
