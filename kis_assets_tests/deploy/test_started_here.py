"""What the image holds is built here, and what `compose.yaml` starts is started, by no engine.

Commands, environment, users without rights, names, ports and health checks are those of the files.
PostgreSQL, Redis and Caddy are Debian's, Python is that of the tests, and a browser looks at it.
What only an engine for containers could show: images of others, volumes that are read-only for one
service and not for another, and networks of their own.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from kis_assets_tests.cli.test_browser import TURN_ON, Browser
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support import containers
from kis_assets_tests.support.containers import OWN, Place, compose, environment, plain

pytestmark = pytest.mark.scale

DAY = "2026-03-17"
PASSWORDS = {
    "postgres_password": "of-postgres-0123",
    "redis": "of-redis-0123",
    "ui": "of-the-ui-0123",
}
SECRETS = {
    "kis_app_key": APP_KEY,
    "kis_app_secret": APP_SECRET,
    "postgres_password": PASSWORDS["postgres_password"],
    "redis_url": f"redis://default:{PASSWORDS['redis']}@redis:6379/0",
}
SETTINGS = {
    "KIS_USE_VIRTUAL_SERVER": "false",
    "KIS_API_BASE_URL_REAL": "http://127.0.0.1:8899",
    "KIS_WS_URL_REAL": "ws://127.0.0.1:8899",
    "KIS_MASTER_BASE_URL": "http://127.0.0.1:8899",
    "KIS_REPLAY_AT": f"{DAY}T20:50+09:00",
    "KIS_STOCK_CODES": "005930,000660,035420",
}
"""What deploy/kis.env would say; the simulator stands in KIS's place."""
IMAGE = environment() | {"LD_LIBRARY_PATH": "/usr/local/lib"}
"""Of the image; in a real one the loader knows where Python's own library lies."""
SITES = {"UI_SITE": "https://127.0.0.1:8443", "ANALYSTS_SITE": "https://127.0.0.1:8444"}
NEEDED = (
    "unshare",
    "nsenter",
    "setpriv",
    "ip",
    "caddy",
    "redis-server",
    "chromium",
    "chromedriver",
)
PATIENCE = 300.0
WRITABLE = ("/srv/kis/data", "/srv/postgres", "/srv/redis", "/run/postgresql")
"""The volumes of `compose.yaml` and its tmpfs beside `/tmp`."""
READ_ONLY = ("/x", "/opt/kis/x", "/srv/x", "/srv/kis/dagster/x", "/run/x")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where everyone may pass through, unlike pytest's own folders."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing or not containers.can_be_made():
        pytest.skip(f"it needs root and {', '.join(missing) or 'unshare'}")
    pytest.importorskip("selenium", reason="selenium is not installed: make test-browser")
    made = Path("/var/tmp") / f"kis-assets-{tmp_path_factory.getbasetemp().name}"
    made.mkdir(parents=True)
    made.chmod(0o755)
    try:
        yield made
    finally:
        for log in (*made.glob("*.err"), *made.glob("*.out")):
            kept = Path(__file__).parents[2] / "test-artifacts" / "containers"
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, kept)
        shutil.rmtree(made)


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    """The image's files, made by the instructions of the Dockerfile."""
    place = Place(folder, has_own_network=False)
    try:
        containers.build(place)
    finally:
        place.close()
    return folder


