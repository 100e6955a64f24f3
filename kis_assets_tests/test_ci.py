"""What GitHub and pre-commit read: it is well-formed, pinned, and runs what a developer runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture
def job() -> Any:
    (job,) = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"].values()
    return job


def test_every_change_runs_what_a_developer_runs(job: Any) -> None:
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_the_docs_are_built_of_every_change_and_published_of_main_alone() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "docs.yml")["jobs"]
    assert [step["run"] for step in jobs["build"]["steps"] if "run" in step] == ["make docs-build"]
    assert "permissions" not in jobs["build"]
    assert jobs["deploy"]["if"] == "github.ref == 'refs/heads/main'"
    assert jobs["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert [set(step) & {"run", "uses"} for step in jobs["deploy"]["steps"]] == [{"uses"}]


def test_every_supported_python_is_tested_on_linux_and_one_on_macos(job: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    matrix = job["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert project["requires-python"] == f">={matrix['python'][0]}"
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu"]
    assert [it["os"].partition("-")[0] for it in matrix["include"]] == ["macos"]
    # The Makefile would take the first Python that it finds.
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"


def test_what_others_publish_is_pinned() -> None:
    for path in (ROOT / ".github" / "workflows").iterdir():
        for action in re.findall(r"uses: *(\S+)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", action), action
    for repository in read(ROOT / ".pre-commit-config.yaml")["repos"]:
        is_pinned = re.fullmatch(r"v\d+\.\d+\.\d+", repository.get("rev", ""))
        assert is_pinned or repository["repo"] == "local", repository["repo"]


def test_workflows_know_no_secret_and_may_only_read() -> None:
    for path in (ROOT / ".github" / "workflows").iterdir():
        assert "secrets" not in path.read_text(encoding="utf-8")
        assert read(path)["permissions"] == {"contents": "read"}


def test_what_is_committed_is_formatted_by_the_pinned_ruff() -> None:
    (local,) = (
        it for it in read(ROOT / ".pre-commit-config.yaml")["repos"] if it["repo"] == "local"
    )
    entries = [hook["entry"] for hook in local["hooks"]]
    assert entries == [".venv/bin/ruff format", ".venv/bin/ruff check --fix"]


def test_forms_ask_for_what_is_needed_to_help() -> None:
    asked = {
        path.stem: {field["id"] for field in read(path)["body"] if "id" in field} for path in FORMS
    }
    assert set(asked) == {"bug", "data_error", "feature"}
    assert asked["bug"] >= {"doctor", "happened", "expected"}
    assert asked["data_error"] >= {"stock", "day", "stored", "expected"}
    (doctor,) = (it for it in read(FORMS[0])["body"] if it.get("id") == "doctor")
    assert "kis-assets doctor" in doctor["attributes"]["description"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_warn_of_secrets(path: Path) -> None:
    first = read(path)["body"][0]
    assert first["type"] == "markdown"
    assert "app key" in first["attributes"]["value"]
