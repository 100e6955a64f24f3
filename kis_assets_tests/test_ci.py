"""What GitHub and pre-commit read: it is well-formed, pinned, and runs what a developer runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import kis_assets

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


# A release


@pytest.fixture
def release() -> Any:
    return read(ROOT / ".github" / "workflows" / "release.yml")


def test_a_tag_of_a_version_alone_releases(release: Any) -> None:
    # YAML takes the word `on` for true.
    assert release[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}


def test_what_publishes_is_trusted_by_the_index_and_does_nothing_else(release: Any) -> None:
    jobs = release["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi"
    assert publish["needs"] == "build"
    # No code of the repository or of a package runs where the index is asked to trust.
    assert all("run" not in step for step in publish["steps"])
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_what_is_published_was_tested_and_installed_first(release: Any) -> None:
    steps = release["jobs"]["build"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert runs == ['.ci/release "$GITHUB_REF_NAME"']
    assert steps[-1]["with"]["path"] == "dist/"
    assert release["jobs"]["publish"]["steps"][0]["with"]["path"] == "dist/"
    script = (ROOT / ".ci" / "release").read_text(encoding="utf-8")
    for needed in (".ci/run", "make dist", "kis_assets_tests/test_package.py", "--require-hashes"):
        assert needed in script
    assert os.access(ROOT / ".ci" / "release", os.X_OK)


@pytest.mark.parametrize(
    ("tag", "heading", "sentence"),
    [
        ("v9.9.9", "", "the tag v9.9.9 is not that of version"),
        ("", "", "CHANGELOG.md has no heading"),
        ("", "## {version} - 2026-12-01\n", ""),
    ],
    ids=["another version", "no word of it", "right"],
)
def test_a_tag_that_is_not_the_version_or_is_not_told_of_is_refused(
    tmp_path: Path, tag: str, heading: str, sentence: str
) -> None:
    version = kis_assets.__version__
    for name in (".ci/release", "kis_assets/__init__.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## Unreleased\n\n{heading.format(version=version)}", encoding="utf-8"
    )
    done = subprocess.run(
        [tmp_path / ".ci" / "release", "--check", tag or f"v{version}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == bool(sentence), done.stderr
    assert sentence in done.stderr


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
