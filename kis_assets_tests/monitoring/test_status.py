"""What can be seen from outside: the state that is shared, Prometheus, the table of requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

import polars as pl
import pytest
from pydantic import SecretStr
from rich.console import Console

from kis_assets.cli.doctor import Finding, rate
from kis_assets.cli.run import _show
from kis_assets.defs.asset_metadata import account_metadata as account_of
from kis_assets.errors import ServiceUnavailable
from kis_assets.kis import quotes
from kis_assets.lake import requests
from kis_assets.lake.lake import Lake
from kis_assets.monitoring.metrics import metrics_text, serve_metrics
from kis_assets.monitoring.status import snapshot
from kis_assets.settings import Settings
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.cached import CachedDataSource, open_store
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import REQUESTS
from kis_assets.transport.stats import LATENCIES, Tally, quantiles
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

SAMSUNG = "005930"


@pytest.fixture(params=["sqlite", "redis"])
def shared(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "sqlite":
        return settings
    return settings.model_copy(
        update={"redis_url": SecretStr(request.getfixturevalue("redis_url"))}
    )


@pytest.fixture
def used(simulator: Simulator, shared: Settings) -> Iterator[CachedDataSource]:
    """A source that has asked for a price, was refused once, and answered from its cache."""
    simulator.faults.refused = When(calls=1, path="inquire-price")
    source = KISDataSource(shared, transport=InProcessTransport(simulator))
    with CachedDataSource(source, open_store(shared), shared) as cached:
        for _ in range(4):
            cached.get_current_price(SAMSUNG)
        yield cached


def test_the_state_can_be_seen_without_asking_kis(
    used: CachedDataSource, shared: Settings, simulator: Simulator
) -> None:
    used.statistics()
    before = len(simulator.log)
    found = snapshot(shared)
    account = found["accounts"][shared.credentials[0].id]
    assert account["rate_limit"] == 1000
    assert 900 < account["rate"] < 1000
    assert account["last_second"] >= 0
    assert account["breaker"] == "CLOSED"
    assert account["breaker_opens_for"] == 0
    assert 0 <= (datetime.now(UTC) - account["token_asked_at"]).total_seconds() < 60
    assert account["token_expires_at"] is not None
    assert found["cache"]["hits"] == 3
    assert found["cache"]["hit_rate"] == 0.75
    assert found["cache"]["entries"] == 1
    assert found["error"] == ""
    assert APP_KEY not in str(found)
    assert len(simulator.log) == before


def test_the_ui_shows_how_the_account_stands(used: CachedDataSource, shared: Settings) -> None:
    account = shared.credentials[0].id
    breaker = used.source._client.accounts.all[0].breaker

    def shown() -> dict[str, str]:
        names, _, values = account_of(used.account_status(), 900.0)["account"].value.splitlines()
        cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (names, values))
        return dict(zip(*cells, strict=True))

    found = shown()
    assert found["app key"] == account
    assert re.fullmatch(r"9\d\d\.\d of 1000 per second", found["pace"])
    assert found["used here"] == "90%"
    assert re.fullmatch(r"0\.0 h old, until \d{4}-\d\d-\d\d \d\d:\d\d in Seoul", found["token"])
    assert (found["breaker"], found["cache hits"]) == ("CLOSED", "75%")
    for _ in range(5):
        breaker.failure()
    assert re.fullmatch(r"OPEN for (59|60) s", shown()["breaker"])
    token = used.source._client.accounts.all[0].tokens.get()
    for secret in (APP_KEY, APP_SECRET, token):
        assert secret not in str(shown())


def test_the_ui_says_that_the_state_cannot_be_read(settings: Settings) -> None:
    gone = settings.model_copy(update={"redis_url": SecretStr("redis://:hunter2@127.0.0.1:1/0")})
    said = account_of(snapshot(gone), 1.0)["account"]
    assert "127.0.0.1:1 (REDIS_URL)" in said
    assert account_of({}, 1.0) == {}


def test_what_is_granted_is_said_where_it_is_less_than_is_set(
    shared: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """In `status`, by the doctor and after a run: how much, since when, and why that may be."""
    with KISDataSource(shared) as source:
        quota = source._client.accounts.all[0].quota
        assert quota is not None
        for number in range(6):
            with quota.permit("price") as permit:
                if number >= 3:
                    permit.refused()
    found = snapshot(shared)["accounts"][shared.credentials[0].id]
    assert (found["rate"], found["granted"]) == (3, 3)
    assert found["grant"].startswith("KIS grants 3 requests a second, not 1000: it refused ")
    assert "A new customer has 3 for three days" in found["grant"]
    assert rate(shared) == Finding("rate", "warn", found["grant"])
    _show(Console(soft_wrap=True), [], shared, 1.0)
    assert found["grant"] in capsys.readouterr().out


def test_nothing_is_said_of_the_rate_where_all_is_granted(
    used: CachedDataSource, shared: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """One refusal is an accident."""
    assert snapshot(shared)["accounts"][shared.credentials[0].id]["grant"] == ""
    assert rate(shared).state == "ok"
    _show(Console(), [], shared, 1.0)
    assert "grants" not in capsys.readouterr().out


def test_looking_makes_nothing(settings: Settings) -> None:
    found = snapshot(settings)
    assert found["accounts"][settings.credentials[0].id]["breaker"] == "CLOSED"
    assert not settings.state_dir.exists()
    assert "kis_up 1.0" in metrics_text(settings)


def test_a_store_that_cannot_be_read_is_said(settings: Settings) -> None:
    gone = settings.model_copy(update={"redis_url": SecretStr("redis://:hunter2@127.0.0.1:1/0")})
    found = snapshot(gone)
    assert "127.0.0.1:1 (REDIS_URL)" in found["error"]
    assert "hunter2" not in str(found)
    assert "kis_up 0.0" in metrics_text(gone)


def test_a_run_leaves_what_it_asked(used: CachedDataSource, shared: Settings) -> None:
    lake = Lake(shared.source_dir, source=shared.source_name)
    used.tally.breaker_changed("CLOSED>OPEN")
    requests.record(used.tally, lake, shared, "run-1")
    requests.record(used.tally, lake, shared, "run-2")
    rows = lake.scan(REQUESTS).collect()
    assert rows["run_id"].unique().sort().to_list() == ["run-1", "run-2"]
    one = rows.filter(pl.col("run_id") == "run-1")
    assert one["trading_day"].unique().to_list() == [shared.now().date()]
    price = {
        row["outcome"]: row
        for row in one.filter(pl.col("endpoint") == "inquire-price").iter_rows(named=True)
    }
    assert price["ok"]["requests"] == 1
    assert price["RateLimited"]["refusals"] == price["RateLimited"]["retries"] == 1
    assert 0 < price["ok"]["p50_ms"] <= price["ok"]["p99_ms"]
    (key_id,) = [credential.id for credential in shared.credentials]
    assert price["ok"]["key_id"] == price["RateLimited"]["key_id"] == key_id
    tokens = one.filter(pl.col("endpoint") == "tokenP")
    assert tokens.select("key_id", "requests").rows() == [(key_id, 1)]
    assert one.filter(pl.col("outcome") == "cached")["key_id"].to_list() == [None]
    sums = one.select(pl.sum("cache_hits", "breaker_changes", "refusals", "retries")).row(0)
    assert sums == (3, 1, 1, 1)
    assert one["captured_at"][0] - one["started_at"][0] < timedelta(minutes=5)
    text = metrics_text(shared)
    assert 'kis_requests{endpoint="inquire-price",outcome="ok"} 2.0' in text
    assert 'kis_latency_seconds{endpoint="inquire-price",quantile="0.95"}' in text
    assert APP_KEY not in text


def test_a_lake_that_fails_fails_no_run(
    used: CachedDataSource,
    shared: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lake = Lake(shared.source_dir, source="another")
    requests.record(used.tally, lake, shared, "run-1")
    assert "cannot be stored" in caplog.text


def test_nothing_asked_leaves_nothing(settings: Settings) -> None:
    lake = Lake(settings.source_dir, source=settings.source_name)
    requests.record(Tally(), lake, settings, "run-1")
    assert not lake.folder.exists()


def test_prometheus_can_scrape(used: CachedDataSource, shared: Settings) -> None:
    server = serve_metrics(shared, 0)
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    account = shared.credentials[0].id
    assert f'kis_breaker_state{{account="{account}"}} 0.0' in text
    assert f'kis_quota_limit_per_second{{account="{account}"}} 1000.0' in text


def test_a_part_counts_from_when_it_was_taken() -> None:
    tally = Tally()
    tally.add("price", "ok", 0.1)
    part = tally.part()
    tally.add("price", "RateLimited", 0.2)
    tally.add("price", "NotSent")
    tally.retried("price", "RateLimited")
    tally.cached("price", 3)
    tally.breaker_changed("CLOSED>OPEN")
    tally.token_issued()
    assert part.summary() == {
        "requests": 1,
        "refusals": 1,
        "retries": 1,
        "cache_hits": 3,
        "breaker_changes": 1,
        "tokens_issued": 1,
        "latency_p50_ms": 200.0,
        "latency_p95_ms": 200.0,
        "latency_p99_ms": 200.0,
    }
    assert tally.summary()["requests"] == 2


def test_a_process_that_runs_for_months_keeps_the_newest_times() -> None:
    tally = Tally()
    for number in range(LATENCIES + 10):
        tally.add("price", "ok", float(number))
    assert len(tally.seconds["price", "ok", ""]) == LATENCIES
    assert tally.outcomes["price", "ok", ""] == LATENCIES + 10


def test_quantiles() -> None:
    assert quantiles([]) == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    assert quantiles(n / 1000 for n in range(101)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_a_breaker_that_is_open_is_seen(simulator: Simulator, settings: Settings) -> None:
    simulator.faults.down = True
    with KISDataSource(settings, transport=InProcessTransport(simulator)) as source:
        for _ in range(6):
            with pytest.raises(ServiceUnavailable):
                quotes.price(source._client, SAMSUNG)
    account = snapshot(settings)["accounts"][settings.credentials[0].id]
    assert account["breaker"] == "OPEN"
    assert 50 < account["breaker_opens_for"] <= 60
