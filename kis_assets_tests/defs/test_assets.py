"""The assets: each materialized for one partition against a KIS server, with its checks."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from filelock import FileLock, Timeout

from kis_assets.definitions import defs
from kis_assets.defs.availability import month
from kis_assets.defs.checks import freshness
from kis_assets.defs.materialization import _missing
from kis_assets.defs.resources import KISResource
from kis_assets.errors import InvalidRequest, KISError, RateLimited, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.execution.runner import home
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.tables import Fetched
from kis_assets.tables import (
    DAILY_CANDLES,
    MARKET_DAYS,
    PRICE_SNAPSHOTS,
    QUALITY,
    STOCK_MASTER,
    TABLES,
)
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, redis_program, running_redis
from kis_assets_tests.support.in_process import (
    FEW,
    all_checks_pass,
    failure,
    materialize,
    rows,
    set_source,
)

DAY = "2026-03-17"
MONTH = "2026-03-01"


@pytest.fixture
def server(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """The simulator over HTTP, and an environment that points at it."""
    with serve(simulator) as url:
        set_source(url, monkeypatch)
        yield simulator


def test_a_day_goes_from_kis_to_the_lake_and_its_checks_pass(server: Simulator) -> None:
    for asset, partition in (
        ("market_days", "2026"),
        ("stock_master", DAY),
        ("price_snapshots", DAY),
        ("daily_candles", MONTH),
    ):
        result = materialize(asset, partition)
        assert result.success, asset
        if result.get_asset_check_evaluations():
            assert all_checks_pass(result)
    assert rows(MARKET_DAYS).height == 365
    assert rows(STOCK_MASTER).height > 2600
    assert sorted(rows(PRICE_SNAPSHOTS)["stock_code"]) == sorted(FEW.split(","))
    candles = rows(DAILY_CANDLES)
    assert set(candles["source"]) == {"simulated_kis"}
    assert candles["trading_day"].max() == date(2026, 3, 17)
    metadata = result.asset_materializations_for_node("daily_candles")[0].metadata
    assert metadata["dagster/row_count"].value == candles.height
    assert metadata["requests"].value == 8
    assert metadata["failed"].value == 0
    assert "of 1000 per second" in metadata["account"].value


def test_a_second_source_that_is_down_costs_no_other_verdict(server: Simulator) -> None:
    server.faults.down = When(path="inquire-daily-price")
    result = materialize("price_snapshots", DAY)
    assert result.success
    (odd,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert odd.check_name == "a_hundred_stocks_agree_with_a_second_source"
    assert odd.severity == dg.AssetCheckSeverity.WARN
    assert str(odd.description).startswith("not compared: ")
    judged = set(rows(QUALITY)["check_name"])
    assert judged > {"key_is_unique", "universe_is_covered"}
    assert odd.check_name not in judged


def test_an_asset_can_be_materialized_without_its_upstream(server: Simulator) -> None:
    """A stock master that was not stored is asked for; prices and candles do not depend on luck."""
    assert materialize("price_snapshots", DAY).success
    assert materialize("daily_candles", MONTH).success


@pytest.mark.parametrize("asset", ["price_snapshots", "stock_master"])
@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2026-03-16", "2026-03-17"),
        ("2026-03-18", "not begun|are of 2026-03-17"),
    ],
)
def test_a_live_table_refuses_every_day_but_the_latest_session(
    server: Simulator, asset: str, day: str, said: str
) -> None:
    assert materialize(asset, DAY).success
    before = rows(PRICE_SNAPSHOTS), rows(STOCK_MASTER)
    asked = len(server.log)
    sentence = failure(materialize(asset, day))
    assert re.search(said, sentence), sentence
    assert len(server.log) == asked
    for frame, kept in zip((rows(PRICE_SNAPSHOTS), rows(STOCK_MASTER)), before, strict=True):
        assert frame.equals(kept)


def test_the_morning_before_an_open_belongs_to_no_session(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_REPLAY_AT", "2026-03-18T08:45+09:00")
    assert "quotes may be reset" in failure(materialize("price_snapshots", DAY))
    assert "has not begun; it opens at 09:00" in failure(
        materialize("price_snapshots", "2026-03-18")
    )


def test_a_holiday_that_no_calendar_knows_is_noticed(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KIS goes on showing yesterday's prices; only its daily bars say that there is no session."""
    monkeypatch.setenv("KIS_REPLAY_AT", "2026-03-18T10:00+09:00")  # the server is a day behind
    sentence = failure(materialize("price_snapshots", "2026-03-18"))
    assert "KIS has no bar of 2026-03-18" in sentence
    assert rows(PRICE_SNAPSHOTS).is_empty()


