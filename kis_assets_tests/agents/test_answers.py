"""What an agent is told of a lake, and what it cannot get at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kis_assets.agents.answers import CHARACTERS, MARK, ROWS, Answers, explained
from kis_assets.lake.locked import LockedReader, Refused
from kis_assets.tables import DAILY_CANDLES, KRX_DAILY, TABLES
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.small_lake import DAY, GAP, SAMSUNG, SPLIT


@pytest.fixture
def answers(small_lake: Path) -> Answers:
    return Answers(small_lake, EVENING, seconds=10)


def refusal(answers: Answers, sql: str) -> str:
    """The sentence with which a query is refused."""
    with pytest.raises((Refused, duckdb.Error)) as caught:
        answers.query(sql)
    sentence = explained(caught.value)
    assert sentence
    return sentence


# What is there


def test_tables_are_listed_with_what_they_show_and_what_is_stored(answers: Answers) -> None:
    listed = {it["name"]: it for it in answers.tables()["tables"]}
    candles = listed["daily_candles"]
    assert candles["about"] == DAILY_CANDLES.description
    assert (candles["stored_from"], candles["stored_to"]) == ("2026-01", "2026-03")
    assert listed["etf_navs"]["to_have_it"].endswith("run: kis-assets run --table etf_navs")
    assert listed["facts"]["kind"] == "view"
    assert TABLES.keys() - listed.keys() == {KRX_DAILY.name}, "that lies in the folder krx"


def test_a_table_is_described_with_units_meanings_and_key(answers: Answers) -> None:
    found = answers.describe("daily_candles")
    columns = {it["name"]: it for it in found["columns"]}
    assert list(columns) == [column.name for column in DAILY_CANDLES.columns]
    assert columns["close"]["unit"] == "KRW"
    assert columns["close"]["type"] == "BIGINT"
    assert columns["close"]["meaning"] == DAILY_CANDLES.column("close").description
    assert found["key"] == list(DAILY_CANDLES.key)
    view = {it["name"]: it for it in answers.describe("facts")["columns"]}
    assert all(it["meaning"] for it in view.values())


def test_what_there_is_not_is_answered_with_what_is_near(answers: Answers) -> None:
    with pytest.raises(Refused, match=r"nearest: daily_candles.*list_tables names all"):
        answers.describe("daily_candle")


def test_candles_are_the_newest_oldest_first_with_their_days(answers: Answers) -> None:
    found = answers.candles("삼성전자", count=2)
    assert found["stock_code"] == SAMSUNG
    assert [row[0] for row in found["rows"]] == ["2026-03-16", str(DAY)]
    assert found["columns"][:5] == ["trading_day", "open", "high", "low", "close"]
    assert found["notes"] == ["these are the newest 2 of 49: give count, start or end"]


def test_candles_are_raw_or_adjusted(answers: Answers) -> None:
    of_january = ("2026-01-02", "2026-01-05")
    raw = answers.candles(SPLIT, *of_january)["rows"][0][4]
    adjusted = answers.candles(SPLIT, *of_january, adjusted=True)["rows"][0][4]
    assert raw / adjusted > 2
    with pytest.raises(Refused, match="leave adjusted out"):
        answers.candles(SPLIT, period="5m", adjusted=True)


def test_candles_of_minutes_say_when_in_seoul(answers: Answers) -> None:
    rows = answers.candles(SAMSUNG, str(DAY), str(DAY), period="30m")["rows"]
    assert rows[0][0] == f"{DAY}T09:00:00+09:00"


def test_what_is_not_stored_is_said_with_who_can_get_it(answers: Answers) -> None:
    notes = answers.candles(SAMSUNG, "2025-12-01")["notes"]
    assert notes[0].endswith("run: kis-assets backfill daily_candles 2025-12 2025-12")
    empty = answers.candles(SAMSUNG, end="2020-01-31")
    assert (empty["rows"], len(empty["notes"])) == ([], 1)
    with pytest.raises(LookupError) as caught:
        answers.candles(SAMSUNG, "2020-01-01", "2020-01-31")
    assert "Ask your user to run that command" in str(explained(caught.value))


def test_a_name_that_fits_several_is_answered_with_their_codes(answers: Answers) -> None:
    with pytest.raises(LookupError) as caught:
        answers.candles("삼성")
    assert "삼성전자 (005930)" in str(explained(caught.value))


def test_condition_says_which_days_can_be_relied_on(answers: Answers) -> None:
    found = answers.condition("daily_candles", "2026-02-01", "2026-02-28")
    days = {row[1]: row[2:4] for row in found["rows"]}
    assert days[str(GAP)][0] == "degraded"
    assert next(iter(days)) > str(GAP), "the newest day first"
    summed = {(row[0], row[1]): row[2] for row in answers.condition()["rows"]}
    assert summed["daily_candles", "degraded"] == 1
    with pytest.raises(Refused, match="of daily_candles it is"):
        answers.condition("daily")


@pytest.mark.parametrize("name", ["mock", "simulated", "kis", "kis-nxt", "krx"])
def test_every_answer_has_its_source_and_invented_ones_their_mark(
    small_lake: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).symlink_to(small_lake)
    answers = Answers(tmp_path / name, EVENING)
    for answer in (
        answers.tables(),
        answers.describe("facts"),
        answers.query("SELECT 1"),
        answers.candles(SAMSUNG),
        answers.condition(),
    ):
        assert answer["source"] == name
        assert answer.get("mark") == (MARK if name in ("mock", "simulated") else None)


def test_values_are_those_of_json(answers: Answers) -> None:
    found = answers.query(
        "SELECT 'nan'::DOUBLE, 1.5::DECIMAL(4, 1), DATE '2026-03-17', [1], {'a': NULL}, "
        "TIMESTAMPTZ '2026-03-17 00:00:00+00:00'"
    )
    assert found["rows"] == [
        [None, 1.5, "2026-03-17", [1], {"a": None}, "2026-03-17T09:00:00+09:00"]
    ]


# Limits


def test_a_million_rows_are_cut_and_it_says_so(answers: Answers) -> None:
    found = answers.query("FROM range(1000000)", ROWS)
    assert len(found["rows"]) == ROWS
    assert "there are more" in found["notes"][0]
    assert "notes" not in answers.query("FROM range(3)", 3)
    with pytest.raises(Refused, match="from 1 to 1000"):
        answers.query("FROM range(1000000)", 1_000_000)


def test_long_rows_are_cut_and_it_says_so(answers: Answers) -> None:
    found = answers.query("SELECT repeat('x', 30000) FROM range(10)")
    assert len(found["rows"]) == CHARACTERS // 30_000
    assert "ask for fewer columns" in found["notes"][0]
    assert "fewer columns" in refusal(answers, f"SELECT repeat('x', {CHARACTERS})")


def test_a_query_that_runs_for_ever_is_stopped(small_lake: Path) -> None:
    answers = Answers(small_lake, EVENING, seconds=0.2)
    for_ever = "SELECT sum(a.range * b.range) FROM range(10000000000) a, range(1000) b"
    assert "stopped after 0.2 s: ask for fewer days" in refusal(answers, for_ever)
    assert answers.query("SELECT 1")["rows"] == [[1]]


def test_a_query_that_takes_all_memory_is_stopped(
    small_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kis_assets.lake.locked.MEMORY", "20MB")
    answers = Answers(small_lake, EVENING)
    assert "memory: ask for fewer" in refusal(answers, "SELECT list(range) FROM range(100000000)")


# What is out of reach

OUT_OF_REACH = [
    "FROM read_text('{secret}')",
    "FROM read_csv('{secret}')",
    "FROM read_blob('{secret}')",
    "FROM read_json('{secret}')",
    "FROM read_parquet('{secret}')",
    "FROM '{secret}'",
    "FROM glob('{secret}*')",
    "FROM read_text('{lake}/versions/../../secret.csv')",
    "FROM read_text('{lake}/market.duckdb')",
    "FROM read_text('/etc/passwd')",
    "FROM read_csv('https://example.org/x.csv')",
    "FROM query('COPY (SELECT 1) TO ''{secret}''')",
    "SELECT getenv('HOME')",
    "WITH x AS (INSERT INTO daily_candles SELECT * FROM daily_candles RETURNING *) FROM x",
]
REFUSED_TWICE = [
    "COPY (SELECT 1) TO '{secret}'",
    "ATTACH '{secret}' AS x",
    "ATTACH 'https://example.org/x.duckdb' AS x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "DROP VIEW facts",
]
WRITES = [
    "COPY (SELECT 1) TO '{lake}/versions/x.parquet'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/versions/x.parquet'",
    "SELECT 1; COPY (SELECT 1) TO '{lake}/versions/x.parquet'",
    "EXPORT DATABASE '{lake}/versions/x'",
    "ATTACH '{lake}/versions/x.duckdb' AS x",
    "SET VARIABLE kis_assets_folder = '/etc'",
    "PRAGMA database_list",
    "CALL pragma_database_list()",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW facts AS SELECT 1",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE SECRET x (TYPE s3)",
    "PREPARE x AS SELECT 1",
    "CHECKPOINT",
    "",
]


@pytest.fixture
def places(small_lake: Path, tmp_path: Path) -> dict[str, Any]:
    """A lake that is a copy, and a file beside it."""
    shutil.copytree(small_lake, tmp_path / "mock", symlinks=True)
    (tmp_path / "secret.csv").write_text("a\nsecret\n")
    return {"lake": tmp_path / "mock", "secret": tmp_path / "secret.csv"}


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if ".locks" not in path.parts}


@pytest.mark.parametrize("sql", [*OUT_OF_REACH, *REFUSED_TWICE, *WRITES])
def test_no_query_reads_or_writes_beside_the_lake(places: dict[str, Any], sql: str) -> None:
    before = files(places["lake"].parent)
    answers = Answers(places["lake"], EVENING)
    sentence = refusal(answers, sql.format(**places))
    assert "secret\n" not in sentence
    assert files(places["lake"].parent) == before


@pytest.mark.parametrize("sql", REFUSED_TWICE)
def test_duckdb_itself_refuses_it_too(places: dict[str, Any], sql: str) -> None:
    """The second fence: what would get past the look at the statement."""
    reader = LockedReader(places["lake"])
    with pytest.raises(duckdb.Error):
        reader.ask(sql.format(**places), (), lambda it, query, _: it.execute(query).fetchall())


def test_a_view_that_somebody_planted_reads_nothing_else(places: dict[str, Any]) -> None:
    with duckdb.connect(str(places["lake"] / "market.duckdb")) as connection:
        connection.execute(
            f"CREATE OR REPLACE VIEW latest_prices AS FROM read_text('{places['secret']}')"
        )
    answers = Answers(places["lake"], EVENING)
    assert "Cannot access file" in refusal(answers, "FROM latest_prices")


def test_without_a_catalog_the_files_are_read_under_the_same_lock(places: dict[str, Any]) -> None:
    (places["lake"] / "market.duckdb").write_bytes(b"broken")
    answers = Answers(places["lake"], EVENING)
    with pytest.warns(UserWarning, match="the rows themselves are read meanwhile"):
        assert answers.query("SELECT count(*) FROM daily_candles")["rows"][0][0] > 200
    with pytest.warns(UserWarning):
        assert "Cannot access file" in refusal(answers, f"FROM read_text('{places['secret']}')")


def test_what_a_run_stores_meanwhile_is_seen(places: dict[str, Any]) -> None:
    answers = Answers(places["lake"], EVENING)
    before = answers.query("FROM market_days")["rows"]
    shutil.copy(places["lake"] / "market.duckdb", places["lake"] / "new")
    with duckdb.connect(str(places["lake"] / "new")) as connection:
        connection.execute("CREATE OR REPLACE VIEW market_days AS SELECT 1 AS day")
    (places["lake"] / "new").rename(places["lake"] / "market.duckdb")
    assert answers.query("FROM market_days")["rows"] == [[1]] != before
