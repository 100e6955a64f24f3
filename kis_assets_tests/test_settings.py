"""Settings: a wrong value is one sentence with the variable, the value and what is allowed."""

from __future__ import annotations

import re
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
    text = "KIS_API_TIMEOUT=7\nexport KIS_API_RATE_LIMIT='3' # slow\nKIS_VENUE=\nEDITOR=/nowhere\n"
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
    with pytest.raises(SettingsError, match="the same number"):
        Settings.load(kis_app_key="a,b", kis_app_secret="x")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("KIS_API_RATE_LIMIT", "abc", "KIS_API_RATE_LIMIT=abc"),
        ("KIS_API_RATE_LIMIT", "0", "KIS_API_RATE_LIMIT=0"),
        ("DATA_SOURCE_TYPE", "yahoo", "DATA_SOURCE_TYPE=yahoo.*'kis', 'krx' or 'mock'"),
        ("DATA_SOURCE_TYPE", "kis", "needs KIS_APP_KEY"),
        ("KIS_UNIVERSE", "everything", "KIS_UNIVERSE=everything.*common, preferred"),
        ("KIS_STOCK_CODES", "Samsung", "'Samsung' is not one"),
        ("KIS_STOCK_CODES", "@nowhere", "cannot be read"),
        ("KIS_API_BASE_URL_REAL", "openapi", "KIS_API_BASE_URL_REAL=openapi.*https://host:port"),
        ("KIS_REPLAY_AT", "2026-03-17T15:40", "KIS_REPLAY_AT=.*time zone"),
        ("KIS_REPLAY_AT", "0001-01-01T00:00Z", "KIS_REPLAY_AT=.*from 2000-02-01 to 2100-01-01"),
        ("KIS_REPLAY_AT", "1999-12-30T12:00+09:00", "KIS_REPLAY_AT=.*from 2000-02-01"),
        ("KIS_REPLAY_AT", "2100-12-31T12:00+09:00", "KIS_REPLAY_AT=.*to 2100-01-01"),
        ("KIS_REPLAY_AT", "9999-12-31T23:59-09:00", "KIS_REPLAY_AT=.*to 2100-01-01"),
        ("KIS_FIRST_DAY", "1900-01-01", "KIS_FIRST_DAY=1900-01-01: .*from 2000-01-01 to 2100-12"),
        ("KIS_FIRST_DAY", "1999-12-31", "KIS_FIRST_DAY=1999-12-31: .*from 2000-01-01"),
        ("KIS_FIRST_DAY", "2101-01-01", "KIS_FIRST_DAY=2101-01-01: .*to 2100-12-31"),
        ("KIS_FIRST_DAY", "2100-12-31", "KIS_FIRST_DAY=2100-12-31 lies in the future"),
        ("KIS_DATA_DIR", "~nobody-at-all/x", "KIS_DATA_DIR=~nobody-at-all/x: .*no such user"),
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


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("KIS_USE_VIRTUAL_SERVER", "nope", "true or false"),
        ("KIS_API_RATE_LIMIT", "fast", "a number"),
        ("KIS_API_RATE_LIMIT", "0", "more than 0"),
        ("KIS_API_RATE_LIMIT", "1001", "at most 1000"),
        ("KIS_API_MAX_RETRIES", "2.5", "a whole number"),
        ("KIS_LAKE_KEEP_DAYS", "0", "at least 1"),  # a reader must have the time to end
        ("KIS_VENUE", "nasdaq", "'krx', 'nxt' or 'unified'"),
        ("DATA_SOURCE_TYPE", "yahoo", "'kis', 'krx' or 'mock'"),
        ("KIS_REPLAY_AT", "yesterday", "a moment such as 2026-03-17T15:40+09:00"),
        ("KIS_SCHEDULE_MORNING", "8 o'clock", "hours and minutes in Seoul, such as 08:00"),
    ],
)
def test_what_is_allowed_is_said_in_one_plain_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value) == f"{variable}={value}: must be {allowed}"


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


