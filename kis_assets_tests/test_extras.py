"""What to install is said as it works: this package is on no index, and what it can use is."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from venv import EnvBuilder

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("kis_assets/**/*.py")]
SAID = re.compile(r"pip install ['\"]([^'\"\n]+)['\"]")


def said() -> dict[str, set[str]]:
    """What is to be installed, by the page that says so; CHANGELOG tells of the past."""
    found = {
        str(page.relative_to(ROOT)): set(SAID.findall(page.read_text(encoding="utf-8")))
        for page in PAGES
        if page.name != "CHANGELOG.md"
    }
    return {page: wanted for page, wanted in found.items() if wanted}


def test_nothing_is_to_be_installed_that_is_on_no_index() -> None:
    optional = {name for extra in EXTRAS.values() for name in extra}
    wanted = set[str]().union(*said().values())
    assert {"redis>=8.1", "deltalake>=1.6"} <= wanted
    of_this_folder = {it for it in wanted if it.startswith(".[")}
    assert wanted - of_this_folder <= optional
    assert {extra for it in of_this_folder for extra in it[2:-1].split(",")} <= EXTRAS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("requirement", sorted(set[str]().union(*said().values())))
def test_pip_finds_it(requirement: str, tmp_path: Path) -> None:
    """By the network, in an environment of its own."""
    EnvBuilder(with_pip=True).create(tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    ran = subprocess.run(
        [python, "-m", "pip", "install", "--dry-run", "--no-deps", requirement],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if "NewConnectionError" in ran.stderr or "NameResolutionError" in ran.stderr:
        pytest.skip("no package index can be reached")
    assert ran.returncode == 0, ran.stderr
    assert "Would install" in ran.stdout
