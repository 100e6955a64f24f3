"""A machine that others use too: whose files are is said, and who can read what is to be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kis_assets.cli.common import settings_of
from kis_assets.cli.doctor import _files
from kis_assets.errors import ServiceUnavailable
from kis_assets.monitoring.exposure import exposed
from kis_assets.security.ownership import explained, whose
from kis_assets.settings import Settings
from kis_assets.sources.factory import create_data_source
from kis_assets.state.sqlite import SharedState
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, Clock
from kis_assets_tests.kis.test_token import NOON, Server, opened

ROOT = Path(__file__).parents[2]
OTHER = 54321
"""A user without a name."""

needs_owners = pytest.mark.skipif(os.name == "nt", reason="Windows has no such owners")
AS_OTHER = ("setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", sys.executable)


@cache
def is_other() -> bool:
    """True where a test can be two users, and the other one gets at Python."""
    if os.name == "nt" or os.geteuid() != 0 or shutil.which(AS_OTHER[0]) is None:
        return False
    return subprocess.run([*AS_OTHER, "-c", ""], capture_output=True).returncode == 0


needs_root = pytest.mark.skipif(not is_other(), reason="needs root and setpriv")


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that every user gets to, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="kis-assets-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_other(folder: Path, code: str, **more: str) -> str:
    """What a script of another user prints."""
    done = subprocess.run(
        [*AS_OTHER, "-c", code],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)} | more,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def give(path: Path, uid: int = OTHER) -> None:
    os.chown(path, uid, uid, follow_symlinks=False)


# Whose it is

_TYPED = "from kis_assets.cli import app; app({words!r})"
_SHARED = """
import time
from pathlib import Path
from kis_assets.state.sqlite import SharedState
try:
    SharedState(Path("state")).update("key", lambda old, _: (b"new", old), time.time)
except Exception as error:
    print(type(error).__name__, error)