class Services:
    """The services of `compose.yaml` in one place."""

    def __init__(self, place: Place) -> None:
        self.place, self.said = place, compose()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment_of(self, name: str) -> dict[str, str]:
        service = self.said["services"][name]
        given = service.get("environment", {})
        own = {key: plain(str(value), SITES) for key, value in given.items()}
        if not service["image"].startswith("kis-assets"):
            path = f"{containers.POSTGRES_PROGRAMS}:/usr/bin:/bin"
            return {"PATH": path, "HOME": "/tmp", "XDG_DATA_HOME": f"/tmp/{name}"} | own
        return IMAGE | SETTINGS | own

    def start(self, name: str, number: str = "") -> None:
        service = self.said["services"][name]
        words = service.get("command")
        if name == "postgres":  # the command of its image
            words = [f"{containers.POSTGRES_PROGRAMS}/postgres", "-D", "/srv/postgres"]
        if service["image"].startswith("kis-assets"):
            (entrypoint,) = containers.of_last_stage("ENTRYPOINT")
            (default,) = containers.of_last_stage("CMD")
            words = json.loads(entrypoint) + (words or json.loads(default))
        # One place has one hostname and one /data.
        words = [
            plain(word, SITES).replace("@%h", f"{number}@%h").replace("/data", "/srv/redis")
            if name in ("workers", "redis")
            else word
            for word in words
        ]
        self.processes[name + number] = self.place.start(
            name + number,
            words,
            self.environment_of(name),
            user=str(service.get("user", OWN)).partition(":")[0],
            folder="/srv/kis",
        )

    def is_healthy(self, name: str, number: str = "") -> bool:
        service = self.said["services"][name]
        if "healthcheck" in service:
            kind, *words = service["healthcheck"]["test"]
        else:
            (rest,) = containers.of_last_stage("HEALTHCHECK")
            kind, words = "CMD", json.loads(rest.partition("CMD ")[2])
        words = [plain(word, SITES).replace("worker@", f"worker{number}@") for word in words]
        if kind == "CMD-SHELL":
            words = ["sh", "-c", *words]
        environment = self.environment_of(name)
        if service["image"].startswith("kis-assets"):
            # A health check has the container's environment, and not that of its entrypoint.
            environment |= {"PYTHONWARNINGS": "ignore"}
        done = self.place.run(words, environment, folder="/srv/kis", seconds=120)
        self.last = f"{name}{number}: {done.stdout}{done.stderr}"
        return done.returncode == 0

    def wait_for(self, name: str, number: str = "") -> None:
        end = time.monotonic() + PATIENCE
        while not self.is_healthy(name, number):
            assert self.processes[name + number].poll() is None, self.log(name + number)
            assert time.monotonic() < end, self.last + self.log(name + number)

    def log(self, name: str) -> str:
        return "".join(
            (self.place.folder / f"{name}.{it}").read_text(errors="replace")
            for it in ("out", "err")
        )


@pytest.fixture(scope="module")
def services(image: Path) -> Iterator[Services]:
    """All of them, healthy, but the stream, which needs a capture first."""
    place = Place(image, ["code", "postgres", "redis"], WRITABLE)
    try:
        found = Services(place)
        _prepare(place)
        for name in ("postgres", "redis"):
            found.start(name)
            found.wait_for(name)
        _start_simulator(place)
        found.start("code")
        found.wait_for("code")
        for name in ("proxy", "webserver", "analysts", "metrics", "daemon"):
            found.start(name)
        for number in "12":
            found.start("workers", number)
        for name in ("webserver", "analysts", "metrics", "daemon"):
            found.wait_for(name)
        for number in "12":
            found.wait_for("workers", number)
        yield found
    finally:
        place.close()


def _prepare(place: Place) -> None:
    """What an engine and the images of others would do: secrets, configurations, a database."""
    secrets = place.folder / "run" / "secrets"
    secrets.mkdir()
    hashed = subprocess.run(
        ["caddy", "hash-password", "--plaintext", PASSWORDS["ui"]],
        capture_output=True,
        text=True,
        check=True,
    )
    for name, value in {**SECRETS, "ui_users": f"kim {hashed.stdout.strip()}"}.items():
        (secrets / name).write_text(value + "\n", encoding="utf-8")
        (secrets / name).chmod(0o444)
    caddyfile = containers.DEPLOY / "Caddyfile"
    shutil.copy(caddyfile, place.folder / "srv" / "Caddyfile")
    programs = containers.POSTGRES_PROGRAMS
    for user, script in {
        "root": """
            mount --bind /srv/Caddyfile /etc/caddy/Caddyfile
            for it in postgres redis; do install -d -o $it -g $it /srv/$it; done
            install -d -o postgres -g postgres /run/postgresql
        """,
        "postgres": f"""
            {programs}/initdb -D /srv/postgres -U dagster --auth=scram-sha-256 \
                --pwfile=/run/secrets/postgres_password
        """,
    }.items():
        done = place.run(["sh", "-ec", script], {"PATH": "/usr/bin:/bin:/usr/sbin"}, user=user)
        assert done.returncode == 0, done.stderr
    done = place.run(
        [f"{programs}/postgres", "--single", "-D", "/srv/postgres", "postgres"],
        {},
        user="postgres",
        told="CREATE DATABASE dagster;\n",
    )
    assert done.returncode == 0, done.stderr


def _start_simulator(place: Place) -> None:
    words = ["kis-assets", "simulate", "--at", f"{DAY}T20:50+09:00", "--rate-limit", "1000"]
    place.start("simulator", words, IMAGE, folder="/srv")


def ask(address: str, data: Any = None, *, user: str = "kim", **headers: str) -> tuple[int, str]:
    """The status and the text of an answer of the proxy, whose certificate signed itself."""
    login = base64.b64encode(f"{user}:{PASSWORDS['ui']}".encode()).decode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if user:
        headers["Authorization"] = f"Basic {login}"
    body = None if data is None else json.dumps(data).encode()
    if body and "Content-Type" not in headers:
        headers["Content-Type"] = "application/json"
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    request = Request(address, body, headers)
    try:
        with urlopen(request, timeout=60, context=anybody) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def inside(services: Services) -> Iterator[Services]:
    """The same, with this test in their network."""
    back = services.place.enter_network()
    try:
        yield services
    finally:
        services.place.leave_network(back)


