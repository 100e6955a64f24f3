"""Short sales, lending and credit in KIS's format, each with its own units and keys."""

from __future__ import annotations

from datetime import date, timedelta

from kis_assets.exchange import calendar
from kis_assets.simulator.market.indices import indices_of
from kis_assets.simulator.market.lending import Balance, lent, margin_loan, short_sale, stock_loan
from kis_assets.simulator.market.market import Bar
from kis_assets.simulator.wire.flows import newest
from kis_assets.simulator.wire.wire import (
    Answer,
    Record,
    Request,
    change_of,
    percent,
    rate,
    scaled,
    ymd,
)

SPAN_ROWS, CREDIT_ROWS = 100, 30
_FIRST_LOAN = calendar.FIRST_DAY.replace(year=2014, month=1, day=2)
_TEN_THOUSAND, _MILLION = 10_000, 1_000_000
_LENT_ON_CREDIT = 75
"""The percentage of the price that is lent."""


def daily_short_sale(request: Request) -> Answer:
    """The newest hundred days of a span; sums start on the first day of the request."""
    request.check_market("FID_COND_MRKT_DIV_CODE")
    code, last = request["FID_INPUT_ISCD"], request.day("FID_INPUT_DATE_2")
    text = request["FID_INPUT_DATE_1"]
    first = request.day("FID_INPUT_DATE_1") if text else calendar.FIRST_DAY
    # The row of a day appears on the next morning.
    last = min(last, request.now.date() - timedelta(days=1))
    bars = [bar for bar in newest(request, code, last, SPAN_ROWS) if bar.day >= first]
    rows: list[Record] = []
    volume = value = shorted = shorted_value = 0
    for bar in bars:
        sale = short_sale(code, bar)
        factor = request.market.adjustment(code, bar.day, request.today)
        adjusted = int(bar.volume / factor)
        volume, value = volume + adjusted, value + bar.trading_value
        shorted, shorted_value = shorted + sale.volume, shorted_value + sale.value
        rows.append(
            {
                "stck_bsop_date": ymd(bar.day), "stck_clpr": str(scaled(bar.close, factor)),
                "stck_oprc": str(scaled(bar.open, factor)),
                "stck_hgpr": str(scaled(bar.high, factor)),
                "stck_lwpr": str(scaled(bar.low, factor)), **change_of(bar),
                "acml_vol": str(adjusted), "acml_tr_pbmn": str(bar.trading_value),
                "ssts_cntg_qty": str(sale.volume), "ssts_tr_pbmn": str(sale.value),
                "avrg_prc": str(sale.price), "ssts_vol_rlim": percent(sale.volume, adjusted),
                "ssts_tr_pbmn_rlim": percent(sale.value, bar.trading_value),
                "stnd_vol_smtn": str(volume), "stnd_tr_pbmn_smtn": str(value),
                "acml_ssts_cntg_qty": str(shorted), "acml_ssts_tr_pbmn": str(shorted_value),
                "acml_ssts_cntg_qty_rlim": percent(shorted, volume),
                "acml_ssts_tr_pbmn_rlim": percent(shorted_value, value),
            }
        )  # fmt: skip
    quote = request.market.quote(code, request.now)
    head = {"stck_prpr": str(quote.price), **change_of(quote.bar)} if quote else {}
    return Answer({"output1": head, "output2": rows[::-1]})


def daily_loan_trans(request: Request) -> Answer:
    """The newest hundred days of a span. A request for a market ignores the code."""
    last = min(request.day("END_DATE"), request.now.date() - timedelta(days=1))
    first = max(request.day("START_DATE"), _FIRST_LOAN)
    if request["MRKT_DIV_CLS_CODE"] != "3":
        return Answer({"output1": _market_loans(request, last)})
    code = request["MKSC_SHRN_ISCD"]
    bars = newest(request, code, last, SPAN_ROWS + 1)
    rows = [
        {
            "bsop_date": ymd(bar.day), "stck_prpr": rate(bar.close * 100),
            "prdy_vrss_sign": bar.sign, "prdy_vrss": rate(bar.change * 100),
            "prdy_ctrt": rate(bar.change_rate), "acml_vol": str(bar.volume),
            **_loan(lent(code, bar, before), bar),
        }
        for before, bar in zip([None, *bars], bars, strict=False) if bar.day >= first
    ]  # fmt: skip
    return Answer({"output1": rows[-SPAN_ROWS:][::-1]})


def _loan(loan: Balance, bar: Bar) -> Record:
    return {
        "new_stcn": str(loan.new), "rdmp_stcn": str(loan.repaid),
        "prdy_rmnd_vrss": str(loan.new - loan.repaid), "rmnd_stcn": str(loan.rest),
        "rmnd_amt": str(loan.rest * bar.close // _MILLION),
    }  # fmt: skip


def _market_loans(request: Request, last: date) -> list[Record]:
    found = indices_of(request.market).bars("0001", last - timedelta(days=150), last)
    return [
        {
            "bsop_date": ymd(bar.day), "stck_prpr": rate(bar.close), "prdy_vrss_sign": "3",
            "prdy_vrss": "0.00", "prdy_ctrt": "0.00", "acml_vol": str(bar.volume),
            "new_stcn": "1000", "rdmp_stcn": "1000", "prdy_rmnd_vrss": "0",
            "rmnd_stcn": "900000000", "rmnd_amt": "50000000",
        }
        for bar in found[-SPAN_ROWS:][::-1]
    ]  # fmt: skip


def daily_credit_balance(request: Request) -> Answer:
    """Thirty days up to a settlement day, two sessions after the deal; amounts in 10,000 KRW."""
    request.check_market("FID_COND_MRKT_DIV_CODE")
    code, asked = request["FID_INPUT_ISCD"], request.day("FID_INPUT_DATE_1")
    until = min(asked, request.now.date() - timedelta(days=1))
    bars = newest(request, code, until, CREDIT_ROWS + 6)
    rows: list[Record] = []
    for before, bar in zip([None, *bars], bars, strict=False):
        settled = calendar.next_trading_day(calendar.next_trading_day(bar.day))
        loan = margin_loan(code, bar, before)
        if loan is None or settled > until:
            continue
        factor = request.market.adjustment(code, bar.day, request.today)
        lent_out = stock_loan(code, bar, before)
        rows.append(
            {
                "deal_date": ymd(bar.day), "stlm_date": ymd(settled),
                "stck_prpr": str(scaled(bar.close, factor)), "stck_oprc": str(bar.open),
                "stck_hgpr": str(bar.high), "stck_lwpr": str(bar.low), **change_of(bar),
                "acml_vol": str(bar.volume),
                **_credit("whol_loan", loan, bar, _LENT_ON_CREDIT),
                **_credit("whol_stln", lent_out, bar, 100),
            }
        )  # fmt: skip
    return Answer({"output": rows[-CREDIT_ROWS:][::-1]})


def _credit(prefix: str, loan: Balance, bar: Bar, lent_percent: int) -> Record:
    def money(shares: int) -> str:
        return str(shares * bar.close * lent_percent // 100 // _TEN_THOUSAND)

    return {
        f"{prefix}_new_stcn": str(loan.new), f"{prefix}_rdmp_stcn": str(loan.repaid),
        f"{prefix}_rmnd_stcn": str(loan.rest), f"{prefix}_new_amt": money(loan.new),
        f"{prefix}_rdmp_amt": money(loan.repaid), f"{prefix}_rmnd_amt": money(loan.rest),
        f"{prefix}_rmnd_rate": percent(loan.rest, bar.listed_shares),
        f"{prefix}_gvrt": percent(loan.new, bar.volume),
    }  # fmt: skip
