"""Delta tables on S3: equal to the lake row for row, whatever happened on the way there.

Each test has a bucket of its own on loopback.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from kis_assets.definitions import defs
from kis_assets.defs.resources import open_lake
from kis_assets.lake.delta import Published
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.tables import DAILY_CANDLES, TABLES, Table
from kis_assets_tests.support.object_storage import Storage, served
from kis_assets_tests.support.small_rows import based, frame

pytest.importorskip("deltalake")
from deltalake import DeltaTable

pytestmark = [pytest.mark.scale, pytest.mark.filterwarnings("ignore")]

DAY, APRIL = date(2026, 3, 17), date(2026, 4, 1)
RUN = ("stock_master", "price_snapshots", "daily_candles")


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with served() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
        yield found


@pytest.fixture
def lake(storage: Storage, tmp_path: Path) -> Lake:
    """Two months of candles, in a lake that keeps nothing that gave way."""
    made = Lake(tmp_path / "data" / "mock", source="mock", keep_days=0)
    for day in (DAY, APRIL):
        store(made, day, 100)
    return made


def store(lake: Lake, day: date, price: int) -> None:
    rows = [based(day, price, price, stock_code=f"{code:06d}") for code in range(200)]
    lake.replace(DAILY_CANDLES, Scope.month(day), frame(DAILY_CANDLES, *rows))


def started(*words: str) -> subprocess.Popen[str]:
    """Another process with these settings, in the folder of this test."""
    return subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def done(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def brought_over() -> dict[str, Any]:
    """What the asset says of itself, its check having passed."""
    job = defs.resolve_job_def("lakehouse_publication")
    result = job.execute_in_process(resources=defs.resources)
    [event] = result.asset_materializations_for_node("lakehouse")
    [check] = result.get_asset_check_evaluations()
    assert check.passed, check
    return {name: value.value for name, value in event.metadata.items()}


def is_equal(lake: Lake, storage: Storage, *tables: Table) -> bool:
    """Whether all that is there is what the lake has, read back row for row, and nothing more."""
    found = [Published(lake, table, storage.url) for table in tables or TABLES.values()]
    return not any(it.differing() or it.behind() or it.beyond() for it in found)


def test_three_evenings_and_a_partition_that_is_run_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_STOCK_CODES", "005930,000660,035420")
    lake = open_lake(Settings.load())
    chosen = [word for table in RUN for word in ("--table", table)]
    for day in (date(2026, 3, 13), date(2026, 3, 16), DAY):
        monkeypatch.setenv("KIS_REPLAY_AT", f"{day}T21:40+09:00")
        done(started("-m", "kis_assets", "run", *chosen))
        told = brought_over()
        assert told["units behind"] == 0
        # Each run says what it asked and found: these no run publishes itself.
        assert "quality month=2026-03" in told["were behind"]
        assert is_equal(lake, storage)
    before = lake.version(DAILY_CANDLES, "month=2026-03")
    month = lake.scan(DAILY_CANDLES).collect().with_columns(pl.col("volume") + 1)
    lake.replace(DAILY_CANDLES, Scope.month(DAY), month)
    assert lake.version(DAILY_CANDLES, "month=2026-03") != before
    assert "mock daily_candles month=2026-03" in brought_over()["were behind"]
    assert is_equal(lake, storage)
    assert brought_over()["were behind"] == "nothing"


PUBLISHER = """
import sys
from datetime import date
from pathlib import Path
from kis_assets.lake.delta import Published
from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES
from kis_assets_tests.lake.test_lakehouse_s3 import store

lake = Lake(Path(sys.argv[1]), source="mock", keep_days=0)
there = Published(lake, DAILY_CANDLES, sys.argv[2])
day, own = date.fromisoformat(sys.argv[3]), int(sys.argv[4])
for number in range(12):
    store(lake, day, own + number)
    for unit in lake.units(DAILY_CANDLES):
        there.bring(unit)
