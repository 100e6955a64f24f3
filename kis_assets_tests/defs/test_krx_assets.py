"""The table krx_daily, whatever source is in use; and the other tables where KRX is the source."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from kis_assets.cli.run import _day_or_latest
from kis_assets.definitions import defs
from kis_assets.defs.schedules import plans
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    KRX_DAILY,
    MARKET_DAYS,
    REQUESTS,
    STOCK_INFO,
    STOCK_MASTER,
    Table,
    partition_key,
)
from kis_assets_tests.cli.test_commands import type_in
from kis_assets_tests.krx.test_krx_source import DAY, DELISTED, KEY, MORNING, FewStocks
from kis_assets_tests.support.in_process import (
    failure,
    in_memory,
    materialize,
    metadata,
    set_source,
)

FRIDAY = "2026-03-13"
KRX, KIS = "simulated_krx", "simulated_kis"
"""What servers of this machine are called."""
CODES = "005930,000660,005935"


@pytest.fixture(scope="module")
def market() -> ModelMarket:
    return FewStocks(seed=0, clock=lambda: MORNING)


@pytest.fixture
def server(market: ModelMarket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """KIS and KRX over HTTP on the morning after DAY; KIS is the source in use."""
    simulator = Simulator(market, rate_limit=0, token_window=0.0, krx_key=KEY)
    with serve(simulator) as url:
        set_source(
            url,
            monkeypatch,
            MORNING,
            KIS_STOCK_CODES=CODES,
            KRX_API_BASE_URL=f"{url}/svc/apis",
            KRX_API_KEY=KEY,
        )
        yield simulator


@pytest.fixture
def krx_is_the_source(server: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "krx")
    return server


def stored(table: Table, source: str = KRX) -> pl.DataFrame:
    return Lake(Path("data") / source, source=source).scan(table).collect()


@pytest.mark.parametrize("venue", ["krx", "nxt"])
def test_krxs_figures_lie_in_krxs_folder_while_kis_is_the_source(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, venue: str
) -> None:
    monkeypatch.setenv("KIS_VENUE", venue)
    result = materialize("krx_daily", str(DAY))
    assert result.success
    told = metadata(result)
    rows = stored(KRX_DAILY)
    assert rows.height == told["dagster/row_count"] == told["added"] > 60
    assert (told["source"], told["requests"]) == (KRX, 3)
    assert set(rows["source"]) == {KRX}
    assert set(rows["market"]) == {"KOSPI", "KOSDAQ", "KONEX"}
    assert sorted(path.name for path in Path("data").iterdir()) == [KRX]
    assert stored(REQUESTS)["requests"].sum() == 3
    with duckdb.connect(f"data/{KRX}/market.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM krx_daily").fetchone() == (rows.height,)


def test_a_second_day_of_a_month_leaves_the_first(server: Simulator) -> None:
    for day in (FRIDAY, str(DAY)):
        assert materialize("krx_daily", day).success
    assert set(stored(KRX_DAILY)["trading_day"].cast(pl.String)) == {FRIDAY, str(DAY)}


@pytest.mark.slow
def test_every_schedule_of_krx_makes_what_krx_has(krx_is_the_source: Simulator) -> None:
    today = MORNING.date()
    found = plans(Settings.load())
    assert {plan.moments.description for plan in found} == {
        *("at 06:30", "at 08:00", "at 08:30", "at 08:45, 09:10, 10:10", "at 10:30, 23:30")
    }
    of_no_day = [plan.name for plan in found if plan.partition is None]
    assert of_no_day == ["maintenance_morning", "freshness_checked"]
    for plan in found:
        if plan.partition is None:
            continue
        job = defs.resolve_job_def(plan.job.name)
        day = calendar.previous_trading_day(today) if plan.sessions_back else today
        key = partition_key(plan.partition, day)
        result = job.execute_in_process(partition_key=key, instance=in_memory())
        assert result.success, plan.name
    made = (MARKET_DAYS, STOCK_MASTER, STOCK_INFO, DAILY_CANDLES, KRX_DAILY)
    assert min(stored(table).height for table in made) > 0


def test_without_a_key_one_sentence_says_what_to_set(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KRX_API_KEY")
    sentence = failure(materialize("krx_daily", str(DAY)))
    assert f"KRX_API_KEY in the environment or in {Path.cwd() / '.env'}" in sentence
    assert server.log == []


def test_a_day_that_is_not_published_is_refused(server: Simulator) -> None:
    assert "has not published 2026-03-17 yet" in failure(materialize("krx_daily", "2026-03-17"))
    assert server.log == []


def test_an_answer_without_rows_takes_nothing_away(server: Simulator) -> None:
    assert materialize("krx_daily", FRIDAY).success
    before = stored(KRX_DAILY)
    for fault in ("empty_day", "another_days_bars"):
        setattr(server.faults, fault, When(path="knx_bydd_trd"))
        assert not materialize("krx_daily", FRIDAY).success
        server.faults.clear()
    assert stored(KRX_DAILY).equals(before)


def test_the_key_is_in_no_event_or_file(
    server: Simulator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = materialize("krx_daily", str(DAY))
    server.faults.unauthorized = True
    failed = materialize("krx_daily", FRIDAY)
    assert (done.success, failed.success) == (True, False)
    events = [in_memory().all_logs(result.run_id) for result in (done, failed)]
    assert all(events)
    assert KEY not in f"{events}" + "".join(capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_with_krx_as_the_source_past_tables_are_filled(krx_is_the_source: Simulator) -> None:
    for asset, partition in (
        ("market_days", "2026"),
        ("stock_master", FRIDAY),
        ("stock_info", "2026-03-01"),
        ("daily_candles", "2026-03-01"),
        ("corporate_actions", "2026-03-01"),
    ):
        assert materialize(asset, partition).success, asset
    assert stored(MARKET_DAYS).height == 365
    assert set(stored(STOCK_MASTER)["trading_day"].cast(pl.String)) == {FRIDAY}
    assert sorted(stored(STOCK_INFO)["stock_code"]) == sorted(CODES.split(","))
    candles = stored(DAILY_CANDLES)
    assert candles.height == 3 * len(calendar.trading_days(DAY.replace(day=1), DAY))
    assert candles["ex_flag"].null_count() == candles.height
    assert stored(CORPORATE_ACTIONS).is_empty()
    adjusted = Lake(Path("data") / KRX, source=KRX).read("FROM daily_candles_adjusted")
    assert adjusted.height == candles.height


def test_a_past_month_has_the_stocks_that_were_listed_then(
    krx_is_the_source: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KIS has no list of them; KRX has that of any day."""
    monkeypatch.delenv("KIS_STOCK_CODES")
    assert materialize("daily_candles", "2026-02-01").success
    gone = stored(DAILY_CANDLES).filter(pl.col("stock_code") == DELISTED)
    assert gone["trading_day"].to_list() == calendar.trading_days(
        date(2026, 2, 1), date(2026, 2, 25)
    )


