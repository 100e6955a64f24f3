"""Corporate actions in KIS's format: one list per kind, as from the depository (예탁원)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Action
from kis_assets.simulator.wire.wire import DONE, Answer, Record, Request, ymd

_ACTIONS_PAGE = 100


def _capital_increase(action: Action) -> Record:
    ratio = action.shares_after / action.shares_before - 1
    return {
        "tot_issue_stk_qty": str(action.shares_before),
        "issue_stk_qty": str(action.shares_after - action.shares_before),
        "fix_rate": f"{ratio * 100:.2f}", "right_dt": ymd(action.ex_day),
        "list_date": _slashed(action.ex_day + timedelta(days=21)), "stk_kind": "보통",
    }  # fmt: skip


def _rights(action: Action) -> Record:
    subscribed = action.ex_day + timedelta(days=28)
    term = f"{_slashed(subscribed)} ~ {_slashed(subscribed + timedelta(days=1))}"
    return _capital_increase(action) | {
        "disc_rate": "25.00", "fix_price": str(action.amount), "sub_term_ft": term,
        "sub_term": term, "list_date": _slashed(subscribed + timedelta(days=20)),
    }  # fmt: skip


def _bonus(action: Action) -> Record:
    return _capital_increase(action) | {"odd_rec_price": "0", "odd_pay_dt": ""}


def _face_change(action: Action) -> Record:
    return {
        "inter_bf_face_amt": str(action.face_before), "inter_af_face_amt": str(action.face_after),
        **_halt(action),
    }  # fmt: skip


def _reduction(action: Action) -> Record:
    # The remaining fraction of shares, as a factor to multiply or to divide by.
    kept = 1 / action.factor
    multiplies = kept * 100 == int(kept * 100) and int(action.code, 36) % 2
    rate, way = (kept, "곱하기") if multiplies else (action.factor, "나누기")
    return {
        "stk_kind": "보통", "reduce_cap_type": "무상감자",
        "reduce_cap_rate": f"{float(rate):>5.2f}", "comp_way": way, **_halt(action),
    }  # fmt: skip


def _dividend(action: Action) -> Record:
    return {
        "divi_kind": "결산", "face_val": str(action.face_before),
        "per_sto_divi_amt": f"{action.amount:>9}",
        "divi_rate": "2.00", "stk_divi_rate": "0.00",
        "divi_pay_dt": _slashed(action.record_day + timedelta(days=108)), "stk_div_pay_dt": "",
        "odd_pay_dt": "", "stk_kind": "보통", "high_divi_gb": "",
    }  # fmt: skip


def _halt(action: Action) -> Record:
    last = calendar.previous_trading_day(action.ex_day)
    start = action.halted_from or last
    return {
        "td_stop_dt": f"{_slashed(start)} ~ {_slashed(last)}",
        "list_dt": _slashed(action.ex_day),
    }


def _slashed(day: date) -> str:
    return f"{day:%Y/%m/%d}"


_LISTS: dict[str, tuple[tuple[str, ...], Callable[[Action], Record]]] = {
    "paidin-capin": (("rights",), _rights),
    "bonus-issue": (("bonus",), _bonus),
    "dividend": (("dividend",), _dividend),
    "merger-split": (("merger",), _halt),
    "rev-split": (("split", "reverse_split"), _face_change),
    "cap-dcrs": (("reduction",), _reduction),
}
_DATED_BY_LISTING = frozenset({"rev-split", "cap-dcrs"})
_KSD_MARKETS = {"1": "KOSPI", "2": "KOSDAQ"}


def ksdinfo(name: str) -> Callable[[Request], Answer]:
    """The service for one list."""

    def answer(request: Request) -> Answer:
        first, last = request.day("F_DT"), request.day("T_DT")
        rows: list[Record] = []
        if name == "list-info":
            rows = _listings(request, first, last)
        elif name in _LISTS:
            rows = _action_rows(request, name, first, last)
        start = int(request["CTS"]) if request.page and request["CTS"].isdigit() else 0
        page = rows[start : start + _ACTIONS_PAGE]
        more = start + _ACTIONS_PAGE < len(rows)
        payload: dict[str, object] = {"output1": page}
        if more:
            payload["ctx_area_nk"] = f"{start + _ACTIONS_PAGE:<20}"
        return Answer(payload, DONE, tr_cont="M" if more else "D")

    return answer


def _action_rows(request: Request, name: str, first: date, last: date) -> list[Record]:
    kinds, more = _LISTS[name]
    code, market = request["SHT_CD"], _KSD_MARKETS.get(request["MARKET_GB"])
    rows: list[Record] = []
    for action in request.market.actions(max(first, calendar.FIRST_DAY), last):
        day = action.record_day
        if request["GB1"] == "2" and name == "dividend":
            continue
        if action.kind not in kinds or (code and action.code != code):
            continue
        if market and action.market != market:
            continue
        in_range = first <= day <= last or (
            name in _DATED_BY_LISTING and first <= action.ex_day <= last
        )
        if in_range:
            rows.append(
                {
                    "record_date": ymd(day), "sht_cd": action.code, "isin_name": action.name,
                    **more(action),
                }
            )  # fmt: skip
    return rows


def _listings(request: Request, first: date, last: date) -> list[Record]:
    code = request["SHT_CD"]
    return [
        {
            "list_dt": _slashed(stock.listed_on), "sht_cd": stock.code, "isin_name": stock.name,
            "stk_kind": "보통", "issue_type": "신규상장", "issue_stk_qty": str(stock.listed_shares),
            "tot_issue_stk_qty": str(stock.listed_shares), "issue_price": str(stock.offer_price),
        }
        for stock in request.market.stocks(request.today)
        if stock.listed_on and first <= stock.listed_on <= last and code in ("", stock.code)
    ]  # fmt: skip
