"""The static site: every file of it holds what the lake does, and nothing that could run."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.charts.market import CONDITIONS
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.market import Market
from kis_assets.report import page as report_page
from kis_assets.report.daily_report import day_report
from kis_assets.report.figures import WHO
from kis_assets.settings import Settings
from kis_assets.site import words
from kis_assets.site.build import Made, build
from kis_assets.site.pages import KINDS
from kis_assets.site.reasons import why
from kis_assets.tables import DAILY_CANDLES, ORDER_BOOKS, QUALITY, STOCK_MASTER
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.small_lake import CODES, DAY, GAP, NOON, SAMSUNG, SPLIT
from kis_assets_tests.support.small_rows import NOW, candle, frame

ROOT = Path(__file__).parents[2]
HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&"""


def settings_of(data: Path) -> Settings:
    return Settings.load(data_source_type="mock", kis_data_dir=data, kis_replay_at=EVENING)


def built(data: Path, folder: Path, source: str = "mock") -> Made:
    lake = Lake(data / source, source=source, replay_at=EVENING)
    return build(settings_of(data), lake, folder, lambda _: None)


@pytest.fixture(scope="module")
def site(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the small lake, with three days of reports."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as few:
        few.setattr("kis_assets.site.build.DAYS", 3)
        built(small_lake.parent, folder)
    return folder


@pytest.fixture(scope="module")
def market(small_lake: Path) -> Iterator[Market]:
    with Market(small_lake, replay_at=EVENING) as market:
        yield market


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """One stock with two days, whose name would do harm."""
    lake = Lake(tmp_path / "data" / "mock", source="mock")
    put_candles(lake, 1_000, 1_100)
    listed = {"trading_day": DAY, "stock_code": SAMSUNG, "stock_name": HOSTILE, "isin": "KR",
              "market": "KOSPI", "security_type": "common", "security_group": "ST"}  # fmt: skip
    lake.replace(STOCK_MASTER, Scope.day(DAY), frame(STOCK_MASTER, listed))
    return lake


def put_candles(lake: Lake, *closes: int, **more: Any) -> None:
    days = calendar.trading_days(DAY - timedelta(days=20), DAY)[-len(closes) :]
    rows = [
        candle(day, close, close, close, close, **more)
        for day, close in zip(days, closes, strict=True)
    ]
    lake.replace(DAILY_CANDLES, Scope.month(DAY), frame(DAILY_CANDLES, *rows))


def content(folder: Path, path: str) -> Any:
    """What a script of the site gives to the page."""
    found = re.fullmatch(r"site\.\w+\((.*)\);\n", (folder / path).read_text(encoding="utf-8"))
    assert found
    return json.loads(found[1])


def pages(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.html")
    }


# What is in it


def test_every_stock_with_a_price_has_a_file_and_stands_in_the_list(site: Path) -> None:
    assert {path.stem for path in (site / "stocks").iterdir()} == set(CODES)
    listed = {row[0]: row for row in content(site, "market.js")}
    assert set(listed) == set(CODES)
    code, korean, english, market, price, rate, value, _ = listed[SAMSUNG]
    assert (korean, english, market) == ("삼성전자", "Samsung Electronics", "KOSPI")
    about = content(site, f"stocks/{code}.js")
    assert (about["price"], about["rate"], about["trading_value"]) == (price, rate, value)
    assert about["priced_at"] == "2026-03-17 20:50"


def decoded(given: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    """As `stock.js` reads it."""
    days, closes = accumulate(given["days"]), accumulate(given["close"])
    return [
        (date(1970, 1, 1) + timedelta(days=day), *(close + given[it][at] for it in
         ("open", "high", "low")), close, given["volume"][at])
        for at, (day, close) in enumerate(zip(days, closes, strict=True))
    ]  # fmt: skip


PRICES = ("open", "high", "low", "close")
COLUMNS = ("trading_day", *PRICES, "volume")


@pytest.mark.parametrize("code", CODES)
def test_candles_are_those_of_the_lake(site: Path, market: Market, code: str) -> None:
    # A day without a trade is drawn at its close.
    drawn = [pl.when(pl.col("open") > 0).then(it).otherwise("close").alias(it) for it in PRICES]
    stored = market.daily_candles(code).with_columns(drawn).select(COLUMNS).rows()
    assert decoded(content(site, f"stocks/{code}.js")["candles"]) == stored
    assert (GAP in [row[0] for row in stored]) == (code != "035420")


def test_sessions_that_are_not_stored_are_counted_at_their_place(
    site: Path, market: Market, lake: Lake, tmp_path: Path
) -> None:
    days = market.daily_candles("035420")["trading_day"].to_list()
    place = sum(day < GAP for day in days)
    assert content(site, "stocks/035420.js")["candles"]["gaps"] == [[place, 1]]
    assert content(site, f"stocks/{SAMSUNG}.js")["candles"]["gaps"] == []
    # A whole month between two.
    before = date(2026, 1, 30)
    rows = frame(DAILY_CANDLES, candle(before, 9, 9, 9, 9))
    lake.replace(DAILY_CANDLES, Scope.month(before), rows)
    built(tmp_path / "data", tmp_path / "site")
    first = market.sql(f"SELECT min(trading_day) FROM daily_candles WHERE trading_day >= '{DAY}'")
    missing = len(calendar.trading_days(before, DAY)) - 1 - 2
    assert first.item() == DAY
    assert content(tmp_path / "site", f"stocks/{SAMSUNG}.js")["candles"]["gaps"] == [[1, missing]]


@pytest.mark.parametrize(
    ("months", "known"), [((), False), ((2,), False), ((2, 3), True)], ids=["none", "one", "all"]
)
@pytest.mark.slow
def test_that_nothing_changed_the_share_count_is_said_only_where_it_is_known(
    lake: Lake, tmp_path: Path, months: tuple[int, ...], known: bool
) -> None:
    put_candles(lake, *[1_000] * 11)
    february = calendar.trading_days(date(2026, 2, 2), date(2026, 2, 27))
    rows = frame(DAILY_CANDLES, *(candle(day, *[1_000] * 4) for day in february))
    lake.replace(DAILY_CANDLES, Scope.month(february[0]), rows)
    accounted = {"table_name": "corporate_actions", "check_name": "every_stock_is_accounted_for",
                 "passed": True, "severity": "ERROR", "rows": 0, "failing_rows": 0}  # fmt: skip
    for month in months:
        first = date(2026, month, 1)
        days = calendar.trading_days(first, min(DAY, date(2026, month, 28)))
        rows = frame(QUALITY, *(accounted | {"trading_day": it, "checked_at": NOW} for it in days))
        lake.replace(QUALITY, Scope.month(first), rows)
    built(tmp_path / "data", tmp_path / "site")
    about = content(tmp_path / "site", f"stocks/{SAMSUNG}.js")
    assert about["adjusted"] is None
    assert about["candles"]["gaps"] == []
    assert about["actions_known"] is known


def test_minutes_say_where_another_session_begins(site: Path, market: Market) -> None:
    given = content(site, f"stocks/{SAMSUNG}.js")["minutes"]
    sessions = market.minutes(SAMSUNG, DAY)["session"].to_list()
    assert given["begins"] == [
        place for place, (one, other) in enumerate(pairwise(sessions), 1) if one != other
    ]


def test_adjusted_candles_are_there_where_they_are_others(site: Path, market: Market) -> None:
    assert content(site, f"stocks/{SAMSUNG}.js")["adjusted"] is None
    given = content(site, f"stocks/{SPLIT}.js")["adjusted"]
    stored = market.daily_candles(SPLIT, adjusted=True)
    traded = [place for place, price in enumerate(stored["open"]) if price]
    for name in COLUMNS[1:]:
        shown = [given[name][place] for place in traded]
        assert shown == pytest.approx([stored[name][place] for place in traded], abs=0.01)
    assert given["close"] != market.daily_candles(SPLIT)["close"].to_list()


def test_a_day_without_a_trade_is_drawn_at_its_close_and_never_at_zero(
    lake: Lake, tmp_path: Path
) -> None:
    put_candles(lake, 1_000, 1_000, open=0, high=0, low=0, volume=0, has_traded=False)
    built(tmp_path / "data", tmp_path / "site")
    given = content(tmp_path / "site", f"stocks/{SAMSUNG}.js")["candles"]
    assert [row[1:] for row in decoded(given)] == [(1_000, 1_000, 1_000, 1_000, 0)] * 2


@pytest.mark.parametrize("is_final", [True, False])
def test_a_candle_that_is_not_final_is_told(lake: Lake, tmp_path: Path, is_final: bool) -> None:
    put_candles(lake, 1_000, 1_100, is_final=is_final)
    built(tmp_path / "data", tmp_path / "site")
    told = content(tmp_path / "site", f"stocks/{SAMSUNG}.js")["provisional"]
    assert told == (not is_final)


def test_minutes_are_those_of_the_newest_day(site: Path, market: Market) -> None:
    given = content(site, f"stocks/{SAMSUNG}.js")["minutes"]
    stored = market.minutes(SAMSUNG, DAY)
    assert date(1970, 1, 1) + timedelta(days=given["day"]) == DAY
    assert list(accumulate(given["close"])) == stored["close"].to_list()
    assert given["volume"] == stored["volume"].to_list()
    clock = stored["started_at"].dt.convert_time_zone("Asia/Seoul")
    at = [
        60 * hour + minute for hour, minute in zip(clock.dt.hour(), clock.dt.minute(), strict=True)
    ]
    assert list(accumulate(given["minutes"])) == at
    assert given["base"] == market.daily_candles(SAMSUNG, DAY)["base_price"][0]


def test_flows_are_millions_of_the_stored_won(site: Path, market: Market) -> None:
    given = content(site, f"stocks/{SAMSUNG}.js")["flows"]
    stored = market.investor_flows(SAMSUNG, wide=True)
    for who in ("individual", "foreign", "institution"):
        assert given[who] == pytest.approx(stored[f"{who}_net_value"] / 1e6, abs=0.5)
    short = dict(market.short_sales(SAMSUNG).select("trading_day", "short_ratio").iter_rows())
    days = [date(1970, 1, 1) + timedelta(days=day) for day in accumulate(given["days"])]
    expected = [ratio and round(ratio, 2) for ratio in map(short.get, days)]
    assert given["short"] == expected


def test_the_book_is_the_last_one_in_which_anybody_quotes(
    lake: Lake, site: Path, market: Market, tmp_path: Path
) -> None:
    given = content(site, f"stocks/{SAMSUNG}.js")["book"]
    levels = market.sql(
        "SELECT side, price, volume FROM order_book_levels WHERE stock_code = ? "
        "ORDER BY side, level", SAMSUNG)  # fmt: skip
    told = [[side, *level] for side in ("ask", "bid") for level in given[side]]
    assert told == [list(row) for row in levels.iter_rows()]
    assert given["at"] == "2026-03-17 13:00"

    quoted = market.order_books(SAMSUNG)
    empty = {name: None for name in quoted.columns if re.match("(ask|bid)_", name)}
    for at, row in ((NOON, {}), (EVENING, empty)):
        rows = quoted.with_columns(
            pl.lit(at).dt.convert_time_zone("UTC").dt.cast_time_unit("us").alias("captured_at"),
            *(pl.lit(None, quoted.schema[name]).alias(name) for name in row),
        )
        lake.replace(ORDER_BOOKS, Scope.capture(DAY, at), rows.cast(dict(ORDER_BOOKS.schema)))
    built(tmp_path / "data", tmp_path / "site")
    assert content(tmp_path / "site", f"stocks/{SAMSUNG}.js")["book"]["at"] == "2026-03-17 13:00"


def test_a_day_has_its_report_with_a_link_to_each_stock_and_to_the_days_beside_it(
    site: Path,
) -> None:
    text = (site / "days" / f"{DAY}.html").read_text(encoding="utf-8")
    assert 'href="../stock.html?005930"' in text
    before = calendar.previous_trading_day(DAY)
    assert f'href="{before}.html" rel="prev"' in text
    assert f'href="days/{DAY}.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_the_calendar_has_what_the_lake_says_of_each_day(site: Path, market: Market) -> None:
    text = (site / "condition.html").read_text(encoding="utf-8")
    for row in market.condition().tail(60).iter_rows(named=True):
        titled = f'title="{row["table_name"]} {row["trading_day"]}: {row["condition"]}'
        assert text.count(titled) == 1
    assert f'title="daily_candles {GAP}: degraded, every_stock_is_accounted_for fails' in text


# In two languages


TEMPLATES = [*(ROOT / "kis_assets" / "site").rglob("*.jinja"),
             ROOT / "kis_assets" / "report" / "day.html.jinja"]  # fmt: skip


REASONS = {
    "daily_prices_are_possible fails for 3; key_is_unique fails for 1": (
        "daily_prices_are_possible 검사에 걸린 행 3개; key_is_unique 검사에 걸린 행 1개"
    ),
    "worth a look: key_is_unique fails for 12": "살펴볼 것: key_is_unique 검사에 걸린 행 12개",
    "8 rows are not final: close, high and low may be the after-market's; final when fetched at "
    "06:00 of 2026-11-30 or later": (
        "확정되지 않은 행 8개: 종가·고가·저가가 애프터마켓의 값일 수 있습니다. "
        "2026-11-30 06:00 이후에 수집하면 확정됩니다"
    ),
    "8 rows are not final: close, high and low may be the after-market's; final when fetched at "
    "06:00 of the next session or later": (
        "확정되지 않은 행 8개: 종가·고가·저가가 애프터마켓의 값일 수 있습니다. "
        "다음 거래일 06:00 이후에 수집하면 확정됩니다"
    ),
    "7 rows were stored before they were final and not fetched again since: "
    "run kis-assets repair": (
        "확정되기 전에 저장된 뒤 다시 수집하지 않은 행 7개: kis-assets repair를 실행하세요"
    ),
    "stored before trading ended at 20:00: fetch it again": (
        "20:00 거래 종료 전에 저장됨: 다시 수집해야 합니다"
    ),
    "published on the morning of the next session": "다음 거래일 아침에 공표됩니다",
    "published three sessions later": "3거래일 뒤에 공표됩니다",
    "the day is not over": "아직 끝나지 않은 날입니다",
    "was not captured; live data is not available later": (
        "수집하지 않았습니다. 실시간 데이터는 나중에 얻을 수 없습니다"
    ),
    "was not fetched in time; KIS keeps 246 sessions": (
        "제때 수집하지 않았습니다. KIS는 246거래일만 보관합니다"
    ),
    "was not fetched; it is still available": "수집하지 않았습니다. 지금도 수집할 수 있습니다",
}


@pytest.mark.parametrize(("english", "korean"), REASONS.items())
def test_a_reason_is_told_in_both_languages(english: str, korean: str) -> None:
    told = unescape(str(why(english)))
    assert told == f'<span lang="ko">{korean}</span><span lang="en">{english}</span>'


def test_every_reason_of_the_condition_has_its_korean() -> None:
    sql = (ROOT / "kis_assets" / "lake" / "sql" / "dataset_condition.sql").read_text("utf-8")
    said = re.findall(r"'((?:[^']|'')*)'", sql.rpartition("CASE condition")[2])
    texts = [text.replace("''", "'").strip() for text in said]
    assert [text for text in texts if " " in text and not any(text in it for it in REASONS)] == []
    assert sum(" " in text for text in texts) > 9


def test_the_pages_tell_why_in_both_languages(site: Path) -> None:
    text = (site / "condition.html").read_text(encoding="utf-8")
    assert "every_stock_is_accounted_for 검사에 걸린 행 1개" in text


def test_every_text_of_the_templates_has_its_korean_with_the_same_values() -> None:
    said = {
        text
        for path in TEMPLATES
        for text in re.findall(r'\bsay\("([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(said) > 80
    assert said - words.KOREAN.keys() == {"{day:%A, %-d %B %Y}"}

    def values(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    differ = {text for text, korean in words.KOREAN.items() if values(text) != values(korean)}
    assert differ == set()


def told_by_data(lake: Path) -> set[str]:
    """The texts that come to a page from the rows and from the code of the report."""
    report = day_report(Lake(lake, source="mock"), DAY, settings_of(lake.parent))
    assert report is not None
    (told,) = (
        it
        for it in ast.parse(inspect.getsource(report_page)).body
        if isinstance(it, ast.FunctionDef) and it.name == "_price_note"
    )
    sentences = {
        it.value.elts[0].value
        for it in ast.walk(told)
        if isinstance(it, ast.Return)
        and isinstance(it.value, ast.Tuple)
        and isinstance(it.value.elts[0], ast.Constant)
    }
    assert len(sentences) == 5
    return {
        *map(str, sentences),
        *(ranking.title for ranking in report.figures.rankings),
        *WHO,
        *(kind.replace("_", " ") for kind in KINDS),
        *CONDITIONS,
    }


def test_every_text_that_rows_bring_has_its_korean(small_lake: Path) -> None:
    assert told_by_data(small_lake) - words.KOREAN.keys() == set()


def test_no_korean_is_left_of_a_text_that_is_gone(small_lake: Path) -> None:
    code = [*TEMPLATES, ROOT / "kis_assets" / "site" / "pages.py"]
    code += [ROOT / "kis_assets" / "report" / name for name in ("page.py", "figures.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in code)
    left = words.KOREAN.keys() - told_by_data(small_lake)
    assert {it for it in left if f'"{it}"' not in text} == set()


@pytest.mark.parametrize(
    ("value", "korean", "english"),
    [
        (394e12, "394조", "394 tn"),
        (1.04e12, "1.0조", "1.0 tn"),
        (67_930_000_000, "679억", "67.9 bn"),
        (64_500_000, "6,450만", "64.5 m"),
        (-1_200, "-1,200", "-1,200"),
    ],
)
def test_amounts_are_counted_as_each_language_does(value: float, korean: str, english: str) -> None:
    said = str(words.won(value))
    assert re.sub("<[^>]+>", " ", said).split("  ") == [f" {korean}", f"{english} "] or (
        korean == english == said
    )


# Harmless, and alone


def test_a_name_that_is_a_script_stands_in_the_pages_as_a_name(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    built(tmp_path / "data", folder)
    assert content(folder, f"stocks/{SAMSUNG}.js")["name"] == HOSTILE
    assert content(folder, "market.js")[0][1] == HOSTILE
    for path in folder.rglob("*.js"):
        if path.parent.name == "stocks" or path.name == "market.js":
            assert not set("<>&") & set(path.read_text(encoding="utf-8"))
    (day,) = (folder / "days").glob(f"{DAY}.html")
    text = day.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "<img" not in text


def test_a_code_that_is_a_path_makes_no_file(lake: Lake, tmp_path: Path) -> None:
    rows = frame(DAILY_CANDLES, candle(DAY, *[10] * 4), candle(DAY, *[10] * 4, stock_code="../x"))
    lake.replace(DAILY_CANDLES, Scope.month(DAY), rows)
    built(tmp_path / "data", tmp_path / "site")
    assert [path.name for path in (tmp_path / "site" / "stocks").iterdir()] == [f"{SAMSUNG}.js"]
    assert not (tmp_path / "site" / "x.js").exists()


class Tags(HTMLParser):
    """The tags of a page, and what stands in its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and data.strip():
            self.inside.append(data)


def test_pages_ask_only_their_own_folder_and_run_nothing_that_stands_in_them(site: Path) -> None:
    found = pages(site)
    assert {"index.html", "stock.html", "condition.html", f"days/{DAY}.html"} <= set(found)
    for name, text in found.items():
        page = Tags(text)
        assert page.inside == [], name
        (policy,) = [
            str(it["content"])
            for tag, it in page.tags
            if tag == "meta" and it.get("http-equiv") == "Content-Security-Policy"
        ]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == "'self' file:"
        for tag, it in page.tags:
            assert not [key for key in it if key.startswith("on") or key == "style"]
            for key in ("src", "href"):
                target = it.get(key) or ""
                if target == "https://www.tradingview.com/":  # a link to follow, nothing loaded
                    assert tag == "a"
                elif target and not target.startswith(("#", "data:,")):
                    assert ":" not in target
                    assert (site / name).parent.joinpath(target.partition("?")[0]).exists(), target


@pytest.mark.parametrize("source", ["mock", "kis"])
def test_every_page_says_whether_its_market_is_invented(source: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data" / source, source=source)
    rows = [candle(day, *[close] * 4) for day, close in ((date(2026, 3, 16), 10), (DAY, 11))]
    lake.replace(DAILY_CANDLES, Scope.month(DAY), frame(DAILY_CANDLES, *rows, source=source))
    built(tmp_path / "data", tmp_path / "site", source)
    for text in pages(tmp_path / "site").values():
        for mark in ("MOCK DATA</title>", 'data-mock="MOCK"', "MOCK DATA: an invented market"):
            assert (mark in text) == (source == "mock")
        assert f"<b>{source}</b>" in text
        assert "stored until 2026-03-17 21:00 in Seoul" in text


def test_headings_of_each_page_go_down_by_one(site: Path) -> None:
    for name, text in pages(site).items():
        levels = [int(tag[1]) for tag, _ in Tags(text).tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1, name
        assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_charting_library_is_the_published_one_with_its_licence(site: Path) -> None:
    folder = site / "lightweight-charts"
    script = folder / "lightweight-charts.standalone.production.js"
    known = "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf"
    assert sha256(script.read_bytes()).hexdigest() == known, "another one: its licence too"
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert "TradingView" in (folder / "NOTICE").read_text(encoding="utf-8")
    version = re.search(r"Charts™ v([\d.]+)", script.read_text(encoding="utf-8"))
    assert version
    told = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    assert f"lightweight-charts {version[1]}" in told
    described = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "kis_assets/site/static/lightweight-charts/LICENSE" in described
    assert "TradingView Lightweight Charts™</a>, Copyright" in pages(site)["stock.html"]


# Made again


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_has_not_changed_is_not_written_again(lake: Lake, tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "site"
    first = built(data, folder)
    before = stamps(folder)
    second = built(data, folder)
    assert (first.unchanged, second.written) == (0, 0)
    assert stamps(folder) == before
    assert second.size == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    other = frame(
        DAILY_CANDLES, candle(DAY, *[5] * 4, stock_code="000660"),
        *(candle(day, *[close] * 4) for day, close in ((date(2026, 3, 16), 1_000), (DAY, 1_100))),
    )  # fmt: skip
    lake.replace(DAILY_CANDLES, Scope.month(DAY), other)
    built(data, folder)
    after = stamps(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {"market.js", "stocks/000660.js", f"days/{DAY}.html"} <= changed
    assert not {f"stocks/{SAMSUNG}.js", "stock.html", "site.css"} & changed


def test_stocks_and_days_that_are_not_stored_any_more_have_no_page(
    lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    built(tmp_path / "data", folder)
    before = set(stamps(folder))
    shutil.copy(folder / "stocks" / f"{SAMSUNG}.js", folder / "stocks" / "000660.js")
    shutil.copy(folder / "days" / f"{DAY}.html", folder / "days" / "2020-01-02.html")
    (folder / "stocks" / "notes.txt").write_text("mine")
    assert built(tmp_path / "data", folder).removed == 2
    assert set(stamps(folder)) == before | {"stocks/notes.txt"}


def test_a_folder_that_holds_something_else_is_left_alone(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no site"):
        built(tmp_path / "data", folder)
    assert [path.read_text() for path in folder.iterdir()] == ["mine"]


# The commands


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to open."""
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: asked.append(url) or True)
    return asked


@pytest.fixture
def typed(lake: Lake, monkeypatch: pytest.MonkeyPatch, narrow_terminal: None) -> Lake:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_DATA_DIR", str(lake.folder.parent))
    monkeypatch.setenv("KIS_REPLAY_AT", EVENING.isoformat())
    return lake


def test_the_site_lies_beside_the_rows_or_where_it_is_wanted(
    typed: Lake, opened: list[str], tmp_path: Path
) -> None:
    said = Said("site").out.splitlines()
    index = typed.folder / "site" / "index.html"
    assert said[0].startswith("1 stocks and 2 days in ")
    assert said[-1] == str(index)
    assert index.exists()
    assert opened == []
    elsewhere = tmp_path / "elsewhere" / "deep"
    assert Said("site", "--to", str(elsewhere), "--open").status == 0
    assert opened == [(elsewhere / "index.html").as_uri()]


def test_the_report_of_a_stored_day_is_made_and_opened(typed: Lake, opened: list[str]) -> None:
    done = Said("report", "--open")
    page = typed.folder / "reports" / f"{DAY}.html"
    assert done.out.splitlines() == [str(page)]
    assert opened == [page.as_uri()]
    assert "MOCK DATA" in page.read_text(encoding="utf-8")
    assert Said("report", "--date", "2026-03-16").out.strip().endswith("2026-03-16.html")


def test_the_site_is_made_without_dagster_and_without_pictures(typed: Lake) -> None:
    code = "import sys; from kis_assets.cli import app; app(standalone_mode=False); {}"
    done = subprocess.run(
        [sys.executable, "-c", code.format("print(*sys.modules)"), "site"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "polars" in loaded
    assert not {"dagster", "matplotlib"} & loaded


def test_without_a_browser_it_says_where_the_page_is(
    typed: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    done = Said("report", "--open")
    assert done.status == 0
    assert "note: no browser was found" in done.err


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["site"], "run: kis-assets run"),
        (["report"], "run: kis-assets run"),
        (["report", "--date", "2026-03-10"], "run: kis-assets run --date 2026-03-10"),
        (["report", "--date", "yesterday"], "'yesterday' is not a day"),
    ],
)
def test_what_is_not_stored_is_told_with_what_helps(
    typed: Lake, command: list[str], hint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "--date" not in command:
        monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "empty"))
    assert hint in Said(*command).error
