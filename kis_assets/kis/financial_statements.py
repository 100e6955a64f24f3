"""Statements of a company: income, balance sheet and ratios, by year and by quarter.

Amounts are 100 million KRW; amounts per share are KRW. A list holds thirty quarters, which
accumulate within a fiscal year: a single quarter is its row minus the row before.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.client import Client
from kis_assets.kis.daily_figures import list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, decimal, plain, read

HUNDRED_MILLION = 100_000_000

_FOLDER = "domestic-stock/v1/finance"
INCOME = Endpoint("income-statement", "FHKST66430200", virtual=False, folder=_FOLDER)
BALANCE = Endpoint("balance-sheet", "FHKST66430100", virtual=False, folder=_FOLDER)
RATIOS = Endpoint("financial-ratio", "FHKST66430300", virtual=False, folder=_FOLDER)

Statement = dict[str, Any]


def _month(word: str) -> date:
    if len(word) != 6 or not word.isdecimal():
        raise ValueError(word)
    return date(int(word[:4]), int(word[4:]), 1)


_MONTH = Field("fiscal_month", "stac_yymm", _month)
FIELDS = {
    INCOME: (
        _MONTH,
        Field("revenue", "sale_account", decimal, required=False),
        Field("operating_profit", "bsop_prti", decimal, required=False),
        # op_prfi is not the operating profit.
        Field("pretax_profit", "op_prfi", decimal, required=False),
        Field("net_income", "thtr_ntin", decimal, required=False),
    ),
    BALANCE: (
        _MONTH,
        Field("total_assets", "total_aset", decimal, required=False),
        Field("total_liabilities", "total_lblt", decimal, required=False),
        Field("total_equity", "total_cptl", decimal, required=False),
    ),
    RATIOS: (
        _MONTH,
        Field("eps", "eps", decimal, required=False),
        Field("bps", "bps", decimal, required=False),
        Field("roe", "roe_val", decimal, required=False),
        Field("debt_ratio", "lblt_rate", decimal, required=False),
    ),
}
AMOUNTS = (
    *("revenue", "operating_profit", "pretax_profit", "net_income"),
    *("total_assets", "total_liabilities", "total_equity"),
)
ACCUMULATED = ("revenue", "operating_profit", "pretax_profit", "net_income", "eps")
"""The figures of a quarter's row that cover the whole fiscal year so far."""


def statements(client: Client, code: str, fiscal_end: int) -> list[Statement]:
    """Quarters and years of one company, newest first; empty if it publishes none.

    Args:
        client: sends six requests.
        code: the company's stock.
        fiscal_end: the month in which its fiscal year ends.
    """
    found: list[Statement] = []
    for period, switch in (("quarter", "1"), ("annual", "0")):
        rows: dict[date, Statement] = {}
        for endpoint in FIELDS:
            for row in _list(client, endpoint, code, switch):
                rows.setdefault(row["fiscal_month"], {}).update(row)
        ordered = sorted(rows.values(), key=lambda row: row["fiscal_month"], reverse=True)
        if period == "annual":
            # The current year may be first in the list; it is not a whole year.
            ordered = [row for row in ordered if row["fiscal_month"].month == fiscal_end]
        else:
            ordered = single_quarters(ordered, fiscal_end)
        found += [in_krw(row) | {"period": period} for row in ordered]
    return found


def read_list(body: Row, endpoint: Endpoint) -> list[Statement]:
    """The periods of one list: 100 million KRW, ratios as they are.

    Raises:
        UnexpectedAnswer: a figure cannot be read, or a period occurs twice.
    """
    rows = [row for row in list_of(body, "output") if plain(row.get("stac_yymm"))]
    found = [read(row, FIELDS[endpoint]) for row in rows]
    months = [row["fiscal_month"] for row in found]
    if len(set(months)) != len(months):
        raise UnexpectedAnswer("the answer holds a period twice")
    return found


def _list(client: Client, endpoint: Endpoint, code: str, switch: str) -> list[Statement]:
    return client.ask(
        endpoint,
        {
            "FID_DIV_CLS_CODE": switch,
            "fid_cond_mrkt_div_code": client.market,
            "fid_input_iscd": code,
        },
        lambda body: read_list(body, endpoint),
        about=code,
    )


def single_quarters(rows: list[Statement], fiscal_end: int) -> list[Statement]:
    """Single quarters from accumulated rows, newest first.

    Accumulated figures become None if the quarter before is missing, except in the first quarter of
    a fiscal year.
    """
    by_month = {row["fiscal_month"]: row for row in rows}
    found: list[Statement] = []
    for row in rows:
        month: date = row["fiscal_month"]
        place = (month.month - fiscal_end) % 12  # 3 for the first quarter, 0 for the last
        before = by_month.get(_months_before(month, 3))
        single = dict(row)
        for name in ACCUMULATED:
            if place == 3:
                continue
            earlier = before.get(name) if before else None
            now = row.get(name)
            single[name] = None if earlier is None or now is None else now - earlier
        found.append(single)
    return found


def _months_before(month: date, count: int) -> date:
    number = month.year * 12 + month.month - 1 - count
    return date(number // 12, number % 12 + 1, 1)


def in_krw(row: Statement) -> Statement:
    """The period with its amounts in KRW."""
    return row | {
        name: round(value * HUNDRED_MILLION)
        for name in AMOUNTS
        if (value := row.get(name)) is not None
    }
