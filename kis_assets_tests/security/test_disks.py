"""A disk that is full, or that can only be read: every command says what to do about it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from kis_assets.cli.doctor import _disk
from kis_assets.errors import ServiceUnavailable
from kis_assets.execution import dagster_home
from kis_assets.security.ownership import explained, whose
from kis_assets.state.sqlite import SharedState
from kis_assets_tests.cli.test_reading_commands import Said

pytestmark = pytest.mark.usefixtures("narrow_terminal")

FULL, READ_ONLY = "no space is left on the disk of {}: free some", "{} is on a disk that can only"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    monkeypatch.setattr(os, "access", lambda *_: False)


def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path, full: None) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "file"))
    assert explained(error) == FULL.format(tmp_path)
    assert FULL.format(tmp_path) in dagster_home.sentence(tmp_path / "dagster", error)


def test_a_disk_that_can_only_be_read_is_no_matter_of_modes(
    tmp_path: Path, read_only: None
) -> None:
    error = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "file"))
    said = READ_ONLY.format(tmp_path)
    for sentence in (explained(error), whose(tmp_path / "file"), _disk(tmp_path).seen):
        assert sentence.startswith(said)
        assert "chmod" not in sentence
    assert said in dagster_home.sentence(tmp_path / "dagster", error)


@pytest.mark.parametrize(
    ("disk", "said"), [("full", FULL), ("read_only", READ_ONLY)], ids=["full", "read-only"]
)
def test_what_processes_share_says_so_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    disk: str,
    said: str,
) -> None:
    """SQLite calls it a disk I/O error, or a database that is read-only."""
    request.getfixturevalue(disk)

    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", fail)
    with pytest.raises(ServiceUnavailable, match=said.format(tmp_path / "state")):
        SharedState(tmp_path / "state").update("key", lambda value, _: (value, None), float)


def test_the_doctor_says_try_again_where_that_may_help_alone(
    stored: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    def refuse(**_: object) -> None:
        raise ServiceUnavailable("it cannot be used")

    monkeypatch.setattr("kis_assets.sources.factory.create_data_source", refuse)
    found = {line["what"]: line["seen"] for line in Said("doctor", "--json").json}
    assert found["call"] == "it cannot be used: try again, then see kis-assets status"
    request.getfixturevalue("full")
    found = {line["what"]: line["seen"] for line in Said("doctor", "--json").json}
    assert found["call"] == "it cannot be used"
    assert "free some space" in found["disk"]
