"""A real-time server that lies: it costs a frame or the session, by name."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.sync.server import ServerConnection, serve

from kis_assets.errors import NotSupported, ServiceUnavailable, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.stream import Stream
from kis_assets.kis.stream_records import RealTime, Trade, records
from kis_assets.settings import Settings
from kis_assets_tests.kis.test_stream import BOOK, NOW, TRADE, frame
from kis_assets_tests.transport.test_bounds import EVERY, saying

CODE = "900110"


class Keys:
    """Stands for the client that asks for the approval key."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.accounts = self

    def approval_key(self) -> SecretStr:
        return SecretStr(self._key)


@contextmanager
def following(
    settings: Settings, url: str, key: str = "THE-APPROVAL-KEY", **more: Any
) -> Iterator[Stream]:
    there = settings.model_copy(
        update={
            "kis_ws_url_real": url,
            "kis_api_base_url_real": url.replace("ws", "http", 1),
            "kis_replay_at": NOW,
            "kis_api_timeout": 0.3,
            "kis_api_max_retries": 1,
        }
    )
    options: dict[str, Any] = {"sleep": lambda _: None, "client": Keys(key)} | more
    with Stream(there, [CODE], ("trade",), **options) as stream:
        yield stream


@contextmanager
def feed(*messages: str | bytes) -> Iterator[str]:
    """The address of a server that says these things to whoever registers."""

    def answer(connection: ServerConnection) -> None:
        connection.recv()
        for message in messages:
            connection.send(message)
        for _ in connection:
            pass

    with serve(answer, "127.0.0.1", 0, compression=None, max_size=None) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"


def acknowledged(tr_id: str = "H0STCNT0", **header: Any) -> str:
    told = {"tr_id": tr_id, "tr_key": CODE, "encrypt": "N"} | header
    return json.dumps({"header": told, "body": {"rt_cd": "0", "msg_cd": "OPSP0000", "msg1": "OK"}})


def with_field(place: int, word: str, row: str = TRADE) -> str:
    values = row.split("^")
    values[place] = word
    return "^".join(values)


GOOD = frame("H0STCNT0", TRADE)


def first(settings: Settings, *messages: str | bytes) -> tuple[RealTime, Stream]:
    """The first record that a stream believes of these messages and a good frame behind them."""
    with feed(acknowledged(), *messages, GOOD) as url, following(settings, url) as stream:
        return next(iter(stream)), stream


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed_for_the_key_would_go_along(
    settings: Settings, status: int
) -> None:
    visitors: list[object] = []
    with serve(visitors.append, "127.0.0.1", 0) as elsewhere:
        Thread(target=elsewhere.serve_forever, daemon=True).start()
        there = f"ws://127.0.0.1:{elsewhere.socket.getsockname()[1]}/tryitout"
        led = f"HTTP/1.1 {status} Found\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n"
        with (
            saying([led.encode()]) as url,
            following(settings, url.replace("http", "ws")) as stream,
            pytest.raises(ServiceUnavailable, match=str(status)) as caught,
        ):
            next(iter(stream))
    assert visitors == []
    assert "THE-APPROVAL-KEY" not in str(caught.value)


def test_a_handshake_that_drips_ends_with_the_timeout(settings: Settings) -> None:
    drip = [b"HTTP/1.1 101 Switching Protocols\r\n", b"x-a: ", *[b"a"] * 100]
    with (
        saying(drip, EVERY) as url,
        following(settings, url.replace("http", "ws")) as stream,
        pytest.raises(ServiceUnavailable, match="TimeoutError"),
    ):
        next(iter(stream))


def test_what_was_not_asked_for_is_dropped_and_told_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    others = [frame("H0STCNT0", with_field(0, code)) for code in ("005930", "<b>", "'; --")]
    book, of_nxt = frame("H0STASP0", BOOK), frame("H0NXCNT0", TRADE)
    record, stream = first(settings, *others, book, of_nxt)
    assert isinstance(record, Trade)
    assert (record.stock_code, stream.unasked, stream.discarded) == (CODE, 5, 0)
    assert caplog.text.count("was not requested") == 1


