"""A key is sent to KIS, to KRX and to this machine; to others only where the environment says so.

`.env` lies in the current folder, which may be somebody else's.
"""

from __future__ import annotations

import socket
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.execution import runner
from kis_assets.execution.dagster_home import INSTANCE, HomeFailed
from kis_assets.market import Market
from kis_assets.security import hosts
from kis_assets.security.ownership import private_folder
from kis_assets.settings import Settings, SettingsError
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

KEYS = {"KIS_APP_KEY": APP_KEY, "KIS_APP_SECRET": APP_SECRET, "KIS_USE_REAL_SERVER": "true"}


@pytest.fixture(autouse=True)
def with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIS_TRUSTED_HOSTS")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def write(*lines: str) -> None:
    Path(".env").write_text("\n".join(lines), encoding="utf-8")


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://evilkoreainvestment.com:9443",
        "https://koreainvestment.com.evil.example",
        "https://127.0.0.1.evil.example",
        "https://localhost.evil.example",
        "https://2130706433",
        "https://0.0.0.0",
        # This machine answers for these, or whom DNS names: nobody can know without asking it.
        "https://foo.localhost",
        f"https://{socket.gethostname().lower()}",
        "https://[::ffff:8.8.8.8]",
        "http://openapi.koreainvestment.com:9443",
    ],
)
@pytest.mark.parametrize("by_file", [True, False])
def test_a_key_goes_to_no_stranger_and_nowhere_unencrypted(
    monkeypatch: pytest.MonkeyPatch, url: str, by_file: bool
) -> None:
    if by_file:
        write(f"KIS_API_BASE_URL_REAL={url}")
    else:
        monkeypatch.setenv("KIS_API_BASE_URL_REAL", url)
    with pytest.raises(SettingsError, match="KIS_API_BASE_URL_REAL would send the key"):
        Settings.load()


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example\\.koreainvestment.com",
        "https://evil.example#.koreainvestment.com",
        "https://evil.example?.koreainvestment.com",
        "https://openapi.koreainvestment.com:9443@evil.example",
        "https://openapi.koreainvestment.com\\@evil.example",
        "https://evil.example/\t.koreainvestment.com",
        "https://evi\u217c.koreainvestment.com",
    ],
)
def test_an_address_that_programs_read_differently_is_none(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("KIS_API_BASE_URL_REAL", url)
    with pytest.raises(SettingsError, match="must be an address"):
        Settings.load()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8899",
        "http://localhost:8899",
        "http://[::1]:8899",
        "https://openapi.koreainvestment.com:9443",
        "https://OPENAPI.KoreaInvestment.com.",
    ],
)
def test_it_goes_to_kis_and_to_this_machine(url: str) -> None:
    write(f"KIS_API_BASE_URL_REAL={url}")
    assert Settings.load().base_url == url


def test_another_host_on_purpose_is_named_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("KIS_API_BASE_URL_REAL=http://gateway.corp:8080/kis")
    with pytest.raises(SettingsError, match=r"set KIS_TRUSTED_HOSTS=gateway\.corp in the"):
        Settings.load()
    monkeypatch.setenv("KIS_TRUSTED_HOSTS", "gateway.corp")
    assert Settings.load().base_url == "http://gateway.corp:8080/kis"


@pytest.mark.parametrize("already_loaded", [False, True])
def test_a_file_cannot_give_the_permission(
    monkeypatch: pytest.MonkeyPatch, already_loaded: bool
) -> None:
    """Dagster puts what `.env` says into the environment of its processes."""
    write("KIS_API_BASE_URL_REAL=https://evil.example", "KIS_TRUSTED_HOSTS=evil.example")
    if already_loaded:
        monkeypatch.setenv("KIS_TRUSTED_HOSTS", "evil.example")
    with pytest.raises(SettingsError, match=r"KIS_TRUSTED_HOSTS in .*\.env is refused"):
        Settings.load()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "LD_PRELOAD",
            "PYTHONPATH",
            "PYTHONWARNINGS",
            "PYTHONSAFEPATH",
            "BROWSER",
            "PATH",
            "HOME",
        ),
        *("DAGSTER_HOME", "OPENSSL_CONF", "SSLKEYLOGFILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
        *("KIS_FOLDER", "TMPDIR", "AWS_ENDPOINT_URL"),
    ],
)
def test_a_file_does_not_say_which_code_runs_or_who_signs(name: str) -> None:
    write(f"{name}=./planted")
    with pytest.raises(SettingsError, match=rf"{name} in .*\.env is refused"):
        Settings.load()


