"""A cluster on this machine: PostgreSQL, Redis, a KIS server, Dagster and Celery workers.

Each of its processes has a DAGSTER_HOME and a process group of its own, as hosts have; they share
a data folder. `kis_assets_tests/system/test_cluster.py` uses it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import dagster as dg
import psutil
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget

from kis_assets_tests.conftest import EVENING, redis_program, running_redis

ROOT = Path(__file__).parents[2]
ENOUGH = 180.0
"""Seconds for whatever is waited for, on a machine busy with other things."""
LOCATION = "kis_assets.definitions"
_LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


def wait(until: Callable[[], Any], seconds: float = ENOUGH) -> float:
    """Wait for something; how many seconds it took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, f"nothing came of it in {seconds:.0f} s"
        time.sleep(0.2)
    return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def running_postgres() -> Iterator[int]:
    """A server of the test's own, whose only user needs no password; its port."""
    found = shutil.which("postgres") or max(
        map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")), default=""
    )
    if not found:
        pytest.skip("no PostgreSQL server is installed")
    # It refuses to run as root.
    given: dict[str, Any] = {"user": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    folder, port = Path(tempfile.mkdtemp(prefix="kis-assets-")), free_port()
    try:
        if given:
            shutil.chown(folder, "postgres")
        quiet: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, **given}
        initdb = [str(Path(found).with_name("initdb")), "-D", "db", "-U", "dagster"]
        subprocess.run([*initdb, "-A", "trust", "--no-sync"], check=True, **quiet)
        options = ["-D", "db", "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
        server = subprocess.Popen(
            [found, *options, "-c", "fsync=off"], stderr=subprocess.DEVNULL, **quiet
        )
        wait(lambda: is_open(port))
        yield port
        server.send_signal(signal.SIGINT)
        server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Process:
    """A process with all that it starts, as if it had a host of its own."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], log: Path
    ) -> None:
        self.name, self.log = name, log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def says(self, words: str) -> bool:
        assert self._process.poll() is None, (
            f"{self.name} has ended: {self.log.read_text()[-3000:]}"
        )
        return words in self.log.read_text()

    def signal_all(self, how: signal.Signals) -> None:
        """Send a signal to the whole tree: SIGKILL has the host vanish, SIGSTOP freezes it."""
        os.killpg(self._process.pid, how)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.signal_all(signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> int:
        """Send SIGTERM to its first process alone, as systemd and Docker do; its exit status."""
        self._process.terminate()
        return self._process.wait(ENOUGH)

    def has(self, pid: int) -> bool:
        """Whether a process is one of its own."""
        with suppress(psutil.NoSuchProcess):
            return self._process.pid in (it.pid for it in psutil.Process(pid).parents())
        return False


class Simulated:
    """A KIS server in a process of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "kis_assets", "simulate", "--port", "0"]
        command += ["--at", EVENING.isoformat()]
        self.process = Process("simulator", command, environment, folder / "simulator.log")
        wait(lambda: self.process.says("Stop it"))
        lines = self.process.log.read_text().splitlines()
        exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
        self.settings = dict(line.split("=", 1) for line in exports)

    def stats(self) -> dict[str, Any]:
        """What the server counted."""
        with urlopen(f"{self.settings['KIS_API_BASE_URL_REAL']}/simulator/stats") as answer:
            return json.load(answer)

    def fail(self, **faults: Any) -> None:
        """Have the server fail in these ways, or no more (`clear`)."""
        url = f"{self.settings['KIS_API_BASE_URL_REAL']}/simulator/faults"
        with urlopen(Request(url, json.dumps(faults).encode(), method="POST")) as answer:
            assert answer.status == 200


