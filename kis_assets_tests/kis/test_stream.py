"""The real-time feed: what frames say, and a session with KIS's server through good and bad."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.cli.stream import _print_lines
from kis_assets.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotSupported,
    ServiceUnavailable,
    SessionInUse,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue
from kis_assets.kis import approval
from kis_assets.kis.stream import Stream
from kis_assets.kis.stream_records import BookUpdate, RealTime, Trade, records
from kis_assets.kis.stream_stocks import Level
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import Clock

MORNING = datetime(2026, 3, 17, 10, 30, 0, tzinfo=calendar.SEOUL)
NOW = datetime(2026, 9, 22, 10, 30, 15, tzinfo=calendar.SEOUL)
# The two frames of the protocol notes, as they stand there.
TRADE = (
    "900110^103015^71200^2^1200^1.71^70950.25^70300^71500^69900^71200^71100^15^1234567^87592837000"
    "^3120^4015^895^112.40^580120^652010^1^0.52^123.46^090005^2^900^101244^5^-300^090130^2^1300"
    "^20260922^20^N^1520^980^49770^51893^0.82^640210^192.84^0^^70300"
)
BOOK = (
    "900110^103015^0^71200^71300^71400^71500^71600^71700^71800^71900^72000^72100^71100^71000^70900"
    "^70800^70700^70600^70500^70400^70300^70200^1520^2310^4105^3980^8870^2250^1990^5401^7310^12034"
    "^980^3320^2740^5102^6633^9021^1180^4407^3300^15210^49770^51893^0^0^0^0^0^0^3^0.00^1234567^-20"
    "^15^0^0^0"
)


def frame(tr_id: str, *rows: str) -> str:
    return f"0|{tr_id}|{len(rows):03d}|{'^'.join(rows)}"


def read(text: str) -> list[RealTime]:
    return records(text, NOW.date(), NOW)


class Market:
    """A market whose clock a test sets."""

    def __init__(self, at: datetime = MORNING) -> None:
        self.at = at
        self.model = ModelMarket(seed=0, clock=lambda: self.at)


@pytest.fixture
def hall(settings: Settings) -> Iterator[Hall]:
    with a_hall(settings) as opened:
        yield opened


class Hall:
    """A server on loopback that looks at its market every 10 ms, and streams of it."""

    def __init__(self, simulator: Simulator, market: Market, settings: Settings) -> None:
        self.simulator, self.market, self.settings = simulator, market, settings
        self.slept: list[float] = []

    def stream(
        self, codes: list[str] | None = None, kinds: Any = ("trade",), **more: Any
    ) -> Stream:
        more.setdefault("sleep", self.slept.append)
        return Stream(self.settings, codes or ["005930"], kinds, **more)

    def moving(self, stream: Stream) -> Iterator[RealTime]:
        """The records of a stream, while each look at the clock finds it a second later."""
        clock = itertools.count()
        began = self.market.at
        model = self.market.model
        model._clock = lambda: began + timedelta(seconds=next(clock))
        return iter(stream)


@contextmanager
def a_hall(settings: Settings, **options: Any) -> Iterator[Hall]:
    market = Market()
    simulator = Simulator(market.model, rate_limit=0, token_window=0.0, **options)
    with serve(simulator, tick=0.01) as url:
        there = {
            f"kis_{what}_{environment}": address
            for what, address in (("api_base_url", url), ("ws_url", url.replace("http", "ws")))
            for environment in ("real", "virtual")
        }
        yield Hall(simulator, market, settings.model_copy(update=there))


# Frames.


def test_a_trade_is_read_with_its_instant_in_seoul() -> None:
    (trade,) = read(frame("H0STCNT0", TRADE))
    assert isinstance(trade, Trade)
    assert trade == Trade(
        stock_code="900110", traded_at=NOW, price=71200, quantity=15, side="buy", change=1200,
        change_rate=1.71, open=70300, high=71500, low=69900, best_ask=71200, best_bid=71100,
        volume=1234567, trading_value=87592837000, is_halted=False, session=None, received_at=NOW,
        average_price=70950.25, buy_count=4015, sell_count=3120, buy_volume=652010,
        sell_volume=580120, strength=112.4, best_ask_volume=1520, best_bid_volume=980,
        total_ask_volume=49770, total_bid_volume=51893, hour_class="in_session", phase_code="20",
    )  # fmt: skip
    assert trade.traded_at.isoformat() == "2026-09-22T10:30:15+09:00"


def test_a_book_is_read_best_level_first() -> None:
    (book,) = read(frame("H0STASP0", BOOK))
    assert isinstance(book, BookUpdate)
    assert book.booked_at == NOW
    assert (book.asks[0], book.asks[9]) == (Level(71200, 1520), Level(72100, 12034))
    assert (book.bids[0], book.bids[9]) == (Level(71100, 980), Level(70200, 15210))
    assert (book.total_ask_volume, book.total_bid_volume) == (49770, 51893)
    assert (book.expected_price, book.expected_volume) == (None, None)
    row = book.row()
    assert (row["ask_price_1"], row["bid_volume_10"], "asks" in row) == (71200, 15210, False)


def test_an_auctions_book_has_an_expected_price_and_no_empty_levels() -> None:
    values = BOOK.split("^")
    values[3 + 4 : 13] = ["0"] * 6
    values[47:50] = ["71150", "0", "5000"]
    (book,) = read(frame("H0STASP0", "^".join(values)))
    assert isinstance(book, BookUpdate)
    assert (len(book.asks), len(book.bids)) == (4, 10)
    assert (book.expected_price, book.expected_volume) == (71150, 5000)
    assert (book.row()["ask_price_4"], book.row()["ask_price_5"]) == (71500, None)


def test_several_records_of_a_frame_are_told_apart_also_with_fields_that_nobody_announced() -> None:
    other = TRADE.replace("900110^103015^71200", "000660^103016^71300")
    for more in ("", "^7^^X1"):
        first, second = read(frame("H0STCNT0", TRADE + more, other + more))
        assert (first.stock_code, second.stock_code) == ("900110", "000660")
        assert isinstance(second, Trade)
        assert (second.price, second.traded_at - NOW) == (71300, timedelta(seconds=1))
    assert [type(record) for record in read(frame("H0STASP0", BOOK + "^1^2", BOOK + "^1^2"))] == [
        BookUpdate, BookUpdate,
    ]  # fmt: skip


def test_a_falling_price_whose_change_comes_without_a_sign_is_negative() -> None:
    (trade,) = read(frame("H0STCNT0", TRADE.replace("^2^1200^1.71^", "^5^1200^1.71^")))
    assert isinstance(trade, Trade)
    assert (trade.change, trade.change_rate) == (-1200, -1.71)


def test_the_feeds_of_other_venues_are_read_alike() -> None:
    assert read(frame("H0UNCNT0", TRADE))[0].stock_code == "900110"
    assert read(frame("H0NXASP0", BOOK + "^0^0^0^0^0^0"))[0].stock_code == "900110"


@pytest.mark.parametrize(
    ("code", "session"),
    [
        ("1", "pre_market"), ("2", "regular"), ("3", "after_market"), ("5", "closing_price"),
        ("4", None), ("", None), ("x", None), ("03", None),
    ],
)  # fmt: skip
def test_a_record_says_which_session_it_is_of(code: str, session: str | None) -> None:
    """In its last field since 2026-09-14, after the ones that were there before."""
    for tr_id in ("H0STCNT0", "H0NXCNT0", "H0UNCNT0"):
        two = read(frame(tr_id, f"{TRADE}^{code}", f"{TRADE}^{code}"))
        assert [record.session for record in two] == [session, session]
        assert read(frame(tr_id, f"{TRADE}^{code}^new^1"))[0].session == session
    for before in ("", "^71150^0^1"):
        assert read(frame("H0STASP0", f"{BOOK}{before}^{code}"))[0].session == session


@pytest.mark.parametrize(
    ("tr_id", "text"),
    [
        ("H0STCNT0", TRADE),
        ("H0STASP0", BOOK),
        # What ends these is the class of an order at the middle, or whose expected price it is.
        ("H0STASP0", f"{BOOK}^71150^0^1"),
        ("H0UNASP0", f"{BOOK}^71150^0^1^71150^0^1^1"),
        ("H0NXASP0", f"{BOOK}^71150^0^1^71150^0^1"),
        # Where the field stands in a width that nobody has seen is not known.
        ("H0STASP0", f"{BOOK}^71150^0^1^3^2"),
    ],
)
def test_a_record_without_that_field_says_nothing_of_its_session(tr_id: str, text: str) -> None:
    assert read(frame(tr_id, text))[0].session is None


def test_an_encrypted_frame_is_refused_plainly() -> None:
    with pytest.raises(NotSupported, match="an encrypted frame of H0STCNI0"):
        read("1|H0STCNI0|001|bm9uc2Vuc2U=")


@pytest.mark.parametrize(
    "text",
    [
        "", "0|H0STCNT0", "0|H0STCNT0|xx|1^2", "0|H0STCNT0|000|1^2", f"0|H0XXXXX0|001|{TRADE}",
        f"0|H0STCNT0|002|{TRADE}^1", f"0|H0STCNT0|001|{TRADE[:40]}",
        f"0|H0STCNT0|001|{TRADE.replace('71200', 'seventy', 1)}",
        f"0|H0STASP0|001|{BOOK.replace('103015', '259999')}",
    ],
)  # fmt: skip
def test_a_frame_that_cannot_be_read_is_no_record(text: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        read(text)


# A session.


def test_trades_come_in_order_and_add_up_to_the_days_volume(hall: Hall) -> None:
    with hall.stream() as stream:
        found = list(itertools.islice(hall.moving(stream), 12))
    trades = [record for record in found if isinstance(record, Trade)]
    assert len(trades) == 12
    for before, after in itertools.pairwise(trades):
        assert before.traded_at <= after.traded_at
        assert after.volume == before.volume + after.quantity
    assert all(MORNING < trade.traded_at < MORNING + timedelta(hours=1) for trade in trades)
    assert all(trade.low <= trade.price <= trade.high for trade in trades)


def test_trades_and_books_of_several_stocks_come_in_one_session(hall: Hall) -> None:
    codes = ["005930", "000660"]
    seen: set[tuple[str, type]] = set()
    with hall.stream(codes, ("trade", "book")) as stream:
        for record in itertools.islice(hall.moving(stream), 500):
            seen.add((record.stock_code, type(record)))
            if len(seen) == 4:
                break
    assert seen == {(code, kind) for code in codes for kind in (Trade, BookUpdate)}
    assert hall.simulator.realtime.opened == 1


def test_unannounced_fields_change_nothing(hall: Hall) -> None:
    hall.simulator.faults.extra_fields = When(path="tryitout")
    with hall.stream(kinds=("trade", "book")) as stream:
        found = {type(record) for record in itertools.islice(hall.moving(stream), 60)}
    assert found == {Trade, BookUpdate}
    assert stream.discarded == 0


def test_a_ping_is_answered(hall: Hall) -> None:
    hall.simulator.realtime.ping_every = 0.0
    with hall.stream() as stream:
        for _ in hall.moving(stream):
            if hall.simulator.realtime.pongs >= 2:
                break
    assert stream.reconnects == 0


def test_a_torn_connection_is_opened_again_with_all_registrations(hall: Hall) -> None:
    with hall.stream(["005930", "000660"]) as stream:
        records = hall.moving(stream)
        next(records)
        hall.simulator.faults.stream_drop = When(calls=1)
        seen: set[str] = set()
        for record in records:
            seen.update([record.stock_code] if stream.reconnects else [])
            if len(seen) == 2:
                break
    assert stream.reconnects == 1
    assert hall.simulator.realtime.opened == 2
    assert [wait for wait in hall.slept if wait > 0.1] == [pytest.approx(0.75, abs=0.25)]


def test_the_waits_between_tries_grow_and_end_below_a_minute(hall: Hall) -> None:
    class Enough(Exception):
        pass

    waits: list[float] = []

    def sleep(seconds: float) -> None:
        if seconds > 0.1:
            waits.append(seconds)
        if len(waits) == 10:
            raise Enough

    with hall.stream(sleep=sleep) as stream:
        records = hall.moving(stream)
        next(records)
        hall.simulator.faults.stream_drop = When(calls=1)
        hall.simulator.faults.down = When(path="tryitout")
        with pytest.raises(Enough):
            list(records)
    assert all(
        low <= wait <= 2 * low for wait, low in zip(waits, [0.5, 1, 2, 4, 8, 16], strict=False)
    )
    assert all(30 <= wait <= 60 for wait in waits[6:])


def test_silence_counts_as_a_dead_connection(hall: Hall) -> None:
    """The market stands still and nobody pings, until the session was opened anew."""
    with hall.stream(silence=0.3) as stream:
        moves = iter([lambda: hall.moving(stream)])
        stream._sleep = lambda seconds: seconds > 0.1 and next(moves, lambda: None)()
        record = next(iter(stream))
    assert record.stock_code == "005930"
    assert stream.reconnects >= 1


def test_pings_are_words_enough_where_nobody_trades(hall: Hall) -> None:
    """A thin stock in the evening: KIS pings every ten seconds, and else says nothing for hours."""
    realtime = hall.simulator.realtime
    realtime.ping_every = 0.02
    began, late = hall.market.at, itertools.count()

    def clock() -> datetime:
        return began + timedelta(seconds=next(late) if realtime.pongs > 60 else 0)

    hall.market.model._clock = clock
    # Sixty pings take longer than that; a busy machine pauses for less.
    with hall.stream(silence=1.0) as stream:
        assert next(iter(stream)).stock_code == "005930"
    assert realtime.pongs > 60
    assert stream.reconnects == 0


def test_a_server_that_cannot_be_reached_is_an_error_after_a_few_tries(hall: Hall) -> None:
    hall.simulator.faults.down = When(path="tryitout")
    settings = hall.settings.model_copy(update={"kis_api_max_retries": 2})
    tries = hall.slept
    with (
        pytest.raises(ServiceUnavailable, match="cannot be reached or broke off"),
        Stream(settings, ["005930"], sleep=tries.append) as stream,
    ):
        next(iter(stream))
    assert len(tries) == 2


def test_a_second_session_of_the_same_key_is_refused_by_name(hall: Hall) -> None:
    with hall.stream() as first, hall.stream() as second:
        records = hall.moving(first)
        next(records)
        with pytest.raises(SessionInUse, match="another session of this app key is open") as told:
            next(iter(second))
        assert next(records).stock_code == "005930"
    assert told.value.msg_cd == "OPSP8996"


def test_a_session_that_kis_still_holds_after_a_drop_is_waited_for(hall: Hall) -> None:
    with hall.stream() as stream:
        records = hall.moving(stream)
        next(records)
        realtime = hall.simulator.realtime
        app_key = hall.settings.credentials[0].app_key.get_secret_value()
        holder = realtime._holders[app_key]

        def sleep(seconds: float) -> None:
            hall.slept.append(seconds)
            if seconds >= 30:
                realtime.release(ghost)

        stream._sleep = sleep
        ghost = realtime.open()
        realtime.release(holder)
        assert realtime.claim(app_key, ghost)
        hall.simulator.faults.stream_drop = When(calls=1)
        while stream.reconnects < 2:
            next(records)
    assert max(hall.slept) >= 30


def test_a_key_that_was_refused_is_asked_for_anew_once(hall: Hall) -> None:
    with hall.stream() as first:
        next(hall.moving(first))
    asked = hall.simulator.calls("/oauth2/Approval")
    hall.simulator.tokens.revoke()
    with hall.stream() as second:
        assert next(iter(second)).stock_code == "005930"
    assert (asked, hall.simulator.calls("/oauth2/Approval")) == (1, 2)


def test_a_key_that_is_refused_at_once_ends_the_stream(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hall.simulator.tokens, "approved", lambda _: None)
    with hall.stream() as stream, pytest.raises(AuthenticationFailed, match="OPSP0011"):
        next(iter(stream))
    assert hall.simulator.calls("/oauth2/Approval") == 1


def test_streams_of_one_process_share_the_approval_key(hall: Hall) -> None:
    for _ in range(3):
        with hall.stream() as stream:
            next(hall.moving(stream))
    assert hall.simulator.calls("/oauth2/Approval") == 1


def test_a_wrong_secret_is_named_and_shown_nowhere(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hall.simulator.tokens._app_keys = {hall.settings.credentials[0].app_key.get_secret_value(): "x"}
    with hall.stream() as stream, pytest.raises(AuthenticationFailed, match="EGW00105") as told:
        next(iter(stream))
    secret = hall.settings.credentials[0].app_secret.get_secret_value()
    assert secret not in str(told.value) + caplog.text


def test_the_approval_key_stands_in_no_log(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with hall.stream() as stream:
        next(hall.moving(stream))
    (key,) = hall.simulator.tokens._approved
    assert key not in caplog.text + repr(approval._keys)


def test_asking_for_the_approval_key_takes_a_permit(hall: Hall) -> None:
    """At one request in 100 s, the second one does not come within the patience."""
    slow = {"kis_api_rate_limit": 0.01, "kis_api_queue_timeout": 0.05}
    hall.settings = hall.settings.model_copy(update=slow)
    from kis_assets.errors import RateLimited
    from kis_assets.kis.client import Client

    client = Client(hall.settings)
    client.accounts.approval_key()
    with pytest.raises(RateLimited):
        client.accounts.approval_key()
    client.close()
    assert hall.simulator.calls("/oauth2/Approval") == 1


@pytest.mark.parametrize(("interval", "takes"), [(1.0, 2), (60.0, 65)])
def test_an_approval_key_comes_whatever_the_interval_of_issues(
    hall: Hall, clock: Clock, interval: float, takes: float
) -> None:
    """KIS states one a second; whether it is one a minute, as with tokens, is not known."""
    tokens = hall.simulator.tokens
    tokens.approval_window, tokens._monotonic = interval, clock
    credential = hall.settings.credentials[0]
    tokens.approve(  # another program asks
        credential.app_key.get_secret_value(), credential.app_secret.get_secret_value()
    )
    with hall.stream(sleep=clock.sleep) as stream:
        assert next(hall.moving(stream)).stock_code == "005930"
    assert 1 <= sum(clock.slept) <= takes


def test_one_code_is_no_list_of_letters(hall: Hall) -> None:
    with Stream(hall.settings, "005930", ["trade"]) as stream:
        assert [code for _, code in stream._wanted] == ["005930"]


def test_a_session_takes_41_registrations_and_kis_refuses_the_42nd(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [f"{n:06d}" for n in range(100, 142)]
    with pytest.raises(InvalidRequest, match="42 registrations, and KIS takes 41"):
        hall.stream(codes)
    with pytest.raises(InvalidRequest, match="42 registrations"):
        hall.stream(codes[:21], ("trade", "book"))
    hall.stream(codes[:41]).close()
    monkeypatch.setattr("kis_assets.kis.stream_registrations.REGISTRATIONS", 42)
    with (
        hall.stream(codes) as stream,
        pytest.raises(InvalidRequest, match="MAX SUBSCRIBE OVER") as told,
    ):
        next(iter(stream))
    assert (told.value.msg_cd, told.value.stock_code) == ("OPSP0008", codes[41])


def test_what_cannot_be_streamed_is_refused_before_anything_is_asked(hall: Hall) -> None:
    with pytest.raises(InvalidRequest, match="'12' is no stock code"):
        hall.stream(["12"])
    with pytest.raises(InvalidRequest, match="no stock or kind"):
        hall.stream(kinds=())
    virtual = {"kis_use_virtual_server": True, "kis_venue": Venue.NXT}
    with pytest.raises(NotSupported, match="only the feed of KRX"):
        Stream(hall.settings.model_copy(update=virtual), ["005930"])
    assert hall.simulator.log == []


@pytest.mark.parametrize("venue", [Venue.NXT, Venue.UNIFIED])
def test_stocks_that_nxt_does_not_trade_are_refused_for_they_stay_silent(
    hall: Hall, venue: Venue
) -> None:
    """KIS acknowledges them as a success and never sends a frame."""
    stocks = hall.market.model.stocks(MORNING.date())
    there = next(stock.code for stock in stocks if stock.on_nxt)
    lacking = next(stock.code for stock in stocks if not stock.on_nxt and stock.market == "KOSPI")
    address = hall.settings.kis_api_base_url_real
    hall.settings = hall.settings.model_copy(
        update={"kis_venue": venue, "kis_master_base_url": address}
    )
    with pytest.raises(InvalidRequest, match=f"NXT does not trade {lacking}, .*KIS_VENUE=krx"):
        hall.stream([there, lacking])
    assert hall.simulator.realtime.opened == 0
    with hall.stream([there]) as stream:
        assert next(hall.moving(stream)).stock_code == there


def test_where_it_is_not_known_what_nxt_trades_a_warning_says_so(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = {"kis_venue": Venue.UNIFIED, "kis_master_base_url": "http://127.0.0.1:1"}
    hall.settings = hall.settings.model_copy(update=nowhere)
    with hall.stream() as stream:
        assert next(hall.moving(stream)).stock_code == "005930"
    assert "the list of NXT's stocks is not available" in caplog.text


def test_the_virtual_server_is_reached_at_its_own_address(settings: Settings) -> None:
    with a_hall(settings, environment="virtual") as hall:
        virtual = {"kis_use_virtual_server": True, "kis_ws_url_real": "ws://127.0.0.1:1"}
        hall.settings = hall.settings.model_copy(update=virtual)
        with hall.stream() as stream:
            assert next(hall.moving(stream)).stock_code == "005930"


def test_closing_from_another_thread_ends_the_iteration(hall: Hall) -> None:
    """The market stands still: the reader waits for a record that never comes."""
    import threading

    with hall.stream() as stream:
        found: list[RealTime] = []
        reader = threading.Thread(target=lambda: found.extend(stream))
        reader.start()
        while not hall.simulator.realtime._holders:
            reader.join(0.005)
        stream.close()
        reader.join(5)
    assert not reader.is_alive()
    assert (found, stream.reconnects) == ([], 0)


def test_a_frame_that_cannot_be_read_is_left_out_and_the_next_one_comes(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kis_assets.simulator.server import realtime

    real = realtime.trade_fields
    spoilt = iter([True])
    monkeypatch.setattr(
        realtime, "trade_fields", lambda *a: ["x"] if next(spoilt, False) else real(*a)
    )
    with hall.stream() as stream:
        assert isinstance(next(hall.moving(stream)), Trade)
    assert stream.discarded == 1


# The server's own answers, without a connection.


class Desk:
    """A session of the simulator, spoken to directly."""

    def __init__(self, **options: Any) -> None:
        self.market = Market()
        self.server = Simulator(self.market.model, monotonic=lambda: self.ticks, **options)
        self.ticks = 0.0
        self.key = self.server.tokens.approve("P" * 36, "s" * 180)
        self.session = self.server.realtime.open()

    def say(self, tr_id: str = "H0STCNT0", code: str = "005930", tr_type: str = "1", **header: str):
        header = {"approval_key": self.key, "custtype": "P", "tr_type": tr_type} | header
        body = {"input": {"tr_id": tr_id, "tr_key": code}}
        (answer,) = self.session.hear(json.dumps({"header": header, "body": body}))
        told = json.loads(answer)
        return told["body"]["rt_cd"], told["body"]["msg_cd"]


def test_the_server_acknowledges_as_kis_does() -> None:
    desk = Desk()
    assert desk.say() == ("0", "OPSP0000")
    assert desk.say() == ("1", "OPSP0002")
    assert desk.say(tr_type="2") == ("0", "OPSP0001")
    assert desk.say(tr_type="2") == ("1", "OPSP0003")
    assert desk.say(tr_type="9") == ("1", "OPSP8997")
    assert desk.say("H0XXXXX0") == ("1", "OPSP8991")
    assert desk.say(code="999999") == ("0", "OPSP0000")
    assert json.loads(desk.session.hear("nonsense")[0])["body"]["msg_cd"] == "OPSP9999"
    assert not desk.session.is_over
    assert desk.say(approval_key="none") == ("9", "OPSP0011")
    assert desk.session.is_over


def test_the_virtual_server_has_the_feeds_of_krx_alone() -> None:
    desk = Desk(environment="virtual")
    assert desk.say("H0UNCNT0") == ("1", "OPSP8991")
    assert desk.say("H0STASP0") == ("0", "OPSP0000")


def test_the_server_pings_after_ten_seconds_of_silence() -> None:
    desk = Desk()
    desk.say()
    desk.ticks = 9.9
    assert desk.session.frames() == []
    desk.ticks = 10.0
    (ping,) = desk.session.frames()
    assert json.loads(ping)["header"] == {"tr_id": "PINGPONG", "datetime": "20260317103000"}
    desk.session.hear(ping)
    assert desk.server.realtime.pongs == 1


def test_a_day_of_frames_adds_up_to_the_days_minutes() -> None:
    desk = Desk()
    desk.market.at = MORNING.replace(hour=8, minute=59)
    desk.say()
    desk.market.at = MORNING.replace(hour=15, minute=31)
    frames = desk.session.frames()
    for text in frames:
        _, _, count, content = text.split("|")
        assert len(count) == 3
        assert len(content.split("^")) == int(count) * 46
    trades = [it for text in frames for it in records(text, MORNING.date(), NOW)]
    minutes = desk.market.model.minutes("005930", MORNING.date())
    last = trades[-1]
    assert isinstance(last, Trade)
    assert last.traded_at == MORNING.replace(hour=15, minute=30)
    assert last.volume == sum(minute.volume for minute in minutes)
    assert last.trading_value == sum(minute.trading_value for minute in minutes)
    quote = desk.market.model.quote("005930", desk.market.at)
    assert quote is not None
    bar = quote.bar
    assert (last.open, last.high, last.low, last.price) == (bar.open, bar.high, bar.low, bar.close)
    assert last.change == bar.change
    values = [record.trading_value for record in trades if isinstance(record, Trade)]
    assert values == sorted(values)


def test_an_evening_of_frames_is_of_the_after_market() -> None:
    desk = Desk()
    evening = datetime(2026, 9, 22, 16, 30, tzinfo=calendar.SEOUL)
    desk.market.at = evening.replace(hour=15, minute=29)
    desk.say()
    desk.say("H0STASP0")
    desk.market.at = evening
    found = [it for text in desk.session.frames() for it in records(text, evening.date(), evening)]
    trades = [it for it in found if isinstance(it, Trade)]
    auction = evening.replace(hour=15, minute=30)
    assert {it.session for it in trades if it.traded_at <= auction} == {"regular"}
    assert {it.session for it in trades if it.traded_at.hour >= 16} == {"after_market"}
    others = [it.session for it in trades if it.traded_at > auction and it.traded_at.hour < 16]
    assert others == ["closing_price"] * 20
    assert [it.session for it in found if isinstance(it, BookUpdate)] == ["after_market"]


# The command.


@pytest.fixture
def twelve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams end after twelve records."""
    whole = Stream.__iter__
    monkeypatch.setattr(Stream, "__iter__", lambda self: itertools.islice(whole(self), 12))


