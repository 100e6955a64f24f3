"""Every setting has an effect that a test sees: a row a variable, and a new one fails until it has.

`SHOWN_BY` names the test that shows the effect; what no other file shows is shown here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from kis_assets.defs.resources import open_lake
from kis_assets.defs.schedules import plans
from kis_assets.errors import ServiceUnavailable
from kis_assets.kis.client import Client
from kis_assets.lake.lake import Scope
from kis_assets.settings import Settings
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.base import DataSource
from kis_assets.sources.cached import CachedDataSource, open_store
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.record_types import PriceType
from kis_assets.tables import MARKET_DAYS

HERE = Path(__file__).parent
HERE_TOO, CLIENT = "test_every_setting.py::test_", "test_api_client.py::test_"
STREAM, SETTINGS = "test_stream.py::test_", "test_settings.py::test_"
DAYS, KRX = "test_market_days.py::test_", "test_krx_source.py::test_"
FORTNIGHT = "test_fortnight.py::test_"
HERE_TIMES = "test_every_setting.py::test_schedules_run_at_the_times_set"
HERE_TTL = "test_every_setting.py::test_an_answer_is_kept_for_as_long_as_its_setting_says"
HERE_BREAKER = "test_every_setting.py::test_the_breaker_opens_after_its_failures_for_its_time"

SHOWN_BY: dict[str, str] = {
    "data_source_type": f"{CLIENT}kis_is_not_replaced_by_a_mock_when_it_is_asked_for",
    "enable_kis_api": "test_every_setting.py::test_kis_that_is_switched_off_is_not_used",
    "kis_app_key": f"{STREAM}the_command_prints_what_happens_for_machines",
    "kis_app_secret": f"{STREAM}a_wrong_secret_is_named_and_shown_nowhere",
    "kis_account_number": f"{HERE_TOO}an_account_number_is_accepted_and_never_shown",
    "kis_use_virtual_server": f"{STREAM}the_virtual_server_is_reached_at_its_own_address",
    "kis_use_real_server": f"{SETTINGS}contradicting_servers_are_refused",
    "kis_api_base_url_real": f"{STREAM}the_command_prints_what_happens_for_machines",
    "kis_api_base_url_virtual": f"{STREAM}the_virtual_server_is_reached_at_its_own_address",
    "kis_ws_url_real": f"{STREAM}the_command_prints_what_happens_for_machines",
    "kis_ws_url_virtual": f"{STREAM}the_virtual_server_is_reached_at_its_own_address",
    "kis_master_base_url": f"{DAYS}candles_arrive_to_the_last_digit",
    "kis_trusted_hosts": "test_trust.py::test_another_host_on_purpose_is_named_in_the_environment",
    "kis_api_rate_limit": f"{STREAM}asking_for_the_approval_key_takes_a_permit",
    "kis_api_queue_timeout": f"{STREAM}asking_for_the_approval_key_takes_a_permit",
    "kis_api_timeout": "test_client.py::test_a_slow_drip_ends_with_the_timeout",
    "kis_api_max_retries": f"{STREAM}a_server_that_cannot_be_reached_is_an_error_after_a_few_tries",
    "kis_api_circuit_breaker_threshold": HERE_BREAKER,
    "kis_api_circuit_breaker_timeout": HERE_BREAKER,
    "kis_cache_ttl_price": HERE_TTL,
    "kis_cache_ttl_orderbook": HERE_TTL,
    "kis_cache_ttl_chart": HERE_TTL,
    "kis_cache_ttl_stock_info": HERE_TTL,
    "redis_url": "test_shared_redis.py::test_quota_and_breaker_keep_their_rules",
    "kis_indices": "test_figure_assets.py::test_the_list_of_indices_can_be_narrowed",
    "kis_universe": f"{DAYS}during_the_session_the_newest_snapshot_answers",
    "kis_stock_codes": "test_assets.py::test_an_unlisted_code_is_named_and_nothing_is_stored",
    "kis_venue": "test_venues.py::test_rows_of_nxt_stand_apart",
    "kis_data_dir": "test_every_setting.py::test_the_lake_keeps_old_versions_for_its_days",
    "kis_lake_keep_days": "test_every_setting.py::test_the_lake_keeps_old_versions_for_its_days",
    "kis_lake_url": "test_delta.py::test_a_materialization_publishes_what_it_stored",
    "kis_replay_at": f"{DAYS}during_the_session_the_newest_snapshot_answers",
    "kis_first_day": "test_first_days.py::test_a_setting_puts_it_earlier",
    "krx_api_key": f"{KRX}a_refused_key_says_that_each_api_is_applied_for",
    "krx_api_base_url": f"{KRX}seven_days_arrive_value_for_value",
    "kis_schedules": "test_sensors.py::test_a_setting_starts_every_schedule_and_sensor",
    "kis_schedule_morning": HERE_TIMES,
    "kis_schedule_candles": HERE_TIMES,
    "kis_schedule_warm": HERE_TIMES,
    "kis_schedule_evening": HERE_TIMES,
    "kis_schedule_capture_minutes": f"{FORTNIGHT}the_interval_of_captures_is_a_setting",
    "kis_log_format": "test_json_log.py::test_what_a_command_says_beside_its_answer_is_json",
    "kis_failure_webhook_url": "test_sensors.py::test_a_failure_is_one_line_and_one_message",
}
"""By variable, the test that shows its effect: `file::test`."""


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_has_a_test_that_sees_its_effect(name: str) -> None:
    assert name in SHOWN_BY, f"{name.upper()} is new: say in SHOWN_BY which test shows its effect"
    file, _, test = SHOWN_BY[name].partition("::")
    (path,) = HERE.rglob(file)
    text = path.read_text(encoding="utf-8")
    assert re.search(rf"^def {test}\(", text, re.MULTILINE), f"{file} has no {test}"


def test_no_row_is_about_a_setting_that_is_gone() -> None:
    assert set(SHOWN_BY) == set(Settings.model_fields)


def test_kis_that_is_switched_off_is_not_used() -> None:
    keys = {"kis_app_key": "key", "kis_app_secret": "secret"}
    assert Settings.load(**keys).source_type == "kis"
    assert Settings.load(**keys, enable_kis_api=False).source_type == "mock"


def test_an_account_number_is_accepted_and_never_shown() -> None:
    settings = Settings.load(kis_account_number="50001234-01")
    assert "50001234" not in repr(settings) + str(settings) + settings.model_dump_json()


ASKED: dict[str, tuple[str, Callable[[DataSource], object]]] = {
    "price": ("inquire-price", lambda source: source.get_current_price("005930")),
    "orderbook": ("inquire-asking-price-exp-ccn", lambda source: source.get_order_book("005930")),
    "chart": (
        "inquire-daily-itemchartprice",
        lambda source: source.get_chart_data("005930", PriceType.DAILY, 5),
    ),
    "stock_info": ("search-stock-info", lambda source: source.get_stock_info("005930")),
}


@pytest.mark.parametrize("what", ASKED)
def test_an_answer_is_kept_for_as_long_as_its_setting_says(
    what: str, settings: Settings, simulator: Simulator, source: KISDataSource
) -> None:
    path, ask = ASKED[what]
    settings = settings.model_copy(update={f"kis_cache_ttl_{what}": 0.0})
    with CachedDataSource(source, open_store(settings), settings) as cached:
        ask(cached)
        first = simulator.calls(path)
        ask(cached)
        assert simulator.calls(path) == 2 * first > 0
        kept = settings.model_copy(update={f"kis_cache_ttl_{what}": 60.0})
        cached._settings = kept
        ask(cached)
        ask(cached)
        assert simulator.calls(path) == 3 * first


def test_the_breaker_opens_after_its_failures_for_its_time(
    settings: Settings, simulator: Simulator
) -> None:
    short = {"kis_api_circuit_breaker_threshold": 2, "kis_api_circuit_breaker_timeout": 7.0}
    client = Client(settings.model_copy(update=short), transport=InProcessTransport(simulator))
    breaker = client.accounts.all[0].breaker
    breaker.failure()
    breaker.check()
    breaker.failure()
    with pytest.raises(ServiceUnavailable, match=r"after 2 failures .* in 7 s"):
        breaker.check()
    client.close()


def test_the_lake_keeps_old_versions_for_its_days(settings: Settings, tmp_path: Path) -> None:
    pruned: dict[int, int] = {}
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for days in (5, 50):
        there = {"kis_lake_keep_days": days, "kis_data_dir": tmp_path / str(days)}
        lake = open_lake(settings.model_copy(update=there))
        assert lake.folder == tmp_path / str(days) / "kis"
        moment = [at]
        lake._versions._clock = lambda moment=moment: moment[0]
        for is_open in (True, False):
            lake.replace(MARKET_DAYS, Scope.year(2026), _a_day(is_open))
        moment[0] += timedelta(days=20)
        pruned[days] = lake.prune()
    assert pruned == {5: 1, 50: 0}


def _a_day(is_open: bool):
    import polars as pl

    plain = {"Date": date(2026, 3, 17), "String": "kis", "Boolean": is_open}
    moment = datetime(2026, 3, 17, tzinfo=UTC)
    row = {column.name: plain.get(str(column.dtype), moment) for column in MARKET_DAYS.columns}
    return pl.DataFrame([row], schema=MARKET_DAYS.schema)


@pytest.mark.parametrize(
    ("name", "at", "schedule", "cron"),
    [
        ("kis_schedule_morning", "07:45", "master_morning", "45 7 * * 1-5"),
        ("kis_schedule_candles", "06:45", "candles_morning", "45 6 * * 1-5"),
        ("kis_schedule_warm", "08:05", "cache_morning", "5 8 * * 1-5"),
        ("kis_schedule_evening", "21:10", "candles_evening", "10 21,22 * * 1-5"),
        ("kis_schedule_evening", "21:10", "report_evening", "0 22,23 * * 1-5"),
    ],
)
def test_schedules_run_at_the_times_set(name: str, at: str, schedule: str, cron: str) -> None:
    found = {plan.name: plan.moments.cron for plan in plans(Settings.load(**{name: at}))}
    assert found[schedule] == (cron,)
