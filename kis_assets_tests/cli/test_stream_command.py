"""`kis-assets stream`: what it takes, what it refuses at once, and where it records."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from kis_assets.kis.stream import Stream
from kis_assets.ticks.journal import days
from kis_assets_tests.cli.test_reading_commands import Said

pytestmark = pytest.mark.usefixtures("narrow_terminal")


@pytest.fixture
def stored(small_lake: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user's folder whose lake knows some names; each session ends after two records."""
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mock").mkdir()
    for part in small_lake.iterdir():
        if part.name == "live":  # recorded by another test, into the lake that all share
            continue
        (tmp_path / "data" / "mock" / part.name).symlink_to(part)
    whole = Stream.__iter__
    monkeypatch.setattr(Stream, "__iter__", lambda self: islice(whole(self), 2))
    monkeypatch.setenv("KIS_REPLAY_AT", "2026-03-17T20:50:00+09:00")
    return tmp_path / "data" / "mock"


def test_a_code_that_is_not_listed_is_refused_at_once(stored: Path) -> None:
    done = Said("stream", "999999", "--store")
    assert done.status == 2
    assert done.err.splitlines()[-1] == "error: 999999: no stock of this code is listed"
    assert days(stored) == []


def test_without_stocks_it_asks_which(stored: Path) -> None:
    done = Said("stream", "--store")
    assert done.status == 2
    assert "Give codes or names, or --top 20" in done.err


def test_names_and_codes_with_commas_are_taken(stored: Path) -> None:
    done = Said("stream", "삼성전자", "--codes", "000660,NAVER", "--seconds", "20", "--json")
    assert done.status == 0, done.err
    assert '"kind":"trade"' in done.out.replace(" ", "")


def test_a_name_that_fits_none_is_refused(stored: Path) -> None:
    done = Said("stream", "no such name", "--store")
    assert done.status == 1
    assert "no such name" in done.err


def test_the_invented_market_has_no_service(stored: Path) -> None:
    done = Said("stream", "005930", "--service")
    assert done.status != 0
    assert "use --store without --service" in done.err


def test_without_a_capture_nobody_knows_what_is_traded_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "empty"))
    done = Said("stream", "--top", "20", "--store")
    assert done.status == 2
    assert "no price was captured yet" in done.err
    assert "kis-assets run" in done.err
