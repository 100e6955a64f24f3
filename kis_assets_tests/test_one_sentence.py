"""Whatever a user's machine does to a command, it ends with one sentence and never with a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from kis_assets_tests.test_cli_reading import Said

pytestmark = pytest.mark.usefixtures("narrow_terminal")


# What is typed


def test_words_of_an_option_are_taken_in_any_case() -> None:
    assert "no trading day" in Said("run", "--source", "MOCK", "--date", "2026-03-15").error


def test_a_tilde_in_the_folder_of_a_replay_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "kis_assets.simulator.command.start", lambda replay, *_, **__: opened.append(replay)
    )
    Said("simulate", "--replay=~/days", "--at", "2026-03-17T15:40")
    assert opened == [tmp_path / "days"]
