"""What all commands that read have in common: forms, files, columns, errors, no colour."""

from __future__ import annotations

import csv
import os
import pty
import re
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer.main

from kis_assets import Market
from kis_assets.cli import app
from kis_assets.sources.base import DataSource
from kis_assets.sources.factory import create_data_source
from kis_assets.sources.mock import MockDataSource
from kis_assets_tests.cli.test_marks import READING
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.support.small_lake import DAY, SAMSUNG

pytestmark = pytest.mark.usefixtures("narrow_terminal")

TREE: Any = typer.main.get_command(app)


# One form


@pytest.mark.parametrize(
    "name",
    [
        *("quote", "book", "candles", "info", "warm", "sql", "condition", "find", "diff"),
        *("status", "doctor"),
    ],
)
def test_every_command_that_reads_takes_the_same_options(name: str) -> None:
    options = {option for it in TREE.commands[name].params for option in it.opts}
    assert {"--json", "--csv", "--to", "--columns"} <= options


def test_kis_assets_alone_takes_them_too(stored: Path, tmp_path: Path) -> None:
    said = Said("--json")
    assert said.status == 0
    assert said.err.count("MOCK DATA") == 1
    known = {row["table"]: row for row in said.json}
    assert known["daily_candles"] == {
        "table": "daily_candles",
        "newest": "2026-03-17",
        "rows": 244,
        "source": "mock",
    }
    assert "options must follow the command: kis-assets find" in Said("--json", "find", "x").error
    assert Said("--csv", "--columns", "table").csv[0].keys() == {"table"}


def test_before_the_first_run_nothing_is_stored_for_a_machine_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path))
    assert Said("--json").json == []


