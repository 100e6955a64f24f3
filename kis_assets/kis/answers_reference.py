"""KIS's answers about what changes slowly: stock facts, the calendar, corporate actions.

How a field is read is `answers`' own; here is what the fields of these services mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis import endpoints
from kis_assets.kis.endpoints import Endpoint
from kis_assets.kis.fields import (
    Field,
    Row,
    amount,
    day,
    decimal,
    output,
    plain,
    read,
    rows_of,
    text,
    whole,
)

T = TypeVar("T")


def flag(word: str) -> bool:
    """Y or N."""
    if word not in ("Y", "N"):
        raise ValueError(word)
    return word == "Y"


def any_day(word: str) -> date | None:
    """A day written YYYYMMDD or with separators; None where it is all zeros."""
    digits = "".join(letter for letter in word if letter not in "/-. ")
    return day(digits) if digits.strip("0") else None


def short_code(word: str) -> str:
    """A short code out of up to nine characters: the depository may write A before it."""
    return word[1:] if len(word) == 7 and word[0] == "A" else word


# Stock facts: search-stock-info

_MARKETS = {"STK": "KOSPI", "KSQ": "KOSDAQ", "KNX": "KONEX"}


def _market(word: str) -> str:
    return _MARKETS.get(word, word)


def _kind_of_share(word: str) -> str | None:
    """KIS: 000 none, 101 common, 201 to 220 preferred, 301 deferred, 401 mixed."""
    if word == "000":
        return None
    kinds = {"1": "common", "2": "preferred", "3": "deferred", "4": "mixed"}
    return kinds.get(word[0], "other")


STOCK_INFO = (
    Field("product", "pdno", text),
    Field("stock_name", "prdt_abrv_name", text),
    Field("full_name", "prdt_name", text, required=False),
    Field("english_name", "prdt_eng_name", text, required=False),
    Field("isin", "std_pdno", text, required=False),
    Field("market", "mket_id_cd", _market, required=False),
    Field("security_group", "scty_grp_id_cd", text, required=False),
    Field("kind_of_share", "stck_kind_cd", _kind_of_share, required=False),
    Field("sector_large", "idx_bztp_lcls_cd", text, required=False),
    Field("sector_medium", "idx_bztp_mcls_cd", text, required=False),
    Field("sector_small", "idx_bztp_scls_cd", text, required=False),
    Field("sector_large_name", "idx_bztp_lcls_cd_name", text, required=False),
    Field("sector_medium_name", "idx_bztp_mcls_cd_name", text, required=False),
    Field("sector_small_name", "idx_bztp_scls_cd_name", text, required=False),
    Field("industry_code", "std_idst_clsf_cd", text, required=False),
    Field("industry", "std_idst_clsf_cd_name", text, required=False),
    Field("listed_shares", "lstg_stqt", amount, required=False),
    Field("face_value", "papr", decimal, required=False),
    Field("issue_price", "issu_pric", decimal, required=False),
    Field("capital", "cpta", decimal, required=False),
    Field("fiscal_year_end", "setl_mmdd", text, required=False),
    Field("listed_on_kospi", "scts_mket_lstg_dt", any_day, required=False),
    Field("left_kospi_on", "scts_mket_lstg_abol_dt", any_day, required=False),
    Field("listed_on_kosdaq", "kosdaq_mket_lstg_dt", any_day, required=False),
    Field("left_kosdaq_on", "kosdaq_mket_lstg_abol_dt", any_day, required=False),
    Field("listed_on_freeboard", "frbd_mket_lstg_dt", any_day, required=False),
    Field("left_freeboard_on", "frbd_mket_lstg_abol_dt", any_day, required=False),
    Field("delisted_on", "lstg_abol_dt", any_day, required=False),
    Field("is_halted", "tr_stop_yn", flag, required=False),
    Field("is_administrative", "admn_item_yn", flag, required=False),
    Field("in_kospi200", "kospi200_item_yn", flag, required=False),
    Field("on_nxt", "cptt_trad_tr_psbl_yn", flag, required=False),
    Field("is_halted_on_nxt", "nxt_tr_stop_yn", flag, required=False),
)


def stock_info(body: Row, stock_code: str) -> dict[str, Any]:
    """search-stock-info: the columns of `stock_info` that KIS knows.

    Of stocks that were never on Freeboard KIS repeats another market's listing day there.

    Raises:
        UnexpectedAnswer: a required field is missing, or the answer is about another stock.
    """
    values = read(output(body, "output", dict), STOCK_INFO)
    # Twelve characters, such as 00000A005930; the prefix of an ETN is not certain.
    product = values.pop("product")
    if product[-6:] != stock_code[-6:]:
        raise UnexpectedAnswer(f"the answer is about {product[:20]!r}")
    if values["listed_on_freeboard"] in (values["listed_on_kospi"], values["listed_on_kosdaq"]):
        values["listed_on_freeboard"] = None
    return values | {"stock_code": stock_code}


# Pages

_MORE = ("F", "M")


class Page(NamedTuple):
    """The rows of one page, and the keys that ask for the next; None when there is none.

    `given` is how many rows KIS gave, where one of them may have become two.
    """

    rows: list[Any]
    following: dict[str, str] | None
    given: int = 0


def page(body: Row, rows: list[Any], keys: dict[str, str]) -> Page:
    """A page by the header tr_cont; `keys` name the parameters and where their values stand."""
    if not rows or plain(body.get("tr_cont")) not in _MORE:
        return Page(rows, None)
    return Page(rows, {name: plain(body.get(key)) for name, key in keys.items()})


# The calendar: chk-holiday

CALENDAR = (Field("day", "bass_dt", day), Field("is_open", "opnd_yn", flag))


def calendar_page(body: Row, starts: tuple[date, ...]) -> Page:
    """chk-holiday: (day, whether the exchange opens), from one of `starts` on, day after day.

    `opnd_yn` is the field: `tr_day_yn` is Y on Saturdays too, `bzdy_yn` on 31 December.

    Raises:
        UnexpectedAnswer: a field is missing, or the days are others, or one is skipped or repeated.
    """
    rows = [
        (values["day"], values["is_open"])
        for values in (read(row, CALENDAR) for row in rows_of(body, "output"))
    ]
    if any((later - earlier).days != 1 for (earlier, _), (later, _) in pairwise(rows)):
        raise UnexpectedAnswer("the days are not in order, each after the one before it")
    if rows and rows[0][0] not in starts:
        raise UnexpectedAnswer(f"the answer begins on {rows[0][0]}, asked was {starts[-1]}")
    return page(body, rows, {"CTX_AREA_NK": "ctx_area_nk", "CTX_AREA_FK": "ctx_area_fk"})


# Corporate actions: ksdinfo

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
_Action = dict[str, Any]


def _face_value(row: _Action) -> Iterable[_Action]:
    before, after = row["face_value_before"], row["face_value_after"]
    kind, ratio = "other", None
    if before and after and before != after:
        kind, ratio = ("split" if before > after else "reverse_split"), before / after
    yield row | {"kind": kind, "ratio": ratio}


def _bonus(row: _Action) -> Iterable[_Action]:
    """A bonus issue by what a share is given; what the company itself holds has no part in it."""
    yield row | {"kind": "bonus_issue", "ratio": _by_rate(row) or _by_shares(row)}


def _rights(row: _Action) -> Iterable[_Action]:
    """A rights issue by the shares issued: the rate was offered, and may not have been taken."""
    yield row | {"kind": "rights_issue", "ratio": _by_shares(row) or _by_rate(row)}


def _by_rate(row: _Action) -> float | None:
    rate = row["rate"]
    return 1 + rate / 100 if rate and rate > 0 else None


def _by_shares(row: _Action) -> float | None:
    before, new = row["shares_before"], row["new_shares"]
    return 1 + new / before if before and new and before > 0 and new > 0 else None


def _dividend(row: _Action) -> Iterable[_Action]:
    in_shares = row.pop("stock_rate")
    if in_shares:
        yield row | {
            "kind": "stock_dividend",
            "ratio": 1 + in_shares / 100,
            "rate": in_shares,
            "amount": None,
        }
    # An amount that is not decided yet is still a dividend.
    if row["amount"] or not in_shares:
        yield row | {"kind": "cash_dividend", "ratio": None}


def _reduction(row: _Action) -> Iterable[_Action]:
    """A reduction by its rate and how it counts; one of 1 takes face value and no shares."""
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


def _merger(row: _Action) -> Iterable[_Action]:
    reason = row["reason"] or ""
    kind = "spin_off" if "분할" in reason else "merger" if "합병" in reason else "other"
    yield row | {"kind": kind, "ratio": None}


class ActionList(NamedTuple):
    """One list of the depository: its endpoint, extra parameters, fields, and what they mean."""

    endpoint: Endpoint
    extra: dict[str, str]
    fields: tuple[Field, ...]
    actions: Callable[[_Action], Iterable[_Action]]


ACTION_LISTS = (
    ActionList(
        endpoints.FACE_VALUES,
        {"MARKET_GB": "0"},
        (
            *_WHEN_AND_WHO,
            Field("face_value_before", "inter_bf_face_amt", decimal, required=False),
            Field("face_value_after", "inter_af_face_amt", decimal, required=False),
            *_HALT,
        ),
        _face_value,
    ),
    ActionList(endpoints.BONUS_ISSUES, {}, (*_WHEN_AND_WHO, *_ISSUE), _bonus),
    ActionList(
        endpoints.RIGHTS_ISSUES,
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
        endpoints.DIVIDENDS,
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
        endpoints.REDUCTIONS,
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
        endpoints.MERGERS,
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


def corporate_actions(body: Row, asked: ActionList) -> Page:
    """ksdinfo: the actions of a page of one list, columns of `corporate_actions`.

    Raises:
        UnexpectedAnswer: an action without a stock or without any day, or one that cannot be read.
    """
    given = rows_of(body, "output1")
    found = [
        _dated(action) | {"origin": asked.endpoint.name}
        for row in given
        for action in asked.actions(read(row, asked.fields))
    ]
    return page(body, found, {"CTS": "ctx_area_nk"})._replace(given=len(given))


def _dated(action: _Action) -> _Action:
    """The day an action takes effect, and where that is known from.

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
    """Trades settle on the second trading day after: the day before the record day comes too late.

    A record day on which KRX is closed, such as 31 December, counts as the trading day before.
    """
    last = (
        record_on
        if calendar.is_trading_day(record_on)
        else calendar.previous_trading_day(record_on)
    )
    return calendar.previous_trading_day(last)
