"""What is published: a wheel that runs in an empty folder, and an sdist without data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import kis_assets
from kis_assets_tests.cli.test_reading_commands import Said

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist of this code, by their endings."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def described(built: dict[str, Path]) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(built[".whl"]) as wheel:
        (name,) = (it for it in wheel.namelist() if it.endswith(".dist-info/METADATA"))
        return message_from_bytes(wheel.read(name))


# The version


def test_the_version_is_written_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", kis_assets.__version__)
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]


def test_the_command_says_its_version(narrow_terminal: None) -> None:
    said = Said("--version")
    assert (said.status, said.out) == (0, f"kis-assets {kis_assets.__version__}\n")


def test_the_help_names_the_option(narrow_terminal: None) -> None:
    assert "--version" in Said("--help").out


@pytest.mark.parametrize("module", ["kis_assets", "kis_assets.cli"])
def test_python_m_is_the_command(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"kis-assets {kis_assets.__version__}\n"


def test_the_changes_have_a_heading_for_what_is_not_released_and_for_each_version() -> None:
    """As https://keepachangelog.com has it: the release workflow looks for its version there."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first, *released = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert first == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", it) for it in released)


# What is in it


@pytest.mark.slow
def test_the_wheel_has_all_of_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = set(wheel.namelist())
    kept = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kis_assets").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {it for it in names if ".dist-info/" not in it} == kept
    assert {"kis_assets/py.typed", "kis_assets/lake/sql/facts.sql"} < kept
    licences = {Path(it).name for it in names if ".dist-info/licenses/" in it}
    assert licences == {"LICENSE", "NanumGothic-OFL.txt", "NOTICE"}  # that of the site's charts too


@pytest.mark.slow
def test_the_sdist_has_what_builds_and_explains_it_and_no_data(built: dict[str, Path]) -> None:
    with tarfile.open(built[".gz"]) as sdist:
        names = [Path(*Path(it.name).parts[1:]) for it in sdist.getmembers()]
    assert {it.parts[0] for it in names} == {
        *("kis_assets", "docs", "pyproject.toml", "PKG-INFO", ".gitignore"),
        *("README.md", "README.ko.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "constraints.txt"),
    }
    assert {it.suffix for it in names} <= {
        *("", ".md", ".py", ".sql", ".csv", ".jinja", ".toml", ".txt", ".png", ".svg", ".typed"),
        *(".js", ".css", ".html", ".json"),
    }


@pytest.mark.slow
def test_an_index_is_told_what_people_look_for(described: Message) -> None:
    assert described["Name"] == "kis-assets"
    assert described["Version"] == kis_assets.__version__
    assert described["Summary"]
    assert described["Author"] == "The kis_assets authors"
    assert described["License-Expression"] == "MIT"
    assert described["Description-Content-Type"] == "text/markdown"
    page = described.get_payload(decode=True)
    assert isinstance(page, bytes)
    assert page.decode() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert "KIS" in str(described["Keywords"])
    classifiers = described.get_all("Classifier", [])
    assert "Typing :: Typed" in classifiers
    with_ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    for version in with_ci["jobs"]["ci"]["strategy"]["matrix"]["python"]:
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert {"delta", "mcp", "pandas", "redis"} <= set(described.get_all("Provides-Extra", []))


def test_the_page_names_every_extra() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\w+) \| ", page, re.MULTILINE)) - {"extra"} == set(
        PROJECT["optional-dependencies"]
    )


def test_the_page_names_the_wheel_of_this_version() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"kis_assets-([\d.]+)-py3", page)) == {kis_assets.__version__}


def test_uvx_finds_the_command_by_the_name_of_the_package() -> None:
    assert PROJECT["scripts"][PROJECT["name"]] == "kis_assets.cli:main"


# It runs


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel; what it needs is that of the tests.

    No test leaves this machine: .ci/release installs the rest by the constraints.
    """
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    subprocess.run(
        [programs / "python", "-m", "pip", "install", "--no-index", "--no-deps", built[".whl"]],
        check=True,
        capture_output=True,
    )
    here = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(here) / "of_the_tests.pth").write_text(
        "\n".join(it for it in sys.path if it.endswith("-packages"))
    )
    return programs


def said_by(command: list[str | Path], folder: Path) -> str:
    """What a command prints in an empty folder, which knows nothing of this clone."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_installed_wheel_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = installed / "kis-assets"
    assert said_by([program, "--version"], tmp_path) == f"kis-assets {kis_assets.__version__}\n"
    code = "import kis_assets; print(kis_assets.__file__)"
    assert str(installed.parent) in said_by([installed / "python", "-c", code], tmp_path)
    run = [program, "run", "--source", "mock", "--table", "market_days"]
    assert "MOCK DATA" in said_by(run, tmp_path)
    answer = said_by([program, "sql", "SELECT count(*) > 300 FROM market_days", "--json"], tmp_path)
    assert "true" in answer
    assert {it.name for it in tmp_path.iterdir()} == {"data"}


@pytest.mark.slow
def test_what_the_wheel_asks_for_is_what_the_tests_have(described: Message) -> None:
    from importlib.metadata import version

    wanted = [Requirement(it) for it in described.get_all("Requires-Dist", [])]
    needed = [it for it in wanted if it.marker is None or it.marker.evaluate({"extra": ""})]
    assert len(needed) > 20
    assert [it for it in needed if not it.specifier.contains(version(it.name))] == []
