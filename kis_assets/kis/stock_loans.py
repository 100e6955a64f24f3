"""Lent shares of a stock: daily-loan-trans, the newest hundred days of a span.

Quantities are shares; the value of the balance is million KRW. Unless `MRKT_DIV_CLS_CODE` is 3 (one
stock), KIS ignores the code and returns a whole market.
"""

from __future__ import annotations

from datetime import date

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, day, decimal, read, whole
from kis_assets.kis.investor_flows import MILLION

FIRST_DAY = date(2014, 1, 2)
"""The earliest day for which KIS has lent shares."""

FIELDS = (
    Field("trading_day", "bsop_date", day),
    Field("close", "stck_prpr", decimal, required=False),
    Field("new", "new_stcn", amount),
    Field("repaid", "rdmp_stcn", amount),
    Field("loan_balance", "rmnd_stcn", whole),
    Field("loan_amount", "rmnd_amt", whole),
)


def read_days(body: Row, _: str) -> list[Day]:
    """Each day's lent shares: balance (may be negative), its value in KRW, new and repaid.

    The balance changes by new minus repaid, except on the day of a split; a check compares them.

    Raises:
        UnexpectedAnswer: balance times close differs from the value that KIS states.
    """
    return days_of(list_of(body, "output1", "output2"), "bsop_date", _judged)


def _judged(row: Row) -> Day:
    one = read(row, FIELDS)
    close = one.pop("close")
    worth = one["loan_balance"] * close / MILLION if close else None
    if worth is not None and abs(worth - one["loan_amount"]) > 1:
        raise UnexpectedAnswer(f"{one['trading_day']}: the balance is worth something else")
    one["loan_amount"] *= MILLION
    return one


def _parameters(code: str, _: date, last: date, __: str) -> dict[str, str]:
    return {
        "MRKT_DIV_CLS_CODE": "3",
        "MKSC_SHRN_ISCD": code,
        "START_DATE": f"{FIRST_DAY:%Y%m%d}",
        "END_DATE": f"{last:%Y%m%d}",
        "CTS": "",
    }


SERVICE = DailyService(
    Endpoint("daily-loan-trans", "HHPST074500C0", virtual=False),
    100,
    _parameters,
    read_days,
    is_own=True,
)
