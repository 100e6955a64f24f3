"""Whoever reads invented prices is told so, once and beside the answer; and nobody else is."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from kis_assets import Market
from kis_assets.definitions import load
from kis_assets.exchange.venues import MOCK, Venue, mark_of
from kis_assets.lake.origin import say_once
from kis_assets.sources.base import DataSource
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.support.small_lake import SAMSUNG

pytestmark = pytest.mark.usefixtures("narrow_terminal")

READS = (
    ("quote", SAMSUNG),
    ("book", SAMSUNG),
    ("candles", SAMSUNG),
    ("candles", SAMSUNG, "--stored"),
    ("info", SAMSUNG),
    ("find", "삼성"),
    ("sql", "SELECT close FROM daily_candles LIMIT 1"),
    ("condition", "daily_candles"),
    ("diff", "daily_candles", "2026-03"),
)
READING = pytest.mark.parametrize("words", READS, ids=" ".join)


@READING
@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)], ids=" ".join)
def test_every_read_of_an_invented_market_says_so_once(
    asked: DataSource, words: tuple[str, ...], form: tuple[str, ...]
) -> None:
    said = Said(*words, *form)
    assert said.status == 0
    assert said.err.count("MOCK DATA") == 1
    assert "MOCK" not in said.out


@READING
def test_every_record_for_a_machine_says_its_source(
    asked: DataSource, words: tuple[str, ...]
) -> None:
    assert {row["source"] for row in Said(*words, "--json").json} == {"mock"}
    if words[0] != "sql":
        assert {row["source"] for row in Said(*words, "--csv").csv} == {"mock"}


def test_the_columns_of_a_query_are_those_of_the_query(stored: Path) -> None:
    assert Said("sql", "SELECT 1 AS one", "--csv").out == "one\n1\n"
    assert Said("sql", "SELECT 1 AS one, 'mine' AS source", "--json").json == [
        {"one": 1, "source": "mine"}
    ]


def test_status_and_the_feed_say_their_source(stored: Path) -> None:
    assert Said("status", "--json").json["source"] == "mock"
    assert Said("status", "--csv").csv[0]["source"] == "mock"
    for form in ((), ("--json",), ("--csv",)):
        assert Said("status", *form).err.count("MOCK DATA") == 1


@pytest.mark.slow
def test_the_records_of_the_feed_say_their_source(asked: DataSource) -> None:
    said = Said("stream", SAMSUNG, "--json", "--seconds", "5")
    assert {json.loads(line)["source"] for line in said.out.splitlines()} == {"mock"}
    assert said.err.count("MOCK DATA") == 1


def test_what_goes_wrong_has_no_mark(stored: Path) -> None:
    assert "MOCK" not in Said("candles", "nobody", "--stored").error


def test_rows_of_kis_and_krx_have_no_mark_on_any_venue(
    small_lake: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for source in ("kis", "krx"):
        for venue in Venue:
            assert mark_of(venue.named(source)) == ""
    assert mark_of("mock") == mark_of("mock-nxt") == mark_of("kis-simulated") == MOCK
    (tmp_path / "kis").symlink_to(small_lake)
    market = Market(tmp_path / "kis")
    assert market.find("삼성").height == 2
    assert repr(market) == f"Market('{tmp_path / 'kis'}')"
    assert not caplog.records


def test_market_says_it_once_by_the_log_and_always_in_its_repr(
    small_lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    say_once.cache_clear()
    for market in (Market(small_lake), Market(small_lake)):
        assert repr(market) == f"Market('{small_lake}') - {MOCK}"
        for _ in range(2):
            market.find("삼성")
            market.rows("SELECT 1")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("kis_assets.market", logging.WARNING)
    assert record.message.startswith("MOCK DATA")


def test_a_copy_in_a_folder_of_another_name_is_known_by_its_rows(
    small_lake: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_lake, tmp_path / "backup", symlinks=True)
    assert Market(tmp_path / "backup").source == "mock"
    assert repr(Market(tmp_path / "nothing")) == f"Market('{tmp_path / 'nothing'}')"


@pytest.mark.parametrize(("source", "marked"), [("mock", True), ("kis", False)])
def test_the_code_location_says_it(
    monkeypatch: pytest.MonkeyPatch, source: str, marked: bool
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", source)
    monkeypatch.setenv("KIS_APP_KEY", "KEY")
    monkeypatch.setenv("KIS_APP_SECRET", "SECRET")
    made_anew: Any = load.load_fn
    found = made_anew.__wrapped__()
    said = str(found.metadata["source"].value)
    assert said.startswith(source)
    assert ("MOCK DATA" in said) is marked
