"""Net asset values of a fund: nav-comparison-daily-trend, the newest hundred days of a span."""

from __future__ import annotations

from datetime import date

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, day, decimal, read

FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    Field("close", "stck_clpr", amount),
    Field("nav", "nav", decimal),
    Field("premium_rate", "dprt", decimal, required=False),
    Field("nav_change", "nav_prdy_vrss", decimal, required=False),
    Field("difference", "nav_vrss_prpr", decimal, required=False),
)


def read_days(body: Row, _: str) -> list[Day]:
    """Each day's close and net asset value (KRW), and the premium of the close over it (%).

    Raises:
        UnexpectedAnswer: a net asset value is 0, or contradicts the difference that KIS states.
    """
    return days_of(list_of(body, "output"), "stck_bsop_date", _judged)


def _judged(row: Row) -> Day:
    one = read(row, FIELDS)
    difference = one.pop("difference")
    if one["nav"] <= 0:
        raise UnexpectedAnswer(f"{one['trading_day']}: the net asset value is {one['nav']}")
    if difference is not None and abs(one["close"] - one["nav"] - difference) > 0.02:
        raise UnexpectedAnswer(f"{one['trading_day']}: close less net asset value differs")
    one["premium_rate"] = (one["close"] / one["nav"] - 1) * 100
    return one


def _parameters(code: str, first: date, last: date, market: str) -> dict[str, str]:
    return {
        "FID_COND_MRKT_DIV_CODE": market,
        "FID_INPUT_ISCD": code,
        "FID_INPUT_DATE_1": "20020101",  # as many as the answer holds
        "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
    }


SERVICE = DailyService(
    Endpoint(
        "nav-comparison-daily-trend", "FHPST02440200", virtual=False, folder="etfetn/v1/quotations"
    ),
    100,
    _parameters,
    read_days,
)
