"""Answers of the simulator in the place of recorded ones, under the numbers that those have.

What is peculiar about a recorded answer, and what the simulator does not say by itself, is put
into the invented one here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from kis_assets.exchange import calendar
from kis_assets.kis import calendar as kis_calendar
from kis_assets.kis import (
    corporate_actions,
    daily_candles,
    minute_candles,
    order_books,
    quotes,
    stock_info,
)
from kis_assets.kis.action_lists import ACTION_LISTS
from kis_assets.kis.client import Client
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.wire.stream import book_fields, trade_fields
from kis_assets.sources.kis import KISDataSource
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

SAMSUNG, HYNIX = "005930", "000660"
LISTS = {asked.endpoint.name: asked for asked in ACTION_LISTS}
Answer = dict[str, Any]


class _Heard(httpx.BaseTransport):
    """A server whose answers are kept."""

    def __init__(self, simulator: Simulator) -> None:
        self._server = InProcessTransport(simulator)
        self.texts: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._server.handle_request(request)
        self.texts.append(answer.read().decode())
        return answer


def _heard(moment: datetime, ask: Callable[[Client], object]) -> list[str]:
    """What the simulator answers to a call at a moment, the token first."""
    market = ModelMarket(seed=0, clock=lambda: moment)
    heard = _Heard(Simulator(market, rate_limit=0, token_window=0.0))
    with TemporaryDirectory() as folder:
        settings = Settings.load(
            data_source_type="kis",
            kis_app_key=APP_KEY,
            kis_app_secret=APP_SECRET,
            kis_use_virtual_server=False,
            kis_data_dir=Path(folder),
            kis_api_base_url_real="http://kis.test",
            kis_master_base_url="http://kis.test",
            kis_replay_at=moment,
        )
        with KISDataSource(settings, transport=heard, has_quota=False) as source:
            ask(source._client)
    return heard.texts


def _seoul(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=calendar.SEOUL)  # type: ignore[arg-type]


MAY, AUGUST = _seoul(2026, 5, 27, 15, 8, 22), _seoul(2026, 8, 27, 21)
YEAR = date(2023, 7, 1), date(2024, 6, 30)


@cache
def invented(number: int) -> str:
    """The answer in the place of the recorded one of that number."""
    made = ANSWERS[number]()
    return made if isinstance(made, str) else json.dumps(made, ensure_ascii=False)


def _answer(moment: datetime, ask: Callable[[Client], object]) -> Answer:
    """The first answer to a call."""
    return json.loads(_heard(moment, ask)[1])


def _price() -> Answer:
    return _answer(_seoul(2023, 6, 1, 12), lambda kis: quotes.price(kis, SAMSUNG))


def _book() -> Answer:
    return _answer(MAY, lambda kis: order_books.order_book(kis, SAMSUNG, MAY.date()))


def _daily() -> Answer:
    return _answer(
        MAY, lambda kis: daily_candles.daily_page(kis, SAMSUNG, date(2026, 5, 20), MAY.date())
    )


def _halved() -> Answer:
    """The day after a halt the base is half the close before, and no mark says why."""
    first, last = date(2026, 8, 25), AUGUST.date()
    made = _answer(AUGUST, lambda kis: daily_candles.daily_page(kis, HYNIX, first, last))
    made["output2"] = made["output2"][:3]
    _, back, halted = made["output2"]
    twice = str(2 * (int(back["stck_clpr"]) - int(back["prdy_vrss"])))
    halted |= dict.fromkeys(("stck_oprc", "stck_hgpr", "stck_lwpr", "acml_vol"), "0")
    halted |= {"acml_tr_pbmn": "0", "prdy_vrss": "0", "prdy_vrss_sign": "0", "mod_yn": "N"}
    halted["stck_clpr"] = twice
    return made


def _recent() -> Answer:
    return _answer(_seoul(2024, 6, 10, 21), lambda kis: daily_candles.recent_days(kis, SAMSUNG))


def _minutes() -> Answer:
    """Two minutes of a page, with all their numbers."""
    session, now = calendar.session(date(2024, 6, 11)), _seoul(2024, 6, 11, 21)
    assert session
    made = json.loads(
        _heard(now, lambda kis: minute_candles.past_minutes(kis, SAMSUNG, session))[2]
    )
    made["output2"] = made["output2"][:2]
    return made


def _stock_info() -> Answer:
    """A listing day on KOSPI that stands on FREEBOARD as well."""
    made = _answer(_seoul(2024, 6, 14, 12), lambda kis: stock_info.stock_info(kis, HYNIX))
    made["output"]["frbd_mket_lstg_dt"] = made["output"]["scts_mket_lstg_dt"]
    return made


def _calendar() -> Answer:
    first = date(2026, 6, 1)
    return _answer(_seoul(2026, 6, 1, 8), lambda kis: kis_calendar.market_days(kis, first, first))


def _actions(name: str) -> Answer:
    """Three rows of a list, all of one page."""
    texts = _heard(
        _seoul(2024, 7, 1, 8), lambda kis: corporate_actions.announced(kis, LISTS[name], *YEAR)
    )[1:]
    rows = [row for text in texts for row in json.loads(text)["output1"]]
    rows.sort(key=lambda row: row["sht_cd"] != SAMSUNG)
    return {"output1": rows[:3], "rt_cd": "0", "msg_cd": "MCA00000", "msg1": ""}


def _reductions() -> Answer:
    """By a factor or by its inverse, and one that reduces nothing."""
    made = _actions("cap-dcrs")
    divided, multiplied, nothing = made["output1"]
    divided |= {"reduce_cap_rate": " 4.00", "comp_way": "나누기"}
    multiplied |= {"reduce_cap_rate": " 0.30", "comp_way": "곱하기"}
    nothing |= {"reduce_cap_rate": " 1.00", "comp_way": "곱하기"}
    return made


def _bonus() -> Answer:
    return _actions("bonus-issue")


def _rights() -> Answer:
    """A rate that the shares contradict, and is not listed yet."""
    made = _actions("paidin-capin")
    odd = made["output1"][1]
    odd |= {"fix_rate": " 20.00", "list_date": ""}
    odd["issue_stk_qty"] = f"{int(odd['tot_issue_stk_qty']) // 100:12}"
    return made


def _dividends() -> Answer:
    """Recorded at the end of the year, which is not a trading day."""
    made = _actions("dividend")
    assert made["output1"][0]["sht_cd"] == SAMSUNG
    made["output1"][0]["record_date"] = "20231231"
    return made


def _token() -> str:
    return _heard(MAY, lambda kis: quotes.price(kis, SAMSUNG))[0]


def _frame(tr_id: str, *rows: list[str]) -> str:
    return f"0|{tr_id}|{len(rows):03d}|{'^'.join('^'.join(row) for row in rows)}"


def _three_trades() -> str:
    """Trades of one second in one frame."""
    at = _seoul(2025, 7, 30, 9, 47, 51)
    market = ModelMarket(seed=0, clock=lambda: at)
    quote = market.quote(SAMSUNG, at)
    assert quote
    made = market.trades(SAMSUNG, at.date())[-3:]
    book = market.book(SAMSUNG, at)
    return _frame(
        "H0STCNT0", *(trade_fields(trade._replace(at=at), quote, book, "") for trade in made)
    )


def _grown_book(tr_id: str, at: datetime, *appended: str) -> str:
    """A book with fields that nobody announced."""
    seen_at = at.replace(hour=14)
    market = ModelMarket(seed=0, clock=lambda: seen_at)
    quote, book = market.quote(SAMSUNG, seen_at), market.book(SAMSUNG, seen_at)
    assert quote
    assert book
    fields = book_fields(tr_id, quote, book)
    fields[1] = f"{at:%H%M%S}"
    return _frame(tr_id, [*fields, *appended])


def _book_of_krx() -> str:
    return _grown_book("H0STASP0", _seoul(2026, 6, 29, 14, 33, 54), "60350", "0", "0")


def _book_of_all() -> str:
    appended = ("60350", "0", "0", "0", "0", "0", "0")
    return _grown_book("H0UNASP0", _seoul(2026, 6, 29, 15, 41), *appended)


ANSWERS: dict[int, Callable[[], Answer | str]] = {
    **{2: _price, 4: _book, 6: _daily, 8: _halved, 9: _recent, 11: _minutes, 13: _stock_info},
    **{15: _calendar, 16: _reductions, 18: _bonus, 19: _rights, 20: _dividends, 22: _token},
    **{23: _three_trades, 24: _book_of_krx, 26: _book_of_all},
}
