"""The command that a hint names fetches what was missing: then the first one works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kis_assets.lake.reader import CatalogReader
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.support.small_lake import EVENING

pytestmark = pytest.mark.usefixtures("narrow_terminal")


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is stored of the invented market; two stocks are asked for."""
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_STOCK_CODES", "005930,000660")
    monkeypatch.setenv("KIS_REPLAY_AT", EVENING.isoformat())
    return tmp_path


HINTS: dict[tuple[str, ...], str] = {
    ("quote", "삼성전자"): "kis-assets run --table stock_master",
    ("find", "삼성전자"): "kis-assets run --table stock_master",
    ("candles", "005930", "--stored"): "kis-assets run",
    ("candles", "005930", "--stored", "--type", "1m"): "kis-assets run --table minute_candles",
    ("candles", "005930", "--stored", "--from", "2026-01", "--to", "2026-01"): (
        "kis-assets backfill daily_candles 2026-01 2026-01"
    ),
    ("diff", "daily_candles", "2026-02"): "kis-assets backfill daily_candles 2026-02 2026-02",
    ("diff", "market_days", "2026"): "kis-assets run --table market_days",
    ("sql", "FROM minute_candles LIMIT 1"): "kis-assets run --table minute_candles",
    ("sql", "SELECT count(*) FROM daily_candles"): "kis-assets run",
    ("sql", "FROM stocks JOIN valuations USING (stock_code)"): (
        "kis-assets run --table stock_master --table valuations"
    ),
    ("condition",): "kis-assets run",
}


def hint_of(said: Said) -> str:
    (found,) = re.findall(r"run: (kis-assets [\w -]+)", said.err)
    return found.strip()


@pytest.mark.parametrize(("words", "hint"), HINTS.items(), ids=lambda it: " ".join(it)[:40])
def test_what_is_missing_is_named_with_the_command_that_fetches_it(
    empty: Path, words: tuple[str, ...], hint: str
) -> None:
    said = Said(*words)
    assert said.status == 1
    assert hint_of(said) == hint


@pytest.mark.slow
@pytest.mark.parametrize("words", HINTS, ids=lambda it: " ".join(it)[:40])
def test_the_command_that_is_named_helps(empty: Path, words: tuple[str, ...]) -> None:
    for _ in range(3):
        said = Said(*words)
        if "run: kis-assets" not in said.err:
            break
        hint = shlex.split(hint_of(said))[1:] + ["--yes"] * ("backfill" in said.err)
        command = [sys.executable, "-m", "kis_assets.cli", *hint]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert said.status == 0
    assert said.out


def test_a_table_that_is_empty_beside_others_is_named_by_sql(stored: Path) -> None:
    said = Said("sql", "FROM etf_navs")
    assert (said.status, said.out) == (0, "no rows\n")
    assert hint_of(said) == "kis-assets run --table etf_navs"
    assert "run:" not in Said("sql", "FROM daily_candles WHERE false").err


def test_a_query_that_nothing_fits_is_told_nothing_is_missing(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = CatalogReader.units
    lacking = lambda self, name: [] if name == "stock_info" else units(self, name)  # noqa: E731
    monkeypatch.setattr(CatalogReader, "units", lacking)
    said = Said("sql", "FROM prices WHERE price < 0")
    assert (said.status, "not stored" in said.err) == (0, False)
    assert "stock_info" in Said("sql", "FROM stock_info WHERE stock_code = ''").err


def test_what_kis_assets_alone_says_to_do_next_works(stored: Path) -> None:
    (query,) = re.findall(r'next .*kis-assets sql "([^"]+)"', Said().out)
    assert "삼성전자" in Said("sql", query).out


def test_a_report_of_no_trading_day_is_refused_in_one_sentence(stored: Path) -> None:
    said = Said("report", "--date", "2026-01-01")
    assert said.err.splitlines()[-1] == "error: 2026-01-01 is not a trading day of KRX"