def test_the_real_time_feed_and_krx_are_judged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    write("KIS_WS_URL_REAL=ws://evil.example:21000")
    with pytest.raises(SettingsError, match=r"KIS_WS_URL_REAL would send the key to evil\."):
        Settings.load()
    write("KRX_API_BASE_URL=https://evilkrx.co.kr")
    monkeypatch.setenv("KRX_API_KEY", "K" * 40)
    with pytest.raises(SettingsError, match=r"KRX_API_BASE_URL would send .* to evilkrx\."):
        Settings.load()


def test_without_a_key_nothing_is_sent_and_nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    write("KIS_API_BASE_URL_VIRTUAL=http://kis.example")
    assert Settings.load().source_type == "mock"


@pytest.mark.parametrize(
    "line",
    [
        "REDIS_URL=redis://evil.example:6379",
        "redis_url=redis://evil.example:6379",
        "kis_failure_webhook_url=https://evil.example/x",
        "KIS_FAILURE_WEBHOOK_URL=https://evil.example/hook",
        "KIS_MASTER_BASE_URL=http://evil.example",
        "kis_master_base_url=https://evil.example",
        "HTTPS_PROXY=http://evil.example:3128",
        "https_proxy=evil.example:3128",
        "ALL_PROXY=socks5://evil.example",
    ],
)
@pytest.mark.parametrize("already_loaded", [False, True])
def test_a_file_leads_no_other_traffic_to_strangers(
    monkeypatch: pytest.MonkeyPatch, line: str, already_loaded: bool
) -> None:
    name, _, url = line.partition("=")
    write(line)
    if already_loaded:
        monkeypatch.setenv(name, url)
    with pytest.raises(SettingsError, match=rf"(?i){name} in .*\.env names the host evil.example"):
        Settings.load()
    monkeypatch.setenv("KIS_TRUSTED_HOSTS", "evil.example")
    Settings.load()


@pytest.mark.parametrize(
    "url",
    ["https://new.real.download.dws.co.kr", "https://x.koreainvestment.com", "http://localhost:80"],
)
def test_a_file_may_lead_master_files_to_kis_and_to_this_machine(url: str) -> None:
    write(f"KIS_MASTER_BASE_URL={url}")
    assert Settings.load().kis_master_base_url == url


@pytest.mark.parametrize(
    "url", ["https://dws.co.kr.evil.example", "https://foo.localhost", "https://data.krx.co.kr"]
)
def test_a_file_leads_master_files_nowhere_else(url: str) -> None:
    write(f"KIS_MASTER_BASE_URL={url}")
    with pytest.raises(SettingsError, match=r"KIS_MASTER_BASE_URL in .*\.env names the host"):
        Settings.load()


@pytest.mark.parametrize("line", ["REDIS_URL=redis:///0?host=evil.example", "REDIS_URL=redis:///0"])
def test_an_address_without_a_host_hides_none(line: str) -> None:
    write(line)
    with pytest.raises(SettingsError, match="REDIS_URL: must"):
        Settings.load()


def test_an_empty_variable_hides_none(monkeypatch: pytest.MonkeyPatch) -> None:
    write("REDIS_URL=redis://evil.example:6379")
    monkeypatch.setenv("REDIS_URL", "")
    with pytest.raises(SettingsError, match=r"names the host evil\.example"):
        Settings.load()


@pytest.mark.parametrize("name", ["REDIS_URL", "https_proxy", "KIS_FAILURE_WEBHOOK_URL"])
def test_an_address_that_dagster_would_expand_is_refused(name: str) -> None:
    scheme = "redis" if name == "REDIS_URL" else "http"
    write(f"{name}={scheme}://127.0.0.1/${{OTHER_SECRET}}")
    with pytest.raises(SettingsError, match="which is not expanded: write it out"):
        Settings.load()