def test_a_second_capture_adds_rows(server: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert materialize("price_snapshots", DAY).success
    monkeypatch.setenv("KIS_REPLAY_AT", (EVENING + timedelta(minutes=5)).isoformat())
    assert materialize("price_snapshots", DAY).success
    stored = rows(PRICE_SNAPSHOTS)
    assert stored.height == 16
    assert stored["captured_at"].n_unique() == 2


def test_a_month_that_has_not_begun_is_refused(server: Simulator) -> None:
    assert "no session of 2026-04 has begun" in failure(materialize("daily_candles", "2026-04-01"))


def test_another_day_of_a_month_is_no_partition_of_it() -> None:
    """Dagster's pages offer none, but its API starts a run with any; it would lose earlier days."""
    assert month("2026-03-01", date(2026, 3, 17)) == (date(2026, 3, 1), date(2026, 3, 17))
    with pytest.raises(InvalidRequest, match="2026-03-17 is no partition; the month is 2026-03-01"):
        month("2026-03-17", date(2026, 3, 17))


def test_an_unlisted_code_is_named_and_nothing_is_stored(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_STOCK_CODES", "005930,999999")
    for asset, partition in (("price_snapshots", DAY), ("daily_candles", MONTH)):
        assert "KIS_STOCK_CODES names 999999, never listed" in failure(
            materialize(asset, partition)
        )
    assert rows(PRICE_SNAPSHOTS).is_empty()
    assert rows(DAILY_CANDLES).is_empty()


def test_a_missing_credential_is_one_sentence(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIS_APP_KEY")
    monkeypatch.delenv("KIS_APP_SECRET")
    resources = {**(defs.resources or {}), "kis": KISResource()}
    result = dg.materialize(
        list(defs.assets or ()),  # type: ignore[arg-type]
        selection="price_snapshots",
        partition_key=DAY,
        resources=resources,
        raise_on_error=False,
    )
    assert "needs KIS_APP_KEY and KIS_APP_SECRET" in failure(result)


def test_a_wrong_address_is_one_sentence_that_names_the_host(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_API_BASE_URL_REAL", "http://127.0.0.1:9")
    sentence = failure(materialize("price_snapshots", DAY))
    assert "127.0.0.1" in sentence
    assert "nothing is stored" in sentence
    assert rows(PRICE_SNAPSHOTS).is_empty()


def test_a_stock_that_fails_is_named_and_its_stored_bars_are_kept(server: Simulator) -> None:
    assert materialize("daily_candles", MONTH).success
    before = rows(DAILY_CANDLES)
    server.faults.bad_number = When(calls=1, path="itemchartprice")
    result = materialize("daily_candles", MONTH)
    assert result.success
    metadata = result.asset_materializations_for_node("daily_candles")[0].metadata
    assert metadata["failed"].value == 1
    assert "cannot be read" in str(metadata["failures"].value)
    assert rows(DAILY_CANDLES).drop("fetched_at").equals(before.drop("fetched_at"))


def test_failures_are_told_in_one_line_a_reason() -> None:
    """However many stocks failed for it, and whatever id KIS gave each request."""
    failed: dict[str, KISError] = {
        f"{number:06}": RateLimited(
            "too many",
            msg_cd="EGW00201",
            status=500,
            endpoint="inquire-price",
            stock_code=f"{number:06}",
            gt_uid=f"uid {number}",
        )
        for number in range(1, 31)
    }
    failed["005930"] = UnexpectedAnswer("no price", endpoint="inquire-price", stock_code="005930")
    told = str(_missing(Fetched(pl.DataFrame(), failed))["failures"].value).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in told] == [
        [
            "inquire-price: too many (EGW00201, HTTP 500)",
            "30",
            "000001, 000002, 000003, 000004, 000005, ...",
        ],
        ["inquire-price: no price", "1", "005930"],
    ]


def test_an_empty_answer_of_a_listed_stock_is_a_failure_and_not_a_day_without_bars(
    server: Simulator,
) -> None:
    server.faults.no_rows = When(path="itemchartprice", skip=7)
    result = materialize("daily_candles", MONTH)
    assert result.success
    metadata = result.asset_materializations_for_node("daily_candles")[0].metadata
    assert (metadata["failed"].value, metadata["absent"].value) == (1, 0)
    assert "KIS has no bar since 2026-03-01, although the stock is listed" in str(
        metadata["failures"].value
    )
    assert rows(DAILY_CANDLES)["stock_code"].n_unique() == 7
    # Asked once more it is all there, and nothing is taken from what the first run kept.
    server.faults.clear()
    again = materialize("daily_candles", MONTH)
    assert again.asset_materializations_for_node("daily_candles")[0].metadata["failed"].value == 0
    assert rows(DAILY_CANDLES)["stock_code"].n_unique() == 8


def test_a_single_empty_answer_is_asked_again(server: Simulator) -> None:
    server.faults.no_rows = When(path="itemchartprice", calls=1)
    result = materialize("daily_candles", MONTH)
    metadata = result.asset_materializations_for_node("daily_candles")[0].metadata
    assert (metadata["failed"].value, metadata["absent"].value) == (0, 0)
    assert server.calls("itemchartprice") == 9


def test_when_every_answer_is_empty_nothing_is_stored(server: Simulator) -> None:
    server.faults.no_rows = When(path="itemchartprice")
    sentence = failure(materialize("daily_candles", MONTH))
    assert "nothing could be fetched for 8 stocks" in sentence
    assert rows(DAILY_CANDLES).is_empty()


def test_a_run_that_died_goes_on_and_a_later_one_asks_anew(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> int:
        return server.calls("inquire-daily-itemchartprice")

    def die(*_: Any) -> Any:
        raise RuntimeError("the machine went down before the rows were stored")

    with monkeypatch.context() as dying:
        dying.setattr(Lake, "replace", die)
        assert not materialize("daily_candles", MONTH).success
    assert asked() == 8
    assert materialize("daily_candles", MONTH).success
    assert asked() == 8
    assert materialize("daily_candles", MONTH).success
    assert asked() == 16


def test_a_page_refused_half_way_is_not_the_end_of_history(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kis_assets.sources.factory import create_data_source

    with create_data_source() as source:
        whole = source.get_chart_data("005930", count=450)
        assert len(whole) == 450
        server.faults.refuse_page = 3
        assert source.get_chart_data("005930", count=450) == whole


CHART = "inquire-daily-itemchartprice"

Spoil = Callable[[Simulator, pytest.MonkeyPatch, ExitStack, Path], None]


def turned(name: str, **more: Any) -> Spoil:
    """A fault of the server, from the first bar on."""
    return lambda server, *_: setattr(server.faults, name, When(path=CHART, **more))


def impatient(fault: Spoil) -> Spoil:
    def spoil(server: Simulator, only: pytest.MonkeyPatch, *more: Any) -> None:
        only.setenv("KIS_API_TIMEOUT", "1")
        fault(server, only, *more)

    return spoil


def at_the_third_bar(server: Simulator, only: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    handle, seen = server.handle, list[str]()

    def watched(method: str, path: str, *given: Any, **named: Any) -> Any:
        seen.extend([path] * path.endswith(CHART))
        if len(seen) == 3:
            do()
        return handle(method, path, *given, **named)

    only.setattr(server, "handle", watched)


def refused_with_200(server: Simulator, *_: Any) -> None:
    server.faults.refusals_as_ok = True
    server.faults.refused = When(path=CHART)


def a_token_of_this_minute(server: Simulator, only: pytest.MonkeyPatch, *_: Any) -> None:
    server.tokens.issue(APP_KEY, APP_SECRET)
    only.setattr(server.tokens, "_window", 60.0)


def another_secret(server: Simulator, only: pytest.MonkeyPatch, *_: Any) -> None:
    only.setattr(server.tokens, "_app_keys", {APP_KEY: "another"})


def revoked(server: Simulator, only: pytest.MonkeyPatch, *_: Any) -> None:
    at_the_third_bar(server, only, server.tokens.revoke)


def redis_gone(_: Simulator, only: pytest.MonkeyPatch, ending: ExitStack, folder: Path) -> None:
    redis = ending.enter_context(ExitStack())
    only.setenv("REDIS_URL", redis.enter_context(running_redis(folder, password="hunter2hunter2")))
    only.setattr("kis_assets.kis.accounts.STATE_RETRY_AFTER", 0.0)
    at_the_third_bar(_, only, redis.close)


def state_corrupt(server: Simulator, only: pytest.MonkeyPatch, _: ExitStack, folder: Path) -> None:
    def corrupt() -> None:
        for path in (folder / "data").rglob("shared.sqlite*"):
            path.write_bytes(b"garbage" * 1000)

    at_the_third_bar(server, only, corrupt)


def state_deleted(server: Simulator, only: pytest.MonkeyPatch, _: ExitStack, folder: Path) -> None:
    def delete() -> None:
        data = folder / "data"
        for path in [*data.rglob("shared.sqlite*"), *data.rglob("token-*")]:
            path.unlink(missing_ok=True)

    at_the_third_bar(server, only, delete)


def disk_full(_: Simulator, only: pytest.MonkeyPatch, *__: Any) -> None:
    def full(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    only.setattr("kis_assets.state.sqlite.SqliteFile._open", full)


FAULTS: dict[str, Spoil] = {
    "500": turned("server_error"),
    "EGW00123": turned("expired_token", status=500),
    "another secret": another_secret,
    "Redis gone": redis_gone,
}
MORE_FAULTS: dict[str, Spoil] = {
    "connection refused": turned("down"),
    "connection reset": turned("reset"),
    "hang past the timeout": impatient(turned("hang", seconds=1.5)),
    "slow drip": impatient(turned("drip", seconds=0.4)),
    "a maintenance page": turned("html"),
    "502 with HTML": turned("bad_gateway"),
    "503": turned("unavailable"),
    "an empty body": turned("empty"),
    "truncated JSON": turned("truncated"),
    "wrong content type": turned("wrong_type"),
    "gzip garbage": turned("garbage_gzip"),
    "EGW00201 as 500": turned("refused"),
    "EGW00201 as 200": refused_with_200,
    "EGW00316 as 500": turned("query_again", status=500),
    "EGW00316 as 200": turned("query_again", status=200),
    "EGW00123 as 200": turned("expired_token", status=200),
    "EGW00121": turned("invalid_token", status=500),
    "EGW00133": a_token_of_this_minute,
    "a token revoked": revoked,
    "a missing field": turned("missing_required_field"),
    "a number that is none": turned("bad_number"),
    "another stock": turned("wrong_code_answer"),
    "state files corrupt": state_corrupt,
    "state files deleted": state_deleted,
    "disk full": disk_full,
}
HARMLESS = {"wrong content type", "a token revoked"}
EITHER_WAY = {"state files corrupt", "state files deleted", "Redis gone"}
"""A request that lost its permit may fail, named; one that had left by then is answered."""


@pytest.mark.parametrize(
    "faults", [FAULTS, pytest.param(MORE_FAULTS, marks=pytest.mark.slow)], ids=["some", "the rest"]
)
def test_a_run_that_fails_leaves_no_secret_anywhere(
    server: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    faults: dict[str, Spoil],
) -> None:
    """In no file but the token's own, no log, no event and no compute log, whatever went wrong."""
    caplog.set_level(logging.DEBUG)
    secrets = {APP_KEY, APP_SECRET, "hunter2hunter2"}
    issue = server.tokens.issue

    def remembered(*given: str) -> Any:
        token = issue(*given)
        secrets.add(token.value)
        return token

    monkeypatch.setattr(server.tokens, "issue", remembered)
    monkeypatch.setattr("kis_assets.kis.token.ISSUE_INTERVAL", 0.0)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with dg.DagsterInstance.get() as instance:
        assert materialize("stock_master", DAY).success
        for number, (fault, spoil) in enumerate(faults.items()):
            if fault == "Redis gone" and redis_program() is None:
                continue
            with monkeypatch.context() as only, ExitStack() as ending:
                spoil(server, only, ending, tmp_path)
                result = materialize("daily_candles", MONTH, instance=instance)
            server.faults.clear()
            # The next one asks for a token, and its breaker is closed; what was left is kept.
            state = Settings.load().state_dir
            if state.exists():
                state.rename(tmp_path / f"state-{number}")
            done = result.asset_materializations_for_node("daily_candles") if result.success else []
            went_well = [it.metadata["failed"].value == 0 for it in done]
            if fault not in EITHER_WAY:
                assert went_well == ([True] if fault in HARMLESS else [False] * len(done)), fault
    told = "".join(capfd.readouterr()) + caplog.text
    assert "daily_candles" in told
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"compute_logs", "storage"} <= {part for path in files for part in path.parts}
    assert len(secrets) > 3
    for secret in secrets:
        assert secret not in told
        for path in files:
            is_its_own = path.name.startswith("token-") and secret not in (APP_KEY, APP_SECRET)
            assert is_its_own or secret.encode() not in path.read_bytes(), path


def test_every_asset_says_what_it_is() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.owners
        assert node.group_name != "default"
        assert node.kinds
        if key.path[-1] in TABLES:
            assert node.metadata["dagster/column_schema"]


def test_a_check_has_the_partitions_of_its_asset() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.asset_check_keys:
        if key.name == freshness.NAME:  # which is about now
            continue
        assert graph.get(key).partitions_def == graph.get(key.asset_key).partitions_def, key


def test_the_partitions_are_trading_days() -> None:
    from kis_assets.defs.partitions import TRADING_DAYS

    now = datetime(2026, 3, 17, 12, tzinfo=calendar.SEOUL)
    keys = TRADING_DAYS.get_partition_keys(current_time=now)
    assert keys[-1] == DAY
    assert keys == [str(day) for day in calendar.trading_days(date(2020, 1, 1), date(2026, 3, 17))]


def test_nothing_is_written_by_loading_the_definitions(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import kis_assets.definitions"],
        cwd=tmp_path,
        env=os.environ | {"KIS_DATA_DIR": str(tmp_path / "data")},
        check=True,
        capture_output=True,
    )
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_mock_market_is_another_folder_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KIS_REPLAY_AT", EVENING.isoformat())
    monkeypatch.setenv("KIS_STOCK_CODES", "005930")
    result = materialize("price_snapshots", DAY)
    assert result.success
    metadata = result.asset_materializations_for_node("price_snapshots")[0].metadata
    assert "MOCK DATA" in metadata
    assert "account" not in metadata
    assert set(rows(PRICE_SNAPSHOTS)["source"]) == {"mock"}
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mock"]


def test_one_process_makes_dagsters_home_while_the_others_wait(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    made: list[str] = []
    open_in = dg.DagsterInstance.from_config

    def opened(folder: str) -> dg.DagsterInstance:
        with pytest.raises(Timeout):
            FileLock(tmp_path / "home" / "made.lock", timeout=0).acquire()
        made.append("by one process")
        return open_in(folder)

    monkeypatch.setattr(dg.DagsterInstance, "from_config", opened)
    for _ in range(2):
        home(settings)
        for database in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
            assert (tmp_path / "home" / database).exists()
    assert set(made) == {"by one process"}
