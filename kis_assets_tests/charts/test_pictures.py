"""The pictures: that they are PNGs people can read, and that an asset's page shows them."""

from __future__ import annotations

import base64
import io
import re
from datetime import UTC, date, timedelta
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import polars as pl
import pytest
from matplotlib.axes import Axes
from PIL import Image

from kis_assets.charts import canvas, of_tables
from kis_assets.charts.market import (
    CONDITIONS,
    MINUTES,
    condition_calendar,
    market_breadth,
    minute_coverage,
)
from kis_assets.charts.stock import candlestick, order_book_depth
from kis_assets.defs import asset_metadata
from kis_assets.lake.lake import Lake, Scope
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import (
    DAILY_CANDLES,
    LEVELS,
    MINUTE_CANDLES,
    ORDER_BOOK_TICKS,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_MASTER,
    TABLES,
    TRADES,
    Table,
)
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.in_process import in_memory, materialize, metadata, point_at, rows
from kis_assets_tests.support.small_rows import candle, frame

MOST_BYTES = 60_000
DAY = date(2026, 3, 17)


@pytest.fixture
def undrawn() -> None:
    """Here they are drawn."""


def picture(png: bytes) -> Image.Image:
    assert len(png) <= MOST_BYTES
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "P")
    return image


def has(image: Image.Image, colour: str, at_least: int = 50) -> bool:
    """Whether so many pixels have about that colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    palette = image.getpalette() or []
    near = (
        count
        for count, index in image.getcolors() or ()
        if all(abs(a - b) <= 12 for a, b in zip(palette[3 * index :], wanted, strict=False))  # type: ignore[operator]
    )
    return sum(near) >= at_least


def candles(closes: list[int], volume: int = 1_000) -> pl.DataFrame:
    """Daily candles of one stock that open where they closed the day before."""
    opens = [closes[0], *closes[:-1]]
    traded = volume > 0
    return pl.DataFrame(
        {
            "trading_day": [DAY - timedelta(days=len(closes) - n) for n in range(len(closes))],
            "stock_code": "005930",
            "open": [o if traded else 0 for o in opens],
            "high": [max(p) + 10 if traded else 0 for p in zip(opens, closes, strict=True)],
            "low": [min(p) - 10 if traded else 0 for p in zip(opens, closes, strict=True)],
            "close": closes,
            "volume": volume,
            "change": [c - o for o, c in zip(opens, closes, strict=True)],
            "base_price": opens,
            "source": "kis",
        }
    )


def test_a_rising_stock_is_red_and_a_falling_one_blue() -> None:
    rising = picture(candlestick(candles([1_000 + 20 * n for n in range(60)]), "삼성전자"))
    assert has(rising, canvas.UP)
    assert not has(rising, canvas.DOWN)
    falling = picture(candlestick(candles([3_000 - 20 * n for n in range(60)])))
    assert has(falling, canvas.DOWN)
    assert not has(falling, canvas.UP)


def test_a_stock_that_never_traded_is_drawn_at_the_price_it_carries() -> None:
    halted = picture(candlestick(candles([5_000] * 10, volume=0)))
    assert not has(halted, canvas.UP)
    assert not has(halted, canvas.DOWN)


def test_off_hours_trades_alone_draw_no_line_down_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such a day has a volume, and 0 as its open, high and low."""
    lowest: list[int] = []
    monkeypatch.setattr(Axes, "vlines", lambda _axes, _at, lows, *_, **__: lowest.extend(lows))
    candlestick(candles([5_000] * 10, volume=0).with_columns(volume=7))
    assert min(lowest) == 5_000


def test_no_rows_make_a_picture_that_says_so() -> None:
    empty = {
        candlestick: DAILY_CANDLES,
        order_book_depth: ORDER_BOOKS,
        market_breadth: PRICE_SNAPSHOTS,
    }
    for draw, table in empty.items():
        assert picture(draw(table.empty())).height < 300  # type: ignore[operator]
    assert picture(minute_coverage(MINUTE_CANDLES.empty().lazy())).height < 300
    none = pl.DataFrame(
        schema={
            "table_name": pl.String,
            "trading_day": pl.Date,
            "condition": pl.String,
            "reason": pl.String,
        }
    )
    assert picture(condition_calendar(none)).height < 300


def test_the_font_has_every_hangul_syllable_and_every_sign_of_the_pictures() -> None:
    signs = "".join(chr(letter) for letter in range(0xAC00, 0xD7A4))
    for source in ("canvas", "market", "stock"):
        signs += Path(canvas.__file__).with_name(f"{source}.py").read_text(encoding="utf-8")
    assert [sign for sign in set(signs) - {"\n"} if not canvas.legible(sign, "")] == []


