"""The commands that read: what is stored, what the source says, and how the machine is."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.cli.output import show
from kis_assets.errors import AuthenticationFailed, ServiceUnavailable
from kis_assets.settings import Settings
from kis_assets.sources.base import DataSource
from kis_assets.tables import STOCK_MASTER
from kis_assets_tests.support.small_lake import (
    CODES,
    DAY,
    FIRST_VERSION,
    LISTED,
    SAMSUNG,
    SPLIT,
)
from kis_assets_tests.test_market import make_condition

pytestmark = pytest.mark.usefixtures("narrow_terminal")


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, *words: str, given: str | None = None) -> None:
        done = CliRunner().invoke(app, list(words), input=given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.out, self.err, self.status = done.stdout, done.stderr, done.exit_code

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def csv(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.out)))

    @property
    def error(self) -> str:
        """The one sentence it ended with."""
        assert self.status != 0, self.out
        (line,) = self.err.strip().splitlines()
        assert line.startswith("error: ")
        return line


# What is stored


def test_a_query_is_answered_as_a_table_json_or_csv(stored: Path) -> None:
    query = (
        "SELECT trading_day, stock_code, close, has_traded, NULL AS nothing FROM daily_candles "
        f"WHERE trading_day = DATE '{DAY}' ORDER BY stock_code LIMIT 2"
    )
    table = Said("sql", query)
    assert table.status == 0
    assert table.out.splitlines()[0].split() == [
        *("trading_day", "stock_code", "close", "has_traded", "nothing"),
    ]
    as_json, as_csv = Said("sql", query, "--json").json, Said("sql", query, "--csv").csv
    assert [row["stock_code"] for row in as_json] == sorted(CODES)[:2]
    assert as_json[0]["trading_day"] == as_csv[0]["trading_day"] == "2026-03-17"
    assert as_json[0]["close"] == int(as_csv[0]["close"])
    assert as_json[0]["has_traded"] is True
    assert as_json[0]["nothing"] is None
    assert as_csv[0]["nothing"] == ""
    assert f"{as_json[0]['close']:,}" in table.out


def test_instants_are_told_in_seoul(stored: Path) -> None:
    query = "SELECT min(started_at) AS first FROM minute_candles"
    assert "2026-03-17 09:00:00" in Said("sql", query).out
    assert Said("sql", query, "--json").json[0]["first"] == "2026-03-17T09:00:00+09:00"


def test_a_query_may_come_from_standard_input(stored: Path) -> None:
    assert Said("sql", "-", "--json", given="SELECT 1 AS one").json[0]["one"] == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT close FROM daily_candle", "daily_candle does not exist"),
        ("SELEC 1", "syntax error"),
        ("CREATE TABLE mine (x INTEGER)", "read-only"),
        (" ", "the query is empty"),
    ],
)
def test_a_wrong_query_is_one_sentence(stored: Path, query: str, said: str) -> None:
    assert said in Said("sql", query).error


def test_a_table_fits_eighty_columns_and_says_what_it_leaves_out(stored: Path) -> None:
    done = Said("sql", "SELECT * FROM stock_master ORDER BY stock_code")
    assert max(cell_len(line) for line in done.out.splitlines()) <= 80
    assert "삼성전자" in done.out
    # Nothing that is shown is cut.
    shown = done.out.splitlines()[0].split()
    assert shown == STOCK_MASTER.schema.names()[: len(shown)]
    assert len(done.out.splitlines()) == 1 + len(LISTED)
    assert "too narrow for" in done.err
    assert "face_value" in done.err
    many = Said("sql", "SELECT * FROM range(60)")
    assert len(many.out.splitlines()) == 51
    assert "the first 50 of 60 rows" in many.err
    assert len(Said("sql", "SELECT * FROM range(60)", "--csv").csv) == 60


def test_korean_names_are_as_wide_as_they_look(capsys: pytest.CaptureFixture[str]) -> None:
    show(("name", "price"), [("삼성전자", 1), ("NAVER", 20_000)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [["삼성전자", "1"], ["NAVER", "20,000"]]
    assert len({cell_len(line.rstrip()) for line in lines}) == 1


def test_a_sign_on_a_letter_takes_no_place(capsys: pytest.CaptureFixture[str]) -> None:
    show(("name", "price"), [("Café".replace("é", "e\u0301"), 1), ("Cafe", 2)])
    _, with_sign, without = capsys.readouterr().out.splitlines()
    assert with_sign.replace("\u0301", "") == without.replace("2", "1")


def test_a_long_text_goes_on_below_itself(capsys: pytest.CaptureFixture[str]) -> None:
    words, word = "거래가 없는 날에는 " * 12, "가" * 60
    show(("why", "all", "rows"), [(words, word, 1), ("short", "", 20)])
    header, *lines, last = capsys.readouterr().out.splitlines()
    assert max(cell_len(line) for line in (header, *lines, last)) <= 80
    assert header.split() == ["why", "all", "rows"]
    assert lines[0].endswith(" 1")
    assert last.split() == ["short", "20"]
    # Nothing is lost, and words are broken only where they must be.
    assert "".join(lines).count("가") == 60 + 12
    assert all(line.split()[0] in words.split() for line in lines)


def test_a_single_row_that_is_too_wide_stands_upright(stored: Path) -> None:
    done = Said("sql", "SELECT * FROM daily_candles LIMIT 1")
    assert done.out.splitlines()[0].startswith("trading_day")
    assert "too narrow" not in done.err


def test_nothing_found_is_no_error_of_sql(stored: Path) -> None:
    done = Said("sql", "SELECT 1 AS x WHERE false")
    assert (done.status, done.out) == (0, "no rows\n")
    assert Said("sql", "SELECT 1 AS x WHERE false", "--json").json == []
    assert Said("sql", "SELECT 1 AS x WHERE false", "--csv").out == "x\n"


def test_stocks_are_found_by_name(stored: Path) -> None:
    assert "삼성전기" in Said("find", "삼성").out
    assert [row["stock_code"] for row in Said("find", "삼성", "--json").json] == [SAMSUNG, "009150"]
    assert Said("find", "하이닉스", "--csv").csv[0]["market"] == "KOSPI"


def test_the_condition_of_days_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path))
    assert "nothing is stored" in Said("condition").error
    (tmp_path / "mock").mkdir()
    make_condition(tmp_path / "mock" / "market.duckdb")
    assert "never fetched" in Said("condition").out
    assert len(Said("condition", "--json").json) == 3
    newest = Said("condition", "daily_candles", "--csv").csv
    assert [row["condition"] for row in newest] == ["missing", "available"]
    span = Said("condition", "--from", "2026-03-16", "--to", "2026-03-16", "--json").json
    assert [row["condition"] for row in span] == ["available"]
    assert "have one: daily_candles, order_books" in Said("condition", "candles").error
    assert "'tuesday' is not a day" in Said("condition", "--from", "tuesday").error


def test_stored_candles_are_read_without_the_source(stored: Path) -> None:
    words = ("candles", "삼성전자", "--stored", "--from", "2026-03-01")
    found = Said(*words, "--json").json
    assert found[-1]["trading_day"] == "2026-03-17"
    assert Said(*words, "--csv").csv[-1]["close"] == str(found[-1]["close"])
    assert f"{found[-1]['close']:,}" in Said(*words).out
    (weeks, months, minutes) = (
        Said("candles", SAMSUNG, "--stored", "--type", kind, "--json").json
        for kind in ("weekly", "monthly", "30m")
    )
    assert len(weeks) == 12
    assert len(months) == 3
    assert minutes[0]["started_at"] == "2026-03-17T09:00:00+09:00"


def test_stored_candles_can_be_adjusted(stored: Path) -> None:
    words = ("candles", SPLIT, "--stored", "--from", "2026-01-01", "--json")
    raw, adjusted = Said(*words, "--raw").json, Said(*words, "--adjusted").json
    assert raw[0]["close"] == pytest.approx(10 * adjusted[0]["close"])
    assert raw[-1]["close"] == adjusted[-1]["close"]


def test_candles_that_are_not_stored_are_named_with_what_to_run(stored: Path) -> None:
    words = ("candles", SAMSUNG, "--stored", "--from", "2025-01-01", "--to", "2025-02-28")
    assert "run: kis-assets backfill daily_candles 2025-01 2025-02" in Said(*words).error
    partly = Said("candles", SAMSUNG, "--stored", "--from", "2025-12-01", "--json")
    assert partly.status == 0
    assert "note: no daily_candles of 2025-12 are stored" in partly.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("candles", SAMSUNG, "--adjusted"), "add --stored"),
        (("candles", SAMSUNG, "--stored", "--from", "May"), "'May' is not a day"),
        (("candles", SAMSUNG, "--from", "2026-03-02", "--to", "2026-03-01"), "before it starts"),
        (("candles", "999999", "--stored"), "no stock has the code 999999"),
        (("candles", "삼성", "--stored"), "fits several stocks"),
        (("quote", "nobody"), "no stock is called 'nobody'"),
        (("sql", "SELECT 1", "--json", "--csv"), "choose one"),
        (("warm",), "say which stocks"),
        (("warm", SAMSUNG, "--top", "3"), "say which stocks"),
        (("diff", "candles", "2026-03"), "there is no table 'candles'"),
        (
            ("diff", "daily_candles", "March"),
            "'March' is not a day, month or year of daily_candles",
        ),
        (("diff", "daily_candles", "2026"), "'2026' is not a day, month or year of daily_candles"),
        (("diff", "daily_candles", "2025-03"), "no daily_candles of 2025-03-01 are stored"),
        (("diff", "daily_candles", "2026-03", "--since", "noon"), "'noon' is not an instant"),
        (("diff", "daily_candles", "2026-03", "--since", "2026-01-01"), "no version of daily"),
    ],
)
def test_bad_input_is_one_sentence(
    stored: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    assert said in Said(*words).error


def test_before_the_first_run_every_reader_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path))
    for words in (
        ("sql", "SELECT 1"),
        ("find", "x"),
        ("quote", "삼성전자"),
        ("diff", "daily_candles", "2026-03"),
        ("candles", SAMSUNG, "--stored"),
    ):
        helps = "backfill daily_candles 2026-03" if words[0] == "diff" else "run"
        assert f"run: kis-assets {helps}" in Said(*words).error


def test_what_a_new_version_changed_is_shown_side_by_side(stored: Path) -> None:
    words = ("diff", "daily_candles", "2026-03")
    (change,) = Said(*words, "--json").json
    assert (change["what"], change["stock_code"], change["column"]) == (
        "altered",
        SAMSUNG,
        "close",
    )
    assert change["old"] == "1"
    assert int(change["new"]) > 1000
    assert Said(*words, "--csv").csv[0]["new"] == change["new"]
    people = Said(*words).out
    assert "0 rows added, 0 removed, 1 altered from 2026-03-17 20:00:00 to" in " ".join(
        people.split()
    )
    one_day = Said("diff", "daily_candles", "2026-03-16", "--json").json
    assert one_day == []
    assert len(Said("diff", "daily_candles", "2026-03-01", "--json").json) == 1


def test_the_older_version_may_be_that_of_an_instant(stored: Path) -> None:
    words = ("diff", "daily_candles", "2026-03", "--json", "--since")
    then = (FIRST_VERSION + timedelta(minutes=1)).isoformat()
    assert len(Said(*words, then).json) == 1
    assert len(Said(*words, "2026-03-17T20:01").json) == 1
    assert Said(*words, "2026-03-18").json == []


# What the source says


def test_quotes_are_asked_by_code_and_by_name(asked: DataSource) -> None:
    table = Said("quote", "삼성전자", "000660")
    assert table.status == 0
    assert table.out.splitlines()[0].split()[:3] == ["stock_code", "stock_name", "current_price"]
    found = Said("quote", "삼성전자", "000660", "--json").json
    assert [row["stock_code"] for row in found] == [SAMSUNG, "000660"]
    assert f"{found[0]['current_price']:,}" in table.out
    assert Said("quote", SAMSUNG, "--csv").csv[0]["volume"] == str(found[0]["volume"])


def test_a_stock_that_cannot_be_quoted_stops_no_other(asked: DataSource) -> None:
    done = Said("quote", SAMSUNG, "999999", "--json")
    assert done.status == 1
    assert [row["stock_code"] for row in done.json] == [SAMSUNG]
    assert "999999" in done.err


def test_the_book_stands_from_the_highest_price_to_the_lowest(asked: DataSource) -> None:
    found = Said("book", SAMSUNG, "--json").json[0]
    rows = Said("book", SAMSUNG, "--csv").csv
    assert len(rows) == len(found["ask_levels"]) + len(found["bid_levels"]) == 20
    sides = [line.split()[0] for line in Said("book", "삼성전자").out.splitlines()[1:21]]
    assert sides == ["ask"] * 10 + ["bid"] * 10
    best = [row for row in rows if row["level"] == "1"]
    assert float(best[0]["price"]) > float(best[1]["price"])


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly", "5m"])
def test_candles_are_asked_for_oldest_first(asked: DataSource, kind: str) -> None:
    found = Said("candles", SAMSUNG, "--type", kind, "--count", "4", "--json").json
    dates = [row["date"] for row in found]
    assert len(dates) == 4
    assert dates == sorted(dates)
    assert dates[-1].startswith("2026-03-17")


def test_candles_of_a_span_are_all_there(asked: DataSource) -> None:
    words = ("candles", SAMSUNG, "--from", "2026-03-03", "--to", "2026-03-13")
    found = Said(*words, "--csv").csv
    assert [row["date"] for row in found][::8] == ["2026-03-03", "2026-03-13"]
    table = Said(*words).out.splitlines()
    assert table[0].split() == [
        *("date", "open", "high", "low", "close", "volume", "trading_value"),
    ]
    assert len(table) == 10


def test_facts_of_stocks_are_told(asked: DataSource) -> None:
    assert "삼성전자" in Said("info", SAMSUNG).out
    both = Said("info", SAMSUNG, "NAVER", "--json").json
    assert [row["stock_code"] for row in both] == [SAMSUNG, "035420"]
    assert Said("info", SAMSUNG, "--csv").csv[0]["listed_shares"] == str(both[0]["listed_shares"])
    assert "999999" in Said("info", "999999").error


def test_the_cache_is_warmed_for_some_or_for_the_most_traded(asked: DataSource) -> None:
    some = Said("warm", SAMSUNG, "NAVER", "--type", "price", "--json").json
    assert some == [{"type": "price", "succeeded": 2, "failed": 0}]
    top = Said("warm", "--top", "3", "--type", "price", "--type", "info", "--csv").csv
    assert [(row["type"], row["succeeded"]) for row in top] == [("price", "3"), ("info", "3")]
    failed = Said("warm", "999999", "--type", "price")
    assert failed.status == 1
    assert "no cache" in failed.err


def test_a_source_that_is_down_is_one_sentence(
    stored: Path, asked: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise ServiceUnavailable("the server does not answer")

    for name in ("get_order_book", "get_chart_data", "get_stock_info"):
        monkeypatch.setattr(asked, name, down)
    for command in ("book", "candles", "info"):
        assert "the server does not answer" in Said(command, SAMSUNG).error


# The doctor


@pytest.fixture
def server() -> Iterator[tuple[str, Callable[[str], None]]]:
    """A server that says only what its `Date` header is told to say."""
    told = [""]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(404)
            if told[0]:
                self.send_header("Date", told[0])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", lambda text: told.__setitem__(0, text)
        http.shutdown()
        thread.join()


def lines(said: Said) -> dict[str, dict[str, str]]:
    return {line["what"]: line for line in said.json}


def test_the_doctor_finds_a_machine_without_credentials_well(asked: DataSource) -> None:
    done = Said("doctor", "--json")
    assert done.status == 0
    found = lines(done)
    assert found["credentials"]["state"] == "warn"
    assert "KIS_APP_KEY" in found["credentials"]["seen"]
    assert found["call"]["state"] == "ok"
    assert {line["state"] for line in found.values()} <= {"ok", "warn"}
    assert "settings" in Said("doctor").out
    assert len(Said("doctor", "--csv").csv) == len(found)


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "ok"), (20, "warn"), (-20, "warn"), (300, "fail"), (None, "warn")]
)
def test_the_doctor_compares_the_clock_with_the_servers(
    server: tuple[str, Callable[[str], None]],
    settings: Settings,
    seconds: float | None,
    state: str,
) -> None:
    from email.utils import formatdate

    from kis_assets.cli.doctor import clock

    url, tell = server
    tell("" if seconds is None else formatdate(time.time() + seconds, usegmt=True))
    found = clock(settings.model_copy(update={"kis_api_base_url_real": url}))
    assert found.state == state, found


def test_the_doctor_says_what_fails_and_ends_with_a_status(
    asked: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: str) -> None:
        raise AuthenticationFailed("the key is refused")

    monkeypatch.setattr(asked, "get_current_price", refused)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{free.getsockname()[1]}/0")
        monkeypatch.setattr("kis_assets.cli.doctor.PORTS", {free.getsockname()[1]: "somebody"})
        done = Said("doctor", "--json")
    found = lines(done)
    assert done.status == 1
    assert found["call"]["state"] == found["redis"]["state"] == "fail"
    assert "the key is refused" in found["call"]["seen"]
    assert "secret" not in done.out
    (port,) = (line for name, line in found.items() if name.startswith("port"))
    assert (port["state"], "somebody" in port["seen"]) == ("warn", True)


def test_the_doctor_sees_a_full_disk_and_a_folder_that_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kis_assets.cli.doctor import _disk

    def usage(free: int) -> Any:
        return lambda _: type("usage", (), {"free": free})

    for free, state in ((10**8, "fail"), (5 * 10**9, "warn"), (10**11, "ok")):
        monkeypatch.setattr("shutil.disk_usage", usage(free))
        assert _disk(tmp_path / "not" / "yet").state == state
    monkeypatch.setattr("os.access", lambda *_: False)
    assert _disk(tmp_path).state == "fail"


def test_a_wrong_setting_stops_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_API_RATE_LIMIT", "fast")
    assert "KIS_API_RATE_LIMIT=fast" in Said("doctor").error


# The program


def test_the_help_names_every_command() -> None:
    said = Said("--help").out
    for command in (
        *("run", "ui", "status", "metrics", "simulate", "quote", "book", "candles", "info"),
        *("warm", "sql", "condition", "find", "diff", "doctor", "--install-completion"),
    ):
        assert command in said
    assert " docs  " not in said


def test_the_shell_can_complete_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kis_assets.cli"],
        env=os.environ
        | {
            "_KIS_ASSETS_COMPLETE": "complete_bash",
            "_PYTHON _M KIS_ASSETS.CLI_COMPLETE": "complete_bash",
            "COMP_WORDS": "kis-assets can",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "candles" in done.stdout


LOADS: dict[tuple[str, ...], set[str]] = {
    ("--help",): set(),
    (): {"pydantic", "duckdb"},
    ("status",): {"pydantic", "filelock", "msgspec"},
    ("sql", "SELECT count(*) FROM daily_candles"): {"pydantic", "duckdb"},
    ("find", "삼성"): {"pydantic", "duckdb"},
    ("condition", "daily_candles"): {"pydantic", "duckdb"},
    ("candles", SAMSUNG, "--stored"): {"pydantic", "duckdb"},
}
"""Commands that ask nobody, and the dependencies that each loads beside typer and rich."""


@pytest.mark.parametrize("words", LOADS, ids=" ".join)
def test_commands_that_ask_nobody_load_no_more_than_they_need(
    stored: Path, words: tuple[str, ...]
) -> None:
    """What makes them quick, and unlike seconds the same on every machine."""
    described = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    named = [re.match(r"[\w-]+", line) for line in described["project"]["dependencies"]]
    heavy = {name[0].replace("-", "_") for name in named if name} | {
        *("numpy", "pandas", "PIL", "asyncio", "pydantic_settings"),
    }
    # The time zones of the machine go before those of the package.
    heavy -= {"tzdata"}
    assert {"dagster", "httpx", "matplotlib", "polars", "pyarrow"} <= heavy
    code = "import sys; from kis_assets.cli import app; app(standalone_mode=False); {}"
    done = subprocess.run(
        [sys.executable, "-c", code.format("print(*sys.modules, file=sys.stderr)"), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    loaded = set(done.stderr.splitlines()[-1].split())
    assert heavy & loaded == LOADS[words] | {"typer", "rich"}


@pytest.mark.slow
def test_commands_that_ask_nobody_answer_at_once(stored: Path) -> None:
    """0.6 s, as the median of nine; on a machine that does nothing else."""
    slow = {}
    for words in LOADS:
        seconds = []
        for _ in range(9):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "kis_assets.cli", *words], capture_output=True, check=True
            )
            seconds.append(time.perf_counter() - started)
        slow[" ".join(words)] = statistics.median(seconds)
    assert max(slow.values()) < 0.6, slow
