"""What looks after the schedules: what is asked for again, and what people are told."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from kis_assets.defs.assets.market_days import computed_days
from kis_assets.defs.jobs import JOBS, cache_warming
from kis_assets.defs.resources import KISResource, LakeResource, open_lake, plain_failures
from kis_assets.defs.schedules import schedules
from kis_assets.defs.sensors import missed, sensors
from kis_assets.errors import ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import Finding, account, record
from kis_assets.settings import Settings
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import (
    DAILY_CANDLES,
    KRX_DAILY,
    MARKET_DAYS,
    MINUTE_CANDLES,
    STOCK_INFO,
    Table,
)
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.in_process import point_at

NIGHT = datetime(2026, 3, 17, 23, tzinfo=calendar.SEOUL)
TODAY = NIGHT.date()
SESSIONS = calendar.trading_days(date(2026, 3, 1), TODAY)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in {
        "KIS_APP_KEY": APP_KEY,
        "KIS_APP_SECRET": APP_SECRET,
        "KIS_USE_VIRTUAL_SERVER": "false",
        "KIS_DATA_DIR": str(tmp_path / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which all is there, from the first session of March on."""
    folder = tmp_path_factory.mktemp("complete")
    found = Lake(folder, source="kis")
    found.replace(MARKET_DAYS, Scope.year(2026), computed_days(2026, "kis", calendar.now()))
    for table in (MINUTE_CANDLES, DAILY_CANDLES, STOCK_INFO):
        stored(found, table, *SESSIONS)
    return folder


@pytest.fixture
def lake(real: Settings, complete: Path) -> Lake:
    """A copy of it."""
    shutil.copytree(complete, real.source_dir)
    found = open_lake(real)
    found.publish()  # the views name files by their whole path
    return found


def stored(lake: Lake, table: Table, *days: date, rows: int = 10) -> None:
    record(lake, table, [account(dict.fromkeys(days, rows), {}, {})])


def lost(lake: Lake, table: Table, *days: date) -> None:
    """As if these days had never been fetched."""
    stored(lake, table, *days, rows=0)


def names(lake: Lake, settings: Settings, now: datetime = NIGHT) -> list[str]:
    return [f"{table.name} {key}" for table, key in missed(lake, settings, now)[1]]


def test_nothing_is_asked_for_when_all_is_there(lake: Lake, real: Settings) -> None:
    assert names(lake, real) == []


def test_minutes_come_first_and_the_oldest_of_them(lake: Lake, real: Settings) -> None:
    lost(lake, DAILY_CANDLES, SESSIONS[-2])
    lost(lake, MINUTE_CANDLES, SESSIONS[-1])
    lost(lake, MINUTE_CANDLES, SESSIONS[0])
    assert names(lake, real) == [
        f"minute_candles {SESSIONS[0]}",
        f"minute_candles {SESSIONS[-1]}",
        "daily_candles 2026-03-01",
    ]


def test_candles_are_looked_after_for_ten_sessions(lake: Lake, real: Settings) -> None:
    lost(lake, DAILY_CANDLES, SESSIONS[0])
    assert names(lake, real) == []
    lost(lake, DAILY_CANDLES, SESSIONS[-10])
    assert names(lake, real) == ["daily_candles 2026-03-01"]


def test_what_is_degraded_is_asked_again_only_while_it_is_new(lake: Lake, real: Settings) -> None:
    for day in (SESSIONS[0], SESSIONS[-3]):
        failed = {"005930": ServiceUnavailable("down")}
        record(lake, MINUTE_CANDLES, [account({day: 9}, {}, failed)])
    assert names(lake, real) == [f"minute_candles {SESSIONS[-3]}"]


def test_a_warning_is_nothing_to_ask_again_for(lake: Lake, real: Settings) -> None:
    odd = Finding("volume_is_usual", "WARN", {TODAY: 10}, {TODAY: 3})
    record(lake, MINUTE_CANDLES, [odd])
    assert names(lake, real) == []


