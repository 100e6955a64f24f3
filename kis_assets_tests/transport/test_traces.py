"""Traces of requests: a span each where a collector is named, and nothing at all where none is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from kis_assets.errors import KISError
from kis_assets.kis import quotes
from kis_assets.kis.client import Client
from kis_assets.settings import Settings
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.transport import traces
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

SAMSUNG = "005930"


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment is read once a process, and here for each test."""
    for name in traces.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    traces.opened.cache_clear()
    yield
    traces.opened.cache_clear()


def test_where_no_collector_is_named_nothing_is_loaded() -> None:
    code = (
        "import sys; from kis_assets.transport import traces; import kis_assets.kis.client; "
        "print(traces.opened(), [it for it in sys.modules if 'opentelemetry' in it])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None []"


def test_a_collector_without_the_packages_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert traces.opened() is traces.opened() is None
    (said,) = caplog.messages
    assert said.startswith("OTEL_EXPORTER_OTLP_ENDPOINT is set, but no trace is sent: pip install")


@pytest.mark.scale
def test_each_attempt_is_a_span_that_says_how_it_went(
    settings: Settings, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = pytest.importorskip("opentelemetry.sdk.trace.export")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(exported.SimpleSpanProcessor(kept))
    monkeypatch.setattr(traces, "opened", cache(lambda: traces.Traces(provider)))
    simulator.faults.refused = When(calls=1, path="inquire-price")
    client = Client(settings, transport=InProcessTransport(simulator))
    quotes.price(client, SAMSUNG)
    with pytest.raises(KISError):
        quotes.price(client, "99999Z")
    token = client.accounts.all[0].tokens.get()
    client.close()

    first, second, wrong = kept.get_finished_spans()
    assert [it.name for it in (first, second, wrong)] == ["inquire-price"] * 3
    told = dict(second.attributes or {})
    waited: Any = told.pop("kis.wait_seconds")
    assert told == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "kis.test",
        "kis.tr_id": "FHKST01010100",
        "kis.attempt": 2,
        "kis.outcome": "ok",
    }
    assert 0 <= waited * 1e9 <= second.end_time - second.start_time + 1000
    assert first.attributes["kis.outcome"] == "RateLimited"
    assert first.attributes["kis.attempt"] == wrong.attributes["kis.attempt"] == 1
    assert [it.status.is_ok for it in (first, second, wrong)] == [False, True, False]
    for secret in (APP_KEY, APP_SECRET, token):
        assert secret not in "".join(it.to_json() for it in (first, second, wrong))


@pytest.mark.scale
def test_a_collector_is_sent_them_when_the_client_closes(
    settings: Settings, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        client = Client(settings, transport=InProcessTransport(simulator))
        quotes.price(client, SAMSUNG)
        client.close()
        server.shutdown()
    ((path, body),) = got
    assert path == "/v1/traces"
    assert b"kis-assets" in body
    assert b"inquire-price" in body
    assert APP_KEY.encode() not in body
    assert APP_SECRET.encode() not in body
