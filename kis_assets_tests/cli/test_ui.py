"""`kis-assets ui` as it is started: who may ask it, which code it runs, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from dagster import DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kis_assets_tests.conftest import ENVIRONMENT

pytestmark = pytest.mark.slow

PLANTED = ("dagster", "kis_assets", "yaml", "polars", "json", "sitecustomize")
"""Modules that the program, Dagster or Python imports."""
MUTATION = "mutation { reloadWorkspace { __typename } }"
FOREIGN = "http://page.example"
PATIENCE = 180.0
"""Seconds for one step on a machine busy with other things; on an idle one each takes a few."""


@dataclass
class UI:
    """A started UI: its process, its address, its folder."""

    process: psutil.Popen
    url: str
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "ui.log").read_text(encoding="utf-8")

    def ask(self, method: str = "POST", path: str = "/graphql", **how: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=60, **how)

    def family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def wait(self, until: Callable[[], bool]) -> None:
        began = time.monotonic()
        while not until():
            assert time.monotonic() - began < PATIENCE, self.log
            time.sleep(0.2)


def is_up(ui: UI) -> bool:
    try:
        return httpx.get(f"{ui.url}/server_info", timeout=5).status_code == 200
    except httpx.HTTPError:
        assert ui.process.poll() is None, ui.log
        return False


@contextmanager
def started(folder: Path, until: Callable[[UI], bool] = is_up) -> Iterator[UI]:
    """The UI of the invented market, as soon as it is up; ended with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "kis-assets"
    with (folder / "ui.log").open("wb") as log:
        process = psutil.Popen(
            [str(program), "ui", "--port", str(port), "--allow-host", "data.example.com"],
            cwd=folder,
            env=ENVIRONMENT
            | {"DATA_SOURCE_TYPE": "mock", "KIS_STOCK_CODES": "005930"}
            | {"PYTHONWARNINGS": "default::DeprecationWarning"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Not as a shell has it that starts programs in the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    ui = UI(process, f"http://127.0.0.1:{port}", folder)
    try:
        ui.wait(lambda: until(ui))
        yield ui
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UI]:
    """One that was started in a folder in which somebody has left modules."""
    folder = tmp_path_factory.mktemp("here")
    for name in PLANTED:
        text = f"from pathlib import Path\nPath({str(folder)!r}, 'ran-{name}').touch()\n"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    with started(folder) as there:
        yield there


def test_a_page_of_another_site_starts_nothing(ui: UI) -> None:
    query = {"query": MUTATION}
    as_text = {"content-type": "text/plain; application/json"}
    asked = {
        "an image": ui.ask("GET", params=query),
        "a form": ui.ask(params=query, headers={"origin": FOREIGN}),
        "a form that hides where it is from": ui.ask(params=query, headers={"origin": "null"}),
        "a form without an origin": ui.ask(params=query),
        "a form of text": ui.ask(content=json.dumps(query), headers=as_text),
        "a script": ui.ask(json=query, headers={"origin": FOREIGN}),
        "another port of this machine": ui.ask(
            json=query, headers={"origin": "http://127.0.0.1:1"}
        ),
        "a name that was turned to this machine": ui.ask(
            json=query, headers={"host": "page.example", "origin": FOREIGN}
        ),
        "a report of an asset": ui.ask(
            path="/report_asset_materialization/market_days", headers={"origin": FOREIGN}
        ),
    }
    assert {who: answer.status_code for who, answer in asked.items()} == dict.fromkeys(asked, 403)
    with pytest.raises(InvalidStatus):
        connect(ui.url.replace("http", "ws") + "/graphql", origin=FOREIGN)  # type: ignore[arg-type]


def test_people_and_programs_use_it_as_before(ui: UI) -> None:
    assert "Dagster" in ui.ask("GET", "/").text
    assert ui.ask("GET", params={"query": "{ version }"}).json()["data"]["version"]
    own = {"origin": ui.url, "sec-fetch-site": "same-origin"}
    reloaded = ui.ask(json={"query": MUTATION}, headers=own).json()
    assert reloaded["data"]["reloadWorkspace"]["__typename"] == "Workspace"
    proxied = {"host": "data.example.com", "origin": "https://data.example.com"}
    assert ui.ask(json={"query": "{ version }"}, headers=proxied).status_code == 200
    with connect(
        ui.url.replace("http", "ws") + "/graphql",
        origin=ui.url,  # type: ignore[arg-type]
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
    ) as feed:
        feed.send('{"type": "connection_init"}')
        assert json.loads(feed.recv())["type"] == "connection_ack"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:gql")
def test_a_run_of_it_runs_no_module_of_the_current_folder(ui: UI) -> None:
    host, port = ui.url.removeprefix("http://").split(":")
    client = DagsterGraphQLClient(host, port_number=int(port))
    run = client.submit_job_execution("market_calendar", tags={"dagster/partition": "2026"})
    ended = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
    ui.wait(lambda: client.get_run_status(run) in ended)
    assert client.get_run_status(run) == DagsterRunStatus.SUCCESS, ui.log
    assert [*(ui.folder / "data" / "mock" / "parquet" / "market_days").glob("*.parquet")]
    assert [path.name for path in ui.folder.glob("ran-*")] == []


def test_no_process_of_it_finds_a_file_of_settings_by_itself(ui: UI) -> None:
    """Dagster would take anything from `.env`, and expand it; rows lie where they belong."""
    family = ui.family()
    assert len(family) > 3
    for process in family:
        folder = Path(process.cwd())
        assert folder not in (ui.folder, *ui.folder.parents)
        assert (folder.stat().st_mode & 0o077, list(folder.glob(".env"))) == (0, [])
    assert (ui.folder / "data" / "dagster" / "history").is_dir()


def test_neither_does_a_run_that_is_typed_there(ui: UI) -> None:
    program = Path(sys.executable).parent / "kis-assets"
    words = ("run", "--source", "mock", "--table", "market_days")
    environment = ENVIRONMENT | {"KIS_DATA_DIR": str(ui.folder / "another")}
    done = subprocess.run([program, *words], cwd=ui.folder, env=environment, capture_output=True)
    assert (done.returncode, b"Done" in done.stdout) == (0, True), done.stderr
    assert [path.name for path in ui.folder.glob("ran-*")] == []


def test_nothing_of_it_listens_beyond_this_machine(ui: UI) -> None:
    listening = {
        it.laddr.ip
        for process in ui.family()
        for it in process.net_connections(kind="inet")
        if it.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_of_all_that_goes_well_only_the_address_is_said(ui: UI) -> None:
    """Also after a run."""
    assert ui.log == f"{ui.url} - stop it with Ctrl-C\n"


def test_nobody_elses_warning_is_said(ui: UI) -> None:
    assert "Warning" not in ui.log
    assert ui.log.startswith(ui.url)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_all_of_it_ends_together(tmp_path: Path, how: signal.Signals) -> None:
    with started(tmp_path) as ui:
        family = ui.family()
        assert len(family) >= 4
        ui.process.send_signal(how)
        assert psutil.wait_procs(family, timeout=60)[1] == []
        assert ui.process.returncode == 0, ui.log
        assert "Traceback" not in ui.log


@pytest.mark.parametrize("begun", [2, 3, 4, 5])
def test_ctrl_c_before_it_is_there_ends_all_of_it_with_one_line(tmp_path: Path, begun: int) -> None:
    """A terminal sends it to all processes of a command at once, however many there are by then."""
    with started(tmp_path, lambda ui: len(ui.family()) >= begun) as ui:
        family = ui.family()
        os.killpg(ui.process.pid, signal.SIGINT)
        assert psutil.wait_procs(family, timeout=60)[1] == []
        assert (ui.process.returncode, ui.log) == (130, "interrupted\n")


def test_it_ends_with_the_process_that_was_typed(tmp_path: Path) -> None:
    with started(tmp_path) as ui:
        family = ui.family()
        ui.process.kill()
        assert psutil.wait_procs(family, timeout=60)[1] == []


def test_it_ends_when_its_daemon_does(tmp_path: Path) -> None:
    with started(tmp_path) as ui:
        family = ui.family()
        (daemon,) = (it for it in family if "dagster._daemon" in it.cmdline())
        daemon.kill()
        assert psutil.wait_procs(family, timeout=60)[1] == []
        assert (ui.process.returncode, "daemon has ended" in ui.log) == (1, True), ui.log
