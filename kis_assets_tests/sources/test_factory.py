"""Which source is opened, and with whose settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from kis_assets.settings import Settings, SettingsError
from kis_assets.sources.factory import DataSourceType, create_data_source
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

KEYS = {"kis_app_key": APP_KEY, "kis_app_secret": APP_SECRET}


@pytest.mark.parametrize("asked", ["kis", "KIS", DataSourceType.KIS])
def test_a_type_takes_its_settings_from_those_given(
    tmp_path: Path, asked: str | DataSourceType
) -> None:
    """It read the environment instead, which has no key here, or another account's."""
    given = Settings.load(
        **KEYS,
        data_source_type="mock",
        kis_data_dir=tmp_path / "mine",
        kis_api_base_url_virtual="http://kis.test",
        kis_venue="nxt",
    )
    with create_data_source(asked, given) as source:
        assert source.name == "kis-nxt"
    with create_data_source("mock", given) as source:
        assert source.name == "mock-nxt"


def test_a_type_that_the_given_settings_cannot_have_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match="needs KIS_APP_KEY"):
        create_data_source("kis", Settings.load())
    with pytest.raises(SettingsError, match="KRX_API_KEY"):
        create_data_source("krx", Settings.load())
    with pytest.raises(SettingsError, match="'kis', 'krx' or 'mock'"):
        create_data_source("yahoo", Settings.load())
    elsewhere = {"kis_api_base_url_virtual": "https://elsewhere.example"}
    mocked = Settings.load(**KEYS, **elsewhere, data_source_type="mock")
    with pytest.raises(SettingsError, match=r"would send the key to elsewhere\.example"):
        create_data_source("kis", mocked)
