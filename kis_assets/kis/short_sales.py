"""Short sales of a stock: daily-short-sale, the newest hundred days of a span.

Short quantities are not adjusted for later splits; the volume beside them and the percentages are.
Sums since the first day of the request are not read.
"""

from __future__ import annotations

from datetime import date

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, day, read

FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    Field("short_volume", "ssts_cntg_qty", amount),
    Field("short_value", "ssts_tr_pbmn", amount),
    Field("average", "avrg_prc", amount),
    Field("value", "acml_tr_pbmn", amount),
)


def read_days(body: Row, _: str) -> list[Day]:
    """Each day's short volume in shares and its value in KRW; 0 on a day without.

    Raises:
        UnexpectedAnswer: a volume has no value, a value no volume, or it exceeds the total.
    """
    return days_of(list_of(body, "output2"), "stck_bsop_date", _judged)


def _judged(row: Row) -> Day:
    one = read(row, FIELDS)
    volume, value, average = one["short_volume"], one["short_value"], one.pop("average")
    # An average of 0 says that there was none.
    if bool(volume) != bool(value) or bool(volume) != bool(average):
        raise UnexpectedAnswer(f"{one['trading_day']}: {volume} sold short for {value} KRW")
    if (volume and abs(value / volume - average) > 1) or value > one.pop("value"):
        raise UnexpectedAnswer(f"{one['trading_day']}: {value} KRW sold short cannot be right")
    return one


def _parameters(code: str, first: date, last: date, market: str) -> dict[str, str]:
    return {
        "FID_COND_MRKT_DIV_CODE": market,
        "FID_INPUT_ISCD": code,
        "FID_INPUT_DATE_1": "",  # no first day: as many as one answer holds
        "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
    }


SERVICE = DailyService(
    Endpoint("daily-short-sale", "FHPST04830000", virtual=False), 100, _parameters, read_days
)
