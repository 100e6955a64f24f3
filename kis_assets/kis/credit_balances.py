"""Margin loans on a stock: daily-credit-balance, thirty days up to a settlement day.

Quantities are shares, amounts ten thousand KRW. A day is available three sessions later.
"""

from __future__ import annotations

from datetime import date, timedelta

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, day, read

TEN_THOUSAND = 10_000
SETTLED_WITHIN = timedelta(days=12)
"""Longest time from a deal to its settlement, with holidays in between."""

FIELDS = (
    Field("trading_day", "deal_date", day),
    Field("settled_on", "stlm_date", day),
    Field("new", "whol_loan_new_stcn", amount),
    Field("repaid", "whol_loan_rdmp_stcn", amount),
    Field("loan_balance", "whol_loan_rmnd_stcn", amount),
    Field("loan_amount", "whol_loan_rmnd_amt", amount),
)


def read_days(body: Row, _: str) -> list[Day]:
    """Each day's margin loans, by the day of the deal: shares, and KRW lent.

    Raises:
        UnexpectedAnswer: a day is settled before it, or much later.
    """
    return days_of(list_of(body, "output"), "deal_date", _judged)


def _judged(row: Row) -> Day:
    one = read(row, FIELDS)
    wait = one["settled_on"] - one["trading_day"]
    if not timedelta() <= wait <= SETTLED_WITHIN + timedelta(days=5):
        raise UnexpectedAnswer(f"{one['trading_day']}: settled on {one['settled_on']}")
    one["loan_amount"] *= TEN_THOUSAND
    return one


def _parameters(code: str, _: date, last: date, market: str) -> dict[str, str]:
    # KIS counts by settlement day: with a shorter time the last days before long holidays are lost.
    return {
        "FID_COND_MRKT_DIV_CODE": market,
        "FID_COND_SCR_DIV_CODE": "20476",
        "FID_INPUT_ISCD": code,
        "FID_INPUT_DATE_1": f"{last + SETTLED_WITHIN:%Y%m%d}",
    }


SERVICE = DailyService(
    Endpoint("daily-credit-balance", "FHPST04760000", virtual=False), 30, _parameters, read_days
)
