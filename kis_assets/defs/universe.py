"""Which stocks an asset asks for: the universe of a day or a month. Asks KIS for no price."""

from __future__ import annotations

from datetime import date

import dagster as dg
import polars as pl

from kis_assets.defs.resources import KISResource
from kis_assets.errors import InvalidRequest, KISError
from kis_assets.exchange import calendar, venues
from kis_assets.krx import publication
from kis_assets.lake.lake import Lake
from kis_assets.lake.universe import wanted
from kis_assets.settings import Settings
from kis_assets.tables import DAILY_CANDLES, KRX_DAILY, PRICE_SNAPSHOTS, STOCK_MASTER


def of_day(kis: KISResource, lake: Lake, trading_day: date) -> pl.DataFrame:
    """Rows of `stock_master` of the stocks to ask for on a day, ordered by code.

    They are those stored for the day; where none are, today's master files are asked.

    Raises:
        InvalidRequest: `KIS_STOCK_CODES` names a stock that was never listed.
    """
    rows = lake.scan(STOCK_MASTER, first=trading_day, last=trading_day).collect()
    if rows.is_empty():
        rows = kis.tables.stock_master(trading_day)
    return _chosen(kis, lake, rows)


def of_month(kis: KISResource, lake: Lake, first: date, last: date) -> pl.DataFrame:
    """One row of `stock_master` for each stock to ask for in a month, ordered by code.

    Stocks that were listed on any stored day of the month are in it, so that one delisted since
    keeps its candles. A month of which no day was stored has the stocks of today that were listed
    by its end, and those of which something stored says that they were: see `_gone_since`. KRX
    knows all: as the source it is asked for the month's first and its last day.
    """
    rows = lake.scan(STOCK_MASTER, first=first, last=last).collect()
    if kis.settings.source_type == "krx":
        days = publication.days(first, last, kis.now())
        rows = pl.concat([rows, *map(kis.tables.stock_master, (days[0], days[-1]))])
    if first <= kis.newest_day() <= last:
        rows = pl.concat([rows, of_today(kis, lake)])
    if rows.is_empty():
        if said := missing_master_note(kis, lake, first, last):
            dg.get_dagster_logger().warning(said)
        today = of_today(kis, lake)
        rows = pl.concat([_gone_since(lake, first, last, today), today])
    rows = rows.sort("trading_day").unique("stock_code", keep="last")
    return _chosen(kis, lake, rows).filter(
        pl.col("listed_on").is_null() | (pl.col("listed_on") <= last)
    )


def missing_master_note(kis: KISResource, lake: Lake, first: date, last: date) -> str:
    """That nobody knows which stocks were listed in a month, and who does; empty where it is known.

    It is by a stock master of the month, or KRX's own list of it.
    """
    if kis.settings.source_type == "krx" or first <= kis.newest_day() <= last:
        return ""
    for of_lake, table in ((lake, STOCK_MASTER), (_of_krx(lake), KRX_DAILY)):
        if not of_lake.scan(table, first=first, last=last).head(1).collect().is_empty():
            return ""
    session = calendar.next_trading_day(first - date.resolution)
    return (
        f"which stocks were listed in {first:%Y-%m} is not stored: those that are gone since are "
        "asked for only where something stored knows of them. KRX knows all: set KRX_API_KEY and "
        f"run kis-assets run --table krx_daily --date {session}"
    )


def _of_krx(lake: Lake) -> Lake:
    name = venues.krx_beside(lake.source)
    return Lake(lake.folder.parent / name, source=name)


def of_today(kis: KISResource, lake: Lake) -> pl.DataFrame:
    """Rows of `stock_master` of the newest day, of all that is listed: as stored, else as asked."""
    latest = kis.newest_day()
    stored = lake.scan(STOCK_MASTER, first=latest, last=latest).collect()
    return kis.tables.stock_master(latest) if stored.is_empty() else stored


def _gone_since(lake: Lake, first: date, last: date, today: pl.DataFrame) -> pl.DataFrame:
    """Rows of stocks that were listed in a span and are not today, as far as what is stored tells.

    Stock masters of later days tell, KRX's own list of the span, which is the only one to have all
    of them, and candles of the span. The history calls of KIS answer for delisted codes.
    """
    is_gone = ~pl.col("stock_code").is_in(today["stock_code"].implode())
    later = lake.scan(STOCK_MASTER, first=last).filter(pl.col("listed_on") <= last)
    names = ("trading_day", "stock_code", "stock_name", "market")
    listed = _of_krx(lake).scan(KRX_DAILY, first=first, last=last).select(names)
    traded = lake.scan(DAILY_CANDLES, first=first, last=last).select("trading_day", "stock_code")
    # The latest day alone is kept of each: years of masters would not fit into memory.
    found = [
        rows.filter(is_gone)
        .sort("trading_day")
        .unique("stock_code", keep="last")
        .collect(engine="streaming")
        for rows in (listed, traded, later)
    ]
    # A list of KRX has shares alone; a code that ends in 0 is a common one.
    is_common = pl.col("stock_code").str.ends_with("0")
    named = pl.concat(found[:2], how="diagonal").with_columns(
        security_type=pl.when(is_common).then(pl.lit("common")).otherwise(pl.lit("preferred")),
        security_group=pl.lit("ST"),
    )
    rows = pl.concat([STOCK_MASTER.empty(), named, found[2]], how="diagonal_relaxed")
    gone = rows.select(STOCK_MASTER.schema.names())
    return gone.sort("trading_day").unique("stock_code", keep="last")


