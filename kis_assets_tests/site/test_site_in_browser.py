"""The site in headless Chromium, opened from its folder as a person does.

Screenshots are left in `test-artifacts`. No page may ask anything but files of its folder.
"""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import urlsplit

import polars as pl
import pytest

from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES, INVESTOR_FLOWS, STOCK_MASTER
from kis_assets_tests.cli.test_browser import ARTIFACTS
from kis_assets_tests.site.test_site import HOSTILE, built, put_candles
from kis_assets_tests.support.small_lake import DAY, SAMSUNG, SPLIT
from kis_assets_tests.support.small_rows import frame

pytestmark = pytest.mark.browser

FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{}</dir></fontconfig>"""
"""A machine without Korean fonts would show boxes: that of the pictures is always there."""


class Browser:
    """Headless Chromium that can reach no address, before the pages of a folder."""

    def __init__(self, folder: Path, fonts: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for argument in (
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--window-size=1400,1000", "--lang=en", "--host-resolver-rules=MAP * ~NOTFOUND"),
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = Service(
            shutil.which("chromedriver"), env=os.environ | {"FONTCONFIG_FILE": str(fonts)}
        )
        self.driver = webdriver.Chrome(options=options, service=service)
        self.folder = folder
        self.prefers("light")

    def prefers(self, scheme: str) -> None:
        wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)

    def open(self, page: str) -> None:
        self.driver.get(f"{self.folder.as_uri()}/{page}")

    def wait(self, done: Callable[[], Any]) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 60, poll_frequency=0.05).until(lambda _: done())

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def all(self, selector: str) -> list[Any]:
        return [
            it for it in self.driver.find_elements("css selector", selector) if it.is_displayed()
        ]

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def texts(self, selector: str) -> list[str]:
        return [it.text for it in self.all(selector)]

    def typed(self, text: str) -> None:
        field = self.driver.find_element("css selector", "[data-search] input")
        field.clear()
        field.send_keys(text)

    def drawn(self) -> None:
        """Wait until what was asked for is painted."""
        self.driver.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        )

    def picture(self, chart: str) -> str:
        """What a chart shows, in all its layers."""
        self.drawn()
        return self.run(
            "return [...arguments[0].querySelectorAll('canvas')].map(it => it.toDataURL()).join()",
            self.driver.find_element("css selector", f"[data-chart={chart}]"),
        )

    def shot(self, name: str, width: int = 1400) -> None:
        """A picture of the whole page; which has no line wider than the window."""
        whole = self.run("return document.documentElement.scrollHeight")
        size = {"width": width, "height": min(whole, 3000), "deviceScaleFactor": 1}
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", size | {"mobile": width < 600}
        )
        self.drawn()
        assert self.run("return document.documentElement.scrollWidth") <= width, name
        ARTIFACTS.mkdir(exist_ok=True)
        shown = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        (ARTIFACTS / f"site-{name}.png").write_bytes(b64decode(shown["data"]))

    def asked(self) -> set[str]:
        """The schemes of everything that the pages asked for."""
        return {urlsplit(url).scheme for url in self.requests()}

    def requests(self) -> dict[str, str]:
        """Why each address that was asked for since the last call was refused; empty if not."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        refused = {
            it["params"]["requestId"]: it["params"].get("blockedReason", "")
            for it in messages
            if it["method"] == "Network.loadingFailed"
        }
        sent = [it["params"] for it in messages if it["method"] == "Network.requestWillBeSent"]
        assert sent
        return {it["request"]["url"]: refused.get(it["requestId"], "") for it in sent}

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def site(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site with a space") / "사이트"
    with pytest.MonkeyPatch.context() as few:
        few.setattr("kis_assets.site.build.DAYS", 3)
        built(small_lake.parent, folder)
    return folder


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Callable[[Path], Browser]]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no browser is installed: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="selenium is not installed: make test-browser")
    font = find_spec("koreanize_matplotlib")
    assert font
    assert font.origin
    fonts = tmp_path / "fonts.conf"
    fonts.write_text(FONTS.format(Path(font.origin).parent / "fonts"), encoding="utf-8")
    opened: list[Browser] = []

    def open_one(folder: Path) -> Browser:
        opened.append(Browser(folder, fonts))
        return opened[0]

    yield open_one
    for browser in opened:
        browser.driver.quit()


@pytest.fixture
def browser(open_site: Callable[[Path], Browser], site: Path) -> Iterator[Browser]:
    browser = open_site(site)
    yield browser
    assert browser.complaints() == []
    assert browser.asked() <= {"file", "data", "blob"}