def test_a_name_that_the_font_cannot_write_gives_way_to_the_code() -> None:
    assert canvas.legible("에코프로비엠", "247540") == "에코프로비엠"
    assert canvas.legible("\U00020000", "247540") == "247540"
    assert canvas.legible("", "247540") == "247540"


def test_without_a_korean_font_there_are_codes_and_no_boxes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(canvas.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    without = canvas.font_file.__wrapped__()
    assert without.name == "DejaVuSans.ttf"
    monkeypatch.setattr(canvas, "font_file", lambda: without)
    assert canvas.legible("삼성전자", "005930") == "005930"


def test_a_condition_is_shown_in_its_own_colour() -> None:
    frame = pl.DataFrame(
        {
            "table_name": list(TABLES)[:4],
            "trading_day": DAY,
            "condition": list(CONDITIONS),
            "reason": None,
        }
    )
    for condition, colour in CONDITIONS.items():
        assert has(picture(condition_calendar(frame)), colour, 700), condition
        others = picture(condition_calendar(frame.filter(pl.col("condition") != condition)))
        assert not has(others, colour, 700), condition


def test_an_invented_market_is_called_one_in_the_picture() -> None:
    real = candles([1_000 + 20 * n for n in range(30)])
    mock = real.with_columns(source=pl.lit("mock"))
    corner = (660, 0, 946, 44)
    assert not has(picture(candlestick(real)).crop(corner), canvas.UP, 1)
    assert has(picture(candlestick(mock)).crop(corner), canvas.UP, 10)


def test_a_book_shows_both_sides_or_the_one_there_is() -> None:
    levels = {
        f"{side}_{what}_{level}": [price if what == "price" else 100 * level]
        for side, step in (("ask", 10), ("bid", -10))
        for level in range(1, LEVELS + 1)
        for what, price in (("price", 1_005 + step * level), ("volume", 0))
    }
    book = pl.DataFrame(
        {
            "stock_code": "005930",
            "captured_at": EVENING,
            "booked_at": EVENING,
            "total_ask_volume": 9_000,
            "total_bid_volume": 7_000,
            **levels,
        }
    )
    both = picture(order_book_depth(book, "삼성전자"))
    assert has(both, canvas.UP)
    assert has(both, canvas.DOWN)
    at_limit = picture(order_book_depth(book.with_columns(no_levels("ask"))))
    assert has(at_limit, canvas.UP)
    assert not has(at_limit, canvas.DOWN)
    halted = picture(order_book_depth(book.with_columns(no_levels("ask"), no_levels("bid"))))
    assert halted.height < 300


def no_levels(side: str) -> pl.Expr:
    there = pl.col(f"^{side}_.*$")
    return pl.when(there.is_null()).then(there)


def test_minutes_are_drawn_at_their_time_in_seoul_however_few() -> None:
    opens = EVENING.replace(hour=9, minute=0)
    minutes = pl.DataFrame(
        {
            "started_at": [opens + timedelta(minutes=n) for n in range(0, 390, 30)],
            "trading_day": DAY,
            "stock_code": "005930",
            "trading_value": 1_000_000_000,
            "source": "kis",
        }
    )
    whole = picture(minute_coverage(minutes.lazy()))
    assert has(whole, "#4f7f9f")
    assert has(whole, "#c58a3d")
    assert picture(minute_coverage(minutes.head(1).lazy())).height == whole.height


def recorded(table: Table, count: int) -> pl.DataFrame:
    """A stock's records through a day, a minute apart: its price swings, and both sides trade."""
    opens = EVENING.replace(hour=9, minute=0).astimezone(UTC)
    rows = [
        {"trading_day": DAY, "stock_code": "005930", "sequence": number + 1,
         "price": 70_000 + 100 * (number % 13), "quantity": 10 + number,
         "side": ("buy", "sell")[number % 2], "traded_at": opens + timedelta(minutes=number),
         "volume": number, "trading_value": number, "change": 0, "is_halted": False,
         "booked_at": opens + timedelta(minutes=number), "bid_price_1": 70_000 + number,
         "ask_price_1": 70_100 + number, "total_bid_volume": 900, "total_ask_volume": 700}
        for number in range(count)
    ]  # fmt: skip
    given = [{name: it[name] for name in it if name in table.schema} for it in rows]
    return frame(table, *given, source="kis")


@pytest.mark.parametrize("count", [1, 380])
@pytest.mark.parametrize("table", [TRADES, ORDER_BOOK_TICKS], ids=lambda it: it.name)
def test_recorded_ticks_have_a_picture_of_both_sides(
    tmp_path: Path, table: Table, count: int
) -> None:
    lake = Lake(tmp_path / "kis", source="kis")
    other = recorded(table, 1).with_columns(stock_code=pl.lit("000660"))
    lake.replace(table, Scope.day(DAY), pl.concat([other, recorded(table, count + 1)]))
    drawn = of_tables.picture(table, table.empty(), None, lake, DAY, DAY)
    assert drawn
    shown = picture(drawn.png)
    assert shown.height > 300
    assert has(shown, canvas.UP, 10)
    assert has(shown, canvas.DOWN, 10)


def test_nothing_recorded_is_told(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "mock", source="mock")
    for table in (TRADES, ORDER_BOOK_TICKS):
        drawn = of_tables.picture(table, table.empty(), None, lake, DAY, DAY)
        assert drawn
        assert picture(drawn.png).height < 300
        assert drawn.glance == ""


DRAWN = [table for table in TABLES.values() if table.chart]


@pytest.mark.parametrize("table", DRAWN, ids=lambda it: it.name)
def test_a_picture_at_a_glance_needs_no_click_and_no_paper(small_lake: Path, table: Table) -> None:
    """Dagster shows Markdown of less than 1,000 characters at once."""
    lake = Lake(small_lake, source="mock")
    stocks = lake.scan(STOCK_MASTER).collect()
    rows = lake.scan(table, first=DAY, last=DAY).collect()
    drawn = of_tables.picture(table, rows, stocks, lake, DAY, DAY)
    assert drawn
    assert len(drawn.glance) < 1_000
    found = re.fullmatch(r"!\[[^\]]+\]\(data:image/svg\+xml,([^()\s]+)\)", drawn.glance)
    assert found
    drawing = ElementTree.fromstring(unquote(found[1]))
    assert {it.tag.rpartition("}")[2] for it in drawing.iter()} == {"svg", "path"}
    assert {it.get("stroke") for it in drawing.iter() if it.get("d")} <= {
        *(canvas.UP, canvas.DOWN, canvas.FLAT, MINUTES),
    }


def contrast(colour: str, paper: str) -> float:
    """By WCAG."""

    def light(colour: str) -> float:
        parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in parts]
        return sum(it * part for it, part in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))

    lights = sorted((light(colour), light(paper)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("paper", ["#ffffff", "#13161b"])
@pytest.mark.parametrize("colour", ["INK", "MUTED", "UP", "DOWN"])
def test_pictures_have_no_paper_and_tones_for_a_light_page_and_a_dark_one(
    colour: str, paper: str
) -> None:
    drawn = Image.open(io.BytesIO(candlestick(candles([1_000 + n for n in range(9)]))))
    assert drawn.convert("RGBA").getpixel((1, 200)) == (0, 0, 0, 0) or (
        drawn.convert("RGBA").getchannel("A").getpixel((1, 200)) == 0
    )
    # 4.5 would be text of any size; no tone has that on both.
    assert contrast(getattr(canvas, colour), paper) >= 3.9


def test_the_page_of_a_run_shows_its_rows_and_a_picture(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch, KIS_STOCK_CODES="005930,247540")
    day, month = DAY.isoformat(), f"{DAY:%Y-%m-01}"
    for table, partition in (
        ("price_snapshots", day),
        ("daily_candles", month),
    ):
        shown = metadata(materialize(table, partition))
        assert [*shown][:2] == ["at a glance", "picture"]
        assert len(shown["at a glance"]) < 1_000
        (encoded,) = re.findall(r"^!\[.*\]\(data:image/png;base64,(.*)\)$", shown["picture"])
        assert picture(base64.b64decode(encoded)).height > 300, table
        head, line, *body = shown["preview"].splitlines()
        assert "stock_code" in head
        assert "---:" in line
        assert 0 < len(body) <= asset_metadata.FIRST
        assert "005930" in shown["preview"]


def test_candles_are_drawn_with_the_sessions_of_the_months_before(tmp_path: Path) -> None:
    lake, february, march = Lake(tmp_path, source="mock"), date(2026, 2, 27), date(2026, 3, 3)
    before = frame(DAILY_CANDLES, candle(february, 1, 1, 1, 1))
    lake.replace(DAILY_CANDLES, Scope.month(february), before)
    # Those of the month are not looked for in the lake.
    rows = frame(DAILY_CANDLES, candle(march, 2, 2, 2, 2))
    drawn = of_tables._sessions(lake, rows, rows["stock_code"][0])
    assert drawn.select("trading_day", "close").rows() == [(february, 1), (march, 2)]


def test_a_picture_that_cannot_be_drawn_costs_a_line_in_the_log_and_not_the_run(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("no more ink")

    point_at(simulator, monkeypatch)
    monkeypatch.setattr(of_tables, "picture", broken)
    result = materialize("price_snapshots", EVENING.date().isoformat())
    assert result.success
    assert rows(PRICE_SNAPSHOTS).height == 8
    assert "picture" not in metadata(result)
    told = [entry.user_message for entry in in_memory().all_logs(result.run_id)]
    assert any("no more ink" in line for line in told)
