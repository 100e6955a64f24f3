"""The docs site: each link leads somewhere, nothing comes from elsewhere, search knows Korean.

The pages as they are on GitHub: `test_docs.py`. A browser leaves screenshots in `test-artifacts`.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import kis_assets
from kis_assets.charts.canvas import font_file
from kis_assets_tests import docs_site, gallery
from kis_assets_tests.cli.test_browser import Browser

ROOT = Path(__file__).parents[1]


# What is laid out


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("staged") / "docs"
    docs_site.stage(folder)
    return folder


def test_every_page_is_on_the_site_and_in_its_menu(staged: Path) -> None:
    def names(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        within = entry.values() if isinstance(entry, dict) else entry
        return [name for it in within for name in names(it)]

    settings = tomllib.loads((ROOT / docs_site.SITE / "zensical.toml").read_text(encoding="utf-8"))
    menu = names(settings["project"]["nav"])
    pages = {it.relative_to(staged / "docs").as_posix() for it in staged.rglob("*.md")}
    decisions = {page for page in pages if re.match(r"decisions/\d", page)}
    assert sorted(menu) == sorted(pages - decisions)
    listed = (staged / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    assert all(f"]({Path(page).name})" in listed for page in decisions)
    assert {"index.md", "SECURITY.md", "tables.md", "trust.md", "ko/analysts.md"} <= pages


def test_links_that_leave_docs_lead_to_pages_of_the_site(staged: Path) -> None:
    """As both READMEs link and show pictures, of which the Korean one moves into a folder."""
    start = (staged / "docs" / "index.md").read_text(encoding="utf-8")
    korean = (staged / "docs" / "ko" / "index.md").read_text(encoding="utf-8")
    assert all(f"]({it})" in start for it in ("analysts.md", "SECURITY.md", "ko/index.md"))
    assert all(f"]({it})" in korean for it in ("analysts.md", "../SECURITY.md", "../index.md"))
    assert 'src="stock.png"' in start
    assert 'src="../stock.png"' in korean
    assert not re.search(r'\]\(docs/|"docs/', start + korean)
    for page in staged.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).is_file(), f"{page.name}: {target}"


def test_the_address_is_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCS_URL", "https://somebody.example/pages/")
    docs_site.stage(tmp_path / "docs")
    known = tomllib.loads((tmp_path / "docs" / "zensical.toml").read_text(encoding="utf-8"))
    assert known["project"]["site_url"] == "https://somebody.example/pages/"


def test_it_is_served_on_this_machine_alone_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def serve(command: list[str], **_: Any) -> None:
        asked.extend(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(docs_site, "FOLDER", tmp_path / "docs")
    monkeypatch.setattr("subprocess.run", serve)
    monkeypatch.setattr("sys.argv", ["docs_site", "serve"])
    assert docs_site.main() == 0
    assert asked[1:] == ["serve", "--dev-addr", "127.0.0.1:8000"]


def test_the_gallery_shows_what_its_code_draws() -> None:
    shown = re.findall(r"\]\(gallery/(\w+\.png)\)", gallery.PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.name for path in gallery.FOLDER.iterdir())
    assert [re.findall(r'"(\w+\.png)"', code) for code in gallery.pieces()] == [
        [it] for it in shown
    ]


# What is built


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical", reason="zensical is not installed: make docs-build")
    folder = tmp_path_factory.mktemp("built") / "docs"
    docs_site.stage(folder)
    done = docs_site.run("build", "--strict", folder=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    return folder / "site"


class Html(HTMLParser):
    """Anchors of a page, what it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.language = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "html":
            self.language = given["lang"]
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loaded.add(given["href"])
        self.loaded |= {given[it] for it in ("src", "srcset") if given.get(it)}


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    return {path: Html(path) for path in site.rglob("*.html") if path.name != "404.html"}


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(pages: dict[Path, Html]) -> None:
    wrong: list[str] = []
    for path, page in pages.items():
        for link in page.links | page.loaded:
            to = urlsplit(link)
            if to.scheme:
                continue
            target = Path(os.path.normpath(path.parent / unquote(to.path))) if to.path else path
            target = target / "index.html" if target.is_dir() else target
            ids = pages[target].ids if target in pages else set[str]()
            if not target.is_file() or (to.fragment and unquote(to.fragment) not in ids):
                wrong.append(f"{path.parent.name}: {link}")
    assert wrong == []


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(pages: dict[Path, Html]) -> None:
    assert {it for page in pages.values() for it in page.loaded if urlsplit(it).netloc} == set()


