"""What the page of each stock shows, and the list of all: rows of the lake as small scripts.

Prices and days are written as differences from the one before, which halves the files. A day is a
number of days since 1970, prices are whole KRW, flows millions of KRW.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.exchange.calendar import SEOUL
from kis_assets.exchange.stocks import is_stock_code
from kis_assets.market import Market

SESSIONS = 500
"""Newest sessions of daily candles that a page has: about two years."""
FLOWS = 120
"""The same of flows."""
_FACTS = ("market_cap", "week52_high", "week52_low", "per", "pbr", "dividend_yield", "foreign_rate")
_QUOTE = ("price", "change", "rate", "open", "high", "low", "volume", "trading_value")
_CODE = pl.col("stock_code")
_WHO = ("individual", "foreign", "institution")


def all_stocks(market: Market) -> pl.DataFrame:
    """Every stock with a price or a candle: its names, what is known of it, and its newest price.

    Where it was never captured, the price is that of its newest candle.
    """
    candles = market.sql(
        "SELECT stock_code, trading_day, open, high, low, close AS price, change, base_price, "  # noqa: S608
        f"volume, trading_value FROM daily_candles WHERE {_since(market, SESSIONS)} "
        "QUALIFY row_number() OVER (PARTITION BY stock_code ORDER BY trading_day DESC) = 1"
    )
    captured = market.sql(
        "SELECT stock_code, stock_name AS captured_name, trading_day, captured_at, open, high, "
        "low, price, change, base_price, volume, trading_value FROM prices"
    )
    # Of a stock that has both, the newer one: a capture of a day goes before its candle.
    newest = (
        pl.concat([captured, candles], how="diagonal_relaxed")
        .sort("trading_day", "captured_at", descending=True, nulls_last=True)
        .unique("stock_code", keep="first", maintain_order=True)
    )
    known = market.sql(
        "SELECT stock_code, stock_name, english_name, market, sector, listed_on, is_halted, "
        "is_administrative FROM stocks"
    )
    facts = market.sql(f"SELECT stock_code, {', '.join(_FACTS)} FROM facts")  # noqa: S608
    return (
        newest.join(known, on="stock_code", how="left")
        .join(facts, on="stock_code", how="left")
        .with_columns(
            stock_name=pl.coalesce("stock_name", "captured_name", "stock_code"),
            rate=pl.when(pl.col("base_price") > 0).then(
                (100 * pl.col("change") / pl.col("base_price")).round(2)
            ),
        )
        # A code is the name of a file: whatever else a server gave has no page.
        .filter(_CODE.map_elements(is_stock_code, pl.Boolean))
        .sort("trading_value", "stock_code", descending=[True, False], nulls_last=True)
    )


def market_script(stocks: pl.DataFrame) -> bytes:
    """The list of all stocks, of which the first page makes its table."""
    columns = (
        *("stock_code", "stock_name", "english_name", "market"),
        *("price", "rate", "trading_value", "market_cap"),
    )
    return script("site.market", [list(row) for row in stocks.select(columns).iter_rows()])


def stock_scripts(market: Market, stocks: pl.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Code and script of each stock."""
    parts: dict[str, dict[str, Any]] = {
        "candles": _candles(market),
        "adjusted": _adjusted(market),
        "minutes": _minutes(market),
        "flows": _flows(market),
        "book": _books(market),
        "actions": _actions(market),
    }
    known_since = _actions_known_since(market)
    for row in stocks.iter_rows(named=True):
        code = row["stock_code"]
        found = {name: part.get(code) for name, part in parts.items()}
        candles: dict[str, Any] = found["candles"] or {}
        first = candles.pop("first", None)
        at: datetime | None = row["captured_at"]
        yield (
            code,
            script(
                "site.stock",
                {
                    "code": code,
                    "name": row["stock_name"],
                    "english": row["english_name"],
                    "market": row["market"],
                    "sector": row["sector"],
                    "listed_on": row["listed_on"],
                    "halted": bool(row["is_halted"]),
                    "administrative": bool(row["is_administrative"]),
                    "priced_at": _moment(at) if at else row["trading_day"],
                    **{name: row[name] for name in (*_QUOTE, *_FACTS)},
                    "provisional": not candles.pop("is_final", True),
                    "actions_known": known_since is not None
                    and first is not None
                    and first >= known_since
                    and not candles["gaps"],
                    **found,
                },
            ),
        )


