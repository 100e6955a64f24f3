"""What a broken or hostile server may do: one named failure, little memory, little time."""

from __future__ import annotations

import gzip
import io
import socket
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import repeat
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from kis_assets.errors import KISError, ServiceUnavailable, UnexpectedAnswer
from kis_assets.kis import master_files, quotes
from kis_assets.kis.client import Client
from kis_assets.kis.quotes import PRICE
from kis_assets.monitoring import alerts
from kis_assets.settings import Settings
from kis_assets.transport.http import LONGEST_ANSWER, LONGEST_FILE, Wire
from kis_assets_tests.conftest import EVENING, Clock
from kis_assets_tests.kis.test_master_files import record

MB = 2**20
EVERY = 0.05
"""Seconds from one piece of a drip to the next."""


@contextmanager
def saying(pieces: Iterable[bytes], wait: float = 0.0) -> Iterator[str]:
    """The address of a server that says these bytes to whoever asks, piece by piece."""
    said, over = list(pieces), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(caller: socket.socket) -> None:
        with caller:
            try:
                while caller.recv(65536):
                    for piece in said:
                        caller.sendall(piece)
                        if wait and over.wait(wait):
                            return
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(caller,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answer(body: bytes, **headers: str) -> list[bytes]:
    """An HTTP answer."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n{''.join(lines)}\r\n"
    return [head.encode(), body]


@contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """The block allocates no more than that at any moment."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / MB
    finally:
        tracemalloc.stop()
    assert peak < megabytes, f"{peak:.0f} MB"


def get(url: str, timeout: float = 5.0, **more: Any) -> tuple[int, bytes]:
    with closing(Wire(timeout, clock=time.monotonic)) as wire:
        return wire.receive("price", "GET", f"{url}/", **more)[:2]


def zeros(layers: int, megabytes: int = 64) -> bytes:
    """Zeros, compressed so many times."""
    packed = io.BytesIO()
    with gzip.open(packed, "wb", 9) as file:
        for _ in range(megabytes):
            file.write(bytes(MB))
    content = packed.getvalue()
    for _ in range(layers - 1):
        content = gzip.compress(content, 9)
    return content


# How long an answer may take and be.


@pytest.mark.parametrize("through_a_proxy", [False, True])
def test_headers_that_drip_end_with_the_timeout(
    monkeypatch: pytest.MonkeyPatch, through_a_proxy: bool
) -> None:
    """Each byte comes in time; the whole would take two seconds."""
    drip = [b"HTTP/1.1 200 OK\r\n", b"x-a: ", *repeat(b"a", 40)]
    with saying(drip, EVERY) as url:
        if through_a_proxy:
            monkeypatch.setenv("http_proxy", url)
            url = "http://kis.test"
        with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
            get(url, timeout=0.25)


def test_answers_that_precede_the_answer_end_with_the_timeout() -> None:
    with saying(repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n", 40), EVERY) as url:  # noqa: SIM117
        with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
            get(url, timeout=0.25)


def test_a_deadline_is_of_one_exchange_and_not_of_its_connection(clock: Clock) -> None:
    with saying(answer(b"{}")) as url, closing(Wire(5.0, clock=clock)) as wire:
        for _ in range(3):
            assert wire.receive("price", "GET", url)[1] == b"{}"
            clock.now += 60


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_what_is_compressed_is_not_unpacked_without_bound(layers: int) -> None:
    content = zeros(layers)
    encoding = ", ".join(["gzip"] * layers)
    with (
        saying(answer(content, content_encoding=encoding)) as url,
        at_most(8),
        pytest.raises(ServiceUnavailable),
    ):
        get(url)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_an_answer_may_be_compressed_once(encoding: str) -> None:
    with saying(answer(gzip.compress(b"{}"), content_encoding=encoding)) as url:
        assert get(url) == (200, b"{}")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (gzip.compress(b"{}" * 1000, mtime=0)[:-12], "gzip"),
        (b"\x1f\x8b no gzip", "gzip"),
        (b"{}", "br"),
        (b"{}", "deflate"),
        (b"{}", "zstd"),
        (b"{}", "gzip, identity, gzip"),
    ],
)
def test_what_cannot_be_unpacked_is_named(content: bytes, encoding: str) -> None:
    with saying(answer(content, content_encoding=encoding)) as url:  # noqa: SIM117
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1"):
            get(url)