"""


@needs_root
def test_state_that_root_made_is_named_as_roots_and_not_read(common: Path) -> None:
    SharedState(common / "state").update("key", lambda old, _: (b"new", old), Clock(0))
    state = common / "state"
    for mode in (0o700, 0o777):  # whatever it lets others do
        state.chmod(mode)
        (state / "shared.sqlite").chmod(mode)
        said = as_other(common, _SHARED)
        assert said.startswith("ServiceUnavailable")
        assert f"belongs to root: run as root, or chown -R {OTHER} {state}" in said


@needs_root
def test_state_of_another_user_is_not_used_by_root(common: Path) -> None:
    state = common / "state"
    state.mkdir(mode=0o700)
    give(state)
    says = f"{state} belongs to {OTHER}: run as {OTHER}, or chown -R root {state}"
    with pytest.raises(ServiceUnavailable, match=says):
        SharedState(state).update("key", lambda old, _: (b"new", old), Clock(0))
    with pytest.raises(ServiceUnavailable, match=says):
        opened(state, Server(wall := Clock(NOON)), wall).get()
    assert list(state.iterdir()) == []


@needs_root
@pytest.mark.parametrize("name", ["shared.sqlite", "shared.sqlite-wal"])
def test_a_file_that_another_user_planted_among_the_state_is_named(common: Path, name: str) -> None:
    (common / name).touch(mode=0o666)
    give(common / name)
    with pytest.raises(ServiceUnavailable, match=f"{name} belongs to {OTHER}"):
        SharedState(common).update("key", lambda old, _: (b"new", old), Clock(0))


@needs_root
def test_a_token_that_another_user_planted_is_named(common: Path) -> None:
    (common / "token-real-0.sealed").touch(mode=0o666)
    give(common / "token-real-0.sealed")
    with pytest.raises(ServiceUnavailable, match=f"sealed belongs to {OTHER}"):
        opened(common, Server(wall := Clock(NOON)), wall).get()


@needs_root
def test_another_user_can_read_no_token(common: Path) -> None:
    """As the attack was: the link stood where the file aside was to be written."""
    state = common / "state"
    state.mkdir(mode=0o777)
    state.chmod(0o777)
    plant = (
        "import os, pathlib\n"
        f"for name in ('token-real-0.{os.getpid()}', 'token-real-0.sealed.new'):\n"
        "    pathlib.Path('theirs').touch()\n"
        "    os.symlink(os.path.abspath('theirs'), 'state/' + name)\n"
    )
    common.chmod(0o777)
    as_other(common, plant)
    opened(state, Server(wall := Clock(NOON)), wall).get()
    look = (
        "import pathlib\n"
        "print(pathlib.Path('theirs').read_text())\n"
        "print([it.read_bytes() for it in pathlib.Path('state').iterdir()])\n"
    )
    assert (common / "theirs").read_bytes() == b""
    assert "PermissionError" in as_other(common, look)


@needs_root
@pytest.mark.parametrize("start", ["dagster", "mock"])
@pytest.mark.slow
def test_a_run_of_a_user_in_the_folders_of_root_says_whose_they_are(
    common: Path, start: str
) -> None:
    data = common / "data"
    (data / start / ".locks").mkdir(parents=True)
    if start == "mock":
        (data / "dagster").mkdir()
        give(data / "dagster")
    give(common)
    give(data) if start == "mock" else None
    words = ["run", "--source", "mock", "--table", "market_days"]
    said = " ".join(as_other(common, _TYPED.format(words=words)).split())
    top = data / "mock" if start == "mock" else data
    assert f"belongs to root: run as root, or chown -R {OTHER} {top}" in said
    assert "Permission denied" not in said
    assert "bug" not in said


@needs_root
def test_what_another_user_may_not_read_is_told_by_the_commands_that_read(
    common: Path, small_lake: Path
) -> None:
    mock = shutil.copytree(small_lake, common / "data" / "mock")
    (mock / "market.duckdb").chmod(0o600)
    words = ["sql", "SELECT count(*) AS days FROM market_days", "--csv"]
    code = _TYPED.format(words=words)
    said = as_other(common, code, DATA_SOURCE_TYPE="mock")
    assert f"note: {mock / 'market.duckdb'} belongs to root: run as root, or chown" in said
    assert "days\n" in said  # the rows can be read
    (mock / "versions").chmod(0o700)
    said = as_other(common, code, DATA_SOURCE_TYPE="mock")
    assert f"error: {mock / 'versions'} belongs to root: run as root, or chown" in said
    assert "Permission denied" not in said


@needs_root
@pytest.mark.parametrize(
    "place", ["data/simulated_kis", "data/simulated_kis/state/shared.sqlite", ".env"]
)
@pytest.mark.slow
def test_every_command_names_the_owner_and_not_the_permission(common: Path, place: str) -> None:
    nobody = "KIS_API_BASE_URL_VIRTUAL=http://127.0.0.1:1\n"
    keys = f"KIS_APP_KEY={APP_KEY}\nKIS_APP_SECRET={APP_SECRET}\n{nobody}"
    (common / ".env").write_text(keys, encoding="utf-8")
    (common / "data" / "simulated_kis" / "state").mkdir(parents=True)
    (common / "data" / "simulated_kis" / "state" / "shared.sqlite").touch()
    for path in (common, *common.rglob("*")):
        give(path)
    (common / place).chmod(0o700 if place == "data/simulated_kis" else 0o600)
    give(common / place, 0)
    for words in (["status"], ["doctor"]):
        said = " ".join(as_other(common, _TYPED.format(words=words), COLUMNS="1000").split())
        assert f"{common / place} belongs to root: run as root, or chown -R {OTHER}" in said, words
        assert "Permission denied" not in said
        assert "bug" not in said


@needs_root
def test_what_to_take_over_is_all_that_root_has_below_a_folder_of_ours(common: Path) -> None:
    deep = common / "data" / "mock" / ".locks"
    deep.mkdir(parents=True)
    code = (
        "from pathlib import Path\n"
        "from kis_assets.security.ownership import whose\n"
        f"print(whose(Path({str(deep / 'x')!r}), Path({str(common / 'data' / 'mock')!r})))\n"
    )
    assert as_other(common, code).strip() == (
        f"{deep} belongs to root: run as root, or chown -R {OTHER} {common / 'data' / 'mock'}"
    )
    give(common)
    assert as_other(common, code).strip().endswith(f"chown -R {OTHER} {common / 'data'}")


@needs_owners
def test_a_mode_that_forbids_its_owner_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert whose(tmp_path / "new" / "file") == (
            f"{tmp_path} is yours, and its mode 0500 forbids it: chmod -R u+rwX {tmp_path}"
        )
    finally:
        tmp_path.chmod(0o700)


@needs_owners
@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "{there}"),
        RuntimeError('IO Error: Cannot open file "{there}": Permission denied'),
        RuntimeError("Permission denied (os error 13): '{there}'"),
        PermissionError(1, "Operation not permitted", "/nowhere/aside", None, "{there}"),
    ],
)
def test_every_library_is_understood(tmp_path: Path, error: Exception) -> None:
    there = str(tmp_path / "file")
    filled = [it.format(there=there) if isinstance(it, str) else it for it in error.args]
    again = type(error)(*filled)
    if isinstance(error, OSError):
        again.filename = (error.filename or "").format(there=there)
        again.filename2 = (error.filename2 or "").format(there=there) or None
    assert explained(again, tmp_path).startswith(f"{tmp_path} is yours")


# Who can read it


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The `.env` of a folder that asks KIS."""
    env = tmp_path / ".env"
    env.write_text(f"KIS_APP_KEY={APP_KEY}\nKIS_APP_SECRET={APP_SECRET}\n", encoding="utf-8")
    env.chmod(0o600)
    return env


