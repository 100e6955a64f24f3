"""Every command, query and piece of Python of the README and of docs/ is run here.

They are read from the pages. One that is new fails until a table below says what comes of it, and
one that is gone fails until its row is. What prose mentions (`kis-assets diff --since`) has to name
commands, options, settings, files and make targets that there are.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from itertools import islice
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import dagster as dg
import duckdb
import polars as pl
import pytest
import typer.main
from dagster._core.workspace.autodiscovery import loadable_targets_from_loaded_module

from kis_assets.cli import app
from kis_assets.cli.backfill import estimate
from kis_assets.defs.partitions import MONTHS
from kis_assets.execution import runner
from kis_assets.execution.plan import Plan
from kis_assets.execution.runner import Outcome
from kis_assets.kis.stream import Stream
from kis_assets.lake.reader import NotStored
from kis_assets.settings import Settings
from kis_assets.settings.environment import IN_FILES
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import TABLES, default_tables
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, MARKET_DAYS
from kis_assets_tests.page_pictures import PICTURES
from kis_assets_tests.support.small_lake import CODES, DAY, SAMSUNG

pytestmark = pytest.mark.usefixtures("narrow_terminal")

ROOT = Path(__file__).parents[1]
PAGES = (
    *(ROOT / name for name in ("README.md", "README.ko.md", "SECURITY.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.[my]*")),
)


class Block(NamedTuple):
    """What stands between two fences."""

    page: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}: {self.code.strip().splitlines()[0][:60]}"


FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = list(
    {
        found: Block(path.name, *found)
        for path in PAGES
        for found in FENCED.findall(path.read_text(encoding="utf-8"))
    }.values()
)
"""Each once: Korean pages have the code of the English ones, which `test_docs_korean.py` holds."""


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


COMMANDS = {
    re.split(r"\s+#\s", line)[0].strip()
    for block in of("bash", "sh", "console", "shell")
    for line in block.code.splitlines()
    if line.strip() and not line.startswith("#")
}
OF_ITS_OWN = re.compile(
    r"^\| (to change \| edit|\w+ \(`\w+\.…`\) \| here) \|.*?\n\n", re.MULTILINE | re.DOTALL
)
"""Tables with a test of their own: what to edit for a change, and what is called how elsewhere."""
SPANS = sorted(
    {
        (path.name, " ".join(span.split()))
        for path in PAGES
        for text in [OF_ITS_OWN.sub("", path.read_text(encoding="utf-8"))]
        for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))
    }
)


# What each command of a page comes to.

ANSWERS = {
    "kis-assets quote 005930": "삼성전자",
    "kis-assets candles 005930 --stored": "2026-03-17",
    'kis-assets sql "FROM latest_prices LIMIT 5"': "SK하이닉스",
    'kis-assets sql "SELECT count(*) FROM daily_candles"': "count_star()",
    "kis-assets condition daily_candles": "was not fetched",
    "kis-assets diff daily_candles 2026-03": "0 rows added, 0 removed, 1 altered",
    "kis-assets stream 005930": " KRW ",
    "kis-assets stream 005930 000660 --store --books": "recording 2 stocks in",
    "kis-assets stream --top 20 --store": "recording 5 stocks in",
    "kis-assets warm --top 100": "5 stocks in",
    "kis-assets status": "no credentials",
    "kis-assets doctor": "005930 costs",
    "kis-assets repair": "daily_candles: nothing to fetch",
    "kis-assets repair --dry-run": "daily_candles: nothing to fetch",
}
"""What asks and reads, and a word of what it then says."""

FIRST_OF_APRIL = [name for name in default_tables("kis") if TABLES[name].final != "published"]
"""What `kis-assets run` makes on the first session of a month: no figure of it is published."""
FETCHES: dict[str, tuple[str, list[str]]] = {
    "kis-assets run": ("2026-04-01", FIRST_OF_APRIL),
    # What can still be had of it.
    "kis-assets run --date 2026-03-16": (
        "2026-03-16",
        [
            *("market_days", "daily_candles", "adjustment_factors"),
            *("index_candles", "market_flows", "investor_flows"),
        ],
    ),
    "kis-assets run --source mock": ("2026-04-01", FIRST_OF_APRIL),
    "kis-assets run --table order_books --table minute_candles": (
        "2026-04-01",
        ["order_books", "minute_candles"],
    ),
    "kis-assets run --table market_report": ("2026-04-01", ["market_report"]),
    "kis-assets run --table krx_daily --date 2026-03-16": ("2026-03-16", ["krx_daily"]),
}
"""What fetches a day: the day and the tables it hands to Dagster on the evening of 2026-04-01."""

PUBLISHES = {
    "kis-assets publish --dry-run": "",
    "kis-assets publish": "units published; the others are unchanged",
    "kis-assets publish --verify": "equal the stored rows",
}
"""What brings rows to other storage, and what it says."""

BACKFILLS = {
    "kis-assets backfill daily_candles 2016-01 2025-12 --dry-run": (120, False),
    "kis-assets backfill daily_candles 2016-01 2025-12": (120, True),
    "kis-assets backfill minute_candles 2026-03-02 2026-03-31 --yes": (21, True),
}
"""What fetches the past: how many partitions, and whether it begins."""

SHOWS = {
    "kis-assets report": "data/mock/reports/2026-03-17.html",
    "kis-assets site": "data/mock/site/index.html",
}
"""What makes pages of what is stored, and the page it names in the end."""

SERVES = ("metrics", "ui", "simulate", "simulate --replay FOLDER --at 2026-03-17T15:40+09:00")
"""What goes on until Ctrl-C, each with a test of its own below."""

MAKES = {
    "run": ".venv/bin/kis-assets run",
    "ui": ".venv/bin/kis-assets ui",
    "test": ".venv/bin/pytest -q -n 2 --cov=kis_assets.kis",
    "test-all": ".venv/bin/pytest -q -n 2 -m",
    "test-live": ".venv/bin/pytest -q -s -rs -m live",
    "test-clients": ".venv/bin/pytest -q -m clients",
    "test-browser": ".venv/bin/pytest -q -rs -m browser",
    "test-scale": ".venv/bin/pytest -q -rs -m scale",
    "bench": ".venv/bin/python -m benchmarks",
    "docs": ".venv/bin/python -m kis_assets_tests.docs_site serve",
    "docs-build": ".venv/bin/python -m kis_assets_tests.docs_site",
    "check": ".venv/bin/basedpyright",
    "advisories": ".venv/bin/python -m kis_assets_tests.advisories",
    "dist": ".venv/bin/python -m hatchling build",
    "sbom": ".venv/bin/cyclonedx-py requirements",
    "pins": "--generate-hashes",
}
"""What `make` runs by each name. `.ci/run` runs those that `CHECKED` names for real."""
CHECKED = ("check", "test", "test-clients", "test-browser")

WITHOUT_MAKE = {
    "python3 -m venv .venv": "run",
    ".venv/bin/python -m pip install --no-deps --require-hashes -r constraints.txt": "run",
    ".venv/bin/python -m pip install --no-deps --no-build-isolation -e .": "run",
    ".venv/bin/ruff format --check": "check",
    ".venv/bin/ruff check": "check",
    ".venv/bin/basedpyright": "check",
    ".venv/bin/dagster definitions validate -m kis_assets.definitions": "check",
    ".venv/bin/pytest -q -n 2": "test",
}
"""What people type who have no make, and the target that does it for the others."""

OTHERWISE = {
    **dict.fromkeys(
        (
            "uvx --from . kis-assets run",
            "python3 -m venv kis",
            "kis/bin/python -m pip install --no-deps --require-hashes -r constraints.txt",
            "kis/bin/python -m pip install --no-deps dist/kis_assets-0.1.0-py3-none-any.whl",
            "kis/bin/kis-assets --version",
        ),
        "needs an index of packages: .ci/release does it, test_package.py without the index",
    ),
    **dict.fromkeys(
        (
            "dagster definitions validate -w workspace.yaml",
            "dagster asset materialize --select turnover -f my_assets.py",
            "dagster dev -w workspace.yaml",
        ),
        "defs/test_own_asset.py runs them as they stand, but for the server",
    ),
    **dict.fromkeys(
        (
            "mkdir -p deploy/secrets && touch deploy/secrets/kis_app_{key,secret}",
            "chmod 700 deploy/secrets && chmod 444 deploy/secrets/*",
            "docker compose -f deploy/compose.yaml up -d --build",
            "docker compose -f deploy/compose.yaml --profile stream up -d",
            "UI_USERS=users.txt caddy run --config deploy/Caddyfile",
        ),
        "deploy/test_started_here.py starts what they start",
    ),
    "kis-assets mcp": "an agent's client starts it, as in agents/test_server.py",
    "duckdb -readonly data/kis/market.duckdb": (
        "DuckDB's own program, which is no dependency; every query below opens the same file so"
    ),
}
"""What cannot be run here, and what is done about it."""


def test_every_command_of_every_page_is_in_one_table_and_no_other() -> None:
    handled = [
        *ANSWERS,
        *FETCHES,
        *PUBLISHES,
        *BACKFILLS,
        *SHOWS,
        *(f"kis-assets {words}" for words in SERVES),
        *(f"make {target}" for target in MAKES),
        *WITHOUT_MAKE,
        *OTHERWISE,
    ]
    assert len(handled) == len(set(handled))
    assert COMMANDS - set(handled) == set(), "new: say in a table above what comes of it"
    mentioned = COMMANDS | {span for _, span in SPANS}
    assert set(handled) - mentioned == set(), "on no page any more"


def test_every_block_is_of_a_language_that_is_run() -> None:
    assert {block.language for block in BLOCKS} == {
        *("bash", "json", "python", "sql", "text"),
        "yaml",  # one file, with a test of its own: `defs/test_own_asset.py`
    }


@pytest.fixture
def beside(small_lake: Path, tmp_path: Path) -> Path:
    """The folder of a user: `data/kis` and `data/mock` are the small lake, `data/krx` is krx's."""
    for name in ("kis", "mock"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(small_lake)
    # What KRX published is what KIS has, but for one price.
    candles = pl.read_parquet(small_lake / "parquet" / "daily_candles" / "*.parquet")
    wrong = (pl.col("stock_code") == SAMSUNG) & (pl.col("trading_day") == DAY)
    folder = tmp_path / "data" / "krx" / "parquet" / "krx_daily"
    folder.mkdir(parents=True)
    candles.with_columns(close=pl.col("close") + wrong).write_parquet(folder / "2026.parquet")
    return tmp_path


@pytest.mark.parametrize("command", ANSWERS)
def test_what_asks_and_reads_gives_its_answer(
    asked: KISDataSource, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Stream.__iter__
    monkeypatch.setattr(Stream, "__iter__", lambda self: islice(whole(self), 1))
    done = Said(*shlex.split(command)[1:])
    assert done.status == 0, done.err
    assert ANSWERS[command] in done.out + done.err


def test_what_publishes_brings_all_over_and_verifies_it(
    small_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(small_lake.parent))
    monkeypatch.setenv("KIS_LAKE_URL", str(tmp_path / "there"))
    for command, answer in PUBLISHES.items():
        done = Said(*shlex.split(command)[1:])
        assert (done.status, answer in done.out) == (0, True), done.err


@pytest.fixture
def evening_after(asked: KISDataSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is stored, it is the evening of 2026-04-01, and Dagster is not started."""
    monkeypatch.setenv("KIS_REPLAY_AT", "2026-04-01T20:50+09:00")
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KRX_API_KEY", "key")
    monkeypatch.setattr("kis_assets.defs.resources.create_data_source", lambda settings: asked)
    instance = dg.DagsterInstance.ephemeral()
    monkeypatch.setattr("dagster.DagsterInstance.from_config", lambda _: nullcontext(instance))


@pytest.mark.parametrize("command", FETCHES)
def test_what_fetches_a_day_asks_for_its_partitions(
    evening_after: None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What such a request becomes: `test_commands.py`; below, slowly, the same commands whole."""
    wanted: list[tuple[str, list[str]]] = []

    def run_day(day: date, _: Any, __: Any, tables: Any, **___: Any) -> list[Outcome]:
        wanted.append((str(day), list(tables)))
        return [Outcome(table, runner.partition_of(table, day)) for table in tables]

    monkeypatch.setattr("kis_assets.execution.runner.run_day", run_day)
    done = Said(*shlex.split(command)[1:])
    assert done.status == 0, done.err
    assert "Done in" in done.out
    assert wanted == [FETCHES[command]]


@pytest.mark.slow
@pytest.mark.parametrize("command", FETCHES)
def test_what_fetches_a_day_stores_it(
    simulator: Simulator, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KIS_STOCK_CODES", ",".join(CODES))
    monkeypatch.setenv("KRX_API_KEY", "SIMULATED0" * 4)
    _, tables = FETCHES[command]
    # Nobody quotes in the evening.
    now = EVENING.replace(hour=14) if "order_books" in tables else EVENING
    monkeypatch.setenv("KIS_REPLAY_AT", now.isoformat())
    # A page about a day is made of what is stored of it.
    before = [["run", "--table", "price_snapshots"]] if tables == ["market_report"] else []
    with serve(simulator) as url:
        monkeypatch.setenv("KRX_API_BASE_URL", f"{url}/svc/apis")
        for words in [*before, shlex.split(command)[1:]]:
            done = subprocess.run(
                [sys.executable, "-m", "kis_assets.cli", *words],
                capture_output=True,
                text=True,
                check=False,
            )
    past = "--date 2026-03-16" in command
    gone = {"stock_master", "price_snapshots"} & set(tables) if past else set[str]()
    assert done.returncode == bool(gone), done.stdout + done.stderr
    assert ("MOCK DATA" in done.stdout) == (tables != ["krx_daily"])
    for table in set(tables) - gone:
        found = (
            "simulated_krx/parquet/krx_daily/*"
            if table == "krx_daily"
            else f"mock/parquet/{table}/*"
        )
        found = "mock/reports/*.html" if table == "market_report" else found
        assert [path for path in (tmp_path / "data").glob(found) if path.stat().st_size > 1000]


@pytest.mark.parametrize("command", SHOWS)
def test_what_makes_pages_names_the_page(
    small_lake: Path, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What stands on them: `test_site.py`."""
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setattr("kis_assets.site.build.DAYS", 1)
    folder = tmp_path / "data" / "mock"
    folder.mkdir(parents=True)
    for path in small_lake.iterdir():  # which nobody may write into
        (folder / path.name).symlink_to(path)
    done = Said(*shlex.split(command)[1:])
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == str(tmp_path / SHOWS[command])
    assert "MOCK DATA" in (tmp_path / SHOWS[command]).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", BACKFILLS)
def test_what_fetches_the_past_says_what_it_costs_and_begins(
    evening_after: None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What becomes of the partitions: `test_backfill.py`."""
    begun: list[str] = []

    def run(plan: Plan, *_: Any, **__: Any) -> Iterator[Outcome]:
        for partition in plan.partitions:
            begun.append(partition)
            yield Outcome(plan.table, partition)

    monkeypatch.setattr("kis_assets.execution.backfill.run", run)
    done = Said(*shlex.split(command)[1:], given="y\n")
    count, begins = BACKFILLS[command]
    assert done.status == 0, done.err
    assert f"{count} partitions from " in done.out
    assert len(begun) == (count if begins else 0)
    assert ("stored in " in done.out) == begins
    assert ("Begin?" in done.err) == (begins and "--yes" not in command)


def test_the_cost_of_ten_years_is_the_one_told() -> None:
    (told,) = (block.code for block in of("text") if " requests at " in block.code)
    months = MONTHS.get_partition_keys_in_range(
        type("Range", (), {"start": "2016-01-01", "end": "2025-12-01"})()  # type: ignore[arg-type]
    )
    plan = Plan("daily_candles", list(months), 0, [], {}, 2500, 62_500, 18.0)
    assert told == estimate(plan) + "\n"


def test_the_folders_are_those_of_the_readme(small_lake: Path) -> None:
    (told,) = (block.code for block in of("text") if "data/<source>/" in block.code)
    paths = [
        line.split("  ")[0] if line[0] != " " else line.split()[0] for line in told.splitlines()
    ]
    assert paths[0] == "data/<source>/"
    # Nothing of the small lake is over or recorded: `test_compaction` and `test_recorder` show it.
    assert paths[-4:] == ["live/", "compacted/<table>/", "state/", "data/dagster/"]
    settings = Settings.load(data_source_type="mock")
    assert settings.source_dir == Path("data/mock").absolute()
    assert settings.state_dir.relative_to(settings.source_dir) == Path("state")
    assert runner.home(settings) == Path("data/dagster").absolute()
    for path in paths[1:-4]:
        assert list(small_lake.glob(re.sub(r"<\w+>", "*", path).rstrip("/"))), path


# What serves


@contextmanager
def while_serving(
    where: str, monkeypatch: pytest.MonkeyPatch, look: Callable[[], None]
) -> Generator[None]:
    """Instead of waiting for Ctrl-C, look at what is served."""
    looked: list[bool] = []

    def wait(*_: Any, **__: Any) -> None:
        look()
        looked.append(True)

    monkeypatch.setattr(where, wait)
    yield
    assert looked


def test_metrics_are_served_to_prometheus(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kis_assets.monitoring.metrics import serve_metrics

    servers: list[Any] = []

    def on_a_free_port(settings: Settings, port: int, allowed: tuple[str, ...]) -> Any:
        assert (port, allowed) == (9188, ())
        servers.append(serve_metrics(settings, 0))
        return servers[0]

    def look() -> None:
        with urlopen(f"http://127.0.0.1:{servers[0].server_port}/metrics", timeout=10) as answer:
            assert b"kis_up" in answer.read()

    monkeypatch.setattr("kis_assets.monitoring.metrics.serve_metrics", on_a_free_port)
    with while_serving("kis_assets.cli.serve._until_interrupted", monkeypatch, look):
        done = Said("metrics")
    servers[0].shutdown()
    assert f"http://127.0.0.1:{servers[0].server_port}/metrics" in done.out


def test_the_ui_is_dagsters_with_its_state_in_the_data_folder(
    evening_after: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it serves: `test_ui.py`; what is seen there: `test_browser.py`."""
    asked: list[Any] = []

    def listen(address: tuple[str, int]) -> Any:
        asked.append(address)
        return nullcontext(SimpleNamespace(getsockname=lambda: address))

    def serve_in_process(words: list[str], environment: dict[str, str]) -> int:
        monkeypatch.chdir(environment["KIS_FOLDER"])
        return Said("serve-ui", *words).status

    def serve_until_interrupted(port: int, *_: Any) -> bool:
        asked.append(f"served at {port}")
        return True

    monkeypatch.setattr("socket.create_server", listen)
    monkeypatch.setattr("kis_assets.cli.ui._serve", serve_in_process)
    monkeypatch.setattr("kis_assets.cli.ui_server._serve", serve_until_interrupted)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("threading.Thread.start", lambda _: None)
    assert Said("ui", "--verbose").status == 0
    assert asked == [("127.0.0.1", 3000), "served at 3000"]
    assert (tmp_path / "data" / "dagster" / "dagster.yaml").exists()


SIMULATES = {
    f"{words} {name}": words.replace("FOLDER", str(folder))
    for words in SERVES
    if words.startswith("simulate")
    for name, folder in (MARKET_DAYS.items() if "FOLDER" in words else [("", "")])
}


@pytest.mark.parametrize("words", SIMULATES.values(), ids=SIMULATES)
def test_a_server_of_ones_own_answers_with_the_settings_it_prints(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import uvicorn

    config, run = uvicorn.Config, uvicorn.Server.run
    monkeypatch.setattr("uvicorn.Config", lambda app, **how: config(app, **how | {"port": 0}))

    def ask(server: Any, sockets: list[Any]) -> None:
        sockets[0].listen()
        thread = Thread(target=run, args=(server,), kwargs={"sockets": sockets}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        body = b'{"grant_type":"client_credentials","appkey":"%b","appsecret":"%b"}'
        from kis_assets.simulator.server.command import KEY, SECRET

        with urlopen(
            Request(
                f"{url}/oauth2/tokenP",
                body % (KEY.encode(), SECRET.encode()),
                {"Content-Type": "application/json; charset=utf-8"},
            ),
            timeout=10,
        ) as answer:
            assert b"access_token" in answer.read()
        asked.append(url)
        server.should_exit = True
        thread.join(10)

    asked: list[str] = []
    monkeypatch.setattr(uvicorn.Server, "run", ask)
    done = Said(*shlex.split(words))
    assert done.status == 0, done.err
    exported = dict(re.findall(r"^export (\w+)=(.*)$", done.out, re.MULTILINE))
    assert exported["KIS_API_BASE_URL_REAL"] == asked[0]
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert (settings.source_type, settings.base_url) == ("kis", asked[0])
    assert (settings.kis_replay_at is not None) == ("--at" in words)


@pytest.mark.parametrize("target", MAKES)
def test_make_runs_what_it_says(target: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert MAKES[target] in done.stdout
    said = re.search(r"\.venv/bin/(kis-assets .*)", done.stdout)
    assert said is None or said[1] in FETCHES or said[1].partition(" ")[2] in SERVES
    checked = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert (f"make {target}" in checked) == (target in CHECKED)


@pytest.mark.parametrize("command", WITHOUT_MAKE)
def test_without_make_the_same_is_done(command: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", WITHOUT_MAKE[command], "PYTHON=python3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    # Where uv is installed it makes the environment and installs, by the same options.
    words = set(command.split()) - {"python3", "-m", ".venv/bin/python", "pip"}
    assert any(words <= set(line.split()) for line in done.stdout.splitlines())


# Queries and Python


@pytest.mark.parametrize("block", of("sql"), ids=str)
def test_every_query_gives_rows(beside: Path, block: Block) -> None:
    with duckdb.connect("data/kis/market.duckdb", read_only=True) as connection:
        rows = connection.execute(block.code).fetchall()
    # On most days no stock is at its limit, and no year is stored here; see test_market_figures.
    assert rows or "upper_limit" in block.code or "week52_high" in block.code
    if "krx_daily" in block.code:
        assert len(rows) == 1, "the one price that differs"


Known = dict[str, Any]


def quoted(_: Known, said: str) -> None:
    assert re.fullmatch(r"삼성전자: [\d,]+ KRW \([+-]\d+\.\d\d %\)\n", said)


def newest_first(known: Known, _: str) -> None:
    days = [bar.date for bar in known["bars"]]
    assert len(days) == 30
    assert days == sorted(days, reverse=True)


def opened(known: Known, _: str) -> None:
    assert isinstance(known["market"].daily_candles(SAMSUNG), pl.DataFrame)


def streamed(_: Known, said: str) -> None:
    assert len(re.findall(r"'stock_code': '005930'", said)) == 3


def as_it_was(known: Known, _: str) -> None:
    (wrong,) = known["Market"]().sql("SELECT min(close) FROM daily_candles", as_of=known["then"])
    assert wrong[0] == 1


def materialized(known: Known, _: str) -> None:
    module = ModuleType("of_ones_own")
    vars(module).update(known)
    # Dagster takes no module that has two of them.
    (found,) = loadable_targets_from_loaded_module(module)
    assert found.attribute == "mine"
    assert "turnover" in {key.to_user_string() for key in known["mine"].resolve_all_asset_keys()}
    done = dg.materialize([known["turnover"]])
    (event,) = done.get_asset_materialization_events()
    assert event.materialization.metadata["trading_value"].value > 0


def asked_for_the_first_screen(_: Known, said: str) -> None:
    """Returns, who bought, and what a screen finds: no stock of six need be one of those."""
    assert re.findall(r"^shape: \((\d+), (\d)\)$", said, re.MULTILINE)[:2] == [("3", "3")] * 2
    assert "return_5d" in said


def asked_in_one_call(known: Known, _: str) -> None:
    assert known["market"].screen("return_20d > -100").height > 1


def drawn(*_: Any) -> None:
    """Into the current folder; the pictures themselves: `test_docs_site.py` and `charts/`."""
    (made,) = Path().glob("*.png")
    assert made.read_bytes().startswith(b"\x89PNG")


PYTHON: dict[str, Callable[[Known, str], None]] = {
    **dict.fromkeys(
        ("candlestick(", "market_breadth(", "order_book_depth(", "minute_coverage("), drawn
    ),
    **dict.fromkeys(("condition_calendar(", "figure.savefig("), drawn),
    "market.total_return(": asked_in_one_call,
    "source.get_current_price(": quoted,
    "KISAPIClient(": newest_first,
    "market = Market()  # or": opened,
    "market = Market()  # what": asked_for_the_first_screen,
    "Stream(Settings.load()": streamed,
    "as_of=then": as_it_was,
    "def turnover(": materialized,
}
"""Words that one piece of Python has alone, and what must be true once it has run."""


def test_every_piece_of_python_has_its_outcome() -> None:
    found = [[words for words in PYTHON if words in block.code] for block in of("python")]
    assert sorted(found) == sorted([words] for words in PYTHON)


@pytest.mark.filterwarnings("ignore::kis_assets.lake.reader.NotStoredWarning")
@pytest.mark.parametrize("block", of("python"), ids=str)
def test_every_piece_of_python_runs(
    asked: KISDataSource,
    block: Block,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    whole = Stream.__iter__
    monkeypatch.setattr(Stream, "__iter__", lambda self: islice(whole(self), 3))
    server: AbstractContextManager[Any] = nullcontext()
    if "Stream(" in block.code:
        from kis_assets.cli.stream import _mock

        server = _mock(Settings.load())
    elif "KISAPIClient(" in block.code:
        monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("KIS_API_RATE_LIMIT", "1000")
        simulator.environment = "virtual"
        server = serve(simulator)
    with server as there:
        if isinstance(there, tuple):
            monkeypatch.setattr(Settings, "load", lambda **_: there[0])
        elif there:
            for name in ("KIS_API_BASE_URL_VIRTUAL", "KIS_MASTER_BASE_URL"):
                monkeypatch.setenv(name, there)
        known: Known = {}
        code = block.code.replace('"app key", "app secret"', f'"{APP_KEY}", "{APP_SECRET}"')
        exec(compile(code, str(block), "exec"), known)
    (held,) = (hold for words, hold in PYTHON.items() if words in block.code)
    held(known, capsys.readouterr().out)


CALLS = re.findall(
    r"^\| .* \| `(market\..*)` \|$", (ROOT / "docs" / "coming-from.md").read_text("utf-8"), re.M
)
"""What stands on the right of the tables of those who come from elsewhere."""


@pytest.mark.parametrize("call", CALLS)
def test_what_stands_beside_another_library_is_answered(beside: Path, call: str) -> None:
    import kis_assets

    with kis_assets.Market("data/kis") as market:
        if "etf_navs" in call:  # the small lake has no fund
            with pytest.raises(NotStored, match="etf_navs"):
                eval(call, {"market": market})
        else:
            assert isinstance(eval(call, {"market": market}), pl.DataFrame)


def test_both_other_libraries_are_there() -> None:
    assert len(CALLS) >= 30


# What prose mentions

TREE: Any = typer.main.get_command(app)
PHRASES = {
    *("retry( circuit breaker( rate limiter( send )))", "kill -9"),
    *("source = 'kis'", "source = 'krx'", "lang: [en, ko]"),
    *("started_at AT TIME ZONE 'Asia/Seoul'", "TIMESTAMP WITH TIME ZONE"),
    *('{"stream_drop": {"calls": 1}}', '{"stream_half_frame": {"path": "H0STCNT0/005930"}}'),
    *("appendonly yes", "openssl rand -hex 24"),
    "cp -al data/kis/parquet now",  # lake/test_files_of_a_moment.py
    *("POST /simulator/faults", '{"text": "kis_assets: ... failed: ... (run ...)"}'),
    *("Market(...).daily_candles(..., as_of=...)", "python -P"),
    *("git rev-parse HEAD", "systemd-run -p MemoryMax=4G"),
    "docker run --rm -it caddy:2.10-alpine caddy hash-password",
    *("podman build --format docker", "dagster-webserver --read-only"),
    "ssh -N -L 3000:127.0.0.1:3000 you@server",
}
"""Spans of several words that are no commands."""


def options(command: Any) -> set[str]:
    return {name for it in command.params for name in (*it.opts, *it.secondary_opts)} | {"--help"}


def wrong_in(words: list[str]) -> str | None:
    """What there is not of a command line of kis-assets."""
    words = words[: words.index(">")] if ">" in words else words
    if not words:
        return None
    command = TREE if words[0].startswith("-") else TREE.commands.get(words[0])
    if command is None:
        return f"no command {words[0]}"
    unknown = {it.partition("=")[0] for it in words if it.startswith("-")} - options(command)
    return f"{words[0]} has no {', '.join(unknown)}" if unknown else None


def wrong_with(span: str, query: Callable[[str], list[Any]]) -> str | None:
    """What is not right with a span between backticks; None when nothing is."""
    first, *rest = span.split()
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if first == "kis-assets":
        return wrong_in(shlex.split(span)[1:])
    if first == "uvx":
        return wrong_in(rest[rest.index("kis-assets") + 1 :])
    if first == "make" and rest:
        return None if rest[0] in MAKES else "no such target"
    if first == "pip":
        extras = re.search(r"\[([\w,]+)\]", span)
        optional = described["project"]["optional-dependencies"]
        needed = [it for requirements in optional.values() for it in requirements]
        known = extras and {*extras[1].split(",")} <= optional.keys()
        known = known or span.split("'")[1] in needed
        return None if known else "no such extra"
    if first == "pre-commit":
        return None if (ROOT / ".pre-commit-config.yaml").exists() else "it finds no hooks"
    if first in ("marimo", "install"):
        return None if (ROOT / rest[-2 if first == "install" else -1]).exists() else "no such file"
    if span.startswith(("python -m pip", "kis/bin/python -m pip")):
        extras = re.search(r"\[([\w,]+)\]", span)
        named = set(extras[1].split(",")) if extras else set[str]()
        is_known = named <= described["project"]["optional-dependencies"].keys()
        return None if is_known else "no such extra"
    if span.startswith("python -m"):
        there = (ROOT / rest[1].replace(".", "/")).with_suffix(".py").exists()
        return None if there else "no such module"
    if span.startswith("source ."):
        made = f"-m venv --clear {Path(rest[0]).parts[0]}" in (ROOT / "Makefile").read_text()
        return None if made else "nothing makes it"
    if span == "dagster dev":
        known = described["tool"]["dagster"]["module_name"] == "kis_assets.definitions"
        return None if known else "it finds no definitions"
    if first.startswith("--"):
        there = set[str]().union(*(options(it) for it in TREE.commands.values()))
        return None if first in there else "no command has it"
    if first == "SELECT":
        return None if query(span) else "no rows"
    setting = re.match(r"(KIS|KRX|DATA|ENABLE|REDIS)_[A-Z_]+", span)
    if setting:
        fields = [name.upper() for name in Settings.model_fields]
        fields += ["KIS_FOLDER", *(f"{name.upper()}_FILE" for name in IN_FILES)]
        begins = any(name.startswith(setting[0]) for name in fields)
        known = begins if span.endswith("...") else setting[0] in fields
        return None if known else "no such setting"
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.(py|md|yaml|toml)", span):
        there = any((ROOT / base / span).exists() for base in ("", "kis_assets"))
        return None if there else "no such file"
    return "what is it?" if rest and span not in PHRASES else None


def test_what_prose_mentions_is_there(small_lake: Path) -> None:
    with duckdb.connect(str(small_lake / "market.duckdb"), read_only=True) as connection:

        def query(text: str) -> list[Any]:
            return connection.execute(text).fetchall()

        wrong = {(page, span): wrong_with(span, query) for page, span in SPANS}
        wrong |= {
            ("a block", command): wrong_in(shlex.split(command)[1:])
            for command in COMMANDS
            if shlex.split(command)[0].endswith("kis-assets")
        }
        assert {span: why for span, why in wrong.items() if why} == {}
        assert {span for _, span in SPANS} >= PHRASES
        for span in ("kis-assets lend", "kis-assets run --never", "make tea", "KIS_NONE=1", "a b"):
            assert wrong_with(span, query), "this very test would not see what is wrong"


def test_what_messages_and_comments_say_to_type_is_there() -> None:
    said = {
        (path.name, words)
        for path in [*(ROOT / "kis_assets").rglob("*.py"), *ROOT.glob("notebooks/*.py")]
        for words in re.findall(
            r"kis-assets ([a-z]+(?: --[a-z-]+)*)(?![\w-])", path.read_text(encoding="utf-8")
        )
    }
    assert ("market.py", "run --table") in said
    assert {(name, words): wrong_in(words.split()) for name, words in said} == dict.fromkeys(said)


def test_every_picture_is_there_and_small() -> None:
    """They are made by `page_pictures` and `gallery` in this folder."""
    shown = {
        (path.parent / name).resolve()
        for path in PAGES
        for name in re.findall(
            r'(?:\]\(|src(?:set)?=")([\w/.-]+\.png)', path.read_text(encoding="utf-8")
        )
    }
    gallery = {*(ROOT / "docs" / "gallery").iterdir()}
    assert shown == {ROOT / "docs" / name for name in PICTURES} | gallery
    for path in shown:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size <= 150_000


def test_the_example_of_settings_becomes_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps 2 and 3 of the README: copy, fill in the key and the secret, choose the server."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name, value in {
        "KIS_APP_KEY": "key",
        "KIS_APP_SECRET": "secret",
        "KIS_USE_VIRTUAL_SERVER": "false",
    }.items():
        text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    settings = Settings.load()
    assert (settings.source_type, settings.environment) == ("kis", "real")
