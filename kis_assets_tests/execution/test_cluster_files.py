"""The ready configurations of clusters are what Dagster takes, and what one machine has besides."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from kis_assets.execution.dagster_home import INSTANCE

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = {"dagster_celery": "dagster-celery.yaml", "dagster_k8s": "dagster-k8s.yaml"}


@pytest.mark.parametrize("name", FILES.values())
def test_a_cluster_keeps_runs_and_pools_as_one_machine_does(name: str) -> None:
    here, there = yaml.safe_load(INSTANCE), yaml.safe_load((DEPLOY / name).read_text())
    for part in ("telemetry", "retention", "nux"):
        assert there[part] == here[part]
    assert there["concurrency"]["pools"] == here["concurrency"]["pools"]
    assert there["run_monitoring"].items() >= here["run_monitoring"].items()
    assert there["run_retries"]["max_retries"] == 1


@pytest.mark.parametrize("name", FILES.values())
def test_no_secret_and_no_host_is_written_down(name: str) -> None:
    text = (DEPLOY / name).read_text()
    assert {"hostname", "password", "username"} <= set(re.findall(r"(\w+): {env: \w+}", text))
    assert not re.search(r"\w://", text)


@pytest.mark.scale
@pytest.mark.parametrize("package", FILES)
def test_dagster_takes_it(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package)
    text = (DEPLOY / FILES[package]).read_text()
    for variable in re.findall(r"{env: (\w+)}", text):
        monkeypatch.setenv(variable, "redis://127.0.0.1" if "URL" in variable else "5432")
    if package == "dagster_k8s":
        monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    shutil.copyfile(DEPLOY / FILES[package], tmp_path / "dagster.yaml")
    ref = InstanceRef.from_dir(str(tmp_path))
    launcher: Any = ref.run_launcher
    assert type(launcher).__module__.startswith(package)
    assert ref.run_storage_data.config_dict["postgres_db"]["scheme"] == "postgresql+psycopg2"
    # Names that libpq knows: it would refuse others before it looks for a server.
    database: Any = ref.run_storage_data.config_dict["postgres_db"]
    assert database["params"]["tcp_user_timeout"]
    utils, psycopg2 = (pytest.importorskip(it) for it in ("dagster_postgres.utils", "psycopg2"))
    url = utils.get_conn_string("me", hostname="127.0.0.1", port="1", params=database["params"])
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(url)


@pytest.mark.scale
def test_a_worker_forks_before_it_imports_polars(tmp_path: Path) -> None:
    """A run in a process that was forked after that would hang for ever."""
    pytest.importorskip("dagster_celery")
    text = re.sub(
        "storage:.*?(?=run_launcher)",
        "",
        (DEPLOY / FILES["dagster_celery"]).read_text(),
        flags=re.DOTALL,
    )
    (tmp_path / "dagster.yaml").write_text(text)
    environment = os.environ | {
        "DAGSTER_HOME": str(tmp_path),
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "DAGSTER_COMPUTE_LOGS": str(tmp_path),
    }
    code = "import sys, kis_assets.execution.worker; print('polars' in sys.modules)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
