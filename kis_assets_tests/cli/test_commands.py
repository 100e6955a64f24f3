"""The command line: what people type, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from kis_assets_tests.conftest import EVENING


def type_in(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run kis-assets in a process of its own, in the test's folder."""
    return subprocess.run(
        [sys.executable, "-m", "kis_assets.cli", *words],
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


FEW = {"KIS_STOCK_CODES": "005930,000660,035420"}


def test_a_run_stores_the_latest_session_and_says_where(tmp_path: Path) -> None:
    done = type_in("run", **FEW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MOCK DATA" in done.stdout
    assert "kis-assets ui " in done.stdout
    database = tmp_path / "data" / "mock" / "market.duckdb"
    assert str(database) in done.stdout
    with duckdb.connect(str(database), read_only=True) as connection:
        for table in ("stock_master", "price_snapshots", "daily_candles", "market_days"):
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
            assert count >= 3, table
    assert (tmp_path / "data" / "dagster" / "dagster.yaml").exists()
    # What to type next can be typed.
    python, *words = shlex.split(done.stdout.strip().splitlines()[-1])
    looked = subprocess.run([python, *words], capture_output=True, text=True, check=True)
    assert "삼성전자" in looked.stdout


@pytest.mark.slow
def test_what_to_type_next_can_be_typed_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s 50% "mine" $HOME'
    done = type_in("run", KIS_DATA_DIR=str(folder), **FEW)
    assert done.returncode == 0, done.stdout + done.stderr
    python, *words = shlex.split(done.stdout.strip().splitlines()[-1])
    looked = subprocess.run([python, *words], capture_output=True, text=True, check=True)
    assert "삼성전자" in looked.stdout


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (("--date", "2026-03-15"), {}, "2026-03-15 is not a trading day of KRX"),
        (("--date", "2027-03-16"), {}, "session of 2027-03-16 has not begun"),
        (("--date", "yesterday"), {}, "'yesterday' is not a day"),
        (("--source", "kis"), {}, "needs KIS_APP_KEY and KIS_APP_SECRET"),
        ((), {"KIS_API_RATE_LIMIT": "fast"}, "KIS_API_RATE_LIMIT=fast"),
        ((), {"KIS_USE_VIRTUAL_SERVER": "true", "KIS_USE_REAL_SERVER": "true"}, "contradict"),
    ],
)
def test_bad_input_is_one_sentence_and_stores_nothing(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    done = type_in("run", *words, KIS_REPLAY_AT=EVENING.isoformat(), **FEW, **variables)
    assert done.returncode != 0
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.slow
def test_what_can_no_longer_be_had_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    done = type_in("run", "--date", "2026-03-16", KIS_REPLAY_AT=EVENING.isoformat(), **FEW)
    assert done.returncode == 0
    assert (
        "price_snapshots is left out: live data of 2026-03-16 is no longer available" in done.stdout
    )
    assert "latest_prices" not in done.stdout, "there is nothing in it"
    assert not (tmp_path / "data" / "mock" / "parquet" / "price_snapshots").exists()
    assert (tmp_path / "data" / "mock" / "parquet" / "daily_candles").exists()


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told_once_for_all_tables(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("KIS_API_BASE_URL_REAL", "KIS_MASTER_BASE_URL"), "http://127.0.0.1:9")
    key = {"KIS_APP_KEY": "K" * 36, "KIS_APP_SECRET": "S" * 180, "KIS_USE_VIRTUAL_SERVER": "false"}
    tables = ("--table", "stock_master", "--table", "price_snapshots")
    then = {"KIS_REPLAY_AT": EVENING.isoformat(), "KIS_API_MAX_RETRIES": "1"}
    done = type_in("run", *tables, **then, **FEW, **key, **nowhere)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert said.count("127.0.0.1 cannot be reached") == 1
    assert "stock_master, price_snapshots: " in said
    assert "its address right?" in said
    assert "Done" not in said
    # The command that it names finds the reason.
    assert "Run kis-assets doctor to find the reason" in said
    looked = type_in("doctor", "--json", **then, **key, **nowhere)
    assert looked.returncode == 1
    failed = [it["seen"] for it in json.loads(looked.stdout) if it["state"] == "fail"]
    assert any("127.0.0.1 cannot be reached" in it for it in failed), looked.stdout


def test_a_replay_needs_a_moment(tmp_path: Path) -> None:
    done = type_in("simulate", "--replay", str(tmp_path))
    assert done.returncode == 2
    assert "--replay needs --at" in done.stderr


def test_ctrl_c_ends_a_command_before_it_is_loaded_with_one_line() -> None:
    code = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder())
from kis_assets.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
