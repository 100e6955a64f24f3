"""The lists of corporate actions: their fields, and the meaning of their rows. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, NamedTuple

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, any_day, decimal, text, whole

Action = dict[str, Any]


def _depository(name: str, tr_id: str) -> Endpoint:
    return Endpoint(name, tr_id, virtual=False, folder="domestic-stock/v1/ksdinfo")


RIGHTS_ISSUES = _depository("paidin-capin", "HHKDB669100C0")
BONUS_ISSUES = _depository("bonus-issue", "HHKDB669101C0")
DIVIDENDS = _depository("dividend", "HHKDB669102C0")
MERGERS = _depository("merger-split", "HHKDB669104C0")
FACE_VALUES = _depository("rev-split", "HHKDB669105C0")
REDUCTIONS = _depository("cap-dcrs", "HHKDB669106C0")


def short_code(word: str) -> str:
    """The short code of a field of up to nine characters: the depository may prefix A."""
    return word[1:] if len(word) == 7 and word[0] == "A" else word


_WHEN_AND_WHO = (
    Field("record_on", "record_date", any_day, required=False),
    Field("stock_code", "sht_cd", short_code),
    Field("stock_name", "isin_name", text, required=False),
    Field("kind_of_share", "stk_kind", text, required=False),
)
_ISSUE = (
    Field("rate", "fix_rate", decimal, required=False),
    Field("ex_on", "right_dt", any_day, required=False),
    Field("listed_on", "list_date", any_day, required=False),
    Field("shares_before", "tot_issue_stk_qty", whole, required=False),
    Field("new_shares", "issue_stk_qty", whole, required=False),
)
_HALT = (
    Field("stop_period", "td_stop_dt", text, required=False),
    Field("listed_on", "list_dt", any_day, required=False),
)


def _face_value(row: Action) -> Iterable[Action]:
    before, after = row["face_value_before"], row["face_value_after"]
    kind, ratio = "other", None
    if before and after and before != after:
        kind, ratio = ("split" if before > after else "reverse_split"), before / after
    yield row | {"kind": kind, "ratio": ratio}


def _bonus(row: Action) -> Iterable[Action]:
    """A bonus issue, by its rate per share: the company's own shares receive nothing."""
    yield row | {"kind": "bonus_issue", "ratio": _by_rate(row) or _by_shares(row)}


def _rights(row: Action) -> Iterable[Action]:
    """A rights issue, by the issued shares: the rate is only the offer."""
    yield row | {"kind": "rights_issue", "ratio": _by_shares(row) or _by_rate(row)}


def _by_rate(row: Action) -> float | None:
    rate = row["rate"]
    return 1 + rate / 100 if rate and rate > 0 else None


def _by_shares(row: Action) -> float | None:
    before, new = row["shares_before"], row["new_shares"]
    return 1 + new / before if before and new and before > 0 and new > 0 else None


def _dividend(row: Action) -> Iterable[Action]:
    in_shares = row.pop("stock_rate")
    if in_shares:
        yield row | {
            "kind": "stock_dividend",
            "ratio": 1 + in_shares / 100,
            "rate": in_shares,
            "amount": None,
        }
    # A dividend whose amount is undecided is still a dividend.
    if row["amount"] or not in_shares:
        yield row | {"kind": "cash_dividend", "ratio": None}


def _reduction(row: Action) -> Iterable[Action]:
    """A reduction, by its rate and direction; rate 1 reduces the face value, not the shares."""
    rate, way = row["rate"], row.pop("way")
    ratio = {"곱하기": rate, "나누기": 1 / rate}.get(way) if rate else None
    if ratio is not None and not 0 < ratio <= 1:
        ratio = None
    words = (None if rate is None else f"{rate:g}", way)
    yield row | {
        "kind": "capital_reduction",
        "ratio": ratio,
        "announced_ratio": " ".join(word for word in words if word) or None,
    }


