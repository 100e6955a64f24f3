"""`.env` and the data folder are found from a folder below, and nobody else's ever."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from kis_assets import Market
from kis_assets.security import ownership
from kis_assets.security.text_input import start_folder
from kis_assets.settings import Settings, SettingsError
from kis_assets_tests.cli.test_reading_commands import Said

pytestmark = pytest.mark.usefixtures("narrow_terminal")

MARKS = {
    ".env": "# mine\nexport KIS_VENUE=nxt\n",
    "workspace.yaml": "load_from:\n  - python_module: kis_assets.definitions\n",
    "pyproject.toml": '[project]\ndependencies = ["kis-assets"]\n',
    "data/mock/market.duckdb": "",
}


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "notebooks" / "of today"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def put(folder: Path, name: str, text: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or MARKS[name], encoding="utf-8")
    return path


@pytest.mark.parametrize("name", MARKS)
def test_a_folder_of_this_project_is_found_from_below(
    tmp_path: Path, below: Path, name: str
) -> None:
    assert start_folder() == below
    put(tmp_path, name)
    assert start_folder() == tmp_path
    settings = Settings.load(data_source_type="mock")
    assert settings.kis_data_dir == tmp_path / "data"
    assert Market(source="mock").folder.parent == tmp_path / "data"


def test_its_settings_are_read_and_told(tmp_path: Path, below: Path) -> None:
    put(tmp_path, ".env")
    assert Settings.load().kis_venue.value == "nxt"
    assert Settings.load().source_reason.endswith(f"{tmp_path / '.env'} was read")
    said = Said("status")
    assert said.status == 0
    assert " ".join(said.err.split()).startswith(
        f"note: using settings and data of {tmp_path}, a parent folder that is a project"
    )


def test_the_next_one_above_goes_before_a_farther_one(tmp_path: Path, below: Path) -> None:
    put(tmp_path, ".env")
    put(below.parent, ".env", "KIS_VENUE=unified\n")
    assert start_folder() == below.parent
    # An `.env` of the current folder is read whatever it says, as ever.
    put(below, ".env", "DEBUG=1\n")
    assert start_folder() == below


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "DJANGO_SECRET=1\nREDIS_URL=redis://elsewhere\n"),
        ("pyproject.toml", '[project]\nname = "another"\n'),
        (".env", "# KIS_VENUE=nxt\n"),
    ],
)
def test_a_folder_of_another_project_is_passed_by(
    tmp_path: Path, below: Path, name: str, text: str
) -> None:
    put(tmp_path, name, text)
    assert start_folder() == below


def test_a_folder_or_a_file_that_others_may_write_is_passed_by(tmp_path: Path, below: Path) -> None:
    file = put(tmp_path, ".env")
    for path in (tmp_path, file):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        assert start_folder() == below
        path.chmod(mode)
    assert start_folder() == tmp_path


@pytest.mark.parametrize(
    ("group", "members", "is_private"),
    [("me", [], True), ("me", ["me"], True), ("me", ["me", "you"], False), ("team", [], False)],
)
@pytest.mark.parametrize("is_folder", [True, False], ids=["folder", "file"])
def test_a_group_may_write_only_where_it_is_the_users_alone(
    tmp_path: Path,
    below: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    members: list[str],
    is_private: bool,
    is_folder: bool,
) -> None:
    file = put(tmp_path, ".env")
    path = tmp_path if is_folder else file
    path.chmod(path.stat().st_mode | 0o020)
    me = SimpleNamespace(pw_name="me", pw_gid=path.stat().st_gid)
    monkeypatch.setattr("pwd.getpwuid", lambda _: me)
    monkeypatch.setattr("grp.getgrgid", lambda _: SimpleNamespace(gr_name=group, gr_mem=members))
    assert start_folder() == (tmp_path if is_private else below)


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("whose", [".env", "mark", "folder of the mark"])
def test_an_env_or_a_mark_of_another_makes_it_no_folder_of_ones_own(
    tmp_path: Path, below: Path, name: str, whose: str
) -> None:
    mark = put(tmp_path, name)
    others = {"mark": mark, "folder of the mark": mark.parent}.get(whose) or put(tmp_path, ".env")
    assert start_folder() == tmp_path
    others.chmod(others.stat().st_mode | 0o002)
    assert start_folder() == below


def test_a_folder_of_another_user_is_passed_by(
    tmp_path: Path, below: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, ".env")
    monkeypatch.setattr(ownership.os, "geteuid", lambda: os.getuid() + 1)
    assert start_folder() == below


def test_an_error_says_where_it_looked(tmp_path: Path, below: Path) -> None:
    with pytest.raises(SettingsError, match=f"or in {below / '.env'} \\(there is none, here or"):
        Settings.load(data_source_type="kis")
    file = put(tmp_path, ".env")
    with pytest.raises(SettingsError, match=f"in the environment or in {file}; without"):
        Settings.load(data_source_type="kis")
    assert str(tmp_path / "data" / "mock") in Said("sql", "SELECT 1").err.splitlines()[-1]


def test_a_path_that_is_typed_begins_in_the_current_folder(
    tmp_path: Path, below: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, ".env")
    opened: list[Path] = []
    monkeypatch.setattr(
        "kis_assets.simulator.server.command.start", lambda replay, *_, **__: opened.append(replay)
    )
    Said("simulate", "--replay", "days", "--at", "2026-03-17T15:40")
    assert [path.absolute() for path in opened] == [below / "days"]
