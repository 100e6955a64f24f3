"""Settings: a wrong value is one sentence with the variable, the value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kis_assets.settings import Settings, SettingsError


def test_without_credentials_the_source_is_mock() -> None:
    assert Settings.load().source_type == "mock"


def test_with_credentials_the_source_is_kis_on_the_virtual_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KIS_APP_KEY", "key")
    monkeypatch.setenv("KIS_APP_SECRET", "secret")
    settings = Settings.load()
    assert (settings.source_type, settings.environment) == ("kis", "virtual")
    assert settings.rate_limit == 1
    assert "openapivts" in settings.base_url


def test_the_real_server_allows_18_requests_a_second() -> None:
    assert Settings.load(kis_use_real_server=True).rate_limit == 18
    assert Settings.load(kis_use_virtual_server=False).rate_limit == 18


def test_a_disabled_kis_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_APP_KEY", "key")
    monkeypatch.setenv("KIS_APP_SECRET", "secret")
    monkeypatch.setenv("ENABLE_KIS_API", "false")
    assert Settings.load().source_type == "mock"


def test_settings_come_from_the_file_dot_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KIS_UNIVERSE=common,etf  # two groups\nDATA_SOURCE_TYPE=\n")
    assert Settings.load().kis_universe == ("common", "etf")


def test_the_environment_goes_before_the_file_unless_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "KIS_API_TIMEOUT=7\nexport KIS_API_RATE_LIMIT='3' # slow\nKIS_VENUE=\nPATH=/nowhere\n"
    (tmp_path / ".env").write_text(text)
    monkeypatch.setenv("KIS_API_TIMEOUT", "9")
    monkeypatch.setenv("KIS_API_RATE_LIMIT", "")
    settings = Settings.load()
    assert (settings.kis_api_timeout, settings.rate_limit) == (9, 3)
    assert settings.kis_venue is Settings.load(kis_venue="krx").kis_venue
    assert Settings.load(kis_api_timeout=11).kis_api_timeout == 11


def test_stock_codes_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    assert Settings.load(kis_stock_codes="005930, 0011a0").kis_stock_codes == ("005930", "0011A0")
    (tmp_path / "codes.txt").write_text("005930  # one\n\n000660\n005930\n")
    assert Settings.load(kis_stock_codes="@codes.txt").kis_stock_codes == ("005930", "000660")


def test_several_keys_need_as_many_secrets() -> None:
    two = Settings.load(kis_app_key="a,b", kis_app_secret="x,y")
    assert [pair.app_secret.get_secret_value() for pair in two.credentials] == ["x", "y"]
    with pytest.raises(SettingsError, match="as many"):
        Settings.load(kis_app_key="a,b", kis_app_secret="x")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("KIS_API_RATE_LIMIT", "abc", "KIS_API_RATE_LIMIT=abc"),
        ("KIS_API_RATE_LIMIT", "0", "KIS_API_RATE_LIMIT=0"),
        ("DATA_SOURCE_TYPE", "yahoo", "DATA_SOURCE_TYPE=yahoo.*'kis', 'krx' or 'mock'"),
        ("DATA_SOURCE_TYPE", "kis", "needs KIS_APP_KEY"),
        ("KIS_UNIVERSE", "everything", "KIS_UNIVERSE=everything.*common, preferred"),
        ("KIS_STOCK_CODES", "5930", "'5930' is none"),
        ("KIS_STOCK_CODES", "@nowhere", "cannot be read"),
        ("KIS_API_BASE_URL_REAL", "openapi", "KIS_API_BASE_URL_REAL=openapi.*https://host:port"),
        ("KIS_REPLAY_AT", "2026-03-17T15:40", "KIS_REPLAY_AT=.*time zone"),
        ("KIS_USE_VIRTUAL_SERVER", "maybe", "KIS_USE_VIRTUAL_SERVER=maybe"),
        ("KIS_SCHEDULES", "sometimes", "KIS_SCHEDULES=sometimes"),
        ("KIS_SCHEDULE_MORNING", "8 o'clock", "KIS_SCHEDULE_MORNING=8 o'clock"),
        ("KIS_SCHEDULE_EVENING", "19:00", "KIS_SCHEDULE_EVENING=19:00.*20:10 to 21:59"),
        ("KIS_SCHEDULE_WARM", "08:30:15", "KIS_SCHEDULE_WARM=08:30:15.*hours and minutes"),
        ("KIS_SCHEDULE_CAPTURE_MINUTES", "7", "KIS_SCHEDULE_CAPTURE_MINUTES=7.*5, 10, 15"),
        ("KIS_FAILURE_WEBHOOK_URL", "hooks", "KIS_FAILURE_WEBHOOK_URL: must be an address"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=said) as caught:
        Settings.load()
    assert "\n" not in str(caught.value)


def test_contradicting_servers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_USE_VIRTUAL_SERVER", "true")
    monkeypatch.setenv("KIS_USE_REAL_SERVER", "true")
    with pytest.raises(SettingsError, match="contradict"):
        Settings.load()


def test_a_replay_is_refused_with_kis_own_hosts(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"refused with KIS's own host openapi\."):
        Settings.load(
            kis_app_key="a",
            kis_app_secret="b",
            kis_use_real_server=True,
            kis_replay_at=settings.kis_replay_at,
        )


def test_a_secret_is_in_no_representation_and_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_APP_KEY", "THE-KEY")
    monkeypatch.setenv("KIS_APP_SECRET", "THE-SECRET,ONE-TOO-MANY")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    settings = Settings.load(
        kis_app_secret="THE-SECRET", kis_failure_webhook_url="https://hooks.test/THE-SECRET"
    )
    for text in (str(caught.value), repr(settings), repr(settings.credentials)):
        assert "THE-KEY" not in text
        assert "THE-SECRET" not in text