@pytest.mark.slow
def test_korean_pages_say_that_they_are_korean(site: Path, pages: dict[Path, Html]) -> None:
    for path, page in pages.items():
        assert page.language == ("ko" if path.is_relative_to(site / "ko") else "en")


@pytest.mark.slow
def test_the_api_is_all_that_the_package_offers(site: Path, pages: dict[Path, Html]) -> None:
    ids = pages[site / "api" / "index.html"].ids
    for name in kis_assets.__all__:
        offered = getattr(kis_assets, name)
        assert f"{offered.__module__}.{offered.__name__}" in ids
    for method in (name for name in vars(kis_assets.Market) if not name.startswith("_")):
        assert f"kis_assets.market.Market.{method}" in ids


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["[a](nowhere.md)", "[a](tables.md#nowhere)"])
def test_a_wrong_link_fails_the_build(site: Path, tmp_path: Path, wrong: str) -> None:
    """On a site of three pages, since all of them take seconds."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "few"\n', encoding="utf-8")
    for name, text in {"index.md": f"# Start\n\n{wrong}\n", "tables.md": "# Tables\n"}.items():
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    done = docs_site.run("build", "--strict", folder=tmp_path, capture_output=True, check=False)
    assert done.returncode != 0
    assert "does not exist" in done.stdout + done.stderr


# What is seen


@pytest.fixture
def browser(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no browser is installed: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="selenium is not installed: make test-browser")
    # Chromium writes Hangul with the font of the pictures, wherever it runs.
    shutil.copytree(font_file().parent, tmp_path / "fonts")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = Browser(f"http://127.0.0.1:{server.server_port}")
    try:
        yield browser
    finally:
        browser.driver.quit()
        server.shutdown()
        server.server_close()


FOUND = """
    return [...document.querySelectorAll('div')].filter(it => it.shadowRoot)
        .flatMap(it => [...it.shadowRoot.querySelectorAll('a[href]')]).map(it => it.href)
"""
"""Where the results lead: search lives in a root of its own."""
IN_FIELD = "return document.activeElement?.shadowRoot?.activeElement?.tagName == 'INPUT'"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("start", "word", "page"),
    [
        ("/", "momentum", "/analysts/"),
        ("/", "수정주가", "/ko/analysts/"),
        ("/ko/", "초당 호출 한도", "/ko/operators/"),
        ("/ko/", "credit_balances", "/tables/"),
    ],
)
def test_search_finds_a_word_of_either_language(
    browser: Browser, start: str, word: str, page: str
) -> None:
    browser.open(start)
    opened = "return document.querySelectorAll('.md-search__button').length"
    browser.wait(lambda: browser.driver.execute_script(opened), "the button")
    browser.driver.find_element("css selector", ".md-search__button").click()
    browser.wait(lambda: browser.driver.execute_script(IN_FIELD), "the field")
    browser.driver.switch_to.active_element.send_keys(word)

    def found() -> bool:
        paths = {urlsplit(it).path for it in browser.driver.execute_script(FOUND)}
        return page in paths

    browser.wait(found, f"{page} for {word}")
    browser.shot(f"docs-search-{word.replace(' ', '-')}")
    assert browser.hosts() == {"127.0.0.1"}


@pytest.mark.browser
@pytest.mark.parametrize("page", ["", "analysts", "gallery", "api", "ko", "ko/operators"])
def test_pages_look_as_they_should(browser: Browser, page: str) -> None:
    browser.open(f"/{page}/" if page else "/")
    broken = "return [...document.images].filter(it => !it.complete || !it.naturalWidth).length"
    browser.wait(lambda: browser.driver.execute_script(broken) == 0, "all pictures")
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.driver.execute_script(wide) <= 0
    browser.shot(f"docs-{page.replace('/', '-') or 'start'}")


@pytest.mark.browser
def test_a_page_leads_to_its_korean_twin(browser: Browser) -> None:
    browser.open("/operators/")
    twin = browser.driver.find_element("css selector", "a.md-select__link[hreflang=ko]")
    browser.open(urlsplit(twin.get_attribute("href")).path)
    browser.see("운영자용 안내")