def test_a_session_belongs_to_its_schedules_until_an_hour_after_them(
    lake: Lake, real: Settings
) -> None:
    lost(lake, MINUTE_CANDLES, TODAY)
    assert names(lake, real, NIGHT.replace(hour=21, minute=39)) == []
    assert names(lake, real, NIGHT.replace(hour=21, minute=40)) == [f"minute_candles {TODAY}"]


def test_minutes_that_the_virtual_server_has_no_more_are_not_asked_for(
    lake: Lake, real: Settings
) -> None:
    lost(lake, MINUTE_CANDLES, SESSIONS[-2], TODAY)
    virtual = real.model_copy(update={"kis_use_virtual_server": True})
    assert names(lake, virtual) == [f"minute_candles {TODAY}"]


def test_krx_is_asked_for_what_it_has_published_where_there_is_a_key(
    lake: Lake, real: Settings
) -> None:
    krx_lake = Lake(real.kis_data_dir / "krx", source="krx")
    stored(krx_lake, KRX_DAILY, *SESSIONS[:-3])
    assert names(lake, real) == []
    keyed = real.model_copy(update={"krx_api_key": SecretStr("K" * 40)})
    assert names(lake, keyed) == [f"krx_daily {day}" for day in SESSIONS[-3:-1]]
    morning = datetime(2026, 3, 18, 8, tzinfo=calendar.SEOUL)
    assert names(lake, keyed, morning) == [f"krx_daily {day}" for day in SESSIONS[-3:]]
    stored(krx_lake, KRX_DAILY, *SESSIONS[-3:])
    assert names(lake, keyed, morning) == []


def test_where_krx_is_the_source_what_it_has_published_is_asked_for(real: Settings) -> None:
    settings = real.model_copy(
        update={"data_source_type": "krx", "krx_api_key": SecretStr("K" * 40)}
    )
    lake = open_lake(settings)
    lake.replace(MARKET_DAYS, Scope.year(2026), computed_days(2026, "krx", calendar.now()))
    for table in (MINUTE_CANDLES, DAILY_CANDLES, STOCK_INFO, KRX_DAILY):
        stored(lake, table, *SESSIONS[:-3])
    lost = [f"krx_daily {day}" for day in SESSIONS[-3:-1]]
    assert names(lake, settings) == ["daily_candles 2026-03-01", *lost]
    stored(lake, DAILY_CANDLES, *SESSIONS[-3:-1])
    assert names(lake, settings) == lost


def test_minutes_that_kis_has_forgotten_are_not_asked_for(lake: Lake, real: Settings) -> None:
    lost(lake, MINUTE_CANDLES, *SESSIONS[:4])
    last = calendar.trading_days(SESSIONS[2], date(2027, 12, 31))[245]
    later = datetime(last.year, last.month, last.day, 12, tzinfo=calendar.SEOUL)
    asked = [name for name in names(lake, real, later) if name.startswith("minute")]
    assert asked[:2] == [f"minute_candles {day}" for day in SESSIONS[2:4]]


def test_facts_of_the_month_are_asked_for_when_it_has_none(lake: Lake, real: Settings) -> None:
    lost(lake, STOCK_INFO, *SESSIONS[1:])
    assert names(lake, real) == []
    lost(lake, STOCK_INFO, *SESSIONS)
    assert names(lake, real) == ["stock_info 2026-03-01"]


def test_a_table_that_was_never_stored_is_not_asked_for_unless_schedules_are_on(
    real: Settings,
) -> None:
    empty = open_lake(real)
    assert names(empty, real) == []
    on = real.model_copy(update={"kis_schedules": True})
    assert names(empty, on) == [
        f"minute_candles {TODAY}",
        "daily_candles 2026-03-01",
        *(
            f"{name} 2026-03-01"
            for name in (
                *("index_candles", "market_flows", "investor_flows", "program_trades"),
                *("short_sales", "stock_loans", "credit_balances", "etf_navs"),
            )
        ),
        "market_days 2026",
        "stock_info 2026-03-01",
        "financial_statements 2026-03-01",
    ]


