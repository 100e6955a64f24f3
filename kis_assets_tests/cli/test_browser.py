"""What people see, in a real browser: headless Chromium before `kis-assets ui`.

Screenshots are left in `test-artifacts`. The invented market stands still at one moment, so that
the partition that can be had is always the same. Nothing waits for a fixed time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.browser

DAY = "2026-03-17"
ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
PATIENCE = 180.0
"""Seconds for one step on a machine busy with other things; on an idle one each takes a few."""


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[str]:
    """The address of a UI of its own, with three stocks of the invented market and no history."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no browser is installed: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="selenium is not installed: make test-browser")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "ui.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kis_assets.cli", "ui", "--port", str(port)],
            cwd=tmp_path,
            env=os.environ
            | {
                "DATA_SOURCE_TYPE": "mock",
                "DAGSTER_HOME": str(tmp_path / "home"),
                "KIS_DATA_DIR": str(tmp_path / "data"),
                "KIS_REPLAY_AT": f"{DAY}T20:50+09:00",
                "KIS_STOCK_CODES": "005930,000660,035420",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        ARTIFACTS.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "ui.log", ARTIFACTS / "ui.log")


class Browser:
    """Headless Chromium that can reach this machine alone, and what a person does with it."""

    def __init__(self, address: str) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1400,1000",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        ):
            options.add_argument(argument)
        options.accept_insecure_certs = address.startswith("https")  # one that signed itself
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.driver = webdriver.Chrome(
            options=options, service=Service(shutil.which("chromedriver"))
        )
        self.address = address
        self.asked: set[str] = set()

    def wait(self, done: Callable[[], Any], what: str) -> Any:
        """The first true answer; what is there may change under one's hands meanwhile."""
        from selenium.common.exceptions import TimeoutException, WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        patient = WebDriverWait(
            self.driver, PATIENCE, poll_frequency=0.2, ignored_exceptions=[WebDriverException]
        )
        try:
            return patient.until(lambda _: done())
        except TimeoutException:
            self.shot("failed")
            raise AssertionError(f"{what} did not come; the page says:\n{self.text()}") from None

    def open(self, path: str) -> None:
        self.driver.get(self.address + path)

    def text(self) -> str:
        return self.driver.find_element("tag name", "body").text

    def find(self, text: str) -> Any:
        """The visible element with exactly this text, None while there is none."""
        found = self.driver.find_elements("xpath", f"//*[normalize-space(text())='{text}']")
        return next((it for it in found if it.is_displayed()), None)

    def see(self, *texts: str) -> None:
        for text in texts:
            self.wait(lambda text=text: self.find(text), repr(text))

    def click(self, text: str) -> None:
        def clicked() -> bool:
            element = self.find(text)
            if element is None or not element.is_enabled():
                return False
            element.click()
            return True

        self.wait(clicked, repr(text))

    def shot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(ARTIFACTS / f"{name}.png"))

    def hosts(self) -> set[str]:
        """Every host that a page asked so far, web sockets included."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.asked.add(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.asked.add(message["params"]["url"])
        return {urlsplit(url).hostname or "" for url in self.asked if re.match("http|ws", url)}


@pytest.fixture
def browser(ui: str) -> Iterator[Browser]:
    browser = Browser(ui)

    def is_up() -> bool:
        try:
            with urllib.request.urlopen(f"{ui}/server_info", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    try:
        browser.wait(is_up, "the UI")
        yield browser
        browser.shot("last-page")
    finally:
        browser.driver.quit()


def test_a_partition_is_materialized_checked_and_looked_at(browser: Browser) -> None:
    browser.open("/asset-groups")
    browser.see("Global asset lineage", "reference", "quotes", "candles", "actions", "reports")
    browser.shot("1-groups")
    browser.open("/assets/price_snapshots?view=lineage&lineageScope=neighbors")
    browser.see("stock_master", "price_snapshots", "market_report")
    browser.wait(lambda: "Loading" not in browser.text(), "the state of the assets")
    browser.shot("2-asset-graph")

    partition = f"/assets/price_snapshots?view=partitions&partition={DAY}"
    browser.open(partition)
    browser.see(DAY, "No metadata entries")
    browser.click("Materialize…")
    browser.click("Confirm")  # that nothing is stored upstream, for which the asset asks itself
    browser.see("Launch runs to materialize price_snapshots", "1 partition")
    browser.shot("3-launch")
    browser.click("Launch 1 run")
    browser.see("Launched run")

    def is_stored() -> bool:
        assert "Run failed" not in browser.text(), browser.text()
        if browser.find("No metadata entries"):
            browser.open(partition)
        return bool(browser.find("Materialized") and browser.find("[Show Markdown]"))

    browser.wait(is_stored, "the materialized partition")
    browser.see("MOCK DATA", "an invented market; nothing in it is real", "삼성전자")

    def picture(kind: str) -> Any:
        (shown,) = browser.driver.find_elements("css selector", f"img[src^='data:image/{kind}']")
        return browser.driver.execute_script(SEEN, shown)

    for theme, number, is_dark in (("Light", 4, False), ("Dark", 5, True)):
        browser.driver.execute_script(THEME, theme)
        browser.open(partition)
        # Without a click: a picture at a glance, and the first rows.
        browser.see("at a glance", "삼성전자", "[Show Markdown]")
        left, right, window, alpha, paper = browser.wait(lambda: picture("svg"), "the glance")
        assert right - left > 200
        assert (alpha, paper < 60) == (0, is_dark)
        browser.shot(f"{number}-partition-{theme}")
        browser.click("[Show Markdown]")
        left, right, window, alpha, paper = browser.wait(lambda: picture("png"), "the picture")
        assert right - left > 800
        assert 0 <= left < right <= window
        assert (alpha, paper < 60) == (0, is_dark)
        browser.shot(f"{number}-picture-{theme}")

    browser.open("/assets/price_snapshots?view=checks")

    def all_passed() -> bool:
        text = browser.text()
        there = re.search(r"^Checks \((\d+)\)$", text, re.MULTILINE)
        return bool(there) and int(there[1]) == len(re.findall("^Succeeded$", text, re.MULTILINE))

    browser.wait(all_passed, "the results of the checks")
    browser.see("high_covers_all_prices", "Passed")
    browser.shot("6-checks")

    assert browser.hosts() == {"127.0.0.1"}


THEME = 'localStorage.setItem("dagster-theme", JSON.stringify(arguments[0]))'
SEEN = """
const [shown] = arguments, box = shown.getBoundingClientRect();
if (!shown.complete || !shown.naturalWidth) return false;
const canvas = new OffscreenCanvas(shown.naturalWidth, shown.naturalHeight);
const drawing = canvas.getContext("2d");
drawing.drawImage(shown, 0, 0);
let behind = shown, colour = "rgba(0, 0, 0, 0)";
while (behind && /, 0\\)$/.test(colour)) {
    colour = getComputedStyle(behind).backgroundColor;
    behind = behind.parentElement;
}
const paper = Math.max(...colour.match(/[0-9]+/g).slice(0, 3).map(Number));
return [box.left, box.right, innerWidth, drawing.getImageData(1, 1, 1, 1).data[3], paper];
"""
"""Where a picture stands, how opaque its corner is, and how light what is behind it."""
TURN_ON = """mutation { startSchedule(scheduleSelector: {
    repositoryLocationName: "kis_assets.definitions", repositoryName: "__repository__",
    scheduleName: "prices_close"}) { __typename } }"""
STATE = """{ scheduleOrError(scheduleSelector: {
    repositoryLocationName: "kis_assets.definitions", repositoryName: "__repository__",
    scheduleName: "prices_close"}) { ... on Schedule { scheduleState { status } } } }"""
ATTACK = """
const [ui, query, done] = arguments, get = ui + "/graphql?query=" + encodeURIComponent(query);
const sink = Object.assign(document.createElement("iframe"), {name: "sink"});
document.body.append(sink);
const loaded = (element) => new Promise((then) => {
    const shown = element.tagName == "FORM" ? sink : element;
    shown.onload = shown.onerror = then;
    document.body.append(element);
    if (element.tagName == "FORM") element.submit();
});
const make = (tag, how) => Object.assign(document.createElement(tag), how);
const asText = {method: "POST", mode: "no-cors", body: JSON.stringify({query}),
                headers: {"content-type": "text/plain; application/json"}};
