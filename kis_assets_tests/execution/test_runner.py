"""Runs in this process: they have the settings and the progress bar that they are given."""

from __future__ import annotations

import dagster as dg
import pytest

from kis_assets.execution import runner
from kis_assets.settings import Settings
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import EVENING, open_source


def test_a_run_has_the_settings_and_the_progress_bar_that_it_is_given(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings.model_copy(update={"kis_stock_codes": ("005930", "000660")})
    # The environment says otherwise, and nobody looks there.
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_STOCK_CODES", "035420")
    monkeypatch.setattr(
        "kis_assets.defs.resources.create_data_source",
        lambda settings: open_source(simulator, settings),
    )
    heard: list[tuple[int, int]] = []
    with dg.DagsterInstance.ephemeral() as instance:
        (done,) = runner.run_day(
            EVENING.date(),
            instance,
            given,
            ["price_snapshots"],
            progress=lambda completed, total, _: heard.append((completed, total)),
        )
    assert not done.error
    assert done.metadata["source"] == "kis"
    assert done.metadata["dagster/row_count"] == 2
    assert heard[-1] == (2, 2)
    # The check of the universe as well.
    assert done.checks["universe_is_covered"]
    assert (given.source_dir / "market.duckdb").exists()
    assert not Settings.load().source_dir.exists()