@pytest.fixture
def virtual(real: Settings) -> Settings:
    """The virtual server, with schedules on."""
    return real.model_copy(update={"kis_use_virtual_server": True, "kis_schedules": True})


def test_what_the_virtual_server_lacks_is_not_asked_of_it(virtual: Settings) -> None:
    assert names(open_lake(virtual), virtual) == [
        f"minute_candles {TODAY}",
        "daily_candles 2026-03-01",
        "index_candles 2026-03-01",
        "market_days 2026",
        "stock_info 2026-03-01",
    ]


def test_its_schedules_make_what_it_has(virtual: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar, "now", lambda: NIGHT)
    on_virtual = {it.name: it for it in schedules(virtual)}
    lacking = {it.name for it in schedules(Settings.load())} - set(on_virtual)
    assert lacking == {"flows_morning", "credit_morning", "funds_morning", "statements_evening"}
    tick = datetime(2026, 3, 17, 7, 45, tzinfo=calendar.SEOUL)
    with dg.build_schedule_context(scheduled_execution_time=tick) as context:
        request = on_virtual["market_figures_morning"](context)
    assert isinstance(request, dg.RunRequest)
    assert request.asset_selection == [dg.AssetKey("index_candles")]


def test_its_sensor_asks_for_what_it_has(
    virtual: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar, "now", lambda: NIGHT)
    with dg.DagsterInstance.ephemeral() as instance:
        asked = {it.job_name: it.asset_selection for it in Looks(virtual, instance)()}
    assert asked["market_figure_ingestion"] == [dg.AssetKey("index_candles")]
    assert asked["daily_candle_ingestion"] is None


