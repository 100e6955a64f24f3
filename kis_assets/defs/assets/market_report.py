"""The report of a day as one page."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs.asset_metadata import SHOWN, markdown
from kis_assets.defs.materialization import OWNERS
from kis_assets.defs.partitions import TRADING_DAYS, upstream
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.exchange.venues import is_invented
from kis_assets.report.daily_report import day_report
from kis_assets.report.page import drawn, page, store


@dg.asset(
    partitions_def=TRADING_DAYS,
    deps=[
        upstream(table)
        for table in (
            "stock_master",
            "price_snapshots",
            "order_books",
            "daily_candles",
            "minute_candles",
            "corporate_actions",
            "index_candles",
            "market_flows",
            "investor_flows",
            "program_trades",
            "short_sales",
        )
    ],
    group_name="reports",
    owners=OWNERS,
    kinds={"python", "html"},
    description=(
        "A page about a trading day: indices, investor flows, breadth, movers, turnover, short "
        "sales, new highs and lows, corporate actions, and missing data. It is made from stored "
        "rows without any request. It is stored in data/<source>/reports and needs only a browser."
    ),
)
def market_report(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Make the page of a day again from the rows that are stored now."""
    with plain_failures():
        day = date.fromisoformat(context.partition_key)
        report = day_report(lake.lake, day, kis.settings)
        if report is None:
            raise InvalidRequest(
                f"neither prices nor daily candles of {day} are stored, so there is nothing to "
                "report; run: kis-assets run"
            )
        pictures = drawn(report, context.log.warning)
        html = page(report, lake.lake.source, pictures)
        path = store(lake.lake, day, html)
        metadata: dict[str, Any] = {}
        if is_invented(lake.lake.source):
            metadata["MOCK DATA"] = "an invented market; nothing in it is real"
        metadata |= {
            "source": lake.lake.source,
            "page": dg.MetadataValue.path(str(path)),
            "preview": markdown(
                report.leaders.select(
                    "stock_code", "stock_name", "price", "change_rate", "trading_value"
                )
            ),
            "condition of the data": dg.MetadataValue.md(
                f"![which table has which day]({pictures['condition']})"
            ),
            "not available": markdown(
                report.condition.filter(pl.col("condition") != "available")
                .sort("trading_day", descending=True, maintain_order=True)
                .head(SHOWN)
            ),
            "stocks": report.quotes.height,
            "without_price": report.without_price.height,
            "bytes": len(html.encode()),
        }
        return dg.MaterializeResult(metadata=metadata)
