"""The ready configurations of clusters are what Dagster takes, and what one machine has besides."""

from __future__ import annotations

import re
import shutil
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