class Looks:
    """The sensor as Dagster evaluates it, with the cursor kept between."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._sensor, self._instance = sensors(settings)[0], instance
        self._cursor: str | None = None

    def __call__(self) -> list[dg.RunRequest]:
        with dg.build_sensor_context(self._instance, self._cursor) as context:
            found = self._sensor(context)
        if not isinstance(found, dg.SensorResult):
            return []
        self._cursor = found.cursor
        return list(found.run_requests or ())


def begun(instance: dg.DagsterInstance, job: str, key: str, **tags: str) -> None:
    """A run that is at work."""
    run = dg.DagsterRun(
        job_name=job,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": key, **tags},
    )
    instance.add_run(run)


def test_what_a_run_is_at_work_on_is_left_to_it(
    lake: Lake, real: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar, "now", lambda: NIGHT)
    lost(lake, MINUTE_CANDLES, SESSIONS[-2], TODAY)
    with dg.DagsterInstance.ephemeral() as instance:
        begun(instance, "minute_candle_ingestion", str(TODAY))
        look = Looks(real, instance)
        (request,) = look()
        assert request.partition_key == str(SESSIONS[-2])
        assert request.tags["dagster/priority"] == "-10"
        assert look() == []


def test_no_more_than_five_runs_wait_and_none_is_asked_for_twice_in_an_evening(
    lake: Lake, real: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar, "now", lambda: NIGHT)
    lost(lake, MINUTE_CANDLES, *SESSIONS[-8:])
    with dg.DagsterInstance.ephemeral() as instance:
        look = Looks(real, instance)
        first = look()
        assert [it.partition_key for it in first] == [str(day) for day in SESSIONS[-8:-3]]
        for number, request in enumerate(first[:4]):
            begun(instance, "other", str(number), **request.tags)
        second = look()
        assert [it.partition_key for it in second] == [str(SESSIONS[-3])]
        assert len({it.run_key for it in first + second}) == 6


# Definitions


@pytest.mark.parametrize("word", ["on", "off"])
def test_a_setting_starts_every_schedule_and_sensor(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("KIS_SCHEDULES", word)
    settings = Settings.load()
    *others, always = sensors(settings)
    assert (always.name, always.default_status.value) == ("orphaned_runs", "RUNNING")
    found = {it.default_status.value for it in [*schedules(settings), *others]}
    assert found == {"RUNNING" if word == "on" else "STOPPED"}


def test_every_job_has_a_schedule() -> None:
    settings = Settings.load(krx_api_key="K" * 40, kis_lake_url="there")
    scheduled = {schedule.job_name for schedule in schedules(settings)}
    # Repairs are made once, by who has something to repair.
    assert scheduled == {job.name for job in JOBS} - {"candle_repair"}
    # Without a key there is nothing to ask KRX with, without an address nowhere to publish to.
    without = {schedule.job_name for schedule in schedules(Settings.load())}
    assert scheduled - without == {"krx_ingestion", "lakehouse_publication"}


def test_the_cache_is_warmed_before_anything_was_captured(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    resources: dict[str, Any] = {"kis": KISResource(), "lake": LakeResource()}
    result = cache_warming.execute_in_process(resources=resources)
    (output,) = [event for event in result.all_events if event.is_successful_output]
    metadata = output.step_output_data.metadata
    assert metadata["stocks"].value == 8
    assert metadata["price"].value == {"succeeded": 8, "failed": 0}
    assert metadata["chart"].value == {"succeeded": 8, "failed": 0}


# Failures


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Someone's webhook on this machine, and the messages that it was sent."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/services/THE-WEBHOOK"
    monkeypatch.setenv("KIS_FAILURE_WEBHOOK_URL", url)
    yield received
    server.shutdown()
    server.server_close()


def fail_with(error: Exception) -> None:
    """A run fails with an error, and Dagster calls the sensor."""

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["2026-03-01"]))
    def daily_candles() -> None:
        with plain_failures():
            raise error

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [daily_candles],
            partition_key="2026-03-01",
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        (event,) = [it for it in result.all_events if it.is_job_event and it.is_failure]
        context = dg.build_run_status_sensor_context(
            "failures", event, instance, result.dagster_run
        )
        sensors(Settings.load())[1](context.for_run_failure())


def test_a_failure_is_one_line_and_one_message(
    webhook: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    fail_with(ServiceUnavailable("KIS cannot be reached"))
    ((text,),) = [message.values() for message in webhook]
    assert " 2026-03-01 failed: KIS cannot be reached (run " in text
    assert [
        line.getMessage() for line in caplog.records if line.name == "kis_assets.monitoring.alerts"
    ] == [text]


def test_no_secret_leaves_with_a_message(
    webhook: list[Any],
    real: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("KRX_API_KEY", "THE-KRX-KEY")
    token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJ0b2tlbiJ9.abc-DEF_123"
    address = Settings.load().kis_failure_webhook_url
    assert address is not None
    fail_with(
        RuntimeError(
            f"key {APP_KEY} secret {APP_SECRET} AUTH_KEY THE-KRX-KEY "
            f"authorization: Bearer THE-TOKEN, token {token} "
            f"at redis://user:THE-PASSWORD@cache:6379 and {address.get_secret_value()}"
        )
    )
    (message,) = webhook
    hidden = ("THE-KRX-KEY", "THE-TOKEN", token, "THE-PASSWORD", "THE-WEBHOOK")
    for secret in (APP_KEY, APP_SECRET, *hidden):
        assert secret not in message["text"]
        assert secret not in caplog.text
    assert "[hidden]" in message["text"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/THE-WEBHOOK", "http://[::1]:9/THE-WEBHOOK"])
def test_a_webhook_that_is_down_fails_nothing_and_its_address_is_not_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    monkeypatch.setenv("KIS_FAILURE_WEBHOOK_URL", url)
    with caplog.at_level(logging.DEBUG):
        fail_with(ServiceUnavailable("KIS cannot be reached"))
    assert "broke off: ConnectError" in caplog.text
    assert "THE-WEBHOOK" not in caplog.text
