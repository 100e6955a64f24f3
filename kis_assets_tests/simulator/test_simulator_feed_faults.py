"""What may go wrong with the simulated real-time feed, each where a test turns it on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.realtime import REGISTRATIONS, Session
from kis_assets_tests.simulator.test_simulator_feed import Desk
from kis_assets_tests.simulator.test_simulator_ticks import streamed, true
from kis_assets_tests.support.market_clock import BUSY, FRIDAY, Clock


@pytest.fixture
def desk() -> Desk:
    clock = Clock()
    clock(FRIDAY, 10)
    desk = Desk(clock)
    desk.hear("H0STCNT0")
    return desk


def anew(desk: Desk) -> Session:
    """Another session, once the one before broke off."""
    desk.session.close()
    desk.session = desk.server.realtime.open()
    return desk.session


def frames(desk: Desk, *hour: int) -> list[str]:
    desk.clock(FRIDAY, *hour)
    return desk.session.frames()


def test_faults_are_turned_on_over_http_as_all_others(desk: Desk) -> None:
    settings: dict[str, Any] = {"stream_silence": {"seconds": 30}, "stream_repeat": True}
    reply = desk.server.handle("POST", "/simulator/faults", [], {}, json.dumps(settings).encode())
    assert reply.status == 200
    assert desk.server.faults.stream_silence == When(seconds=30)


def test_a_torn_connection_takes_its_frames_along(desk: Desk) -> None:
    desk.server.faults.stream_drop = When(calls=1)
    assert frames(desk, 10, 5) == []
    assert desk.session.is_torn


def test_in_a_silence_nothing_is_said_and_what_happens_is_lost(desk: Desk) -> None:
    ticks = [0.0]
    desk.server.monotonic = lambda: ticks[0]
    desk.server.faults.stream_silence = When(calls=1, seconds=90)
    assert frames(desk, 10, 1) == []
    # No ping either, for which it would be time.
    ticks[0] = 89.0
    assert frames(desk, 10, 2) == []
    ticks[0] = 90.0
    rows = desk.rows(FRIDAY, 10, 3)
    truth = [true(trade) for trade in desk.clock.market.trades(BUSY, FRIDAY)]
    assert [streamed(row) for row in rows] == [it for it in truth if it[0] > "100200"]


def test_half_a_frame_is_half_a_frame(desk: Desk) -> None:
    whole = frames(desk, 10, 1)
    desk.server.faults.stream_half_frame = When(calls=1, path="H0STCNT0")
    (cut,) = frames(desk, 10, 2)
    assert cut.startswith("0|H0STCNT0|")
    assert len(cut.split("^")) % 47
    assert len(cut) < 0.7 * len(whole[0])
    # What stood in it does not come again.
    assert all(row[1] > "100200" for row in desk.rows(FRIDAY, 10, 3))


def test_the_last_records_come_again_when_a_stock_is_registered_anew(desk: Desk) -> None:
    desk.hear("H0STCNT0", "000660")
    last = frames(desk, 10, 1)
    desk.server.faults.stream_repeat = When(path=BUSY)
    anew(desk)
    desk.hear("H0STCNT0")
    desk.hear("H0STCNT0", "000660")
    again = frames(desk, 10, 1)
    assert again == [frame for frame in last if f"|{BUSY}^" in frame]
    assert desk.rows(FRIDAY, 10, 2)[0][1] > "100100"


def test_nothing_comes_again_of_what_was_never_sent(desk: Desk) -> None:
    desk.server.faults.stream_repeat = True
    desk.server.faults.stream_drop = When(calls=1)
    frames(desk, 10, 1)
    anew(desk)
    desk.hear("H0STCNT0")
    assert frames(desk, 10, 1) == []


def test_a_frame_of_a_stock_that_nobody_asked_for_comes_beside_the_others(desk: Desk) -> None:
    desk.server.faults.stream_stranger = When(calls=1)
    rows = desk.rows(FRIDAY, 10, 1)
    asked = [row for row in rows if row[0] == BUSY]
    others = [row for row in rows if row[0] != BUSY]
    assert [row[1:] for row in others] == [row[1:] for row in asked]
    assert len({row[0] for row in others}) == 1
    assert desk.clock.market.stock(others[0][0])


def test_unknown_fields_end_each_record(desk: Desk) -> None:
    desk.server.faults.extra_fields = When(path="H0STCNT0")
    assert {len(row) for row in desk.rows(FRIDAY, 10, 1)} == {50}


def test_a_key_has_one_session_and_the_first_one_goes_on(desk: Desk) -> None:
    second = Desk(desk.clock)
    second.server, second.session = desk.server, desk.server.realtime.open()
    assert second.hear("H0STCNT0") == "OPSP8996"
    assert second.session.is_over
    assert not desk.session.is_over
    assert desk.rows(FRIDAY, 10, 1)


def test_the_42nd_registration_is_refused_and_one_that_is_given_back_makes_room(
    desk: Desk,
) -> None:
    codes = [f"{number:06d}" for number in range(REGISTRATIONS)]
    told = [desk.hear("H0STCNT0", code) for code in codes]
    assert told == ["OPSP0000"] * 40 + ["OPSP0008"]
    assert desk.hear("H0STCNT0", codes[0], "2") == "OPSP0001"
    assert desk.hear("H0STCNT0", codes[-1]) == "OPSP0000"