def test_a_file_without_an_end_is_none() -> None:
    Path(".env").symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match="is no plain file of at most"):
        Settings.load()


def test_what_the_environment_says_itself_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache.corp:6379")
    monkeypatch.setenv("KIS_FAILURE_WEBHOOK_URL", "https://chat.corp/hook")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.corp:3128")
    Settings.load()


def test_rows_of_a_stranger_are_not_taken_for_those_of_kis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Master files need no key, but their rows are called kis."""
    monkeypatch.setenv("KIS_MASTER_BASE_URL", "http://mirror.corp")
    with pytest.raises(SettingsError, match=r"KIS_MASTER_BASE_URL names the host mirror\.corp"):
        Settings.load(data_source_type="kis")
    assert Settings.load(data_source_type="mock").source_name == "mock"
    monkeypatch.setenv("KIS_TRUSTED_HOSTS", "mirror.corp")
    assert Settings.load(data_source_type="kis").source_name == "kis"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("openapi.koreainvestment.com", True),
        ("koreainvestment.com", True),
        ("KOREAINVESTMENT.COM.", True),
        ("evilkoreainvestment.com", False),
        ("koreainvestment.com.evil.example", False),
        ("", False),
    ],
)
def test_hosts_are_compared_by_label(host: str, expected: bool) -> None:
    assert hosts.is_of(host, hosts.KIS_DOMAINS) is expected


# Dagster's home


PLANTED = """\
run_launcher:
  module: dagster._core.launcher
  class: DefaultRunLauncher
python_logs:
  dagster_handler_config:
    handlers:
      planted: {class: os.system, command: "touch planted"}
