"""The universe: which stocks an asset fetches for a day or a month. Requests no prices."""

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
    """Rows of `stock_master` of the stocks to fetch for a day, ordered by code.

    They are the stored rows of the day. If there are none, today's master files are fetched.

    Raises:
        InvalidRequest: `KIS_STOCK_CODES` names a stock that was never listed.
    """
    rows = lake.scan(STOCK_MASTER, first=trading_day, last=trading_day).collect()
    if rows.is_empty():
        rows = kis.tables.stock_master(trading_day)
    return _chosen(kis, lake, rows)


def of_month(kis: KISResource, lake: Lake, first: date, last: date) -> pl.DataFrame:
    """One row of `stock_master` for each stock to fetch for a month, ordered by code.

    It contains the stocks that were listed on any stored day of the month, so that a stock that was
    delisted since keeps its candles. If no day of the month is stored, it contains today's stocks
    that were listed by its end. Delisted stocks that other stored rows mention are added: see
    `_gone_since`. With KRX as the source, KRX's lists of the first and the last day are used.
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
    """A warning that the list of stocks of a month is not stored, and how to get it; else empty.

    The list is known from a stored stock master of the month or from KRX's list.
    """
    if kis.settings.source_type == "krx" or first <= kis.newest_day() <= last:
        return ""
    for of_lake, table in ((lake, STOCK_MASTER), (_of_krx(lake), KRX_DAILY)):
        if not of_lake.scan(table, first=first, last=last).head(1).collect().is_empty():
            return ""
    session = calendar.next_trading_day(first - date.resolution)
    return (
        f"the list of stocks of {first:%Y-%m} is not stored: stocks that were delisted since are "
        "fetched only if other stored rows mention them. KRX has the list: set KRX_API_KEY and "
        f"run kis-assets run --table krx_daily --date {session}"
    )


def _of_krx(lake: Lake) -> Lake:
    name = venues.krx_beside(lake.source)
    return Lake(lake.folder.parent / name, source=name)


def of_today(kis: KISResource, lake: Lake) -> pl.DataFrame:
    """Rows of `stock_master` of all issues of the newest day: stored rows, or else fetched ones."""
    latest = kis.newest_day()
    stored = lake.scan(STOCK_MASTER, first=latest, last=latest).collect()
    return kis.tables.stock_master(latest) if stored.is_empty() else stored


def _gone_since(lake: Lake, first: date, last: date, today: pl.DataFrame) -> pl.DataFrame:
    """Rows of stocks that were listed in a span but are not today, as far as stored rows show.

    They are found in stock masters of later days, in candles of the span, and in KRX's list of the
    span, which is the only complete one. KIS's history services answer for delisted codes.
    """
    is_gone = ~pl.col("stock_code").is_in(today["stock_code"].implode())
    later = lake.scan(STOCK_MASTER, first=last).filter(pl.col("listed_on") <= last)
    names = ("trading_day", "stock_code", "stock_name", "market")
    listed = _of_krx(lake).scan(KRX_DAILY, first=first, last=last).select(names)
    traded = lake.scan(DAILY_CANDLES, first=first, last=last).select("trading_day", "stock_code")
    # Only the latest day of each stock is kept: years of masters would not fit into memory.
    found = [
        rows.filter(is_gone)
        .sort("trading_day")
        .unique("stock_code", keep="last")
        .collect(engine="streaming")
        for rows in (listed, traded, later)
    ]
    # KRX's list has only shares; a code that ends in 0 is a common share.
    is_common = pl.col("stock_code").str.ends_with("0")
    named = pl.concat(found[:2], how="diagonal").with_columns(
        security_type=pl.when(is_common).then(pl.lit("common")).otherwise(pl.lit("preferred")),
        security_group=pl.lit("ST"),
    )
    rows = pl.concat([STOCK_MASTER.empty(), named, found[2]], how="diagonal_relaxed")
    gone = rows.select(STOCK_MASTER.schema.names())
    return gone.sort("trading_day").unique("stock_code", keep="last")


def of_span(kis: KISResource, lake: Lake, first: date, last: date) -> pl.DataFrame:
    """One row of `stock_master` for each stock that `of_month` returns for any month of a span."""
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

    They come from the newest stored capture, or from the last one of `day`: KIS's own ranking has
    only 30 stocks.

    Raises:
        InvalidRequest: there is no capture yet, or none of that day.
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
        f"no price was captured {when}, so the most traded stocks are not known; "
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
                "KONEX; correct or remove the code"
            )
        if gone := sorted(set(codes) - set(chosen["stock_code"])):
            dg.get_dagster_logger().warning(
                f"KIS_STOCK_CODES names {', '.join(gone)}, not listed on these days (usually "
                "delisted): they are not fetched"
            )
        if chosen.is_empty():
            raise InvalidRequest("KIS_STOCK_CODES names no stock that is listed on these days")
    return chosen.sort("stock_code")


def delisted(settings: Settings, lake: Lake, stocks: pl.DataFrame) -> list[str]:
    """The codes of `KIS_STOCK_CODES` that are not in `stocks` or in the newest stored master."""
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
    """Whether the source knows a stock that is not in its list of today; True if it cannot say."""
    try:
        kis.source.get_stock_info(code)
    except InvalidRequest:
        return False
    except KISError:
        return True
    return True