def test_an_answer_is_no_longer_than_answers_are() -> None:
    with saying(answer(bytes(LONGEST_ANSWER + 1))) as url, at_most(4):  # noqa: SIM117
        with pytest.raises(ServiceUnavailable, match="longer than"):
            get(url)
    with saying(answer(bytes(LONGEST_ANSWER + 1))) as url:
        assert len(get(url, longest=LONGEST_FILE)[1]) == LONGEST_ANSWER + 1


def test_a_server_leaves_nothing_behind_in_the_next_request() -> None:
    """Cookies would add up, and go to the server with each request."""
    asked: list[httpx.Headers] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers)
        return httpx.Response(200, headers={"set-cookie": "a=b"}, json={})

    wire = Wire(1.0, clock=time.monotonic, transport=httpx.MockTransport(reply))
    for _ in range(2):
        wire.receive("price", "GET", "http://kis.test/")
    assert [headers.get("cookie") for headers in asked] == [None, None]
    assert {headers["accept-encoding"] for headers in asked} == {"gzip"}


def test_what_a_webhook_answers_is_bounded(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    bomb = answer(zeros(2), content_encoding="gzip, gzip")
    with saying(bomb) as url, at_most(8):
        there = settings.model_copy(update={"kis_failure_webhook_url": SecretStr(url)})
        alerts.report_failure(there, "a run", "why", "0123456789")
    assert "could not be told" in caplog.text


# Master files.


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def bomb(name: str = "kospi_code.mst", piece: bytes = b"0" * MB, times: int = 96) -> bytes:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w") as file,
    ):
        for _ in range(times):
            file.write(piece)
    return packed.getvalue()


def lying(content: bytes) -> bytes:
    """The archive says that its member is of ten bytes."""
    headers = ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24))
    for sign, place in headers:
        at = content.index(sign) + place
        content = content[:at] + (10).to_bytes(4, "little") + content[at + 4 :]
    return content