"""


def test_two_that_publish_the_same_units_at_once(lake: Lake, storage: Storage) -> None:
    both = [
        started("-c", PUBLISHER, str(lake.folder), storage.url, str(day), str(price))
        for day, price in ((DAY, 1_000), (APRIL, 2_000))
    ]
    for process in both:
        done(process)
    assert is_equal(lake, storage, DAILY_CANDLES)
    found = pl.scan_delta(f"{storage.url}/mock/daily_candles").collect()
    assert found.height == 400
    assert sorted(found["close"].unique()) == [1_011, 2_011]


BRING = """
import sys
from pathlib import Path
from kis_assets.lake.delta import Published
from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES
lake = Lake(Path(sys.argv[1]), source="mock", keep_days=0)
Published(lake, DAILY_CANDLES, sys.argv[2]).bring("month=2026-03")
"""


def test_a_publisher_that_is_killed_between_its_rows_and_its_commit(
    lake: Lake, storage: Storage
) -> None:
    there = Published(lake, DAILY_CANDLES, storage.url)
    for unit in there.behind():
        there.bring(unit)
    store(lake, DAY, 200)
    before = storage.files()
    storage.dies_at_commit = process = started("-c", BRING, str(lake.folder), storage.url)
    process.communicate()
    assert process.returncode == -9
    storage.dies_at_commit = None
    assert len(storage.files()) == len(before) + 1, "its rows had arrived"
    published = pl.scan_delta(there.address).collect()
    assert set(published["close"]) == {100}
    assert there.behind() == ["month=2026-03"]
    assert there.bring("month=2026-03")
    assert is_equal(lake, storage, DAILY_CANDLES)
    assert there.vacuum() >= 2
    assert len(storage.files()) == 2
    assert is_equal(lake, storage, DAILY_CANDLES)


def test_a_vacuum_leaves_what_is_read_and_nothing_else(lake: Lake, storage: Storage) -> None:
    there = Published(lake, DAILY_CANDLES, storage.url)
    for price in range(200, 210):
        store(lake, DAY, price)
        for unit in there.behind():
            there.bring(unit)
    _, live = there.size()
    total = sum(storage.files().values())
    there.vacuum()
    left = sum(storage.files().values())
    print(f"live {live:,} bytes, in all {total:,}, after the vacuum {left:,}")  # noqa: T201
    assert total > 3 * live
    assert left == live
    assert is_equal(lake, storage, DAILY_CANDLES)


# Four engines, the same query, the same rows

QUERY = """
SELECT stock_code, count(*) AS days, CAST(sum(volume) AS BIGINT) AS volume, max(close) AS high, min(trading_day) AS since
FROM candles WHERE trading_day >= DATE '2026-02-01' AND volume > 0 GROUP BY stock_code ORDER BY stock_code
"""  # noqa: E501
Answer = list[tuple[Any, ...]]


def by_polars(address: str, _: dict[str, str]) -> Answer:
    return pl.SQLContext(candles=pl.scan_delta(address)).execute(QUERY).collect().rows()


def by_duckdb(address: str, _: dict[str, str]) -> Answer:
    with duckdb.connect() as connection:
        connection.register("candles", DeltaTable(address).to_pyarrow_dataset())
        return connection.execute(QUERY).fetchall()


def by_daft(address: str, environment: dict[str, str]) -> Answer:
    daft = pytest.importorskip("daft")
    s3 = daft.io.S3Config(
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        key_id="id",
        access_key="secret",
        use_ssl=False,
    )
    candles = with_daft(address, daft.io.IOConfig(s3=s3))
    return [tuple(row.values()) for row in daft.sql(QUERY, candles=candles).to_pylist()]


def with_daft(address: str, io: Any = None) -> Any:
    """The table itself; Daft before 0.7 cannot take what `deltalake` gives it: then its files."""
    daft = pytest.importorskip("daft")
    if daft.__version__ >= "0.7":
        return daft.read_deltalake(address, io_config=io)
    return daft.read_parquet(DeltaTable(address).file_uris(), io_config=io)


def by_spark(address: str, _: dict[str, str]) -> Answer:
    """Its own reader of Delta comes from Maven: it reads the files that the log names."""
    sql = pytest.importorskip("pyspark.sql")
    session: Any = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .getOrCreate()
    )
    files = DeltaTable(address).file_uris()
    rows = session.read.option("basePath", address).parquet(*files)
    assert "unit" in rows.columns
    rows.createOrReplaceTempView("candles")
    return [tuple(row) for row in session.sql(QUERY).collect()]


def test_four_engines_agree_with_the_lake(
    storage: Storage, small_lake: Path, tmp_path: Path
) -> None:
    lake = Lake(small_lake, source="mock")
    addresses: dict[str, str] = {}
    for url in (storage.url, str(tmp_path / "there")):
        there = Published(lake, DAILY_CANDLES, url)
        for unit in there.behind():
            there.bring(unit)
        addresses[url] = there.address
    on_s3, in_folder = addresses.values()
    expected = lake.read(QUERY.replace("FROM candles", "FROM daily_candles")).rows()
    assert len(expected) == 5
    for engine in (by_polars, by_duckdb, by_daft):
        assert engine(on_s3, storage.environment) == expected, engine.__name__
    # Without the jars of S3A Spark reads no object storage here.
    for engine in (by_polars, by_duckdb, by_spark):
        assert engine(in_folder, storage.environment) == expected, engine.__name__


def test_every_table_of_the_lake_can_be_read_by_every_engine(
    small_lake: Path, tmp_path: Path
) -> None:
    """All types: whole numbers, fractions, text, days, instants, yes and no, and their absence."""
    lake = Lake(small_lake, source="mock")
    for table in TABLES.values():
        if not lake.units(table):
            continue
        there = Published(lake, table, str(tmp_path))
        for unit in there.behind():
            there.bring(unit)
        expected = lake.scan(table).collect().sort(table.key)
        found = with_daft(there.address).select(*table.schema.names()).to_arrow()
        rows = pl.DataFrame(found).cast(dict(table.schema)).sort(table.key)
        assert rows.equals(expected), table.name
        with duckdb.connect() as connection:
            connection.register("published", DeltaTable(there.address).to_pyarrow_dataset())
            count = connection.execute("SELECT count(*) FROM published").fetchone()
        assert count == (expected.height,), table.name
