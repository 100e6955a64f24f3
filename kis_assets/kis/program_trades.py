"""Programme trades of a stock: program-trade-by-stock-daily, about thirty days. Shares and KRW."""

from __future__ import annotations

from datetime import date

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, day, read, whole

FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    Field("value", "acml_tr_pbmn", amount),
    Field("buy_volume", "whol_smtn_shnu_vol", amount),
    Field("sell_volume", "whol_smtn_seln_vol", amount),
    Field("net_volume", "whol_smtn_ntby_qty", whole),
    Field("buy_value", "whol_smtn_shnu_tr_pbmn", amount),
    Field("sell_value", "whol_smtn_seln_tr_pbmn", amount),
    Field("net_value", "whol_smtn_ntby_tr_pbmn", whole),
)


def read_days(body: Row, _: str) -> list[Day]:
    """Each day's programme trades.

    Raises:
        UnexpectedAnswer: the net is not bought minus sold, or programmes exceed the total.
    """
    return days_of(list_of(body, "output"), "stck_bsop_date", _judged)


def _judged(row: Row) -> Day:
    one = read(row, FIELDS)
    value = one.pop("value")
    for what in ("volume", "value"):
        if one[f"buy_{what}"] - one[f"sell_{what}"] != one[f"net_{what}"]:
            raise UnexpectedAnswer(f"{one['trading_day']}: bought less sold is not the net")
    if max(one["buy_value"], one["sell_value"]) > value:
        raise UnexpectedAnswer(f"{one['trading_day']}: programmes traded more than all did")
    return one


def _parameters(code: str, _: date, last: date, market: str) -> dict[str, str]:
    return {
        "FID_COND_MRKT_DIV_CODE": market,
        "FID_INPUT_ISCD": code,
        "FID_INPUT_DATE_1": f"{last:%Y%m%d}",
    }


SERVICE = DailyService(
    Endpoint("program-trade-by-stock-daily", "FHPPG04650201", virtual=False),
    30,
    _parameters,
    read_days,
)
