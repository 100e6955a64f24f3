"""Market(): what is stored in one call, and what it says of what is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from unicodedata import normalize

import duckdb
import polars as pl
import pytest

from kis_assets import Market
from kis_assets.lake.lake import Lake, LakeError, Scope
from kis_assets.lake.reader import NotStored, NotStoredWarning, missing
from kis_assets.settings import SettingsError
from kis_assets.tables import DAILY_CANDLES, STOCK_MASTER
from kis_assets_tests.lake.test_views import candle, frame
from kis_assets_tests.support.small_lake import (
    CODES,
    DAY,
    FIRST_VERSION,
    GAP,
    GAPPY,
    SAMSUNG,
    SPLIT,
    WRONG_CLOSE,
)


@pytest.fixture
def market(small_lake: Path) -> Market:
    return Market(small_lake)


def test_the_package_stays_cheap_to_import() -> None:
    probe = (
        "import sys, kis_assets; assert 'kis_assets.market' not in sys.modules; kis_assets.Market; "
        "print({'polars', 'duckdb', 'pydantic', 'dagster'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_is_not_in_the_package_is_an_attribute_error() -> None:
    import kis_assets

    with pytest.raises(AttributeError, match="Markt"):
        _ = kis_assets.Markt  # type: ignore[attr-defined]


def test_daily_candles_are_those_that_duckdb_reads_itself(market: Market, small_lake: Path) -> None:
    glob = small_lake / "parquet" / "daily_candles" / "*.parquet"
    with duckdb.connect() as connection:
        raw = connection.execute(
            f"SELECT trading_day, close FROM read_parquet('{glob}', hive_partitioning = false) "
            f"WHERE stock_code = '{SAMSUNG}' AND trading_day >= '2026-02-01' ORDER BY 1"
        ).fetchall()
    found = market.daily_candles(SAMSUNG, "2026-02-01")
    assert found.select("trading_day", "close").rows() == raw
    assert found.schema == DAILY_CANDLES.schema
    assert market.daily_candles(SAMSUNG, date(2026, 2, 1)).equals(found)


def test_both_ends_of_a_span_are_in_it(market: Market) -> None:
    found = market.daily_candles(SAMSUNG, "2026-03-13", "2026-03-16")
    assert found["trading_day"].to_list() == [date(2026, 3, 13), date(2026, 3, 16)]


def test_stocks_are_one_several_or_all_by_code_or_name(market: Market) -> None:
    def codes(of: Any) -> list[str]:
        return market.daily_candles(of, DAY, DAY)["stock_code"].to_list()

    assert codes(SAMSUNG) == codes("삼성전자") == codes("전자") == [SAMSUNG]
    assert codes([GAPPY, SAMSUNG, "삼성전자"]) == sorted([SAMSUNG, GAPPY])
    assert codes(None) == sorted(CODES)


def test_adjusted_candles_are_on_the_newest_share_count(market: Market) -> None:
    raw = market.daily_candles(SPLIT)
    adjusted = market.daily_candles(SPLIT, adjusted=True)
    ratio = (raw["close"] / adjusted["close"]).round(6)
    assert ratio[0] == 10
    assert ratio[-1] == 1
    # The span cuts days off; it does not change what happened after them.
    january = market.daily_candles(SPLIT, "2026-01-01", "2026-01-09", adjusted=True)
    assert january["close"][0] == adjusted["close"][0]


@pytest.mark.parametrize("every", [1, 5, 30])
def test_minutes_of_any_length_have_the_same_volume(market: Market, every: int) -> None:
    one = market.minutes(SAMSUNG, DAY)
    found = market.minutes(SAMSUNG, (DAY, DAY), every=every)
    assert found["volume"].sum() == one["volume"].sum() > 0
    assert found["started_at"].is_sorted()
    assert str(found["started_at"].dtype.time_zone) == "UTC"  # type: ignore[attr-defined]


@pytest.mark.parametrize("every", [0, -5, 1441, 2.5, True])
def test_minutes_are_of_a_whole_number(market: Market, every: Any) -> None:
    with pytest.raises(ValueError, match="a whole number from 1 to 1440"):
        market.minutes(SAMSUNG, DAY, every=every)


def test_captures_prices_and_listings_are_there_as_well(market: Market) -> None:
    assert market.snapshots(SAMSUNG, DAY, DAY).height == 1
    assert market.prices().height == len(CODES)
    (book,) = market.order_books(SAMSUNG).rows(named=True)
    assert book["ask_price_1"] > book["bid_price_1"]
    assert market.stocks()["stock_code"].is_sorted()
    assert market.weekly_candles(SAMSUNG)["days"].max() == 5
    assert market.monthly_candles(SAMSUNG).height == 3


def test_a_stock_is_found_by_a_part_of_its_name_or_the_start_of_its_code(market: Market) -> None:
    assert market.find("삼성")["stock_name"].to_list() == ["삼성전자", "삼성전기"]
    assert market.find("naver")["stock_code"].to_list() == [GAPPY]
    assert market.find("0059")["stock_code"].to_list() == [SAMSUNG]
    assert market.find("나눔산업")["stock_name"][0] == "나눔산업"
    assert market.find("%").is_empty()


def test_a_query_takes_parameters_and_cannot_write(market: Market) -> None:
    found = market.sql("SELECT count(*) AS n FROM daily_candles WHERE stock_code = ?", SAMSUNG)
    assert found["n"][0] == market.daily_candles(SAMSUNG).height
    with pytest.raises(duckdb.Error):
        market.sql("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(ValueError, match="the query is empty"):
        market.sql("-- nothing")


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO 'written.csv'",
        "SELECT '삼성'; copy daily_candles TO 'written.parquet'",
        "COPY (PIVOT daily_candles ON stock_code USING sum(volume)) TO 'written.csv'",
        "EXPLAIN /* 삼성 */ ANALYZE COPY (SELECT 1) TO 'written.csv'",
        "PREPARE writing AS COPY (SELECT 1) TO 'written.csv'; EXECUTE writing",
        "EXPORT DATABASE 'written'",
        "ATTACH 'written.duckdb' (READ_WRITE)",
        "ATTACH 'written.duckdb' (READ_ONLY false)",
        "ATTACH 'written.duckdb'",
    ],
)
@pytest.mark.parametrize("as_of", [None, FIRST_VERSION])
def test_a_query_writes_no_file(
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    as_of: datetime | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(duckdb.PermissionException, match="writes a file, but only reading"):
        market.sql(query, as_of=as_of)
    assert list(tmp_path.iterdir()) == []


def test_a_query_may_read_whatever_can_be_read(market: Market, tmp_path: Path) -> None:
    own = tmp_path / "own.parquet"
    pl.DataFrame({"copy": [1], "export": [2]}).write_parquet(own)
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 3 AS attach")
    assert market.sql(f"SELECT copy, export FROM '{own}'").row(0) == (1, 2)
    attached = f"ATTACH '{other}' AS other (READ_ONLY); SELECT attach FROM other.mine"
    assert market.sql(attached).item() == 3
    for query in (
        "PIVOT daily_candles ON stock_code USING sum(volume)",
        "EXPLAIN ANALYZE SELECT * FROM daily_candles",
        "SUMMARIZE daily_candles",
        "SHOW TABLES",
        "DESCRIBE daily_candles",
        "SET VARIABLE code = '005930'; FROM daily_candles WHERE stock_code = getvariable('code')",
        "PRAGMA table_info('daily_candles')",
    ):
        assert market.sql(query).height > 0


def test_what_was_known_earlier_is_read_from_tables_and_views(market: Market) -> None:
    then = FIRST_VERSION + timedelta(minutes=1)
    for adjusted in (False, True):
        before = market.daily_candles(SAMSUNG, DAY, as_of=then, adjusted=adjusted)
        now = market.daily_candles(SAMSUNG, DAY, adjusted=adjusted)
        assert before["close"].to_list() == [WRONG_CLOSE]
        assert now["close"][0] > WRONG_CLOSE
    at_dawn = FIRST_VERSION - timedelta(days=1)
    assert market.daily_candles(SAMSUNG, as_of=at_dawn).is_empty()
    with pytest.raises(LakeError, match="no time zone"):
        market.daily_candles(SAMSUNG, as_of=then.replace(tzinfo=None))


def test_what_is_pruned_is_an_error_only_for_who_asks_for_it(tmp_path: Path) -> None:
    moments = (datetime(2026, 3, day, tzinfo=UTC) for day in chain((1, 2), repeat(20)))
    lake = Lake(tmp_path / "mock", source="mock", keep_days=1, clock=lambda: next(moments))
    for close in (100, 101):
        rows = frame(DAILY_CANDLES, candle(DAY, close, close, close, close))
        lake.replace(DAILY_CANDLES, Scope.month(DAY), rows)
    assert lake.prune() == 1
    market, then = Market(tmp_path / "mock"), datetime(2026, 3, 1, 12, tzinfo=UTC)
    with pytest.raises(LakeError, match="pruned"):
        market.sql("SELECT * FROM weekly_candles", as_of=then)
    assert market.sql("SELECT * FROM order_book_levels", as_of=then).is_empty()


Question = Callable[[Market], object]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (
            lambda it: it.daily_candles(SAMSUNG, "2024-01-05", "2024-03-08"),
            "no daily_candles of 2024-01 to 2024-03 are stored yet; "
            "run: kis-assets backfill daily_candles 2024-01 2024-03",
        ),
        (
            lambda it: it.minutes(SAMSUNG, "2026-03-16"),
            "no minute_candles of 2026-03-16 are stored yet; "
            "run: kis-assets backfill minute_candles 2026-03-16 2026-03-16",
        ),
        (
            lambda it: it.order_books(SAMSUNG, "2026-03-16", "2026-03-16"),
            "no order_books of 2026-03-16 are stored yet; captures are not available later; "
            "while the market is open: run: kis-assets run --table order_books",
        ),
        (lambda it: it.daily_candles("nobody"), "no stock is called 'nobody'"),
        (lambda it: it.daily_candles("005931"), "no stock has the code 005931; nearest: 삼성전자"),
        (
            lambda it: it.daily_candles("삼송전자"),
            "no stock is called '삼송전자'; nearest: 삼성전자",
        ),
        (
            lambda it: it.daily_candles("삼성"),
            "'삼성' fits several stocks: 삼성전자 (005930), 삼성전기 (009150)",
        ),
    ],
)
def test_what_is_not_there_is_said_with_how_to_get_it(
    market: Market, question: Question, said: str
) -> None:
    with pytest.raises(NotStored) as caught:
        question(market)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (lambda it: it.daily_candles(SAMSUNG, "17.3.2026"), "'17.3.2026' is not a day"),
        (lambda it: it.daily_candles(SAMSUNG, "2026-03-02", "2026-03-01"), "before it starts"),
        (lambda it: it.daily_candles([]), "no stock code is given"),
    ],
)
def test_a_question_that_cannot_be_right_is_a_value_error(
    market: Market, question: Question, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        question(market)


ODD = (5930.5, 5930.0, ["005930", None], b"005930", [b"005930"], True)


@pytest.mark.parametrize("codes", ODD, ids=repr)
@pytest.mark.parametrize(
    "question",
    [
        lambda it, codes: it.daily_candles(codes),
        lambda it, codes: it.weekly_candles(codes),
        lambda it, codes: it.monthly_candles(codes),
        lambda it, codes: it.minutes(codes, DAY),
        lambda it, codes: it.snapshots(codes),
        lambda it, codes: it.order_books(codes),
        lambda it, codes: it.prices(codes),
        lambda it, codes: it.find(codes),
        lambda it, codes: it.code(codes),
        lambda it, codes: it.bars("daily_candles", codes),
    ],
)
def test_a_code_that_is_no_text_is_a_type_error_that_says_what_is_wanted(
    market: Market, question: Callable[[Market, Any], object], codes: Any
) -> None:
    with pytest.raises(TypeError, match='is wanted as a text such as "005930", not '):
        question(market, codes)


def test_a_day_that_is_none_is_a_type_error_that_says_what_is_wanted(market: Market) -> None:
    with pytest.raises(TypeError, match='expected a day such as "2026-03-17", not 20260317'):
        market.daily_candles(SAMSUNG, 20260317)  # type: ignore[arg-type]


def test_a_name_is_found_in_either_normal_form(market: Market, tmp_path: Path) -> None:
    """macOS gives the names of files, and what is copied of them, in the longer one (NFD)."""
    typed = normalize("NFD", "삼성전자")
    assert typed != "삼성전자"
    assert market.code(typed) == SAMSUNG
    assert market.find(normalize("NFD", "삼성")).height == 2
    assert market.prices(typed)["stock_code"].to_list() == [SAMSUNG]
    listed = Lake(market.folder, source="mock").scan(STOCK_MASTER, first=DAY, last=DAY).collect()
    row = listed.filter(stock_code=SAMSUNG).with_columns(stock_name=pl.lit(typed))
    Lake(tmp_path / "mock", source="mock").replace(STOCK_MASTER, Scope.day(DAY), row)
    with Market(tmp_path / "mock") as other:
        assert other.code("삼성전자") == other.code(typed) == SAMSUNG
        assert other.find("삼성").height == 1


def test_what_is_partly_there_is_given_with_a_warning(market: Market) -> None:
    with pytest.warns(NotStoredWarning, match=r"no daily_candles of 2025-11 to 2025-12 are stored"):
        found = market.daily_candles(SAMSUNG, "2025-11-20")
    assert found.height == market.daily_candles(SAMSUNG).height
    with pytest.warns(NotStoredWarning, match="009150: no daily_candles in what is stored"):
        assert market.daily_candles("삼성전기").is_empty()
    # A day that one stock lacks in a stored month is for the checks to say.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GAP not in market.daily_candles(GAPPY, "2026-01-01")["trading_day"].to_list()


def test_missing_spans_are_of_months_or_of_trading_days() -> None:
    assert missing("daily_candles", ["2026-02"], date(2026, 1, 9), date(2026, 4, 1)) == [
        ("2026-01", "2026-01"),
        ("2026-03", "2026-04"),
    ]
    # From Friday to Tuesday, Monday being stored.
    days = missing("minute_candles", ["2026-03-16"], date(2026, 3, 13), date(2026, 3, 17))
    assert days == [("2026-03-13", "2026-03-13"), ("2026-03-17", "2026-03-17")]
    assert missing("daily_candles", ["2026-02"], date(2026, 2, 3), None) == []
    assert missing("daily_candles", [], None, None) == []


def test_before_the_first_run_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotStored, match=r"nothing is stored in .*mock yet; run: kis-assets run"):
        Market(tmp_path / "mock").prices()


def test_without_a_list_of_stocks_a_code_is_believed(tmp_path: Path) -> None:
    rows = frame(DAILY_CANDLES, candle(DAY, 1, 1, 1, 1))
    Lake(tmp_path / "mock", source="mock").replace(DAILY_CANDLES, Scope.month(DAY), rows)
    market = Market(tmp_path / "mock")
    with pytest.warns(NotStoredWarning, match="000660: no daily_candles"):
        assert market.daily_candles("000660").is_empty()
    with pytest.raises(NotStored, match="no stock_master is stored yet; run: kis-assets run"):
        market.stocks()
    with pytest.raises(NotStored, match="is called 'x'; no stock_master is stored yet"):
        market.daily_candles("x")


def test_what_a_run_writes_is_seen_by_the_next_question(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "mock", source="mock")
    with Market(tmp_path / "mock") as market:
        for close in (100, 101, 102):
            rows = frame(DAILY_CANDLES, candle(DAY, close, close, close, close))
            lake.replace(DAILY_CANDLES, Scope.month(DAY), rows)
            assert market.daily_candles(SAMSUNG)["close"].to_list() == [close]


def test_questions_are_answered_while_a_run_writes_and_an_analyst_holds_the_file(
    tmp_path: Path,
) -> None:
    lake = Lake(tmp_path / "mock", source="mock")
    rows = frame(DAILY_CANDLES, candle(DAY, 5, 5, 5, 5))
    lake.replace(DAILY_CANDLES, Scope.month(DAY), rows)
    with duckdb.connect(str(lake.database)), lake._versions.lock("daily_candles"):
        assert Market(tmp_path / "mock").daily_candles(SAMSUNG)["close"].to_list() == [5]


def test_the_folder_is_that_of_the_settings(
    small_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(small_lake.parent))
    assert Market().folder == Market(source="mock").folder == small_lake
    with pytest.raises(SettingsError, match="needs KIS_APP_KEY"):
        Market(source="kis")


def test_a_catalog_of_an_earlier_version_hides_nothing(small_lake: Path, tmp_path: Path) -> None:
    """A package that is newer than the last run: the views are made of the files meanwhile."""
    folder = tmp_path / "mock"
    shutil.copytree(small_lake, folder)
    with duckdb.connect(str(folder / "market.duckdb")) as connection:
        for view in ("prices", "stocks", "facts", "investor_flows_wide", "investor_flows"):
            connection.execute(f"DROP VIEW {view}")
    with Market(folder) as market:
        assert market.prices().height == len(CODES)
        assert market.stocks().height > len(CODES)
        assert market.investor_flows(SAMSUNG, wide=True).height > 0
        assert market.screen("return_5d > -100").height > 0
        with pytest.raises(duckdb.CatalogException, match="nobodys"):
            market.sql("FROM nobodys")


def test_a_day_that_lacks_a_stock_is_degraded_and_its_neighbours_are_not(market: Market) -> None:
    found = market.condition("daily_candles", GAP - timedelta(days=1), GAP + timedelta(days=1))
    assert found["condition"].to_list() == ["available", "degraded", "available"]
    assert "every_stock_is_accounted_for fails for 1" in found["reason"][1]


def test_the_condition_of_days_can_be_asked_where_it_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "mock"
    folder.mkdir()
    market = Market(folder)
    with duckdb.connect(str(folder / "market.duckdb")) as connection:
        connection.execute("CREATE VIEW other AS SELECT 1 AS x")
    with pytest.raises(NotStored, match="has no dataset_condition yet; run: kis-assets run"):
        market.condition()
    make_condition(folder / "market.duckdb")
    assert market.condition().height == 3
    found = market.condition("daily_candles", "2026-03-17", "2026-03-17")
    assert found["condition"].to_list() == ["missing"]


def make_condition(path: Path) -> None:
    """A stand-in for the view of that name: three days of two tables."""
    path.unlink(missing_ok=True)
    rows = (
        "('daily_candles', DATE '2026-03-16', 'available', NULL), "
        "('daily_candles', DATE '2026-03-17', 'missing', 'never fetched'), "
        "('order_books', DATE '2026-03-17', 'degraded', 'a check failed')"
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE VIEW dataset_condition AS SELECT * FROM "
            f"(VALUES {rows}) AS t(table_name, trading_day, condition, reason)"
        )