@pytest.mark.parametrize(
    "content",
    [
        "# 삼성\nKIS_VENUE=nxt\nKIS_UNIVERSE=etf\n".encode(encoding)
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp949")
    ]
    + ["\ufeffKIS_VENUE=nxt\nKIS_UNIVERSE=etf\n".encode("utf-16-be")],
)
def test_a_file_dot_env_is_read_as_windows_saves_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    settings = Settings.load()
    assert settings.kis_venue.value == "nxt"
    assert settings.kis_universe == ("etf",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_a_list_of_codes_is_read_as_windows_saves_it(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "codes.txt").write_bytes("005930 # 삼성전자\r\n000660\r\n".encode(encoding))
    assert Settings.load(kis_stock_codes="@codes.txt").kis_stock_codes == ("005930", "000660")


UNREADABLE = {
    "another encoding": (b"KIS_VENUE=nxt # \xff\xff", "UTF-8, cp949 or UTF-16 with a mark"),
    "UTF-16 without a mark": ("KIS_VENUE=nxt".encode("utf-16-le"), "UTF-16 with a mark"),
    "half of UTF-16": (b"\xff\xfeK\x00I", "UTF-16, as its mark says"),
}


@pytest.mark.parametrize(("content", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_in_another_encoding_is_named_with_those_that_are_read(
    tmp_path: Path, content: bytes, said: str
) -> None:
    for name in (".env", "codes.txt"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingsError, match=rf"{re.escape(name)}.* is no text in .*{said}"):
            Settings.load(kis_stock_codes="@codes.txt")
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "line", ["KIS_APP_KEY PSSECRET", "'PSSECRET", "PSSECRET", "KIS_APP_KEY: PSSECRET"]
)
def test_a_line_that_is_no_assignment_is_named_by_its_number_alone(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / ".env").write_text(f"# keys\n\nexport KIS_VENUE=nxt\n\n{line}\nKIS_APP_KEY=\n")
    with pytest.raises(SettingsError, match=r"\.env, line 5, is no assignment") as caught:
        Settings.load()
    assert "SECRET" not in str(caught.value)


def test_a_folder_in_the_place_of_a_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "codes").mkdir()
    with pytest.raises(SettingsError, match="=@codes: the file is a folder, not a file"):
        Settings.load(kis_stock_codes="@codes")
    (tmp_path / ".env").mkdir()
    with pytest.raises(SettingsError, match=r"\.env is a folder, not a file"):
        Settings.load()


def test_a_tilde_in_a_path_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "codes.txt").write_text("005930")
    given = {"kis_data_dir": "~/data", "kis_lake_url": "~/lake", "kis_stock_codes": "@~/codes.txt"}
    settings = Settings.load(**given)
    assert settings.kis_data_dir == tmp_path / "data"
    assert settings.kis_lake_url == str(tmp_path / "lake")
    assert settings.kis_stock_codes == ("005930",)
    root = Settings.load(kis_data_dir="~root/data").kis_data_dir
    assert root.is_absolute()
    assert Settings.load(kis_lake_url="s3://bucket/~/lake").kis_lake_url == "s3://bucket/~/lake"


def test_words_are_taken_in_any_case_and_with_blanks_around_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {
        "DATA_SOURCE_TYPE": " Mock ",
        "KIS_UNIVERSE": " ETF , Common",
        "KIS_VENUE": "NXT ",
        "KIS_SCHEDULES": " TRUE ",
        "KIS_API_TIMEOUT": " 7 ",
        "KIS_STOCK_CODES": " ",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert (settings.source_type, settings.kis_venue.value) == ("mock", "nxt")
    assert settings.kis_universe == ("etf", "common")
    assert (settings.kis_schedules, settings.kis_api_timeout) == (True, 7)
    assert settings.kis_stock_codes is None


def test_the_home_of_dagster_is_beside_the_rows_or_where_it_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Settings.load(kis_data_dir=tmp_path).dagster_home == tmp_path / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", "~/dagster")
    assert Settings.load().dagster_home == tmp_path / "home" / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", "~nobody-at-all")
    with pytest.raises(SettingsError, match=r"DAGSTER_HOME=~nobody-at-all: .*no such user"):
        _ = Settings.load().dagster_home
