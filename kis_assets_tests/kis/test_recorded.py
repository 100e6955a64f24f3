"""Answers that the real server gave, each read as the page beside them says is right.

They are no part of this repository. Where they are not, and beside them, invented ones are read
that have the same oddities; see `invented_answers.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from kis_assets.defs.assets.corporate_actions import unexplained
from kis_assets.exchange import calendar
from kis_assets.kis import calendar as kis_calendar
from kis_assets.kis import (
    corporate_actions,
    daily_candles,
    minute_candles,
    order_books,
    quotes,
    stock_info,
    stream_records,
)
from kis_assets.kis.client import Client
from kis_assets.kis.fields import frame
from kis_assets.lake.base_prices import moved_bases
from kis_assets.settings import Settings
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import CORPORATE_ACTIONS, DAILY_CANDLES
from kis_assets_tests.conftest import RECORDED
from kis_assets_tests.support.invented_answers import LISTS, SAMSUNG, invented

Answering = Callable[..., Client]
Recorded = Callable[[int], str]
Body = Callable[[int], dict[str, Any]]


def real(number: int) -> str:
    (path,) = RECORDED.glob(f"{number:02}_*")
    return path.read_text("utf-8")


@pytest.fixture(params=[invented, *([real] if RECORDED.exists() else [])])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """The answer of a number."""
    return request.param


@pytest.fixture
def body(recorded: Recorded) -> Body:
    """The answer of a number, decoded."""
    return lambda number: json.loads(recorded(number))


@pytest.fixture
def answering(recorded: Recorded, settings: Settings) -> Iterator[Answering]:
    """A client of a server that gives one recorded answer, and the recorded token before it."""
    with ExitStack() as opened:

        def open_at(number: int, now: datetime) -> Client:
            def answer(request: httpx.Request) -> httpx.Response:
                if request.method == "POST":
                    return httpx.Response(200, text=recorded(22))
                token = json.loads(recorded(22))["access_token"]
                assert request.headers["authorization"] == f"Bearer {token}"
                return httpx.Response(200, text=recorded(number))

            source = opened.enter_context(
                KISDataSource(
                    settings.model_copy(update={"kis_replay_at": now}),
                    transport=httpx.MockTransport(answer),
                    has_quota=False,
                )
            )
            return source._client

        yield open_at


def seoul(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=calendar.SEOUL)  # type: ignore[arg-type]


def test_02_a_price(answering: Answering, body: Body) -> None:
    told = body(2)["output"]
    price = quotes.price(answering(2, seoul(2023, 6, 1, 12)), told["stck_shrn_iscd"])
    assert price["price"] == int(told["stck_prpr"])
    assert price["price"] - price["change"] == price["base_price"] == int(told["stck_sdpr"])
    assert price["listed_shares"] == int(told["lstn_stcn"])


def test_04_a_book_of_continuous_trading_has_no_expected_price(
    answering: Answering, body: Body
) -> None:
    now = seoul(2026, 5, 27, 15, 8, 23)
    book = order_books.order_book(answering(4, now), SAMSUNG, now.date())
    assert (book["expected_price"], book["expected_volume"]) == (None, None)
    assert book["bid_price_1"] == int(body(4)["output1"]["bidp1"])
    assert book["booked_at"] == seoul(2026, 5, 27, 15, 8, 22)


def test_06_daily_bars_in_the_session(answering: Answering, body: Body) -> None:
    now = seoul(2026, 5, 27, 15, 8)
    bars = daily_candles.daily_page(answering(6, now), SAMSUNG, date(2026, 5, 20), now.date())
    assert len(bars) == len([row for row in body(6)["output2"] if row])
    assert [bar["is_final"] for bar in bars] == [False] + [True] * (len(bars) - 1)
    for later, earlier in pairwise(bars):
        assert later["base_price"] == earlier["close"]


def test_08_a_base_that_halves_without_a_mark_is_an_action_of_unknown_kind(
    answering: Answering, body: Body
) -> None:
    now = seoul(2026, 8, 27, 21)
    first, last = date(2026, 8, 25), date(2026, 8, 27)
    code = body(8)["output1"]["stck_shrn_iscd"]
    bars = daily_candles.daily_page(answering(8, now), code, first, last)
    traded, back, halted = bars
    assert (halted["change"], halted["open"], halted["has_traded"]) == (0, 0, False)
    assert back["base_price"] * 2 == halted["close"]
    same = {"stock_code": code, "is_final": True, "source": "kis", "fetched_at": now}
    candles = frame([bar | same for bar in bars], DAILY_CANDLES.schema)
    moved = moved_bases(candles.lazy(), first, last).collect()
    (found,) = unexplained(candles, moved, CORPORATE_ACTIONS.empty(), now).iter_rows(named=True)
    assert (found["effective_on"], found["kind"]) == (back["trading_day"], "other")
    assert (found["ratio"], found["base_ratio"]) == (None, 0.5)
    assert traded["base_price"] == back["close"]


def test_09_recent_days(answering: Answering, body: Body) -> None:
    weeks = daily_candles.recent_days(answering(9, seoul(2024, 6, 10, 21)), SAMSUNG)
    told = body(9)["output"]
    assert [week["close"] for week in weeks] == [int(row["stck_clpr"]) for row in told]
    assert weeks[0]["close"] - weeks[0]["change"] == weeks[1]["close"]


def test_11_minutes_of_a_past_day(body: Body) -> None:
    day = date(2024, 6, 11)
    page = minute_candles.read_page(body(11), SAMSUNG, day, seoul(2024, 6, 11, 15, 30), 120)
    assert not page.others
    newest, before = page.bars
    assert newest["started_at"] - before["started_at"] == timedelta(minutes=1)
    assert newest["value_so_far"] - before["value_so_far"] == pytest.approx(
        newest["volume"] * newest["close"], rel=0.01
    )


def test_13_a_listing_day_on_kospi_is_none_on_freeboard(answering: Answering, body: Body) -> None:
    facts = stock_info.stock_info(answering(13, seoul(2024, 6, 14, 12)), "000660")
    assert f"{facts['listed_on_kospi']:%Y%m%d}" == body(13)["output"]["scts_mket_lstg_dt"]
    assert facts["listed_on_freeboard"] is None
    assert facts["kind_of_share"] == "common"


def test_15_a_page_of_the_calendar(answering: Answering, body: Body) -> None:
    first = date(2026, 6, 1)
    days = kis_calendar.market_days(answering(15, seoul(2026, 6, 1, 8)), first, first)
    assert len(days) == 24
    assert max(days) == date.fromisoformat(body(15)["ctx_area_nk"].strip())
    opened = [day for day, is_open in days.items() if is_open]
    assert opened == calendar.trading_days(first, max(days))


def actions(answering: Answering, body: Body, number: int, name: str) -> dict[str, dict[str, Any]]:
    client, month = answering(number, seoul(2024, 7, 1, 8)), (date(2024, 3, 1), date(2024, 3, 31))
    rows = corporate_actions.announced(client, LISTS[name], *month)
    assert len(rows) == len(body(number)["output1"])
    return {row["stock_code"]: row for row in rows}


def test_16_reductions_multiply_or_divide(answering: Answering, body: Body) -> None:
    found = actions(answering, body, 16, "cap-dcrs")
    assert {0.3, 0.25, 1} <= {round(row["ratio"], 9) for row in found.values()}
    for row in body(16)["output1"]:
        rate, divides = float(row["reduce_cap_rate"]), row["comp_way"] == "나누기"
        assert found[row["sht_cd"]]["ratio"] == pytest.approx(1 / rate if divides else rate)
        if row["list_dt"]:
            assert f"{found[row['sht_cd']]['effective_on']:%Y/%m/%d}" == row["list_dt"]


def test_18_a_bonus_issue(answering: Answering, body: Body) -> None:
    found = actions(answering, body, 18, "bonus-issue")
    for row in body(18)["output1"]:
        issue = found[row["sht_cd"]]
        new = int(row["issue_stk_qty"]) / int(row["tot_issue_stk_qty"])
        assert issue["ratio"] == pytest.approx(1 + new)
        assert f"{issue['effective_on']:%Y%m%d}" == row["right_dt"]


def test_19_a_rights_issue_counts_by_its_shares(answering: Answering, body: Body) -> None:
    found = actions(answering, body, 19, "paidin-capin")
    # One says 20 %, and its shares say less than one.
    odd = [row for row in body(19)["output1"] if float(row["fix_rate"]) == 20]
    assert [found[row["sht_cd"]]["ratio"] < 1.02 for row in odd] == [True]
    for issue in found.values():
        assert issue["ratio"] == 1 + issue["new_shares"] / issue["shares_before"]


def test_20_dividends(answering: Answering, body: Body) -> None:
    found = actions(answering, body, 20, "dividend")
    assert {row["kind"] for row in found.values()} == {"cash_dividend"}
    for row in body(20)["output1"]:
        assert found[row["sht_cd"]]["amount"] == int(row["per_sto_divi_amt"])
    assert found[SAMSUNG]["effective_on"] == date(2023, 12, 27)


def values(frame: str) -> list[str]:
    return frame.strip().split("|", 3)[3].split("^")


def test_23_a_frame_of_three_trades(recorded: Recorded) -> None:
    day = date(2025, 7, 30)
    trades = stream_records.records(recorded(23).strip(), day, seoul(2025, 7, 30, 9, 47, 52))
    width = len(values(recorded(23))) // 3
    told = [values(recorded(23))[start : start + width] for start in (0, width, 2 * width)]
    for trade, record in zip(trades, told, strict=True):
        assert isinstance(trade, stream_records.Trade)
        assert (trade.stock_code, trade.traded_at) == (SAMSUNG, seoul(2025, 7, 30, 9, 47, 51))
        assert (trade.price, trade.quantity) == (int(record[2]), int(record[12]))
        assert (trade.volume, trade.session) == (int(record[13]), None)
        assert (trade.sell_count, trade.buy_count) == (int(record[15]), int(record[16]))
        assert (trade.best_ask_volume, trade.best_bid_volume) == (int(record[36]), int(record[37]))
        assert trade.average_price == float(record[6])
        assert trade.buy_volume
        assert trade.sell_volume
        strength = 100 * trade.buy_volume / trade.sell_volume
        assert trade.strength == pytest.approx(strength, abs=0.006)


@pytest.mark.parametrize(
    ("number", "booked_at"),
    [(24, seoul(2026, 6, 29, 14, 33, 54)), (26, seoul(2026, 6, 29, 15, 41))],
)
def test_24_and_26_frames_of_books_have_grown(
    recorded: Recorded, number: int, booked_at: datetime
) -> None:
    told = values(recorded(number))
    assert len(told) > stream_records.BOOK.least
    (book,) = stream_records.records(recorded(number).strip(), booked_at.date(), booked_at)
    assert isinstance(book, stream_records.BookUpdate)
    assert (book.stock_code, book.booked_at, book.session) == (SAMSUNG, booked_at, None)
    assert [level.price for level in book.asks] == [int(price) for price in told[3:13]]
    assert [level.volume for level in book.bids] == [int(count) for count in told[33:43]]
    assert (book.total_ask_volume, book.total_bid_volume) == (int(told[43]), int(told[44]))
    assert (book.expected_price, book.expected_volume) == (None, None)