NAME = "kospi_code.mst"
BOMBS: dict[str, Callable[[], bytes]] = {
    "a member that swells": bomb,
    "one that denies it": lambda: lying(bomb()),
    "many members": lambda: zipped((NAME, record()), *((str(n), b"") for n in range(20_000))),
    "another method": lambda: zipped((NAME, record()), method=zipfile.ZIP_BZIP2),
    "an archive within": lambda: zipped((NAME, zipped((NAME, record())))),
    "another member": lambda: zipped(("kosdaq_code.mst", record())),
    "a password": lambda: zipped((NAME, record())).replace(b"\x14\0\0\0", b"\x14\0\1\0"),
    "damage": lambda: zipped((NAME, record() * 9)).replace(record()[:1], b"\xff"),
    "lines of nothing": lambda: bomb(piece=b"\n" * MB, times=20),
    "lines of a letter": lambda: bomb(piece=b"0\n" * (MB // 2), times=20),
    "no archive": lambda: b"<html>",
    "half an archive": lambda: zipped((NAME, record()))[:-30],
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_master_file_that_is_none_costs_a_sentence(name: str) -> None:
    content = BOMBS[name]()
    assert len(content) < LONGEST_FILE
    with at_most(140), pytest.raises(UnexpectedAnswer, match="KOSPI"):
        master_files.parse(master_files.unzip(content, "KOSPI"), "KOSPI")


def test_a_master_file_ten_times_as_long_as_today_is_read() -> None:
    one = record().removeprefix(b"900110")
    lines = b"\n".join(b"%06d%b" % (n, one) for n in range(30_000))
    content = master_files.unzip(zipped((NAME, lines)), "KOSPI")
    assert content == lines
    assert len(master_files.codes(lines, NAME)) == 30_000


def test_lists_of_codes_and_sectors_have_as_many_lines_as_there_may_be() -> None:
    for read in (lambda it: master_files.codes(it, NAME), master_files.read_sector_names):
        with pytest.raises(UnexpectedAnswer, match="lines"):
            read(b"0\n" * 5_000_000)


# What an answer is made of.


def asking(settings: Settings, *contents: bytes, **headers: str) -> Client:
    """A client of a server that gives these answers, the last one for ever."""
    left = list(contents)

    def reply(_: httpx.Request) -> httpx.Response:
        content = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(200, content=content, headers=headers)

    quick = settings.model_copy(update={"kis_api_max_retries": 0})
    return Client(quick, transport=httpx.MockTransport(reply), has_quota=False)


GOOD_TOKEN = b'{"access_token": "T", "expires_in": 86400}'
FOREIGN = {
    "nested": b'{"output": ' + b"[" * 200_000,
    "nested and closed": b'{"rt_cd": ' + b"[" * 960 + b"]" * 960 + b"}",
    "5,000 digits": b'{"rt_cd": ' + b"9" * 5_000 + b"}",
    "4,000 digits": b'{"rt_cd": "0", "output": {"stck_prpr": ' + b"9" * 4_000 + b"}}",
    "1e400": b'{"rt_cd": "0", "output": {"stck_prpr": 1e400}}',
    "no UTF-8": b'{"rt_cd": "\xff\xfe"}',
    "half a pair": b'{"rt_cd": "0", "output": {"stck_prpr": "\\ud800"}}',
    "NUL": b'{"rt_cd": "0", "output": {"stck_prpr": "\\u0000"}}',
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "nothing said": b"{}",
    "a code of another kind": b'{"rt_cd": {"a": []}, "msg_cd": [], "msg1": {}}',
}


@pytest.mark.parametrize("name", FOREIGN)
def test_json_that_is_none_is_named(settings: Settings, name: str) -> None:
    with closing(asking(settings, GOOD_TOKEN, FOREIGN[name])) as client:  # noqa: SIM117
        with pytest.raises((ServiceUnavailable, UnexpectedAnswer), match="005930"):
            quotes.price(client, "005930")


@pytest.mark.parametrize("name", FOREIGN)
def test_a_token_that_is_none_is_named(settings: Settings, name: str) -> None:
    """As an outage, so that nobody takes it for what KIS says of a stock."""
    with closing(asking(settings, FOREIGN[name])) as client:
        with pytest.raises(ServiceUnavailable) as caught:
            client.ask(PRICE, {}, dict)
        assert caught.value.is_outage
        with pytest.raises(ServiceUnavailable):
            client.accounts.approval_key()


@pytest.mark.parametrize("token", ['"한글"', '"a b"', '"a\\nb"', '["T"]', "7", '{"a": 1}', '""'])
def test_a_token_that_cannot_be_sent_is_none(settings: Settings, token: str) -> None:
    content = f'{{"access_token": {token}, "approval_key": {token}, "expires_in": 86400}}'
    with closing(asking(settings, content.encode())) as client:
        with pytest.raises(ServiceUnavailable, match="token"):
            client.ask(PRICE, {}, dict)
        with pytest.raises(ServiceUnavailable):
            client.accounts.approval_key()


@pytest.mark.parametrize("lasts", ["1e400", '"NaN"', '"inf"', "-5", "[]", "9" * 400, '"1e300"'])
def test_a_token_whose_end_cannot_be_is_used(settings: Settings, lasts: str) -> None:
    token = f'{{"access_token": "T", "expires_in": {lasts}}}'
    good = b'{"rt_cd": "0", "msg_cd": "", "msg1": ""}'
    with closing(asking(settings, token.encode(), good)) as client:
        try:
            assert client.ask(PRICE, {}, lambda body: body["rt_cd"]) == "0"
        except KISError:
            assert lasts in ("1e400", "9" * 400)  # which no JSON number is


def test_a_refusal_is_as_long_as_a_sentence(settings: Settings) -> None:
    said = b'{"rt_cd": "1", "msg_cd": "OPSQ2001", "msg1": "' + b"a" * 900_000 + b'"}'
    with closing(asking(settings, GOOD_TOKEN, said, gt_uid="b" * 60_000)) as client:
        with pytest.raises(KISError) as caught:
            client.ask(PRICE, {}, dict)
        assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "stated",
    ["Tue, 17 Mar 1926 20:50:00 GMT", "Tue, 17 Mar 2126 20:50:00 GMT", "Mon, 01 Jan 0001 00:00:00"],
)
def test_a_clock_a_day_off_is_no_clock(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    """What is final is told by it."""
    monkeypatch.setattr("kis_assets.exchange.calendar.now", lambda: EVENING)
    live = settings.model_copy(update={"kis_replay_at": None})
    good = b'{"rt_cd": "0", "access_token": "T", "expires_in": 86400}'
    with closing(asking(live, good, date=stated)) as client:
        client.ask(PRICE, {}, dict)
        assert client.clock.now() == EVENING