@pytest.fixture
def environment(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of `hall`, as a person would name it."""
    for name in ("api_base_url_real", "ws_url_real", "app_key", "app_secret"):
        value = getattr(hall.settings, f"kis_{name}")
        text = value if isinstance(value, str) else value.get_secret_value()
        monkeypatch.setenv(f"KIS_{name.upper()}", text)
    monkeypatch.setenv("KIS_USE_VIRTUAL_SERVER", "false")
    monkeypatch.setenv("KIS_REPLAY_AT", MORNING.isoformat())
    monkeypatch.setenv("KIS_MASTER_BASE_URL", hall.settings.kis_api_base_url_real)


@pytest.mark.usefixtures("environment", "twelve")
def test_the_command_prints_what_happens_for_machines(hall: Hall) -> None:
    hall.moving(hall.stream())
    told = CliRunner().invoke(app, ["stream", "005930", "--books", "--json"])
    assert told.exit_code == 0, told.output
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(rows) == 12
    for row in rows:
        instant = row["traded_at" if row["kind"] == "trade" else "booked_at"]
        assert row["stock_code"] == "005930"
        assert datetime.fromisoformat(instant) - MORNING < timedelta(hours=1)
    told = CliRunner().invoke(app, ["stream", "005930", "--csv"])
    header, first, *_ = told.stdout.splitlines()
    assert header.startswith("kind,stock_code,traded_at,price,quantity")
    assert first.startswith("trade,005930,2026-03-17T1")


@pytest.mark.parametrize(
    ("session", "ends"),
    [("after_market", "day 1,234,567  after_market"), ("regular", "day 1,234,567"), (None, "567")],
)
def test_a_line_names_the_session_where_it_is_not_the_regular_one(
    capsys: pytest.CaptureFixture[str], session: str | None, ends: str
) -> None:
    (trade,) = read(frame("H0STCNT0", TRADE))
    (book,) = read(frame("H0STASP0", BOOK))
    _print_lines([replace(record, session=session) for record in (trade, book)])
    trade_line, book_line = capsys.readouterr().out.splitlines()
    assert trade_line.endswith(ends)
    assert ("after_market" in book_line) is (session == "after_market")


@pytest.mark.usefixtures("environment")
def test_the_command_ends_after_the_seconds_asked_for() -> None:
    told = CliRunner().invoke(app, ["stream", "005930", "--seconds", "0.2"])
    assert (told.exit_code, told.output) == (0, "")


@pytest.mark.usefixtures("twelve")
def test_the_command_streams_an_invented_market_and_says_so() -> None:
    told = CliRunner().invoke(app, ["stream", "005930", "000660", "000270", "005380", "--books"])
    assert told.exit_code == 0, told.output
    assert "MOCK DATA" in told.stderr
    assert "bid " in told.stdout
    assert len(told.stdout.splitlines()) == 12


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["강남"], 1, "names are looked up in the stored list"),
        (["005930", "--csv", "--json"], 2, "exclude each other"),
        (["005930", "--csv", "--books"], 2, "use --json"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    arguments: list[str], status: int, sentence: str
) -> None:
    told = CliRunner().invoke(app, ["stream", *arguments])
    assert told.exit_code == status
    assert sentence in " ".join(told.stderr.replace("│", " ").split())