@pytest.mark.parametrize("asset", ["price_snapshots", "order_books", "minute_candles"])
def test_what_krx_does_not_have_fails_with_one_sentence(
    krx_is_the_source: Simulator, asset: str
) -> None:
    sentence = failure(materialize(asset, "2026-03-17"))
    assert f"no {asset.replace('_', ' ').removesuffix(' candles')}" in sentence
    assert "DATA_SOURCE_TYPE=kis" in sentence
    assert krx_is_the_source.log == []


def test_candles_before_krxs_history_are_refused(krx_is_the_source: Simulator) -> None:
    assert "history goes from 2010-01-04" in failure(materialize("daily_candles", "2009-12-01"))
    assert krx_is_the_source.log == []


def test_a_run_with_krx_takes_the_newest_day_that_is_published(
    krx_is_the_source: Simulator,
) -> None:
    settings = Settings.load()
    assert _day_or_latest(None, settings) == DAY
    with pytest.raises(ValueError, match="has not published 2026-03-17 yet"):
        _day_or_latest("2026-03-17", settings)


@pytest.mark.slow
def test_a_run_with_krx_stores_what_krx_has(krx_is_the_source: Simulator) -> None:
    done = type_in("run", "--source", "krx")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIMULATED" in done.stdout
    assert set(stored(KRX_DAILY)["trading_day"]) == {DAY}
    assert stored(DAILY_CANDLES)["trading_day"].max() == DAY


def test_the_partitions_begin_where_krxs_history_does() -> None:
    from kis_assets.defs.partitions import KRX_DAYS

    now = datetime(2010, 1, 6, 12, tzinfo=calendar.SEOUL)
    assert KRX_DAYS.get_partition_keys(current_time=now) == [
        "2010-01-04",
        "2010-01-05",
        "2010-01-06",
    ]