def test_stocks_are_found_by_either_name_and_by_code_with_the_keyboard_alone(
    browser: Browser,
) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open("index.html")
    assert len(browser.texts(".market tbody tr")) == 5
    browser.shot("index")
    for text in ("삼성", normalize("NFD", "삼성"), "ㅅㅅㅈㅈ", "samsung ELEC", "00593"):
        browser.typed(text)
        assert browser.texts(".market tbody small") == [SAMSUNG]
    browser.typed("<b>")
    assert browser.all("[data-none]")
    browser.open("condition.html")
    browser.driver.switch_to.active_element.send_keys("/")
    browser.driver.switch_to.active_element.send_keys("하이닉스", Keys.ENTER)
    browser.wait(lambda: "index.html" in browser.driver.current_url)
    assert browser.texts(".market tbody small") == ["000660"]
    browser.driver.find_element("css selector", "[data-search] input").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.driver.current_url.endswith("stock.html?000660"))
    assert browser.texts("h1") == ["SK hynix 000660"]


def test_a_heading_sorts_the_market(browser: Browser) -> None:
    browser.open("index.html")
    for ways in ((-1, "descending"), (1, "ascending")):
        browser.click("[data-sort=price]")
        prices = [int(it.replace(",", "")) for it in browser.texts(".market td:nth-child(3)")]
        assert prices == sorted(prices, key=lambda price: ways[0] * price)
        assert browser.all(f"th[aria-sort={ways[1]}] [data-sort=price]")


def test_a_stock_shows_everything_in_both_themes(browser: Browser) -> None:
    browser.open(f"stock.html?{SPLIT}")
    for chart in ("candles", "minutes", "flows"):
        assert len(browser.picture(chart)) > 5_000
    assert len(browser.texts("[data-rows=book] tr")) == 21
    assert len(browser.texts("[data-rows=flows] tr")) == 10
    assert "split" in browser.texts("[data-rows=actions] td")
    assert browser.driver.title.endswith("MOCK DATA")

    adjusted = browser.picture("candles")
    assert browser.all("[data-note=adjusted]")
    browser.click("[data-prices=raw]")
    assert browser.picture("candles") != adjusted
    assert not browser.all("[data-note=adjusted]")
    browser.shot("stock-raw")
    browser.click("[data-prices=adjusted]")
    browser.shot("stock-light")
    in_light = browser.picture("candles")
    assert (
        browser.run("return getComputedStyle(document.body).backgroundColor")
        == "rgb(247, 247, 245)"
    )
    browser.click("[data-theme-switch]")
    assert (
        browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 26)"
    )
    assert browser.picture("candles") != in_light
    browser.shot("stock-dark")


NOTES = "[data-of=candles] [data-note], [data-of=flows] [data-note]"
GREY = """
const canvas = [...document.querySelectorAll(`[data-chart=${arguments[0]}] canvas`)]
    .sort((a, b) => b.width * b.height - a.width * a.height)[0];
const top = Math.round(canvas.height / 50);
const {data} = canvas.getContext("2d").getImageData(0, top, canvas.width, 1);
const full = (x) => data[4 * x + 3] > 20;
return [...Array(canvas.width).keys()].filter((x) => full(x) && full(x + 2)).length;
"""
"""How many pixels of a chart's top are grey: the lines of its grid alone are narrower."""


def test_sessions_that_are_not_stored_are_grey_and_told(
    open_site: Callable[[Path], Browser], tmp_path: Path, small_lake: Path
) -> None:
    data = tmp_path / "data" / "mock"
    shutil.copytree(small_lake, data, symlinks=True)
    lake = Lake(data, source="mock")
    for table, gone in ((DAILY_CANDLES, "2026-02"), (INVESTOR_FLOWS, "2026-03")):
        first, last = table.span(gone)
        kept = lake.scan(table, first=first, last=last).collect()
        hole = pl.col("trading_day").is_between(first.replace(day=5), first.replace(day=11))
        lake.replace(table, Scope.month(first), kept.filter(~hole))
    built(data.parent, tmp_path / "site")
    browser = open_site(tmp_path / "site")
    for scheme in ("light", "dark"):
        browser.prefers(scheme)
        browser.open(f"stock.html?{SAMSUNG}")
        browser.shot(f"gaps-{scheme}")
        assert [text.partition(" (")[2] for text in browser.texts(NOTES)[-2:]] == [
            "5 between 2026-02-04 and 2026-02-12).",
            "5 between 2026-03-04 and 2026-03-12).",
        ]
        assert "share count may be missing" in browser.texts(NOTES)[0]
        assert browser.run(GREY, "candles") > 20
        assert browser.run(GREY, "flows") > 20


def test_a_chart_without_a_gap_is_not_grey(browser: Browser) -> None:
    browser.open(f"stock.html?{SAMSUNG}")
    browser.drawn()
    assert not [text for text in browser.texts(NOTES) if "Grey" in text]
    assert browser.run(GREY, "candles") == browser.run(GREY, "flows") == 0


def test_red_is_up_and_blue_is_down(browser: Browser) -> None:
    browser.open("index.html")
    for row in browser.all(".market tbody td:nth-child(4) span"):
        red, _, blue = browser.run(
            "return getComputedStyle(arguments[0]).color.match(/[0-9]+/g).map(Number)", row
        )
        rate = float(row.text.removesuffix(" %"))
        assert rate == 0 or (red > blue) == (rate > 0)