WRONG_FIELDS = {
    "a price of 10^300": (2, "1" + "0" * 300),
    "a price of 1e300": (2, "1e300"),
    "a volume of 2^63": (13, str(2**63)),
    "a value of 5,000 digits": (14, "9" * 5000),
    "no number": (14, "NaN"),
    "an infinite rate": (5, "1e999"),
    "a negative price": (2, "-5"),
    "a negative volume": (13, "-5"),
    "a day of another age": (33, "00010101"),
    "a day to come": (33, "20991231"),
    "no hour": (1, "256161"),
}


@pytest.mark.parametrize("name", WRONG_FIELDS)
def test_a_figure_that_cannot_be_is_not_believed(name: str) -> None:
    place, word = WRONG_FIELDS[name]
    with pytest.raises(UnexpectedAnswer):
        records(frame("H0STCNT0", with_field(place, word)), NOW.date(), NOW)


@pytest.mark.parametrize("word", ["-1", str(2**63), "1e300", "x"])
@pytest.mark.parametrize("place", [3, 23, 43, 47])
def test_a_book_that_cannot_be_is_not_believed(place: int, word: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        records(frame("H0STASP0", with_field(place, word, BOOK)), NOW.date(), NOW)


BROKEN: dict[str, str | bytes] = {
    "5,000 digits of records": f"0|H0STCNT0|{'9' * 5000}|{TRADE}",
    "more records than there are": f"0|H0STCNT0|999|{TRADE}",
    "records of another length": f"0|H0STCNT0|002|{TRADE}^{TRADE}^{TRADE}"[:-200],
    "half a frame": GOOD[: len(GOOD) // 2],
    "a price that cannot be": frame("H0STCNT0", with_field(2, "1" + "0" * 300)),
    "nothing": "",
    "bytes": b"\xff\xfe\x00",
    "nested JSON": '{"header": ' + "[" * 100_000,
    "a list": '{"header": [1]}',
    "digits": '{"header": ' + "9" * 5000 + "}",
    "kinds": '{"header": {"tr_id": {}}, "body": {"msg_cd": [], "msg1": {}}}',
    "no body": '{"header": {"tr_id": "H0STCNT0"}, "body": 7}',
    "a ping of a megabyte": json.dumps({"header": {"tr_id": "PINGPONG", "a": "b" * 900_000}}),
}


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "kinds"])
def test_what_cannot_be_read_is_left_out_and_the_next_frame_comes(
    settings: Settings, name: str
) -> None:
    record, stream = first(settings, BROKEN[name])
    assert record.stock_code == CODE
    assert (stream.discarded, stream.reconnects) == (1, 0)


def test_a_flood_of_broken_frames_does_not_flood_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    _, stream = first(settings, *["0|H0STCNT0|001|x"] * 300)
    assert stream.discarded == 300
    assert 1 <= caplog.text.count("dropped a frame") <= 5


def test_a_frame_that_does_not_end_ends_the_session(settings: Settings) -> None:
    with (
        feed(acknowledged(), "0|H0STCNT0|001|" + "9" * 5_000_000) as url,
        following(settings, url) as stream,
    ):
        opened = iter(stream)
        stream._sleep = lambda _: stream.close()
        assert list(opened) == []


@pytest.mark.parametrize(
    "message",
    [
        f"1|H0STCNT0|001|{'QUJD' * 50}",
        acknowledged(encrypt="Y"),
    ],
)
def test_what_is_encrypted_is_refused_by_name(settings: Settings, message: str) -> None:
    with pytest.raises(NotSupported):
        first(settings, message)


def test_a_refusal_is_as_long_as_a_sentence(settings: Settings) -> None:
    body = {"rt_cd": "1", "msg_cd": "OPSP8990", "msg1": "a" * 500_000}
    told = json.dumps({"header": {"tr_id": "H0STCNT0", "tr_key": "b" * 100_000}, "body": body})
    with pytest.raises(Exception) as caught:
        first(settings, told)
    assert len(str(caught.value)) < 2_000


def test_a_record_of_this_week_is_believed() -> None:
    """A stream that was opened before midnight, or follows a market that is replayed."""
    for day in ("20260921", "20260922", "20260910"):
        (trade,) = records(frame("H0STCNT0", with_field(33, day)), NOW.date(), NOW)
        assert isinstance(trade, Trade)
        assert trade.traded_at.astimezone(calendar.SEOUL).strftime("%Y%m%d") == day