UI, LOOK = SITES["UI_SITE"], SITES["ANALYSTS_SITE"]


def test_services_have_no_rights_and_no_place_to_write_but_their_volume(services: Services) -> None:
    for path, can in (*((it, False) for it in READ_ONLY), ("/srv/kis/data/x", True)):
        done = services.place.run(["touch", path], {"PATH": "/usr/bin:/bin"})
        assert (done.returncode == 0) is can, path
    status = services.place.run(["cat", "/proc/self/status"], {"PATH": "/usr/bin:/bin"}).stdout
    assert "Uid:\t10001" in status
    assert "CapBnd:\t0000000000000000" in status


@pytest.mark.parametrize("site", [UI, LOOK])
def test_nobody_comes_in_without_a_login(inside: Services, site: str) -> None:
    for path in ("/", "/graphql", "/server_info", "/metrics"):
        assert ask(site + path, user="")[0] == 401
        assert ask(site + path, user="lee")[0] == 401
    assert ask(f"{site}/server_info")[0] == 200


@pytest.mark.parametrize("site", [UI, LOOK])
def test_the_login_that_a_browser_sends_for_other_sites_opens_nothing(
    inside: Services, site: str
) -> None:
    query = {"query": "{ version }"}
    graphql = f"{site}/graphql"
    assert ask(graphql, query, Origin=site, Sec_Fetch_Site="same-origin")[0] == 200
    assert ask(graphql, query, Origin="https://evil.example")[0] == 403
    assert ask(graphql, query, Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(f"{site}/metrics", Sec_Fetch_Site="same-site")[0] == 403
    assert ask(graphql, query, Content_Type="text/plain")[0] == 403
    assert ask(f"{graphql}?query=%7Bversion%7D")[0] == 403
    # A link from another site leads here; what it shows asks for itself.
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(f"{site}/server_info", **link, Sec_Fetch_Dest="document")[0] == 200


def test_prometheus_is_told_of_all(inside: Services) -> None:
    status, text = ask(f"{UI}/metrics")
    assert status == 200
    assert "kis_up 1.0" in text
    assert "kis_disk_free_bytes" in text


def test_who_looks_changes_nothing(inside: Services) -> None:
    status, text = ask(f"{LOOK}/graphql", {"query": TURN_ON})
    assert status == 200
    assert "UnauthorizedError" in text
    assert "UnauthorizedError" not in ask(f"{UI}/graphql", {"query": TURN_ON})[1]


@pytest.fixture
def browser(inside: Services) -> Iterator[Browser]:
    browser = Browser(UI)
    try:
        browser.driver.get(UI.replace("://", f"://kim:{PASSWORDS['ui']}@") + "/server_info")
        yield browser
    finally:
        browser.driver.quit()


def test_a_browser_sees_the_code_location_and_a_run_of_a_worker_succeed(
    browser: Browser, services: Services
) -> None:
    browser.open("/locations")
    browser.see("kis_assets.definitions", "Loaded")
    browser.shot("containers-1-locations")
    partition = f"/assets/price_snapshots?view=partitions&partition={DAY}"
    browser.open(partition)
    browser.see(DAY, "No metadata entries")
    browser.click("Materialize…")
    browser.click("Confirm")  # that nothing is stored upstream, for which the asset asks itself
    browser.click("Launch 1 run")
    browser.see("Launched run")
    browser.open("/runs")
    browser.see("Success")
    browser.shot("containers-2-runs")
    assert browser.hosts() == {"127.0.0.1"}
    stored = services.place.folder / "srv/kis/data/simulated_kis/parquet/price_snapshots"
    assert list(stored.rglob("*.parquet"))

    services.start("stream")
    services.wait_for("stream")
    browser.wait(lambda: "the next session is on" in services.log("stream"), "the stream")


def test_what_they_log_is_json_and_holds_no_secret(services: Services) -> None:
    """After the test above, if that ran."""
    for name in (*services.processes, "simulator"):
        text = services.log(name)
        for secret in (APP_KEY, APP_SECRET, *PASSWORDS.values()):
            assert secret not in text, name
    for name in ("code", "workers1", "workers2", "metrics", "stream"):
        file = services.place.folder / f"{name}.err"
        for line in file.read_text().splitlines() if file.exists() else ():
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys(), name