def of_span(kis: KISResource, lake: Lake, first: date, last: date) -> pl.DataFrame:
    """One row of `stock_master` for each stock that `of_month` has in any month of a span."""
    today = of_today(kis, lake)
    stored = lake.scan(STOCK_MASTER, first=first, last=last).unique("stock_code", keep="any")
    gone = _gone_since(lake, first, last, today)
    rows = pl.concat([today, stored.collect(engine="streaming"), gone])
    rows = rows.unique("stock_code", keep="first", maintain_order=True)
    return _chosen(kis, lake, rows).filter(
        pl.col("listed_on").is_null() | (pl.col("listed_on") <= last)
    )


def most_traded(lake: Lake, count: int, day: date | None = None) -> list[str]:
    """The codes of the stocks with the highest trading value, the highest first.

    They are those of the newest capture that is stored, or of the last one of `day`: KIS's own
    ranking ends with the 30th.

    Raises:
        InvalidRequest: nothing was captured yet, or not on that day.
    """
    days = (
        [day]
        if day is not None
        else [
            date.fromisoformat(unit.partition("=")[2])
            for unit in reversed(lake.units(PRICE_SNAPSHOTS))
        ]
    )
    for captured in days:
        rows = lake.scan(PRICE_SNAPSHOTS, first=captured, last=captured).collect()
        if not rows.is_empty():
            latest = rows.sort("captured_at").unique("stock_code", keep="last")
            ranked = latest.sort(["trading_value", "stock_code"], descending=[True, False])
            return ranked["stock_code"].head(count).to_list()
    when = f"on {day}" if day is not None else "yet"
    raise InvalidRequest(
        f"no price was captured {when}, so there is no saying which stocks are traded most; "
        "run: kis-assets run --table price_snapshots"
    )


def _chosen(kis: KISResource, lake: Lake, rows: pl.DataFrame) -> pl.DataFrame:
    codes = kis.settings.kis_stock_codes
    if codes is None:
        chosen = rows.filter(wanted(kis.settings, lake, rows))
    else:
        chosen = rows.filter(pl.col("stock_code").is_in(codes))
        others = set(codes) - set(chosen["stock_code"])
        others -= set(_ever_stored(lake, others)["stock_code"])
        if unknown := sorted(code for code in others if not _is_known(kis, code)):
            raise InvalidRequest(
                f"KIS_STOCK_CODES names {', '.join(unknown[:5])}, never listed on KOSPI, KOSDAQ or "
                "KONEX; correct the code or take it out"
            )
        if gone := sorted(set(codes) - set(chosen["stock_code"])):
            dg.get_dagster_logger().warning(
                f"KIS_STOCK_CODES names {', '.join(gone)}, not listed on these days (delisted, as "
                "a rule): nothing is asked for them"
            )
        if chosen.is_empty():
            raise InvalidRequest("KIS_STOCK_CODES names no stock that is listed on these days")
    return chosen.sort("stock_code")


def delisted(settings: Settings, lake: Lake, stocks: pl.DataFrame) -> list[str]:
    """The codes of `KIS_STOCK_CODES` not among `stocks` that the newest stored master lacks."""
    codes = settings.kis_stock_codes
    if codes is None:
        return []
    newest = lake.scan(STOCK_MASTER).select(pl.col("trading_day").max()).collect().item()
    if newest is None:
        return []
    rows = lake.scan(STOCK_MASTER, first=newest, last=newest).select("stock_code").collect()
    return sorted(set(codes) - set(rows["stock_code"]) - set(stocks["stock_code"]))


def _ever_stored(lake: Lake, codes: set[str]) -> pl.DataFrame:
    if not codes:
        return pl.DataFrame(schema={"stock_code": pl.String})
    code = pl.col("stock_code")
    found = [
        lake.scan(table).filter(code.is_in(sorted(codes))).select(code.unique())
        for table in (STOCK_MASTER, DAILY_CANDLES)
    ]
    return pl.concat(found).unique().collect(engine="streaming")


def _is_known(kis: KISResource, code: str) -> bool:
    """Whether the source tells of a stock that its list of today lacks; yes when it cannot say."""
    try:
        kis.source.get_stock_info(code)
    except InvalidRequest:
        return False
    except KISError:
        return True
    return True