"""


@pytest.mark.parametrize(
    ("words", "status"),
    [(["run"], 2), (["backfill", "daily_candles", "2026-03", "2026-03"], 2), (["doctor"], 1)],
)
def test_settings_of_dagster_in_the_current_folder_are_not_run(
    monkeypatch: pytest.MonkeyPatch, narrow_terminal: None, words: list[str], status: int
) -> None:
    home = Path("data/dagster")
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(PLANTED)
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("COLUMNS", "400")
    result = CliRunner().invoke(app, words)
    assert result.exit_code == status
    said = " ".join(result.output.split())
    assert "dagster.yaml, and Dagster runs code that it names" in said
    assert f"set DAGSTER_HOME={home.absolute()} if it is yours" in said
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


def test_settings_of_dagster_that_the_environment_names_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = INSTANCE + "# with a note of mine\n"
    monkeypatch.setenv("DAGSTER_HOME", str(Path("mine").absolute()))
    Path("mine").mkdir()
    Path("mine/dagster.yaml").write_text(own)
    runner.home(Settings.load(data_source_type="mock"))
    assert Path("mine/dagster.yaml").read_text() == own


@pytest.mark.parametrize("name", ["dagster", "mock/state"])
def test_a_link_in_the_place_of_a_private_folder_is_not_followed(name: str) -> None:
    Path("victim").mkdir(mode=0o755)
    link = Path("data", name)
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("victim").absolute())
    with pytest.raises(OSError, match="is a link: delete it, or set KIS_DATA_DIR"):
        private_folder(link)
    assert Path("victim").stat().st_mode & 0o777 == 0o755


def test_a_home_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data/dagster").mkdir(parents=True)
    monkeypatch.setattr("os.geteuid", lambda: Path("data").stat().st_uid + 1)
    with pytest.raises(HomeFailed, match="data/dagster belongs to"):
        runner.home(Settings.load(data_source_type="mock"))


def test_settings_of_dagster_that_are_a_link_are_refused() -> None:
    Path("data/dagster").mkdir(parents=True)
    Path("elsewhere").write_text(INSTANCE)
    Path("data/dagster/dagster.yaml").symlink_to("../../elsewhere")
    with pytest.raises(HomeFailed, match=r"dagster\.yaml is a link, no file"):
        runner.home(Settings.load(data_source_type="mock"))


def test_a_home_that_others_could_write_is_theirs_no_more() -> None:
    home = Path("data/dagster")
    home.mkdir(parents=True)
    home.chmod(0o777)
    runner.home(Settings.load(data_source_type="mock"))
    assert home.stat().st_mode & 0o022 == 0


# What a file carries out, and what a mistake shows


def test_a_file_carries_no_other_variable_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_SECRET", "hunter2")
    write("KIS_API_BASE_URL_REAL=http://127.0.0.1/${OTHER_SECRET}")
    assert "hunter2" not in Settings.load().base_url


def test_which_file_was_read_is_said() -> None:
    assert ".env" not in Settings.load().source_reason
    write("KIS_VENUE=krx")
    assert f"{Path('.env').absolute()} was read" in Settings.load().source_reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://host:hunter2"),
        ("REDIS_URL", "hunter2"),
        ("REDIS_URL", "redis://user:hunter2@[host"),
        ("KIS_API_BASE_URL_REAL", "https://user:hunter2@openapi.koreainvestment.com"),
        ("KIS_API_BASE_URL_REAL", "ftp://user:hunter2@openapi.koreainvestment.com"),
        ("KIS_MASTER_BASE_URL", "https://kis.test/?key=hunter2"),
        ("KIS_LAKE_URL", "https://bucket/x?X-Amz-Signature=hunter2"),
        ("KIS_LAKE_URL", "s3://id:hunter2@bucket/x"),
        ("KIS_LAKE_URL", "https://bucket/x#sig=hunter2"),
        ("KIS_API_BASE_URL_REAL", "ftp://u%3ahunter2%40h/x"),
        ("KIS_FAILURE_WEBHOOK_URL", "chat.corp/hunter2"),
        ("KRX_API_KEY", "hunter2 hunter2"),
    ],
)
def test_a_wrong_value_that_may_hold_a_secret_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as told:
        Settings.load()
    assert "hunter2" not in str(told.value)


def test_a_wrong_line_of_a_list_of_codes_is_named_by_its_number() -> None:
    Path("codes.txt").write_text("005930\nroot:hunter2:19000\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="line 2 is not one") as told:
        Settings.load(kis_stock_codes="@codes.txt")
    assert "hunter2" not in str(told.value)


def test_a_planted_database_reaches_no_address() -> None:
    """DuckDB would load what it needs for an address by itself."""
    folder = Path("data/kis")
    folder.mkdir(parents=True)
    with duckdb.connect(str(folder / "market.duckdb")) as planted:
        planted.execute("CREATE VIEW seen AS SELECT current_setting('autoload_known_extensions')")
    with Market(folder) as market:
        assert market.rows("FROM seen")[1] == [(False,)]
        with pytest.raises(duckdb.Error, match="requires the extension httpfs"):
            market.rows("FROM read_csv('http://127.0.0.1:9/planted')")


# Ordinary use


def test_secrets_may_lie_in_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Docker mounts them, and systemd: read by others or not, they are no variables."""
    for name in ("KIS_APP_KEY", "KIS_APP_SECRET"):
        monkeypatch.delenv(name)
        Path(name).write_text(f"{KEYS[name]}\n")
        monkeypatch.setenv(f"{name}_FILE", str(Path(name).absolute()))
    (found,) = Settings.load().credentials
    assert found.app_key.get_secret_value() == APP_KEY
    assert found.app_secret.get_secret_value() == APP_SECRET
    monkeypatch.setenv("KIS_APP_KEY", APP_KEY)
    with pytest.raises(SettingsError, match="KIS_APP_KEY_FILE and KIS_APP_KEY are both set"):
        Settings.load()
    monkeypatch.delenv("KIS_APP_KEY")
    monkeypatch.setenv("KIS_APP_SECRET_FILE", "/run/secrets/nothing")
    with pytest.raises(SettingsError, match="KIS_APP_SECRET_FILE: the file cannot be read"):
        Settings.load()


def test_a_file_of_settings_names_no_file_of_a_secret(tmp_path: Path) -> None:
    """It could name any file, and a server would be sent what is in it."""
    Path("other").write_text("OTHERSECRET" * 3)
    write(f"KRX_API_KEY_FILE={tmp_path / 'other'}")
    assert not Settings.load().krx_api_key.get_secret_value()
