"""Who bought and sold a stock: investor-trade-by-stock-daily, twelve classes, thirty days.

Quantities are shares, not adjusted for later splits. Values are million KRW, but the value of the
day is KRW. KIS's names are irregular for five classes.
"""

from __future__ import annotations

from datetime import date

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, day, read, whole

MILLION = 1_000_000

CLASSES = {
    "individual": "prsn",
    "foreign_registered": "frgn_reg",
    "foreign_unregistered": "frgn_nreg",
    "securities": "scrt",
    "investment_trust": "ivtr",
    "private_fund": "pe_fund",
    "bank": "bank",
    "insurance": "insu",
    "merchant_bank": "mrbn",
    "pension": "fund",
    "other_institution": "etc_orgt",
    "other_corporation": "etc_corp",
}
"""The classes that are not part of another class, and KIS's names for them."""
TOTALS = {
    "frgn": ("foreign_registered", "foreign_unregistered"),
    "orgn": (
        *("securities", "investment_trust", "private_fund", "bank"),
        *("insurance", "merchant_bank", "pension"),
    ),
    "etc": ("other_institution", "other_corporation"),
}
_REGISTERED = ("frgn_reg", "frgn_nreg")
_IN_VOL = ("pe_fund", "etc_corp", "etc_orgt")
REGULAR = 0.5
"""The smallest share of a day's value that the regular session can have."""
_ROUNDED = 4
"""Sums of rounded values may differ by this many million KRW."""


def net_fields(name: str, kis: str) -> tuple[Field, Field]:
    """The fields of a class's net purchases."""
    quantity = "ntby_vol" if kis in _IN_VOL else "ntby_qty"
    value = "ntby_pbmn" if kis in _REGISTERED else "ntby_tr_pbmn"
    return (
        Field(f"{name}.net_volume", f"{kis}_{quantity}", whole),
        Field(f"{name}.net_value", f"{kis}_{value}", whole),
    )


def _side_fields(name: str, kis: str) -> tuple[Field, ...]:
    sides = ("bidp_qty", "askp_qty", "bidp_pbmn", "askp_pbmn")
    if kis not in _REGISTERED:
        sides = ("shnu_vol", "seln_vol", "shnu_tr_pbmn", "seln_tr_pbmn")
    columns = ("buy_volume", "sell_volume", "buy_value", "sell_value")
    return tuple(
        Field(f"{name}.{column}", f"{kis}_{side}", amount)
        for column, side in zip(columns, sides, strict=True)
    )


FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    Field("value", "acml_tr_pbmn", amount),
    *(
        field
        for name, kis in CLASSES.items()
        for field in (*net_fields(name, kis), *_side_fields(name, kis))
    ),
    *(Field(f"{kis}.net_volume", f"{kis}_ntby_qty", whole, required=False) for kis in TOTALS),
)


def read_days(body: Row, _: str) -> list[Day]:
    """Each day's classes: `<class>.buy_volume` and so on, shares and KRW.

    Raises:
        UnexpectedAnswer: a net is not bought minus sold, the classes of a total do not add up to
            it, the sums bought and sold differ, or no class traded on a day with trades.
    """
    return days_of(list_of(body, "output2"), "stck_bsop_date", _judged)


def _judged(row: Row) -> Day:
    found = read(row, FIELDS)
    on = found["trading_day"]
    for name in CLASSES:
        bought, sold = found[f"{name}.buy_volume"], found[f"{name}.sell_volume"]
        if bought - sold != found[f"{name}.net_volume"]:
            raise UnexpectedAnswer(f"{on}: {name} bought {bought}, sold {sold}, and is not the net")
        net = found[f"{name}.buy_value"] - found[f"{name}.sell_value"]
        if abs(net - found[f"{name}.net_value"]) > 1:
            raise UnexpectedAnswer(f"{on}: values of {name} do not add up")
    for total, names in TOTALS.items():
        stated = found.pop(f"{total}.net_volume")
        if stated is not None and stated != sum(found[f"{name}.net_volume"] for name in names):
            raise UnexpectedAnswer(f"{on}: the classes of {total} do not add up to it")
    sums = {
        side: sum(found[f"{name}.{side}"] for name in CLASSES)
        for side in ("buy_volume", "sell_volume", "buy_value", "sell_value")
    }
    if sums["buy_volume"] != sums["sell_volume"]:
        raise UnexpectedAnswer(f"{on}: more was bought than sold, or less")
    value = found.pop("value") / MILLION
    # A row of zeros may be missing data: a day with trades has traders. That the classes include
    # the after-market, as the value does, was observed for only one stock.
    least = value * REGULAR if on >= calendar.AFTER_MARKET_SINCE else value
    if not least - _ROUNDED * 2 <= sums["sell_value"] <= value + _ROUNDED * 2:
        raise UnexpectedAnswer(
            f"{on}: the classes traded {sums['sell_value']} of {value:,.0f} million"
        )
    for name in CLASSES:
        for column in ("buy_value", "sell_value", "net_value"):
            found[f"{name}.{column}"] *= MILLION
    return found


def spread(day: Day) -> list[Day]:
    """One row per class."""
    columns = (
        *("buy_volume", "sell_volume", "net_volume"),
        *("buy_value", "sell_value", "net_value"),
    )
    return [
        {"trading_day": day["trading_day"], "investor": name}
        | {column: day.get(f"{name}.{column}") for column in columns}
        for name in CLASSES
    ]


def _parameters(code: str, _: date, last: date, market: str) -> dict[str, str]:
    return {
        "FID_COND_MRKT_DIV_CODE": market,
        "FID_INPUT_ISCD": code,
        "FID_INPUT_DATE_1": f"{last:%Y%m%d}",
        "FID_ORG_ADJ_PRC": "",  # ignored, but required
        "FID_ETC_CLS_CODE": "",
    }


SERVICE = DailyService(
    Endpoint("investor-trade-by-stock-daily", "FHPTJ04160001", virtual=False),
    30,
    _parameters,
    read_days,
    spread,
)
"""Refused for today's date until 15:40; never refused for an earlier date."""
