"""What the simulated real-time feed sends since there is an after-market, and what it does not."""

from __future__ import annotations

import json
from datetime import date

import pytest

from kis_assets.simulator.server.faults import Faults
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.support.market_clock import BUSY, FRIDAY, Clock, shares

HOUR, VOLUME, CODE, CLASS = 1, 13, 34, 46


class Desk:
    """A session of the feed, beside a clock."""

    def __init__(self, clock: Clock, **faults: str) -> None:
        self.clock = clock
        self.server = Simulator(clock.market, faults=Faults(**faults))
        self.server.tokens.approval_window = 0.0
        self.session = self.server.realtime.open()

    def hear(self, tr_id: str, code: str = BUSY, tr_type: str = "1") -> str:
        form = {"grant_type": "client_credentials", "appkey": "P" * 36, "secretkey": "s" * 180}
        reply = self.server.handle("POST", "/oauth2/Approval", [], {}, json.dumps(form).encode())
        header = {"approval_key": json.loads(reply.body)["approval_key"], "tr_type": tr_type}
        body = {"input": {"tr_id": tr_id, "tr_key": code}}
        (answer,) = self.session.hear(json.dumps({"header": header, "body": body}))
        return json.loads(answer)["body"]["msg_cd"]

    def rows(self, day: date, *hour: int) -> list[list[str]]:
        """The records of the frames that come when the clock is turned, each frame's in turn."""
        self.clock(day, *hour)
        found: list[list[str]] = []
        for frame in self.session.frames():
            if frame.startswith("0|"):
                _, _, count, text = frame.split("|")
                values = text.split("^")
                width = len(values) // int(count)
                found += [values[n : n + width] for n in range(0, len(values), width)]
        return found


def test_trades_of_the_evening_come_on_the_ordinary_feed_and_say_so() -> None:
    clock = Clock()
    market = clock(FRIDAY, 16, 38)
    code = next(
        stock.code for stock, bar in shares(market, FRIDAY) if not stock.on_nxt and bar.after
        and bar.trading_value > 3e9
    )  # fmt: skip
    desk = Desk(clock, after_market_code="41")
    assert desk.hear("H0STCNT0", code) == "OPSP0000"
    rows = desk.rows(FRIDAY, 16, 59, 59)
    quote = market.quote(code, market.now())
    assert quote
    assert rows
    assert {len(row) for row in rows} == {47}
    assert {row[CLASS] for row in rows} == {"3"}
    assert {row[CODE] for row in rows} == {"41"}
    assert all("163800" < row[HOUR] < "170000" for row in rows)
    assert (rows[-1][2], rows[-1][VOLUME]) == (str(quote.price), str(quote.bar.volume))


def test_a_trades_class_says_which_session_it_is_of() -> None:
    clock = Clock()
    clock(FRIDAY, 15, 29)
    desk = Desk(clock)
    desk.hear("H0STCNT0")
    print_of_auction = desk.rows(FRIDAY, 15, 35)
    assert [(row[HOUR], row[CLASS]) for row in print_of_auction] == [("153000", "2")]
    at_close = desk.rows(FRIDAY, 15, 50)
    assert (at_close[0][HOUR], at_close[-1][HOUR]) == ("154000", "155000")
    assert {row[CLASS] for row in at_close} == {"5"}
    assert {row[2] for row in at_close} == {print_of_auction[0][2]}
    rest = desk.rows(FRIDAY, 16, 0, 59)
    assert [row[CLASS] for row in rest if row[HOUR] < "160000"] == ["5"] * 9
    assert {row[CLASS] for row in rest if row[HOUR] >= "160000"} == {"3"}


@pytest.mark.parametrize(("tr_id", "fields"), [("H0STASP0", 63), ("H0UNASP0", 66)])
def test_books_come_with_the_fields_that_have_been_appended(tr_id: str, fields: int) -> None:
    clock = Clock()
    clock(FRIDAY, 17)
    desk = Desk(clock)
    desk.hear(tr_id)
    (row,) = desk.rows(FRIDAY, 17, 0, 30)
    assert len(row) == fields
    assert row[-1] == ("3" if tr_id == "H0STASP0" else "1")


def test_before_the_after_market_frames_are_as_they_were() -> None:
    clock = Clock()
    day = date(2026, 9, 11)
    clock(day, 14)
    desk = Desk(clock)
    for tr_id in ("H0STCNT0", "H0STASP0"):
        desk.hear(tr_id)
    assert {len(row) for row in desk.rows(day, 14, 5)} == {46, 59}
    desk.rows(day, 15, 40)
    assert desk.rows(day, 18) == []


@pytest.mark.parametrize("tr_id", ["H0UNCNT0", "H0UNASP0", "H0NXCNT0", "H0NXASP0"])
def test_other_feeds_are_acknowledged_and_silent_for_a_stock_that_is_not_on_nxt(
    tr_id: str,
) -> None:
    clock = Clock()
    market = clock(FRIDAY, 14)
    code = next(
        stock.code for stock, bar in shares(market, FRIDAY)
        if not stock.on_nxt and bar.trading_value > 3e9
    )  # fmt: skip
    desk = Desk(clock)
    assert desk.hear(tr_id, code) == "OPSP0000"
    assert desk.hear(tr_id, BUSY) == "OPSP0000"
    rows = desk.rows(FRIDAY, 14, 5)
    assert rows
    assert {row[0] for row in rows} == {BUSY}