def test_language_and_theme_are_remembered_from_page_to_page(browser: Browser) -> None:
    browser.open("index.html")
    assert browser.texts("h1") == ["Korean stock market"]
    browser.click("[data-language]")
    browser.click("[data-theme-switch]")
    assert browser.texts("h1") == ["한국 주식시장"]
    assert "삼성전자" in browser.texts(".market tbody a")
    browser.shot("index-korean-dark")
    browser.open(f"stock.html?{SAMSUNG}")
    assert browser.texts("h1") == ["삼성전자 005930"]
    assert "원주가" in browser.texts("button")
    browser.click("[data-theme-switch]")
    browser.shot("stock-korean")
    browser.open(f"days/{DAY}.html")
    assert "상승률 상위" in browser.texts("h2")
    assert browser.run("return document.documentElement.dataset.theme") == "light"
    browser.shot("day-korean")
    browser.click("[data-language]")
    assert "Rose most" in browser.texts("h2")
    browser.shot("day-english")


def test_without_a_switch_the_theme_is_that_of_the_machine(browser: Browser) -> None:
    browser.open("condition.html")
    browser.shot("condition")
    light = browser.run("return getComputedStyle(document.body).backgroundColor")
    browser.prefers("dark")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") != light
    browser.shot("condition-dark")


@pytest.mark.parametrize(
    "page", ["index.html", f"stock.html?{SAMSUNG}", "condition.html", f"days/{DAY}.html"]
)
def test_a_page_fits_a_narrow_phone(browser: Browser, page: str) -> None:
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    browser.open(page)
    browser.shot(f"phone-{page.partition('.')[0].replace('/', '-')}", width=390)


CONTRAST = """
const light = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((it) => it / 255)
    .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
    .reduce((sum, it, place) => sum + it * [0.2126, 0.7152, 0.0722][place], 0);
const paper = (element) => {
    for (let it = element; it; it = it.parentElement) {
        const colour = getComputedStyle(it).backgroundColor;
        if (!/, 0\\)$/.test(colour)) return colour;
    }
};
const words = [...document.querySelectorAll("main *, header *")].filter((it) =>
    it.offsetParent && !it.closest("[aria-hidden], svg, .unseen, [data-chart]") &&
    [...it.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
return [words.length, words.map((it) => {
    const [a, b] = [light(getComputedStyle(it).color), light(paper(it))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), it.outerHTML.slice(0, 90)];
}).filter(([ratio]) => ratio < 4.5)];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_stand_out_from_what_is_behind_them(browser: Browser, scheme: str) -> None:
    """By the contrast of WCAG AA."""
    browser.prefers(scheme)
    for page in ("index.html", f"stock.html?{SAMSUNG}", "condition.html", f"days/{DAY}.html"):
        browser.open(page)
        browser.drawn()
        count, faint = browser.run(CONTRAST)
        assert count > 20
        assert faint == [], page


def test_a_name_that_is_a_script_is_shown_and_does_not_run(
    open_site: Callable[[Path], Browser], tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "data" / "mock", source="mock")
    put_candles(lake, 1_000, 1_100)
    listed = {"trading_day": DAY, "stock_code": SAMSUNG, "stock_name": HOSTILE, "isin": "KR",
              "market": "KOSPI", "security_type": "common", "security_group": "ST"}  # fmt: skip
    lake.replace(STOCK_MASTER, Scope.day(DAY), frame(STOCK_MASTER, listed))
    built(tmp_path / "data", tmp_path / "site")
    browser = open_site(tmp_path / "site")
    for page in ("index.html", f"stock.html?{SAMSUNG}", f"days/{DAY}.html"):
        browser.open(page)
        assert "alert(1)" in browser.driver.find_element("css selector", "main").text
        assert not browser.all("main script, main img")
    assert browser.complaints() == []


def test_what_got_into_a_page_could_neither_run_nor_ask_anybody(
    open_site: Callable[[Path], Browser], site: Path
) -> None:
    """The policy of the pages, should a name ever escape."""
    browser = open_site(site)
    browser.open("index.html")
    browser.run(
        "document.querySelector('main').insertAdjacentHTML('beforeend', "
        '\'<img src="https://other.test/x.png" onerror="document.title = 1">\');'
        "fetch('https://other.test/').catch(() => {});"
    )
    assert browser.wait(
        lambda: len([it for it in browser.complaints() if "Content Security" in it])
    )
    assert browser.driver.title != "1"
    found = browser.requests()
    assert {why for url, why in found.items() if not url.startswith("file:")} <= {"csp"}


@pytest.mark.parametrize("code", ["999999", "../site", "", "%3Cscript%3E"])
def test_a_stock_that_there_is_not_is_told(
    open_site: Callable[[Path], Browser], site: Path, code: str
) -> None:
    browser = open_site(site)
    browser.open(f"stock.html?{code}")
    browser.wait(lambda: browser.all("[data-unknown]"))
    assert not browser.all("[data-stock]")