class Cluster:
    """All of it; see `running`."""

    def __init__(self, folder: Path, postgres: int, redis: str) -> None:
        self.folder, self.data = folder, folder / "data"
        self.common = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "PYTHONWARNINGS": "ignore",
            "REDIS_URL": redis,
            "CELERY_BROKER_URL": redis,
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(postgres),
            "DAGSTER_PG_USERNAME": "dagster",
            "DAGSTER_PG_PASSWORD": "",
            "DAGSTER_PG_DB": "postgres",
            "DAGSTER_COMPUTE_LOGS": str(folder / "compute_logs"),
        }
        self.processes: list[Process] = []
        self.simulator = Simulated(folder, self.common)
        self.processes.append(self.simulator.process)
        self.settings = self.simulator.settings | {
            "KIS_DATA_DIR": str(self.data),
            "KIS_UNIVERSE": "top30",
            "KIS_FIRST_DAY": "2026-01-01",
        }
        self._port = free_port()

    def start(self, name: str, command: list[str], settings: dict[str, str]) -> Process:
        """Start a process on a host of its own with these settings."""
        home = self.home(name)
        environment = self.common | settings | {"DAGSTER_HOME": str(home)}
        log = home / "log"
        self.processes.append(Process(name, [sys.executable, "-m", *command], environment, log))
        return self.processes[-1]

    def home(self, name: str) -> Path:
        home = self.folder / "hosts" / name
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "deploy" / "dagster-celery.yaml", home / "dagster.yaml")
        return home

    def start_dagster(self) -> None:
        """The code location, which has the settings, and the daemon, which has none."""
        place = ["--host", "127.0.0.1", "--port", str(self._port)]
        code = ["dagster", "code-server", "start", "-m", LOCATION, *place]
        self.start("code", [*code, "--location-name", LOCATION], self.settings)
        wait(lambda: is_open(self._port))
        server = {"host": "127.0.0.1", "port": self._port, "location_name": LOCATION}
        workspace = self.folder / "workspace.yaml"
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        self.start("daemon", ["dagster._daemon", "run", "-w", str(workspace)], {})

    def worker(self, name: str, **changed: str | None) -> Process:
        """A worker that is ready; what is None is not set on its host."""
        settings = {**self.settings, "REMAP_SIGTERM": "SIGQUIT"} | changed
        app = ["celery", "-A", "kis_assets.execution.worker", "worker"]
        options = ["--concurrency", "2", "-n", f"{name}@%h", "--loglevel", "info"]
        given = {key: value for key, value in settings.items() if value is not None}
        process = self.start(name, [*app, *options], given)
        wait(lambda: process.says("ready."))
        return process

    @contextmanager
    def ui(self) -> Iterator[Ui]:
        """What a person sees and starts in Dagster's UI."""
        with pytest.MonkeyPatch.context() as environment:
            for key, value in self.common.items():
                environment.setenv(key, value)
            with (
                dg.DagsterInstance.from_config(str(self.home("ui"))) as instance,
                WorkspaceProcessContext(
                    instance, GrpcServerTarget("127.0.0.1", self._port, None, LOCATION)
                ) as context,
            ):
                yield Ui(instance, context)


class Ui:
    """Dagster's UI, without its pages."""

    def __init__(self, instance: dg.DagsterInstance, context: WorkspaceProcessContext) -> None:
        self.instance, self._context = instance, context

    def launch(self, job: str, partition: str) -> str:
        """Start a run as a person does there; its id."""
        from dagster_graphql.test.utils import execute_dagster_graphql

        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "pipelineName": job,
        }
        tags = [{"key": "dagster/partition", "value": partition}]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        request = self._context.create_request_context()
        found = execute_dagster_graphql(request, _LAUNCH, {"params": params}).data["launchRun"]
        assert found["__typename"] == "LaunchRunSuccess", found
        return found["run"]["runId"]

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def ended(self, *run_ids: str) -> list[str]:
        """Wait for the end of runs; how they ended."""
        wait(lambda: all(self.run(it).is_finished for it in run_ids), 2 * ENOUGH)
        return [self.run(it).status.value for it in run_ids]

    def said(self, run_id: str) -> list[str]:
        """What the failed steps of a run say."""
        failed = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        found = [
            it.dagster_event.step_failure_data.user_failure_data
            for it in failed
            if it.dagster_event
        ]
        return [str(it.description) for it in found if it]

    def why(self, run_id: str) -> str:
        """Why the run failed, in the words of whoever ended it."""
        events = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        return events[-1].message or ""

    def pid(self, run_id: str) -> int:
        """The process of a run that has begun."""
        found: list[int] = []

        def is_there() -> bool:
            for event in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
                data: Any = event.dagster_event and event.dagster_event.event_specific_data
                if data is not None and "pid" in data.metadata:
                    found.append(int(data.metadata["pid"].value))
            return bool(found)

        wait(is_there)
        return found[0]

    def retry_of(self, run_id: str) -> str:
        """The run that Dagster started instead of one that failed."""
        found: list[str] = []

        def is_there() -> bool:
            runs = self.instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run_id}))
            found.extend(it.run_id for it in runs)
            return bool(found)

        wait(is_there)
        return found[0]


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster without workers; it ends with the block."""
    if redis_program() is None:
        pytest.skip("no Redis server is installed")
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis(folder))
        cluster = Cluster(folder, postgres, redis)
        try:
            cluster.start_dagster()
            yield cluster
        finally:
            for process in reversed(cluster.processes):
                process.kill()