@READING
def test_an_answer_can_be_a_file(asked: DataSource, tmp_path: Path, words: tuple[str, ...]) -> None:
    expected = Said(*words, "--csv").csv
    for kind in ("parquet", "csv"):
        said = Said(*words, "--to", str(tmp_path / f"answer.{kind}"))
        assert (said.status, said.out) == (0, "")
        assert f": {len(expected):,} row" in " ".join(said.err.split())
    with (tmp_path / "answer.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.DictReader(file)) == expected
    frame = pl.read_parquet(tmp_path / "answer.parquet")
    assert frame.columns == list(expected[0])
    assert frame.height == len(expected)
    assert {path.name for path in tmp_path.glob("*answer*")} == {"answer.csv", "answer.parquet"}
    assert not list(tmp_path.glob("*.new"))


QUERY = (
    "SELECT trading_day, stock_code, close, fetched_at, '=1+1' AS formula FROM daily_candles "
    f"WHERE trading_day = DATE '{DAY}' ORDER BY stock_code"
)


def test_a_sheet_of_excel_has_codes_as_text_and_days_as_days(stored: Path, tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter", reason="xlsxwriter is not installed")
    path = tmp_path / "candles.xlsx"
    assert Said("sql", QUERY, "--to", str(path)).status == 0
    with zipfile.ZipFile(path) as parts:
        sheet, texts, styles = (
            parts.read(f"xl/{name}.xml").decode()
            for name in ("worksheets/sheet1", "sharedStrings", "styles")
        )
    words = re.findall(r"<t[^>]*>([^<]*)</t>", texts)
    cells = dict(re.findall(r'<c r="(\w+)"([^/]*?)</v>', sheet))
    text_in = {
        place: words[int(cell.rpartition(">")[2])]
        for place, cell in cells.items()
        if 't="s"' in cell
    }
    assert [text_in[f"{column}1"] for column in "ABC"] == ["trading_day", "stock_code", "close"]
    assert (text_in["B2"], text_in["E2"]) == ("000660", "=1+1")
    # Days since the last of 1899 are what a day is in Excel; the format shows it as one.
    assert cells["A2"].rpartition(">")[2] == str((DAY - date(1899, 12, 30)).days)
    number = re.search(r'numFmtId="(\d+)" formatCode="yyyy-mm-dd"', styles)
    formats = re.findall(r"<xf [^>]*>", styles.partition("<cellXfs")[2])
    style = re.search(r's="(\d+)"', cells["A2"])
    assert number
    assert style
    assert f'numFmtId="{number[1]}"' in formats[int(style[1])]
    assert {"A2", "C2", "D2"}.isdisjoint(text_in)
    assert "<f>" not in sheet


def test_a_parquet_file_keeps_the_types(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    assert Said("sql", QUERY, "--to", str(path)).status == 0
    schema = pl.read_parquet(path).schema
    assert (schema["trading_day"], schema["stock_code"]) == (pl.Date(), pl.String())
    assert schema["close"] == pl.Int64()
    assert schema["fetched_at"] == pl.Datetime("us", "Asia/Seoul")


NULLS = """SELECT DATE '2026-03-17' AS day, NULL::DATE AS no_day, NULL::BIGINT AS no_number,
    NULL::DOUBLE AS no_rate, NULL::VARCHAR AS no_name, NULL::BOOLEAN AS no_flag,
    NULL::TIMESTAMPTZ AS no_instant, sum(1) AS total, NULL AS nothing, 1.5 AS decimal,
    [1, 2] AS list, INTERVAL 1 DAY AS span, uuid() AS id"""


@pytest.mark.parametrize("rows", ["", " HAVING false"], ids=["null", "none"])
def test_a_column_without_a_value_keeps_its_type(stored: Path, tmp_path: Path, rows: str) -> None:
    path = tmp_path / "nulls.parquet"
    assert Said("sql", NULLS + rows, "--to", str(path)).status == 0
    assert list(pl.read_parquet(path).schema.items())[:9] == [
        *(("day", pl.Date()), ("no_day", pl.Date()), ("no_number", pl.Int64())),
        *(("no_rate", pl.Float64()), ("no_name", pl.String()), ("no_flag", pl.Boolean())),
        *(("no_instant", pl.Datetime("us", "Asia/Seoul")), ("total", pl.Int64())),
        ("nothing", pl.Int32()),
    ]


@READING
def test_no_file_has_a_column_without_a_type_or_an_instant_as_text(
    asked: DataSource, tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "answer.parquet"
    assert Said(*words, "--to", str(path)).status == 0
    schema = pl.read_parquet(path).schema
    assert pl.Null not in schema.values()
    for name in ("date", "trading_day"):
        assert schema.get(name, pl.Date()) == pl.Date()
    for name in ("timestamp", "fetched_at", "started_at"):
        assert isinstance(schema.get(name, pl.Datetime()), pl.Datetime)


def test_asked_minutes_are_instants_in_a_file_and_iso_text_for_a_program(
    asked: DataSource, tmp_path: Path
) -> None:
    path = tmp_path / "minutes.parquet"
    words = ("candles", SAMSUNG, "--type", "5m", "--count", "3")
    assert Said(*words, "--to", str(path)).status == 0
    frame = pl.read_parquet(path)
    assert frame.schema["date"] == pl.Datetime("us", "Asia/Seoul")
    told = [row["date"] for row in Said(*words, "--json").json]
    assert told == [at.isoformat() for at in frame["date"]]


def test_a_sum_is_a_whole_number_in_python(small_lake: Path) -> None:
    found = Market(small_lake).sql("SELECT sum(volume) AS total FROM daily_candles")
    assert found.schema["total"] == pl.Int64()
    assert isinstance(found.item(), int)
    huge = Market(small_lake).sql("SELECT 9223372036854775807::HUGEINT * 2 AS total")
    assert huge.item() == 2 * 9223372036854775807


def test_a_sheet_without_its_package_is_one_sentence(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    said = Said("sql", "SELECT 1", "--to", str(tmp_path / "a.xlsx"))
    assert "pip install xlsxwriter" in said.err.splitlines()[-1]
    assert said.status == 2
    assert not list(tmp_path.glob("*.xlsx*"))


def test_the_last_day_and_a_file_are_both_given_by_to(stored: Path, tmp_path: Path) -> None:
    words = ("candles", SAMSUNG, "--stored", "--from", "2026-02", "--to", "2026-02")
    path = tmp_path / "february.parquet"
    assert Said(*words, "--to", str(path)).status == 0
    days = pl.read_parquet(path)["trading_day"]
    assert {day.month for day in days} == {2}
    assert len(Said(*words, "--json").json) == len(days)


def test_columns_are_given_by_choice_and_in_that_order(asked: DataSource) -> None:
    found = Said("quote", SAMSUNG, "--columns", "volume, stock_code", "--csv").out
    assert found.splitlines()[0] == "volume,stock_code"
    people = Said("candles", SAMSUNG, "--columns", "close,date").out
    assert people.splitlines()[0].split() == ["close", "date"]
    assert "too narrow" not in Said("find", "삼성", "--columns", "stock_name").err
    wrong = Said("quote", SAMSUNG, "--columns", "price")
    assert "there is no column 'price'; there are stock_code," in wrong.err.splitlines()[-1]


@READING
@pytest.mark.parametrize("form", [(), ("--json",)], ids=" ".join)
def test_the_source_is_a_column_of_every_answer(
    asked: DataSource, words: tuple[str, ...], form: tuple[str, ...]
) -> None:
    said = Said(*words, "--columns", "source", *form)
    assert said.status == 0
    assert (
        said.out.split()[:2] == ["source", "mock"]
        if not form
        else said.json[0] == {"source": "mock"}
    )


ASKING = pytest.mark.parametrize("command", ["quote", "book", "candles", "info"])


@ASKING
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--columns", "nope"), "there is no column 'nope'"),
        (("--to", "rows.txt"), "rows.txt"),
        (("--to", "nowhere/rows.csv"), "nowhere is not a folder"),
        (("--to", "folder.csv"), "is a folder: name a file"),
    ],
    ids=lambda it: it[-1] if isinstance(it, tuple) else "",
)
def test_an_answer_that_cannot_be_given_is_refused_before_anybody_is_asked(
    stored: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    def asked(*_: object, **__: object) -> None:
        pytest.fail("the source was asked")

    monkeypatch.setattr("kis_assets.sources.factory.create_data_source", asked)
    (tmp_path / "folder.csv").mkdir()
    done = Said(command, SAMSUNG, *words)
    assert (done.status, said in done.error) == (2, True)


def test_market_gives_columns_by_choice(small_lake: Path) -> None:
    market = Market(small_lake)
    assert market.daily_candles(SAMSUNG, columns=["close", "trading_day"]).columns == [
        *("close", "trading_day"),
    ]
    assert market.minutes(SAMSUNG, DAY, every=10, columns="close, volume").columns == [
        *("close", "volume"),
    ]
    assert market.index_candles("KOSPI", columns="close").width == 1
    assert market.financial_statements(SAMSUNG, columns="stock_code").width == 1
    with pytest.raises(ValueError, match="there is no column 'price'; there are trading_day, "):
        market.daily_candles(SAMSUNG, columns=["price"])
    with pytest.raises(ValueError, match="no column"):
        market.daily_candles(SAMSUNG, columns=[])


def test_several_stocks_are_asked_in_one_call(asked: DataSource, small_lake: Path) -> None:
    codes = ("5930", "KRX:000660")
    assert len(Said("quote", *codes, "--json").json) == 2
    for form in ((), ("--stored",)):
        rows = Said("candles", *codes, "--count", "3", "--csv", *form).csv
        assert [row["stock_code"] for row in rows] == [SAMSUNG] * 3 + ["000660"] * 3
    books = Said("book", *codes, "--csv").csv
    assert [row["stock_code"] for row in books] == [SAMSUNG] * 20 + ["000660"] * 20
    assert [row["stock_code"] for row in Said("book", *codes, "--json").json] == [SAMSUNG, "000660"]
    people = Said("book", *codes).out
    assert people.index("삼성전자") < people.index("SK하이닉스")
    some = Said("book", SAMSUNG, "999999", "--json")
    assert (some.status, len(some.json)) == (1, 1)
    assert "999999" in some.err
    assert Said("candles", *codes).out.split()[0] == "stock_code"
    assert Market(small_lake).daily_candles([5930, "000660.KS"])["stock_code"].n_unique() == 2


@pytest.mark.parametrize("given", ["5930", 5930, "005930.KS", "KRX:005930", "A005930"], ids=repr)
def test_a_source_reads_a_code_as_market_and_the_commands_do(
    asked: DataSource, given: str | int
) -> None:
    code: Any = given
    assert asked.get_current_price(code).stock_code == SAMSUNG
    assert asked.get_order_book(code).stock_code == SAMSUNG
    assert asked.get_stock_info(code).stock_code == SAMSUNG
    assert {bar.stock_code for bar in asked.get_chart_data(code, count=2)} == {SAMSUNG}
    result = asked.get_current_prices_batch([code, SAMSUNG])
    assert list(result["success"]) == [SAMSUNG]
    assert result["stats"]["total"] == 1
    assert Said("quote", str(given), "--json").json[0]["stock_code"] == SAMSUNG


def test_create_data_source_reads_them_too(stored: Path) -> None:
    with create_data_source("mock") as source:
        assert isinstance(source, MockDataSource)
        assert source.get_stock_info("5930").stock_code == SAMSUNG  # type: ignore[arg-type]


# Several answers, many rows


def test_every_query_of_several_is_answered(stored: Path) -> None:
    said = Said("sql", "SELECT 1 AS one; SET VARIABLE x = 2; SELECT getvariable('x') AS two;")
    assert said.out.split() == ["one", "1", "two", "2"]
    assert said.err.count("MOCK DATA") == 1
    for form in (("--json",), ("--csv",), ("--to", "a.csv")):
        assert "2 queries have several answers" in Said("sql", "SELECT 1; SELECT 2", *form).error
    assert Said("sql", "SET VARIABLE x = 2; SELECT 1 AS one", "--csv").out == "one\n1\n"
    for question in (Market(stored).sql, Market(stored).rows):
        with pytest.raises(ValueError, match="these are 2 queries, and one is answered"):
            question("SELECT 1; SELECT 2")


def test_of_many_candles_the_newest_are_shown_and_how_to_get_all(asked: DataSource) -> None:
    words = ("candles", SAMSUNG, "--from", "2025-06-01")
    rows, said = Said(*words, "--csv").csv, Said(*words)
    assert len(rows) > 150
    lines = said.out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [row["date"] for row in rows[-100:]]
    assert f"the newest 100 of {len(rows)} rows: --json, --csv or --to FILE gives all" in said.err


def test_a_diff_without_changes_ends_well_and_with_them_as_asked(stored: Path) -> None:
    same, changed = ("diff", "daily_candles", "2026-02"), ("diff", "daily_candles", "2026-03")
    assert "there is only one version, of 2026" in Said(*same).out
    for form in ((), ("--json",), ("--exit-code",)):
        assert Said(*same, *form).status == 0
    assert Said(*same, "--json").json == []
    assert Said(*changed).status == 0
    assert Said(*changed, "--exit-code").status == 1


@pytest.mark.parametrize(
    "words",
    [
        ("sql", "FROM daily_candles WHERE false"),
        ("find", "nobody"),
        ("condition", "daily_candles", "--from", "2019-01", "--to", "2019-01"),
        ("diff", "daily_candles", "2026-02"),
    ],
    ids=" ".join,
)
def test_an_answer_without_rows_is_an_answer(stored: Path, words: tuple[str, ...]) -> None:
    assert (Said(*words).status, Said(*words).out.splitlines()[0]) == (0, "no rows")
    assert (Said(*words, "--json").status, Said(*words, "--json").json) == (0, [])


# What is typed wrong


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("quote",), "Missing argument 'CODE...'; "),
        (("qoute", SAMSUNG), "No such command 'qoute'. Did you mean 'quote'?"),
        (("quote", SAMSUNG, "--nope"), "No such option: --nope"),
        (("candles", SAMSUNG, "--type", "hour"), "'hour' is not one of 'daily', "),
        (("candles", SAMSUNG, "--count", "0"), "--count"),
        (("stream",), "which stocks?"),
        (("quote", SAMSUNG, "--to", "file.txt"), "cannot be written: the name of a file ends with"),
        (("quote", SAMSUNG, "--to", "a.csv", "--json"), "excludes --json"),
        (("quote", SAMSUNG, "--to", "a.csv", "--to", "b.csv"), "two files"),
        (("candles", SAMSUNG, "--stored", "--to", "nowhere/a.csv"), "nowhere is not a folder"),
        (("quote", SAMSUNG, "--columns", ","), "names no column"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=" ".join)
def test_every_mistake_is_one_sentence_and_status_two(
    stored: Path, words: tuple[str, ...], said: str, form: tuple[str, ...]
) -> None:
    done = Said(*words, *(form if "--to" not in words else ()))
    assert done.status == 2
    assert done.out == ""
    assert said in done.err.strip().splitlines()[-1]
    assert done.err.count("error: ") == 1


# kis-assets alone


def test_alone_it_says_what_is_stored_and_what_to_do_next(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said()
    assert said.status == 0
    assert "MOCK DATA" in said.err
    assert str(stored) in said.out.replace("\n", "")
    rows = {line.split()[0]: line.split()[1:] for line in said.out.splitlines() if line.strip()}
    assert rows["source"][0] == "mock:"
    assert rows["daily_candles"] == ["2026-03-17", "244"]
    assert rows["minute_candles"][0] == rows["trades"][0] == "2026-03-17"
    assert rows["investor_flows"][0] == "2026-03-16"
    assert "etf_navs" not in rows
    assert rows["next"][:2] == ["kis-assets", "ui,"]
    monkeypatch.setenv("KIS_REPLAY_AT", "2026-03-18T10:00+09:00")
    assert Said().out.rstrip().endswith("next   kis-assets run")
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path))
    assert Said().out.rstrip().endswith("nothing is stored yet\nnext   kis-assets run")


# No colour


@pytest.mark.skipif(os.name == "nt", reason="no terminals of this kind")
@pytest.mark.parametrize(
    "words", [(), ("--help",), ("find", "삼성"), ("quote",), ("doctor", "--help")], ids=" ".join
)
def test_no_color_means_no_colour_and_no_style(
    stored: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def shown(**variables: str) -> str:
        ours, theirs = pty.openpty()
        environment = {
            it: os.environ[it] for it in os.environ if it not in ("NO_COLOR", "FORCE_COLOR")
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "kis_assets.cli", *words],
            env=environment | {"TERM": "xterm-256color"} | variables,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65536):
                seen += part
        except OSError:  # Linux says so that nobody writes any more
            pass
        finally:
            os.close(ours)
            process.wait()
        return seen.decode()

    styled = re.compile(r"\x1b\[[\d;]*m")
    assert styled.search(shown()), "this very test would not see a colour"
    plain = shown(NO_COLOR="1")
    assert plain
    assert not styled.search(plain)


def test_a_file_takes_the_place_of_no_folder_and_of_no_link(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet" / "year=2025").mkdir(parents=True)
    said = Said("sql", "SELECT 1 AS a", "--to", str(tmp_path / "rows.parquet"))
    assert (said.status, "is a folder: name a file" in said.err) == (2, True)
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert Said("sql", "SELECT 1 AS a", "--to", str(tmp_path / "link.csv")).status == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert "1" in (tmp_path / "real.csv").read_text(encoding="utf-8-sig")
