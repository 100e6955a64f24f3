"""Statements and ratios of companies, and net asset values of funds, in KIS's format."""

from __future__ import annotations

from collections.abc import Callable

from kis_assets.simulator.market.chance import key_of, unit
from kis_assets.simulator.market.market import Bar
from kis_assets.simulator.market.statements import Accounts, annual, quarterly
from kis_assets.simulator.wire.flows import newest
from kis_assets.simulator.wire.wire import Answer, Record, Request, change_of, percent, rate, ymd

NAV_ROWS = 100
_UNKNOWN = "99.99"


def _service(row: Callable[[Accounts, Accounts | None], Record]) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        stock = request.stock()
        if stock is None:
            return Answer({"output": []})
        made = quarterly if request["FID_DIV_CLS_CODE"] == "1" else annual
        filed = made(request.market, stock, request.now.date())
        # The year before is four quarters or one year further down the list.
        step = 4 if made is quarterly else 1
        rows = [
            {"stac_yymm": accounts.quarter, **row(accounts, before)}
            for accounts, before in zip(filed, [*filed[step:], *[None] * step], strict=False)
        ]
        return Answer({"output": rows})

    return answer


def _eok(amount: int) -> str:
    return f"{amount}.00"


def _income(accounts: Accounts, _: Accounts | None) -> Record:
    return {
        "sale_account": _eok(accounts.revenue), "sale_cost": _eok(accounts.cost),
        "sale_totl_prfi": _eok(accounts.revenue - accounts.cost), "depr_cost": _UNKNOWN,
        "sell_mang": _UNKNOWN, "bsop_prti": _eok(accounts.operating), "bsop_non_ernn": _UNKNOWN,
        "bsop_non_expn": _UNKNOWN, "op_prfi": _eok(accounts.pretax), "spec_prfi": "0.00",
        "spec_loss": "0.00", "thtr_ntin": _eok(accounts.net),
    }  # fmt: skip


def _balance(accounts: Accounts, _: Accounts | None) -> Record:
    return {
        "cras": _eok(accounts.current_assets), "fxas": _eok(accounts.fixed_assets),
        "total_aset": _eok(accounts.assets), "flow_lblt": _eok(accounts.current_debt),
        "fix_lblt": _eok(accounts.fixed_debt), "total_lblt": _eok(accounts.debt),
        "cpfn": _eok(accounts.capital), "cfp_surp": _UNKNOWN, "prfi_surp": _UNKNOWN,
        "total_cptl": _eok(accounts.equity),
    }  # fmt: skip


def _ratios(accounts: Accounts, before: Accounts | None) -> Record:
    def growth(now: int, then: int) -> str:
        return percent(now - then, then) if then > 0 and now > 0 else "0.00"

    return {
        "grs": growth(accounts.revenue, before.revenue if before else 0),
        "bsop_prfi_inrt": growth(accounts.operating, before.operating if before else 0),
        "ntin_inrt": growth(accounts.net, before.net if before else 0),
        "roe_val": percent(accounts.net, accounts.equity), "eps": _eok(accounts.eps),
        "sps": _eok(accounts.revenue * accounts.bps // max(accounts.equity, 1)),
        "bps": f"{accounts.bps}", "rsrv_rate": "512.3400",
        "lblt_rate": percent(accounts.debt, accounts.equity),
    }  # fmt: skip


income_statement = _service(_income)
balance_sheet = _service(_balance)
financial_ratio = _service(_ratios)


def nav_comparison_daily_trend(request: Request) -> Answer:
    """The newest hundred days of a fund's price and net asset value."""
    stock = request.stock()
    if stock is None or stock.group != "EF":
        return Answer({"output": []})
    first, last = request.day("FID_INPUT_DATE_1"), request.day("FID_INPUT_DATE_2")
    bars = newest(request, stock.code, min(last, request.today), NAV_ROWS + 1)
    rows: list[Record] = []
    for before, bar in zip([None, *bars], bars, strict=False):
        if bar.day < first:
            continue
        nav = nav_of(stock.code, bar)
        change = nav - nav_of(stock.code, before) if before else 0
        rows.append(
            {
                "stck_bsop_date": ymd(bar.day), "stck_clpr": str(bar.close), **change_of(bar),
                "acml_vol": str(bar.volume), "cntg_vol": "",
                "dprt": percent(bar.close * 100 - nav, nav),
                "nav_vrss_prpr": rate(bar.close * 100 - nav), "nav": rate(nav),
                "nav_prdy_vrss_sign": "2" if change > 0 else "5" if change < 0 else "3",
                "nav_prdy_vrss": rate(change), "nav_prdy_ctrt": percent(change, nav - change),
            }
        )  # fmt: skip
    return Answer({"output": rows[-NAV_ROWS:][::-1]})


def nav_of(code: str, bar: Bar) -> int:
    """A fund's net asset value on a day, in hundredths of KRW."""
    return int(bar.close * (100 + 0.6 * (unit(key_of("nav", code, bar.day), 1) - 0.5)))