const feed = new Promise((then) => {
    const socket = new WebSocket(ui.replace("http", "ws") + "/graphql", "graphql-ws");
    socket.onopen = () => then("open");
    socket.onerror = () => then("refused");
});
Promise.all([
    fetch(get, {mode: "no-cors"}), fetch(ui + "/graphql", asText),
    loaded(make("img", {src: get})), loaded(make("iframe", {src: get})),
    loaded(make("form", {method: "POST", action: get, target: "sink"})), feed,
]).then((all) => done(all.at(-1)), (error) => done(String(error)));
"""


def test_a_page_of_another_site_turns_nothing_on(browser: Browser, tmp_path: Path) -> None:
    def ask(query: str) -> Any:
        """As the UI's own page asks."""
        return browser.driver.execute_async_script(
            """fetch("/graphql", {method: "POST", headers: {"content-type": "application/json"},
            body: JSON.stringify({query: arguments[0]})})
            .then((it) => it.json()).then(arguments[1])""",
            query,
        )["data"]

    def status() -> str:
        browser.open("/")
        return ask(STATE)["scheduleOrError"]["scheduleState"]["status"]

    assert status() == "STOPPED"
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<body>harmless</body>", encoding="utf-8")
    site = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(page))
    )
    threading.Thread(target=site.serve_forever, daemon=True).start()
    try:
        browser.driver.get(f"http://127.0.0.1:{site.server_port}/")
        attack = browser.driver.execute_async_script(ATTACK, browser.address, TURN_ON)
        assert attack == "refused"
    finally:
        site.shutdown()
        site.server_close()
    assert status() == "STOPPED"
    ask(TURN_ON)
    assert status() == "RUNNING"
