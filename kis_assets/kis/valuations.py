"""The current valuation of a stock: all useful figures of inquire-price. It has no date."""

from __future__ import annotations

from typing import Any

from kis_assets.errors import InvalidRequest, UnexpectedAnswer
from kis_assets.kis.client import Client
from kis_assets.kis.fields import (
    Field,
    Row,
    amount,
    any_day,
    decimal,
    is_nothing,
    output,
    read,
    text,
    whole,
)
from kis_assets.kis.quotes import PRICE

_HUNDRED_MILLION = 100_000_000


def _eok(word: str) -> int:
    return amount(word) * _HUNDRED_MILLION


FIELDS = (
    Field("stock_code", "stck_shrn_iscd", text, required=False),
    Field("price", "stck_prpr", amount),
    Field("per", "per", decimal, required=False),
    Field("pbr", "pbr", decimal, required=False),
    Field("eps", "eps", decimal, required=False),
    Field("bps", "bps", decimal, required=False),
    Field("fiscal_month", "stac_month", text, required=False),
    Field("listed_shares", "lstn_stcn", amount, required=False),
    Field("market_cap", "hts_avls", _eok, required=False),
    Field("capital", "cpfn", _eok, required=False),
    Field("foreign_shares", "frgn_hldn_qty", amount, required=False),
    Field("foreign_limit_used", "hts_frgn_ehrt", decimal, required=False),
    Field("foreign_net_volume", "frgn_ntby_qty", whole, required=False),
    Field("program_net_volume", "pgtr_ntby_qty", whole, required=False),
    Field("week52_high", "w52_hgpr", amount, required=False),
    Field("week52_high_on", "w52_hgpr_date", any_day, required=False),
    Field("week52_low", "w52_lwpr", amount, required=False),
    Field("week52_low_on", "w52_lwpr_date", any_day, required=False),
    Field("turnover_rate", "vol_tnrt", decimal, required=False),
    Field("credit_rate", "whol_loan_rmnd_rate", decimal, required=False),
    Field("status_code", "iscd_stat_cls_code", text, required=False),
    Field("vi_code", "vi_cls_code", text, required=False),
    Field("warning_code", "mrkt_warn_cls_code", text, required=False),
    Field("short_overheated", "short_over_yn", text, required=False),
)
_ZERO_IS_NONE = ("per", "pbr", "eps", "bps", "week52_high", "week52_low", "listed_shares")


def read_valuation(body: Row, code: str) -> dict[str, Any]:
    """One stock's figures; `foreign_rate` is in percent of the listed shares.

    A ratio of 0 means that there is none, for example for a company with a loss.

    Raises:
        InvalidRequest: KIS knows no such code; it says so with a price of 0.
        UnexpectedAnswer: a figure cannot be read, or the answer is about another stock.
    """
    payload = output(body, "output", dict)
    if is_nothing(payload, "stck_prpr"):
        raise InvalidRequest("KIS knows no stock of this code", stock_code=code)
    found = read(payload, FIELDS)
    answered = found.pop("stock_code") or code
    if answered != code:
        raise UnexpectedAnswer(f"the answer is about {answered[:20]}")
    for name in _ZERO_IS_NONE:
        found[name] = found[name] or None
    held, listed = found["foreign_shares"], found["listed_shares"]
    found["foreign_rate"] = held / listed * 100 if held is not None and listed else None
    return found


def valuation(client: Client, code: str) -> dict[str, Any]:
    """The current valuation of a stock; see `read_valuation`."""
    return client.ask(
        PRICE,
        {"FID_COND_MRKT_DIV_CODE": client.market, "FID_INPUT_ISCD": code},
        lambda body: read_valuation(body, code),
        about=code,
    )