def _merger(row: Action) -> Iterable[Action]:
    reason = row["reason"] or ""
    kind = "spin_off" if "분할" in reason else "merger" if "합병" in reason else "other"
    yield row | {"kind": kind, "ratio": None}


class ActionList(NamedTuple):
    """One list of the depository: its endpoint, extra parameters, fields, and their meaning."""

    endpoint: Endpoint
    extra: dict[str, str]
    fields: tuple[Field, ...]
    actions: Callable[[Action], Iterable[Action]]


ACTION_LISTS = (
    ActionList(
        FACE_VALUES,
        {"MARKET_GB": "0"},
        (
            *_WHEN_AND_WHO,
            Field("face_value_before", "inter_bf_face_amt", decimal, required=False),
            Field("face_value_after", "inter_af_face_amt", decimal, required=False),
            *_HALT,
        ),
        _face_value,
    ),
    ActionList(BONUS_ISSUES, {}, (*_WHEN_AND_WHO, *_ISSUE), _bonus),
    ActionList(
        RIGHTS_ISSUES,
        {"GB1": "2"},  # by record date, as the other lists
        (
            *_WHEN_AND_WHO,
            *_ISSUE,
            Field("amount", "fix_price", decimal, required=False),
            Field("subscription_period", "sub_term", text, required=False),
        ),
        _rights,
    ),
    ActionList(
        DIVIDENDS,
        {"GB1": "0", "HIGH_GB": ""},
        (
            *_WHEN_AND_WHO,
            Field("amount", "per_sto_divi_amt", decimal, required=False),
            Field("rate", "divi_rate", decimal, required=False),
            Field("stock_rate", "stk_divi_rate", decimal, required=False),
            Field("face_value_before", "face_val", decimal, required=False),
            Field("reason", "divi_kind", text, required=False),
            Field("paid_on", "divi_pay_dt", any_day, required=False),
        ),
        _dividend,
    ),
    ActionList(
        REDUCTIONS,
        {},
        (
            *_WHEN_AND_WHO,
            Field("rate", "reduce_cap_rate", decimal, required=False),
            Field("way", "comp_way", text, required=False),
            Field("reason", "reduce_cap_type", text, required=False),
            *_HALT,
        ),
        _reduction,
    ),
    ActionList(
        MERGERS,
        {},
        (
            *_WHEN_AND_WHO,
            Field("announced_ratio", "merge_rate", text, required=False),
            Field("reason", "merge_type", text, required=False),
            Field("counterparty", "opp_cust_nm", text, required=False),
            *_HALT,
        ),
        _merger,
    ),
)


def dated(action: Action) -> Action:
    """Add the day an action takes effect, and the origin of that day.

    Issues act on the ex-rights day; splits, reductions and mergers on the first day after the halt.
    """
    kind, record_on = action["kind"], action["record_on"]
    by_halt = kind not in ("bonus_issue", "rights_issue", "cash_dividend", "stock_dividend")
    named = "listed_on" if by_halt else "ex_on"
    effective_on = action.pop("ex_on", None) if not by_halt else action["listed_on"]
    if effective_on is not None:
        return action | {"effective_on": effective_on, "effective_from": named}
    if record_on is None:
        raise UnexpectedAnswer(f"an action of {action['stock_code'][:20]!r} has no day")
    if (
        kind.endswith("dividend")
        and calendar.FIRST_DAY.replace(month=2) < record_on <= calendar.LAST_DAY
    ):
        return action | {"effective_on": _ex_dividend(record_on), "effective_from": "computed"}
    return action | {"effective_on": record_on, "effective_from": "record_on"}


def _ex_dividend(record_on: date) -> date:
    """The last trading day before the record day: a trade on it settles after the record day.

    A record day on which KRX is closed, such as 31 December, counts as the trading day before.
    """
    last = (
        record_on
        if calendar.is_trading_day(record_on)
        else calendar.previous_trading_day(record_on)
    )
    return calendar.previous_trading_day(last)