@needs_owners
def test_what_others_can_read_is_told_at_every_start_and_by_the_doctor(
    keyed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of()
    assert capsys.readouterr().err == ""
    assert _files(settings).state == "ok"
    keyed.chmod(0o644)
    settings.state_dir.mkdir(parents=True)
    settings.dagster_home.mkdir()
    said = [
        f"others can read {path} (mode {mode}): chmod {right} {path}"
        for path, mode, right in (
            (keyed, "0644", "600"),
            (settings.state_dir, "0755", "700"),
            (settings.dagster_home, "0755", "700"),
        )
    ]
    settings_of()
    assert capsys.readouterr().err.splitlines() == [f"note: {it}" for it in said]
    assert _files(settings)[1:] == ("warn", "; ".join(said))
    for path in (settings.state_dir, settings.dagster_home):
        path.chmod(0o700)
    keyed.chmod(0o600)
    assert exposed(settings) == []


@needs_owners
def test_a_source_tells_its_log_once(keyed: Path, caplog: pytest.LogCaptureFixture) -> None:
    keyed.chmod(0o640)
    settings = Settings.load()
    for _ in range(2):
        create_data_source(settings=settings).close()
    assert caplog.text.count("chmod 600") == 1


@needs_owners
def test_without_a_key_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("KIS_STOCK_CODES=005930\n", encoding="utf-8")
    (tmp_path / ".env").chmod(0o644)
    settings_of()
    assert capsys.readouterr().err == ""


@needs_owners
def test_the_command_of_the_readme_makes_a_file_for_its_owner(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = {it for it in readme.split("`") if it.endswith(".env.example .env")}
    (tmp_path / ".env.example").write_bytes((ROOT / ".env.example").read_bytes())
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


@needs_owners
@pytest.mark.slow
@pytest.mark.usefixtures("narrow_terminal")
def test_dagsters_folder_is_the_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    from kis_assets.execution import runner

    home = tmp_path / "data" / "dagster"
    for before in (None, 0o755):
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        if before:
            home.chmod(before)
        runner.home(Settings.load())
        assert home.stat().st_mode & 0o777 == 0o700
