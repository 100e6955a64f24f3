"""What keeps a key and a lake safe, and was always so: what has tests nowhere else.

Elsewhere: secrets in Dagster's events in `test_assets.py`, the page that is escaped in
`test_daily_report.py`, who may ask in `test_http_guard.py`.
"""

from __future__ import annotations

import ast
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from kis_assets import Market
from kis_assets.cli import doctor
from kis_assets.errors import KISError, ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.krx.client import KRXClient
from kis_assets.lake.reader import NotStored
from kis_assets.monitoring import alerts
from kis_assets.settings import Settings
from kis_assets_tests.conftest import APP_SECRET
from kis_assets_tests.support.small_lake import SAMSUNG

CODE = Path(__file__).parents[2] / "kis_assets"
KRX_KEY = "KRXTESTKEY" * 4
DAY = date(2026, 3, 16)


class Server:
    """An HTTP server that remembers which paths it was asked for, and by which headers."""

    def __init__(self, status: int = 200, location: str = "") -> None:
        server = self
        self.asked: list[str] = []
        self.told = ""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                server.asked.append(self.path)
                server.told += str(self.headers) + body.decode()
                self.send_response(status)
                if location:
                    self.send_header("location", location + self.path)
                self.send_header("content-length", "0")
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_port

    @contextmanager
    def running(self) -> Iterator[Server]:
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self.http.shutdown()
            self.http.server_close()


def settings_at(url: str, folder: Path) -> Settings:
    return Settings.load(
        data_source_type="kis",
        kis_app_key="K" * 36,
        kis_app_secret=APP_SECRET,
        kis_use_virtual_server=False,
        kis_data_dir=folder,
        kis_api_base_url_real=url,
        kis_master_base_url=url,
        kis_api_max_retries=0,
        krx_api_key=KRX_KEY,
        krx_api_base_url=url,
    )


def price(settings: Settings) -> None:
    from kis_assets.sources.kis import KISDataSource

    with KISDataSource(settings) as source:
        source.get_current_price(SAMSUNG)


def stock_master(settings: Settings) -> None:
    from kis_assets.sources.kis import KISDataSource

    with KISDataSource(settings) as source:
        source.tables.stock_master(calendar.latest_session(settings.now()).day)


def krx_day(settings: Settings) -> None:
    client = KRXClient(settings)
    try:
        client.ask("stk_bydd_trd", DAY, dict)
    finally:
        client.close()


ASKS: dict[str, Callable[[Settings], None]] = {
    "a price": price,
    "the stock master": stock_master,
    "KRX": krx_day,
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(
    ask: Callable[[Settings], None], status: int, tmp_path: Path
) -> None:
    with (
        Server().running() as elsewhere,
        Server(status, f"http://127.0.0.1:{elsewhere.port}").running() as server,
    ):
        with pytest.raises(KISError):
            ask(settings_at(f"http://127.0.0.1:{server.port}", tmp_path))
        assert server.asked
        assert elsewhere.asked == []


def test_neither_the_webhook_nor_the_doctor_follows_a_redirect(tmp_path: Path) -> None:
    with (
        Server().running() as elsewhere,
        Server(307, f"http://127.0.0.1:{elsewhere.port}").running() as server,
    ):
        url = f"http://127.0.0.1:{server.port}"
        alerts._post(SecretStr(url), "a run failed")
        doctor.clock(settings_at(url, tmp_path))
        assert len(server.asked) == 2
        assert elsewhere.asked == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that nobody has signed, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(file), "-out", str(file.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_server_that_nobody_vouches_for_is_told_nothing(
    ask: Callable[[Settings], None], certificate: Path, tmp_path: Path
) -> None:
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    url = f"https://127.0.0.1:{server.port}"
    with server.running():
        with pytest.raises(ServiceUnavailable):
            ask(settings_at(url, tmp_path))
        assert (server.asked, server.told) == ([], "")
        # It is there, and answers whoever does not mind.
        assert httpx.get(url, verify=False).status_code == 200


def calls_and_imports() -> Iterator[tuple[str, str]]:
    """Every module that is imported and every function that is called, by file."""
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path.name, node.module or ""
            elif isinstance(node, ast.Call):
                yield path.name, dotted(node.func)
                for it in node.keywords:
                    if isinstance(it.value, ast.Constant):
                        yield path.name, f"{it.arg}={it.value.value}"


def dotted(function: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.insert(0, function.attr)
        function = function.value
    return ".".join([function.id if isinstance(function, ast.Name) else "", *parts])


def test_nothing_stored_or_sent_is_run_as_code() -> None:
    """No pickle and no relative of it: whoever can write a file or a cache would run code."""
    found = set(calls_and_imports())
    assert ("http.py", "follow_redirects=False") in found, "this very test would see nothing"
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    functions = {"eval", "exec", "compile", "yaml.load", "os.system", "pl.read_ipc"}
    options = {"allow_pickle=True", "shell=True", "verify=False", "follow_redirects=True"}
    wrong = {
        (file, what)
        for file, what in found
        if what.partition(".")[0] in modules
        or what in functions | options
        or what.endswith((".read_pickle", ".to_pickle", "_create_unverified_context"))
    }
    assert wrong == set()


INJECTED = ["x' OR '1'='1", "005930'; DROP VIEW daily_candles; --", "'", '"', "%", "\\"]


@pytest.mark.parametrize("text", INJECTED)
def test_what_people_give_is_a_value_and_never_a_part_of_a_query(
    small_lake: Path, text: str
) -> None:
    with Market(small_lake) as market:
        assert market.find(text).is_empty()
        for ask in (market.daily_candles, market.prices, market.code):
            with pytest.raises(NotStored):
                ask(text)
        with pytest.raises(ValueError, match=r"day|date"):
            market.daily_candles(SAMSUNG, f"2026-03-01{text}")
        assert market.condition(text).is_empty()
        assert market.sql("SELECT ? AS given", text)["given"].to_list() == [text]
        assert not market.daily_candles(SAMSUNG).is_empty()
