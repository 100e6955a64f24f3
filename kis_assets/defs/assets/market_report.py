"""The evening report: one page about a day, for people."""

import base64
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs.asset_metadata import SHOWN, markdown
from kis_assets.defs.assets.candles import daily_candles, minute_candles
from kis_assets.defs.assets.captures import order_books, price_snapshots
from kis_assets.defs.assets.corporate_actions import corporate_actions
from kis_assets.defs.assets.reference import stock_master
from kis_assets.defs.materialization import OWNERS
from kis_assets.defs.partitions import TRADING_DAYS
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.exchange.calendar import SEOUL
from kis_assets.lake.lake import Lake
from kis_assets.report.daily_report import WINDOW, Evening, look_back
from kis_assets.security.ownership import put


@dg.asset(
    partitions_def=TRADING_DAYS,
    deps=[
        stock_master,
        price_snapshots,
        order_books,
        daily_candles,
        minute_candles,
        corporate_actions,
    ],
    group_name="reports",
    owners=OWNERS,
    kinds={"python", "html"},
    description=(
        "A page about a trading day: breadth, movers, turnover, new highs and lows, corporate "
        "actions, and what is missing. Made of what is stored; nothing is asked of KIS. It lies in "
        "data/<source>/reports and needs nothing but a browser."
    ),
)
def market_report(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """The page of a day, made anew from what is stored now."""
    with plain_failures():
        day = date.fromisoformat(context.partition_key)
        evening = look_back(lake.lake, day, kis.settings)
        if evening is None:
            raise InvalidRequest(
                f"neither prices nor daily candles of {day} are stored, so there is nothing to "
                "report; materialize price_snapshots or daily_candles first"
            )
        pictures = drawn(evening, context.log.warning)
        html = page(evening, lake.lake.source, pictures)
        path = store(lake.lake, day, html)
        metadata: dict[str, Any] = {}
        if lake.lake.source.startswith("mock"):
            metadata["MOCK DATA"] = "an invented market; nothing in it is real"
        metadata |= {
            "source": lake.lake.source,
            "path": dg.MetadataValue.path(str(path)),
            "preview": markdown(
                evening.leaders.select(
                    "stock_code", "stock_name", "price", "change_rate", "trading_value"
                )
            ),
            "condition of the data": dg.MetadataValue.md(
                f"![which table has which day]({pictures['condition']})"
            ),
            "not available": markdown(
                evening.condition.filter(pl.col("condition") != "available")
                .sort("trading_day", descending=True, maintain_order=True)
                .head(SHOWN)
            ),
            "stocks": evening.quotes.height,
            "without_price": evening.without_price.height,
            "bytes": len(html.encode()),
        }
        return dg.MaterializeResult(metadata=metadata)


def drawn(evening: Evening, warn: Callable[[str], None]) -> dict[str, str]:
    """The pictures as `data:` addresses, by name; empty text for one that cannot be drawn."""
    from kis_assets.charts import market, stock

    def address(draw: Callable[[], bytes]) -> str:
        try:
            return f"data:image/png;base64,{base64.b64encode(draw()).decode()}"
        except Exception as error:
            warn(f"the report lacks a picture: {error!r}")
            return ""

    return {
        "breadth": address(lambda: market.market_breadth(evening.quotes)),
        "candles": address(lambda: stock.candlestick(evening.candles, _leader(evening))),
        "condition": address(lambda: market.condition_calendar(evening.condition)),
    }


def _leader(evening: Evening) -> str:
    return evening.leaders["stock_name"][0] if evening.leaders.height else ""


def page(evening: Evening, source: str, pictures: Mapping[str, str]) -> str:
    """The page as HTML that needs no other file, with the pictures that could be `drawn`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from kis_assets.charts import canvas

    leader = _leader(evening)
    amiss = evening.condition.filter(
        (pl.col("trading_day") == evening.day) & (pl.col("condition") != "available")
    )
    # Everything put into the page is escaped: a stock may be called anything.
    environment = Environment(
        loader=PackageLoader("kis_assets.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = canvas.short
    up = int((evening.quotes["change_rate"] > 0).sum())
    down = int((evening.quotes["change_rate"] < 0).sum())
    return environment.get_template("page.html.jinja").render(
        evening=evening,
        window=WINDOW,
        source=source,
        is_mock=source.startswith("mock"),
        headline=f"{up:,} stocks rose, {down:,} fell"
        + (f"; {leader} was traded most" if leader else ""),
        told_by=told_by(evening),
        pictures=pictures,
        amiss=amiss.to_dicts(),
    )


def told_by(evening: Evening) -> str:
    """What the prices of the page are, and of when."""
    captured: Any = evening.quotes["captured_at"].max()
    at = f"{captured.astimezone(SEOUL):%Y-%m-%d %H:%M} in Seoul"
    without = evening.quotes.filter(~pl.col("is_official")).height
    if not evening.from_captures:
        if without:
            return f"from daily candles, not final for {without:,} stocks: see the next morning's"
        return "from final daily candles"
    if not without:
        return f"official closes, and what was traded until the capture of {at}"
    if without == evening.quotes.height:
        return f"prices captured {at}, not the official closes"
    return f"official closes, but for {without:,} stocks prices captured {at}"


def store(lake: Lake, day: date, html: str) -> Path:
    """Put the page where it belongs: whoever reads it sees the old one or the new one, whole."""
    folder = lake.folder / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.html"
    put(path, html.encode())
    return path