def script(call: str, content: Any) -> bytes:
    """A script that gives its content to a function; no text in it is a tag, wherever it stands."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=_written)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"{call}({text});\n".encode()


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} has no place in a page")


def _moment(at: datetime) -> str:
    return f"{at.astimezone(SEOUL):%Y-%m-%d %H:%M}"


def _steps(column: str) -> pl.Expr:
    """What a stock's values differ by from the one before; the first stands as it is."""
    values = pl.col(column)
    return values - values.shift(1).over("stock_code").fill_null(0)


def _by_stock(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Lists of each column, by code."""
    lists = rows.group_by("stock_code", maintain_order=True).agg(pl.all())
    return {row.pop("stock_code"): row for row in lists.iter_rows(named=True)}


def _since(market: Market, sessions: int) -> str:
    """The test of the newest sessions: a literal, by which DuckDB leaves older files unopened."""
    days = market.sql(
        "SELECT DISTINCT trading_day FROM daily_candles ORDER BY trading_day DESC LIMIT ?", sessions
    )["trading_day"]
    return f"trading_day >= DATE '{days[-1]}'" if days.len() else "true"


def _candles(market: Market) -> dict[str, dict[str, Any]]:
    rows = market.sql(
        "SELECT stock_code, trading_day, open, high, low, close, volume, is_final "  # noqa: S608
        f"FROM daily_candles WHERE {_since(market, SESSIONS)} ORDER BY stock_code, trading_day"
    )
    gaps = _gaps(rows)
    close, has_traded = pl.col("close"), pl.col("open") > 0  # else all three are 0
    rows = rows.select(
        _CODE,
        _day("trading_day").alias("days"),
        *(
            pl.when(has_traded).then(pl.col(name) - close).otherwise(0).alias(name)
            for name in ("open", "high", "low")
        ),
        close,
        "volume",
        "is_final",
        first="trading_day",
    )
    found = _by_stock(rows.with_columns(days=_steps("days"), close=_steps("close")))
    for code, lists in found.items():
        lists["is_final"] = lists["is_final"][-1]
        lists["first"] = lists["first"][0]
        lists["gaps"] = gaps.get(code, [])
    return found


def _gaps(rows: pl.DataFrame) -> dict[str, list[list[int]]]:
    """Before which of a stock's days sessions are missing, as its place, and how many, by code."""
    if rows.is_empty():
        return {}
    days = sorted(rows["trading_day"].unique())
    sessions = pl.DataFrame({"trading_day": calendar.trading_days(days[0], days[-1])})
    found = (
        rows.select(_CODE, "trading_day")
        .join(sessions.with_row_index("ago"), on="trading_day", how="left", maintain_order="left")
        .select(
            _CODE,
            place=pl.int_range(pl.len()).over("stock_code"),
            missing=pl.col("ago").cast(pl.Int64).diff().over("stock_code") - 1,
        )
        .filter(pl.col("missing") > 0)
    )
    gaps: dict[str, list[list[int]]] = {}
    for code, *gap in found.iter_rows():
        gaps.setdefault(code, []).append(gap)
    return gaps


def _actions_known_since(market: Market) -> date | None:
    """The day from which on the corporate actions of every stored day are known; None: of none."""
    stored = market.sql("SELECT DISTINCT trading_day FROM daily_candles")["trading_day"]
    rows = market.condition("corporate_actions")
    known = set(rows.filter(pl.col("condition").is_in(["available", "degraded"]))["trading_day"])
    since = None
    for day in sorted(stored, reverse=True):
        if day not in known:
            break
        since = day
    return since


def _adjusted(market: Market) -> dict[str, dict[str, Any]]:
    """Of the stocks alone whose adjusted prices are others than the raw ones."""
    rows = market.sql(
        "SELECT stock_code, open, high, low, close, volume FROM daily_candles_adjusted "  # noqa: S608
        f"WHERE {_since(market, SESSIONS)} "
        "QUALIFY bool_or(factor <> 1) OVER (PARTITION BY stock_code) "
        "ORDER BY stock_code, trading_day"
    )
    close = pl.col("close")
    return _by_stock(
        rows.with_columns(
            pl.when(pl.col("open") > 0).then(pl.col(name)).otherwise(close).round(2).alias(name)
            for name in ("open", "high", "low", "close")
        )
    )


def _minutes(market: Market) -> dict[str, dict[str, Any]]:
    """Closes and volumes of the newest day whose minutes are stored."""
    day = market.rows("SELECT max(trading_day) FROM minute_candles")[1][0][0]
    if day is None:
        return {}
    rows = market.sql(
        "SELECT stock_code, started_at, session, close, volume FROM minute_candles "  # noqa: S608
        f"WHERE trading_day = DATE '{day}' ORDER BY stock_code, started_at"
    )
    at = pl.col("started_at").dt.convert_time_zone(str(SEOUL))
    found = _by_stock(
        rows.select(
            _CODE,
            (at.dt.hour().cast(pl.Int64) * 60 + at.dt.minute()).alias("minutes"),
            "close",
            "volume",
            begins=(pl.col("session") != pl.col("session").shift(1).over("stock_code")).fill_null(
                value=False
            ),
        ).with_columns(minutes=_steps("minutes"), close=_steps("close"))
    )
    bases = _bases(market, day)
    for code, lists in found.items():
        lists["begins"] = [place for place, begins in enumerate(lists["begins"]) if begins]
        lists |= {"day": (day - date(1970, 1, 1)).days, "base": bases.get(code)}
    return found


def _bases(market: Market, day: date) -> dict[str, int | None]:
    """What the prices of a day are held against, by code."""
    rows = " UNION ALL ".join(
        f"SELECT stock_code, base_price FROM {table} WHERE trading_day = DATE '{day}'"  # noqa: S608
        for table in ("price_snapshots", "daily_candles")
    )
    return dict(
        market.sql(f"SELECT stock_code, max(base_price) FROM ({rows}) GROUP BY ALL").iter_rows()  # noqa: S608
    )


def _day(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Int32).cast(pl.Int64)


def _flows(market: Market) -> dict[str, dict[str, Any]]:
    names = ", ".join(f"{who}_net_value" for who in _WHO)
    rows = market.sql(
        f"SELECT stock_code, trading_day, {names}, short_ratio FROM investor_flows_wide "  # noqa: S608
        "LEFT JOIN short_sales USING (stock_code, trading_day) "
        f"WHERE {_since(market, FLOWS)} ORDER BY stock_code, trading_day"
    )
    gaps = _gaps(rows)
    found = _by_stock(
        rows.select(
            _CODE,
            _day("trading_day").alias("days"),
            *((pl.col(f"{who}_net_value") / 1e6).round().cast(pl.Int64).alias(who) for who in _WHO),
            short=pl.col("short_ratio").round(2),
        ).with_columns(days=_steps("days"))
    )
    for code, lists in found.items():
        lists["gaps"] = gaps.get(code, [])
    return found


def _books(market: Market) -> dict[str, dict[str, Any]]:
    """Each stock's last book of the newest day, of those in which anybody quotes."""
    quoted = "(ask_price_1 IS NOT NULL OR bid_price_1 IS NOT NULL)"
    day = market.rows(f"SELECT max(trading_day) FROM order_books WHERE {quoted}")[1][0][0]  # noqa: S608
    if day is None:
        return {}
    rows = market.sql(
        f"SELECT * FROM order_books WHERE {quoted} AND trading_day = DATE '{day}' "  # noqa: S608
        "QUALIFY row_number() OVER (PARTITION BY stock_code ORDER BY captured_at DESC) = 1"
    )
    bases = _bases(market, day)
    found: dict[str, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        sides = {
            side: [
                (row[f"{side}_price_{level}"], row[f"{side}_volume_{level}"])
                for level in range(1, 11)
                if row[f"{side}_price_{level}"] is not None
            ]
            for side in ("ask", "bid")
        }
        found[row["stock_code"]] = {
            "at": row["captured_at"],
            "base": bases.get(row["stock_code"]),
            "total": (row["total_ask_volume"], row["total_bid_volume"]),
            **sides,
        }
    return found


def _actions(market: Market) -> dict[str, list[list[Any]]]:
    rows = market.sql(
        "SELECT stock_code, effective_on, kind, ratio, amount FROM corporate_actions "
        "ORDER BY stock_code, effective_on DESC"
    )
    found: dict[str, list[list[Any]]] = {}
    for code, *rest in rows.unique(maintain_order=True).iter_rows():
        found.setdefault(code, []).append(rest)
    return found
