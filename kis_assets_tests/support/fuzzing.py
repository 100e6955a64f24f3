"""Every decoder of what comes in, what is right for it, and ways to spoil that."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date
from functools import cache
from random import Random
from typing import Any, NamedTuple

import httpx
import msgspec
import polars as pl
from hypothesis import strategies as st

from kis_assets.errors import KISError
from kis_assets.exchange import calendar
from kis_assets.kis import calendar as kis_calendar
from kis_assets.kis import (
    corporate_actions,
    credit_balances,
    daily_candles,
    etf_navs,
    fields,
    financial_statements,
    index_candles,
    investor_flows,
    market_flows,
    master_files,
    minute_candles,
    minute_days,
    order_books,
    program_trades,
    quotes,
    short_sales,
    stock_info,
    stock_loans,
    stream_records,
    valuations,
)
from kis_assets.kis.accounts import APPROVAL_PATH, TOKEN_PATH
from kis_assets.kis.action_lists import ACTION_LISTS, ActionList
from kis_assets.kis.client import Client
from kis_assets.kis.daily_figures import DailyService
from kis_assets.kis.master_files import parse  # as it is: tests keep what it gives
from kis_assets.kis.stream_registrations import acknowledgement
from kis_assets.kis.token import read_answer
from kis_assets.krx import answers as krx_answers
from kis_assets.settings import Settings
from kis_assets.simulator.wire import masterfiles
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    CREDIT_BALANCES,
    DAILY_CANDLES,
    ETF_NAVS,
    FINANCIAL_STATEMENTS,
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    MARKET_FLOWS,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    PROGRAM_TRADES,
    SHORT_SALES,
    STOCK_INFO,
    STOCK_LOANS,
    VALUATIONS,
    Table,
)
from kis_assets.transport.http import Wire, envelope, stated_at
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING
from kis_assets_tests.kis.test_master_files import record
from kis_assets_tests.kis.test_stream import BOOK, TRADE
from kis_assets_tests.kis.test_stream_records import INDEX, PROGRAM, STATE
from kis_assets_tests.krx.test_krx_source import ISSUE, ROW
from kis_assets_tests.support import figure_answers as given

SPECIAL = [
    *("null", "true", "[]", "{}", '""', '" "', '"-"', "0", '"0"', "-1", '"-1"', '"00000000"'),
    *(str(2**63), str(-(2**63) - 1), f'"{10**20}"', f'"{10**30}"', f'"-{10**30}"'),
    *(f'"{2**63}"', str(2**64), f'"{10**17}"', "9" * 400, f'"{"9" * 5000}"'),
    *("1e400", '"1e400"', '"1e300"', '"NaN"', '"Infinity"', '"-inf"', "1e308", '"1_000"', '"0x10"'),
    *('"99991231"', '"00010101"', '"20260230"', '"9999/12/31"', '"٢٠٢٦٠٣١٧"', '"256199"'),
    *('"\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"', '"<b>"', '"\'"', '"가"', f'"{"a" * 10_000}"'),
    *("[" * 100 + "]" * 100, "[" * 5_000, '{"a":' * 500, "[[],[]]", '[{"a": 1}]', "nan", "\xff"),
]
"""Pieces of JSON, and what only looks like it."""


def _json() -> st.SearchStrategy[str]:
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=8,
    )
    return st.sampled_from(SPECIAL) | anything.map(json.dumps)


PIECES = _json()


class Target(NamedTuple):
    """A decoder: what it may be given, and what is made of that as in a run."""

    valid: Callable[[], bytes]
    read: Callable[[bytes], object]
    is_json: bool = True


def spoilt(target: Target, chance: Random, pieces: list[str]) -> bytes:
    """Valid input with some of its values replaced by these pieces, moved, or damaged as bytes."""
    content = target.valid()
    if chance.random() < 0.6:  # what else is wrong hides what one of them does
        pieces = pieces[:1]
    if target.is_json and chance.random() < 0.85:
        content = _with_pieces(json.loads(content), chance, pieces)
    if not target.is_json or chance.random() < 0.15:
        content = _with_damage(content, chance, pieces)
    return content


def _with_pieces(body: Any, chance: Random, pieces: list[str]) -> bytes:
    for number, _ in enumerate(pieces):
        holder, key = chance.choice(list(_places(body)))
        what = chance.random()
        if what < 0.7:
            holder[key] = f"@{number}@"
        elif what < 0.8:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(chance.randrange(len(holder) + 1), holder[key])
        else:
            other, place = chance.choice(list(_places(body)))
            holder[key] = json.loads(json.dumps(other[place]))
        if not body:
            break
    text = json.dumps(body, ensure_ascii=False)
    for number, piece in enumerate(pieces):
        text = text.replace(f'"@{number}@"', piece)
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in lists and objects, each as its holder and key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _with_damage(content: bytes, chance: Random, pieces: list[str]) -> bytes:
    for piece in pieces:
        at = chance.randrange(len(content) + 1)
        upto = min(len(content), at + int(chance.expovariate(0.05)))
        what = chance.randrange(6)
        middle = (
            piece.strip('"').encode("utf-8", "surrogatepass"),
            bytes(chance.randrange(256) for _ in range(upto - at)),
            b"",
            content[at:upto] * 3,
            chance.choice((b"\n", b"|", b"^", b"\0", b"PK\x01\x02", b'"', b"{")),
            content[at:upto][::-1],
        )[what]
        content = content[:at] + middle + content[upto:]
    return content


# What is made of an answer.


def _body(content: bytes) -> dict[str, Any]:
    return envelope(content, 200) | {"tr_cont": "F"}


def _stored(rows: Any, table: Table) -> object:
    kept = [row for row in rows if isinstance(row, dict)]
    frame = fields.frame(kept, table.schema)
    return frame, msgspec.json.encode([row | {"price": 0} for row in kept])


DAY, NOW = date(2026, 3, 17), EVENING
CODE, OTHER = "900110", "900120"
_SAMPLES: dict[Any, str] = {
    fields.whole: "12",
    fields.amount: "1234",
    fields.decimal: "-1.25",
    fields.day: "20260317",
    fields.clock: "101500",
    fields.any_day: "2026/03/17",
    fields.flag: "Y",
}


def _row(fields: Iterable[fields.Field], **given: str) -> dict[str, str]:
    """What KIS would say in these fields."""
    return {field.kis: _SAMPLES.get(field.read, "1") for field in fields} | given


def _said(**parts: Any) -> Callable[[], bytes]:
    content = json.dumps({"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "OK", **parts}).encode()
    return lambda: content


def _bars(fields: Iterable[fields.Field]) -> list[dict[str, str]]:
    days = ("20260317", "20260316", "20260313")
    return [_row(fields, stck_bsop_date=day, mod_yn="N") for day in days]


def _read_minutes(content: bytes) -> object:
    session = calendar.session(DAY)
    assert session is not None
    page = minute_candles.read_page(_body(content), CODE, DAY, NOW, 120)
    bars = minute_days.past(page, session, NOW), minute_days.todays(page, session, NOW)
    with suppress(KISError):  # three minutes are no day
        minute_days.gather(lambda _upto, _latest: page, session, NOW)
    return [_stored(found, MINUTE_CANDLES) for found in bars]


def _read_daily(content: bytes) -> object:
    rows = daily_candles.read_daily_candles(_body(content), CODE, date(2026, 3, 2), DAY, DAY)
    return _stored(rows, DAILY_CANDLES)


def _actions(asked: ActionList) -> Target:
    rows = [_row(asked.fields, sht_cd=code) for code in (CODE, OTHER)]

    def read(content: bytes) -> object:
        found = corporate_actions.read_page(_body(content), asked)
        return _stored(found.rows, CORPORATE_ACTIONS)

    return Target(_said(output1=rows, ctx_area_nk="A"), read)


def _figures(
    service: DailyService, table: Table, where: str, row: dict[str, str], **more: Any
) -> Target:
    about = "KOSPI" if table is MARKET_FLOWS else "0001" if table is INDEX_CANDLES else CODE

    def read(content: bytes) -> object:
        days = service.read(_body(content), about)
        return _stored((row for day in days for row in service.spread(day)), table)

    return Target(_said(**more, **{where: [row]}), read)


def _read_statements(content: bytes) -> object:
    rows = financial_statements.read_list(_body(content), financial_statements.INCOME)
    single = financial_statements.single_quarters(rows, 12)
    kept = [financial_statements.in_krw(row) for row in single]
    return _stored((row | {"stock_code": CODE} for row in kept), FINANCIAL_STATEMENTS)


def _read_many(content: bytes) -> object:
    return _stored(quotes.read_prices(_body(content), (CODE, OTHER)).values(), PRICE_SNAPSHOTS)


@cache
def _client() -> tuple[Client, list[bytes]]:
    content = [b""]
    settings = Settings.load(
        data_source_type="kis",
        kis_app_key=APP_KEY,
        kis_app_secret=APP_SECRET,
        kis_use_virtual_server=False,
        kis_api_base_url_real="http://kis.test",
        kis_api_max_retries=0,
    )
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content[0]))
    return Client(settings, transport=transport, has_quota=False), content


def _granted(content: bytes) -> object:
    client, said = _client()
    said[0] = content
    account = client.accounts.all[0]
    client.accounts.grant(account.credential, "Approval", APPROVAL_PATH)
    body = client.accounts.grant(account.credential, "tokenP", TOKEN_PATH)
    return msgspec.json.encode(read_answer(body, 1_000_000.0))


def _asked(content: bytes) -> object:
    """A whole exchange: refusals are read as well."""
    client, said = _client()
    said[0] = content
    account, question = client.accounts.all[0], _question()
    return client._exchange(account, "T", question)


@cache
def _question() -> Any:
    from kis_assets.kis.client import Request

    return Request(quotes.PRICE, {}, lambda body: quotes.read_price(body, CODE), "")


class _Pieces(httpx.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), 100):
            yield self._content[start : start + 100]


@cache
def _wire() -> tuple[Wire, list[httpx.Response]]:
    given = [httpx.Response(200)]
    transport = httpx.MockTransport(lambda _: given[0])
    return Wire(5.0, clock=lambda: 0.0, transport=transport), given


def _received(content: bytes) -> object:
    encoding, _, packed = content.partition(b"\n")
    headers = [(b"content-encoding", encoding[:50]), (b"date", encoding)]
    wire, given = _wire()
    given[0] = httpx.Response(200, headers=headers, stream=_Pieces(packed))
    _, found, told = wire.receive("price", "GET", "http://kis.test/")
    return envelope(found, 200), stated_at(told)


def _frame(tr_id: str, row: str) -> Target:
    content = f"0|{tr_id}|002|{row}^{row}".encode()

    def read(content: bytes) -> object:
        text = content.decode("utf-8", "replace")
        found = stream_records.records(text, date(2026, 9, 22), NOW)
        return [msgspec.json.encode(record.row()) for record in found]

    return Target(lambda: content, read, is_json=False)


_FIGURES = {
    **dict.fromkeys(
        ("stck_sdpr", "prdy_vol", "stck_fcam", "lstn_stcn", "cpfn", "sale_account"), "5"
    ),
    **{"thtr_ntin": "-45", "op_prfi": "7", "roe": "-12.34", "stck_lstn_date": "19750611"},
}


def _master(market: master_files.Market) -> bytes:
    codes = ("900110", "900120", "Q500001", "900130")
    return b"".join(record(market, mksc_shrn_iscd=code, **_FIGURES) + b"\n" for code in codes)


def _of_market(market: master_files.Market) -> Target:
    return Target(lambda: _master(market), lambda content: parse(content, market), is_json=False)


def _unzipped(content: bytes) -> object:
    return parse(master_files.unzip(content, "KOSPI"), "KOSPI")


def _krx(row: dict[str, str], read: Callable[[dict[str, Any]], pl.DataFrame]) -> Target:
    rows = [row, row | {"ISU_CD": "KR7000660001", "ISU_SRT_CD": "000660"}]
    return Target(
        lambda: json.dumps({"OutBlock_1": rows}).encode(), lambda content: read(_body(content))
    )


ACKNOWLEDGED = {
    "header": {"tr_id": "H0STCNT0", "tr_key": CODE, "encrypt": "N"},
    "body": {"rt_cd": "0", "msg_cd": "OPSP0000", "msg1": "OK", "output": {"iv": "", "key": ""}},
}
_PLACES_OF_A_BOOK = {
    name: str(price)
    for n in range(1, 11)
    for name, price in ((f"askp{n}", 1000 + n), (f"bidp{n}", 1000 - n))
}
TARGETS: dict[str, Target] = {
    "price": Target(
        _said(output=_row(quotes.PRICE_FIELDS, stck_shrn_iscd=CODE)),
        lambda it: _stored([quotes.read_price(_body(it), CODE)], PRICE_SNAPSHOTS),
    ),
    "many prices": Target(
        _said(
            output=[
                _row(quotes.MANY_PRICES_FIELDS, inter_shrn_iscd=code) for code in (CODE, OTHER)
            ],
        ),
        _read_many,
    ),
    "order book": Target(
        _said(
            output1=_row(order_books.BOOK, **_PLACES_OF_A_BOOK, aspr_acpt_hour="101500"),
            output2=_row(order_books.EXPECTED, stck_shrn_iscd=CODE),
        ),
        lambda it: _stored([order_books.read_order_book(_body(it), CODE, DAY, NOW)], ORDER_BOOKS),
    ),
    "daily candles": Target(
        _said(
            output1={"stck_shrn_iscd": CODE, "stck_prpr": "1234", "stck_prdy_clpr": "1200"},
            output2=[*_bars(daily_candles.DAILY_FIELDS), {}],
        ),
        _read_daily,
    ),
    "recent days": Target(
        _said(output=_bars(daily_candles.RECENT_FIELDS)),
        lambda it: _stored(daily_candles.read_recent_days(_body(it)), DAILY_CANDLES),
    ),
    "minutes": Target(
        _said(
            output1={"stck_prpr": "1234", "acml_vol": "5000"},
            output2=[
                _row(minute_candles.FIELDS, stck_cntg_hour=hour, acml_tr_pbmn=value)
                for hour, value in (("153000", "900"), ("090100", "500"), ("090000", "200"))
            ],
        ),
        _read_minutes,
    ),
    "stock info": Target(
        _said(output=_row(stock_info.FIELDS, pdno=f"00000A{CODE}")),
        lambda it: _stored([stock_info.read_stock_info(_body(it), CODE)], STOCK_INFO),
    ),
    "calendar": Target(
        _said(
            output=[{"bass_dt": f"2026031{n}", "opnd_yn": "Y"} for n in (6, 7, 8)],
            ctx_area_nk="A",
            ctx_area_fk="B",
        ),
        lambda it: kis_calendar.read_page(_body(it), (date(2026, 3, 16),)),
    ),
    **{asked.endpoint.name: _actions(asked) for asked in ACTION_LISTS},
    "flows": _figures(investor_flows.SERVICE, INVESTOR_FLOWS, "output2", given.flows()),
    "market flows": _figures(market_flows.SERVICE, MARKET_FLOWS, "output", given.market_flows()),
    "programmes": _figures(program_trades.SERVICE, PROGRAM_TRADES, "output", given.PROGRAM),
    "short sales": _figures(short_sales.SERVICE, SHORT_SALES, "output2", given.SHORT),
    "loans": _figures(stock_loans.SERVICE, STOCK_LOANS, "output1", given.LOAN),
    "credit": _figures(credit_balances.SERVICE, CREDIT_BALANCES, "output", given.CREDIT),
    "an index": _figures(
        index_candles.SERVICE, INDEX_CANDLES, "output2", given.INDEX, output1=given.INDEX_NOW
    ),
    "a fund": _figures(etf_navs.SERVICE, ETF_NAVS, "output", given.NAV),
    "valuation": Target(
        _said(output=given.VALUED),
        lambda it: _stored([valuations.read_valuation(_body(it), CODE)], VALUATIONS),
    ),
    "statements": Target(
        _said(output=[given.income("202606", "250.00", "40"), given.income("202603", "100", "20")]),
        _read_statements,
    ),
    "token": Target(
        _said(
            access_token="T",
            approval_key="K",
            expires_in=86400,
            access_token_token_expired="2026-03-18 10:00:00",
        ),
        _granted,
    ),
    "a refusal": Target(
        lambda: b'{"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "no", "output": {"a": ""}}', _asked
    ),
    "what is received": Target(
        lambda: b"gzip\n" + gzip.compress(b'{"msg1": "%b"}' % (b"0" * 99), mtime=0),
        _received,
        is_json=False,
    ),
    "trades": _frame("H0STCNT0", TRADE),
    "a book": _frame("H0STASP0", BOOK),
    "a book of all": _frame("H0UNASP0", BOOK),
    "a market state": _frame("H0STMKO0", STATE),
    "programme trades": _frame("H0STPGM0", PROGRAM),
    "an index tick": _frame("H0UPCNT0", INDEX),
    "acknowledgement": Target(
        lambda: json.dumps(ACKNOWLEDGED).encode(),
        lambda it: acknowledgement(it.decode("utf-8", "replace")),
    ),
    **{market: _of_market(market) for market in master_files.FILES},
    "zip": Target(
        lambda: masterfiles.zipped("kospi_code.mst", _master("KOSPI"), DAY),
        _unzipped,
        is_json=False,
    ),
    "codes": Target(
        lambda: _master("KOSPI"), lambda it: master_files.codes(it, "codes"), is_json=False
    ),
    "sectors": Target(
        lambda: master_files.unzip(masterfiles.index_file(DAY), "KOSPI", master_files.SECTORS),
        master_files.read_sector_names,
        is_json=False,
    ),
    "krx daily": _krx(
        ROW, lambda body: krx_answers.daily(body, date(2026, 3, 16), "KOSPI", lambda _: None)
    ),
    "krx issues": _krx(ISSUE, lambda body: krx_answers.issues(body, "KOSPI")),
}  # fmt: skip
