"""The queries of `Market` and of the commands that read, and remedies for missing rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Self, cast

from kis_assets.exchange import calendar, days
from kis_assets.exchange.days import When

if TYPE_CHECKING:
    import duckdb
    import polars as pl

At = datetime | None
Query = tuple[str, tuple[object, ...]]
Rows = tuple[list[str], list[tuple[Any, ...]]]
"""The names of columns, as `Column` where their types are known, and the rows."""


class Column(str):
    """The name of a column that knows its type: files keep it, also where every cell is null."""

    kind: str
    """A type of DuckDB, such as BIGINT."""

    def __new__(cls, name: str, kind: str) -> Self:
        """Make the name of a column of this type."""
        made = super().__new__(cls, name)
        made.kind = kind
        return made


_MINUTES = {1: "minute_candles", 5: "candles_5m", 30: "candles_30m"}
MADE_OF: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (
            *("daily_candles", "daily_candles_adjusted", "total_return"),
            *("weekly_candles", "weekly_candles_adjusted"),
            *("monthly_candles", "monthly_candles_adjusted"),
        ),
        ("daily_candles", "trading_day"),
    ),
    **dict.fromkeys(_MINUTES.values(), ("minute_candles", "started_at")),
    **dict.fromkeys(
        ("price_snapshots", "latest_prices", "prices"), ("price_snapshots", "captured_at")
    ),
    **dict.fromkeys(("order_books", "valuations"), ("", "captured_at")),
    **dict.fromkeys(("trades", "order_book_ticks", "stream_gaps"), ("", "sequence")),
    "order_book_spreads": ("order_book_ticks", "sequence"),
    "financial_statements": ("", "fiscal_month"),
    "investor_flows_wide": ("investor_flows", "trading_day"),
    **dict.fromkeys(
        (
            *("investor_flows", "short_sales", "stock_loans", "program_trades"),
            *("credit_balances", "etf_navs", "index_candles", "market_flows"),
        ),
        ("", "trading_day"),
    ),
}
"""The table that a view is made of, itself when empty, and the column its rows are in order of."""


def made_of(view: str) -> tuple[str, str]:
    """The main table of a view, and its column for sorting by time."""
    if view.startswith("trade_bars("):
        return "trades", "started_at"
    table, clock = MADE_OF[_MINUTES[1] if view.startswith("(") else view]
    return table or view, clock


def conditions(table: str | None, start: When, end: When) -> Query:
    """The query for the condition of a table's days, or of all tables'."""
    first, last = days.span(start, end)
    asked = {"table_name = ?": table, "trading_day >= ?": first, "trading_day <= ?": last}
    given = {test: value for test, value in asked.items() if value is not None}
    where = " AND ".join(given) or "true"
    query = f"SELECT * FROM dataset_condition WHERE {where} ORDER BY table_name, trading_day"  # noqa: S608
    return query, tuple(given.values())


def rows_of(
    view: str,
    wanted: list[str] | None,
    first: date | None,
    last: date | None,
    subject: str = "stock_code",
    columns: Sequence[str] | None = None,
) -> str:
    """The query for the rows of a view: of these stocks, or of all, from one day to another.

    Of the columns that are asked for it gives those, after `subject`.
    """
    # Literals, not parameters: DuckDB leaves files unopened by what it knows when it plans.
    tests = [f"trading_day >= DATE '{first}'"] if first else []
    tests += [f"trading_day <= DATE '{last}'"] if last else []
    if wanted is not None:
        # Codes from a server may hold any character.
        listed = ", ".join("'" + code.replace("'", "''") + "'" for code in wanted)
        tests.append(f"{subject} IN ({listed})")
    where = f"WHERE {' AND '.join(tests)} " if tests else ""
    _, clock = made_of(view)
    chosen = "*"
    if columns is not None:
        named = (name.replace('"', '""') for name in dict.fromkeys((subject, *columns)))
        chosen = ", ".join(f'"{name}"' for name in named)
    return f"SELECT {chosen} FROM {view} {where}ORDER BY {subject}, {clock}"  # noqa: S608


def minutes_of(every: int) -> str:
    """The view of candles of `every` minutes, or a subquery if there is no such view.

    Raises:
        ValueError: it is not a whole number of minutes within a day.
    """
    known: Any = every
    if isinstance(known, bool) or not isinstance(known, int) or not 1 <= known <= 1440:
        raise ValueError(f"candles of {every!r} minutes: a whole number from 1 to 1440 is wanted")
    return _MINUTES.get(every) or _OF_MINUTES.format(every=every)


_OF_MINUTES = """(
    WITH minutes AS (
        SELECT
            minute_candles.*,
            -- For a day that is not in the calendar, the usual hours.
            coalesce(opens_at, timezone('UTC', trading_day::TIMESTAMP)) AS opens_at,
            coalesce(closes_at, timezone('UTC', trading_day + INTERVAL 390 MINUTE)) AS closes_at,
            coalesce(after_market_opens_at, timezone('UTC', trading_day + INTERVAL 420 MINUTE))
                AS after_at
        FROM minute_candles
        LEFT JOIN market_days ON market_days.day = trading_day
    )
    SELECT
        trading_day,
        -- The closing auction is a separate candle; others are counted from their open.
        CASE
            WHEN session = 'regular' AND minutes.started_at >= closes_at THEN minutes.started_at
            ELSE time_bucket(
                INTERVAL '{every} minutes',
                minutes.started_at,
                CASE session WHEN 'regular' THEN opens_at ELSE after_at END
            )
        END AS started_at,
        stock_code,
        session,
        arg_min(open, minutes.started_at) AS open,
        max(high) AS high,
        min(low) AS low,
        arg_max(close, minutes.started_at) AS close,
        sum(volume)::BIGINT AS volume,
        sum(trading_value)::BIGINT AS trading_value
    FROM minutes
    GROUP BY ALL
)"""


def benchmark(wanted: list[str] | None, first: date | None, last: date | None) -> str:
    """The query for returns of stocks and of the index whose code is its parameter."""
    before = first - calendar.LONGEST_CLOSURE if first else None
    closes = rows_of("daily_candles_adjusted", wanted, before, last)
    since = f"AND trading_day >= DATE '{first}' " if first else ""
    # Both returns are between consecutive stored days of the stock, also across a gap.
    return (
        "WITH points AS (SELECT trading_day, close FROM index_candles WHERE index_code = ?), "  # noqa: S608
        "moves AS (SELECT trading_day, stock_code, "
        "stocks.close / nullif(lag(stocks.close) OVER by_day, 0) - 1 AS stock_return, "
        "points.close / nullif(lag(points.close) OVER by_day, 0) - 1 AS index_return "
        f"FROM ({closes}) AS stocks LEFT JOIN points USING (trading_day) "
        "WINDOW by_day AS (PARTITION BY stock_code ORDER BY trading_day)) "
        "SELECT trading_day, stock_code, stock_return, index_return, "
        "stock_return - index_return AS excess_return FROM moves "
        f"WHERE stock_return IS NOT NULL {since}ORDER BY stock_code, trading_day"
    )


def listed_on() -> str:
    """The query for the stocks listed on a day, its parameter, as stored on that day."""
    from kis_assets.lake.views import VIEWS  # imports Polars

    newest = "(SELECT max(trading_day) FROM recent_stock_master())"
    of_day = VIEWS["stocks"].sql.replace(newest, "?")
    return of_day.replace("recent_stock_master()", "stock_master")


def traded_on() -> str:
    """The query for KRX's stocks of a day, its parameter, in the columns of `stocks`."""
    return (
        "SELECT * FROM (SELECT * FROM stocks LIMIT 0) UNION ALL BY NAME SELECT trading_day, "
        "stock_code, stock_name, market, listed_shares FROM krx_daily WHERE trading_day = ? "
        "ORDER BY stock_code"
    )


def screening(condition: str, columns: str, order_by: str, limit: int | None) -> str:
    """The query for stocks whose facts meet a condition.

    Raises:
        duckdb.ParserException: the condition is not a single expression.
        ValueError: the other arguments hold more than one statement.
    """
    import duckdb

    duckdb.SQLExpression(condition)  # a single expression with closed brackets
    if ";" in columns + order_by:
        raise ValueError("columns and order_by are lists, without a semicolon")
    most = "" if limit is None else f" LIMIT {int(limit)}"
    # The line break ends a comment in the condition.
    return f"SELECT {columns} FROM facts WHERE ({condition}\n) ORDER BY {order_by}{most}"  # noqa: S608


def as_frame(
    connection: duckdb.DuckDBPyConnection, query: str, params: list[object]
) -> pl.DataFrame:
    """The answer of a query as a frame, instants in UTC; sums are integers where they fit."""
    _refuse_several(query)
    connection.execute("SET TimeZone = 'UTC'")
    # None if there are only blanks and comments, contrary to its types.
    relation = cast("duckdb.DuckDBPyRelation | None", connection.sql(query, params=params))
    if relation is None:
        raise ValueError("the query is empty")
    import polars as pl

    frame = relation.pl()
    for name, kind in zip(frame.columns, relation.types, strict=True):
        if kind == "HUGEINT":
            with suppress(pl.exceptions.InvalidOperationError):  # more than 64 bits
                frame = frame.with_columns(pl.col(name).cast(pl.Int64))
    return frame


def as_rows(connection: duckdb.DuckDBPyConnection, query: str, params: list[object]) -> Rows:
    """Column names and plain rows of a query, instants in Seoul."""
    _refuse_several(query)
    connection.execute("SET TimeZone = 'Asia/Seoul'")
    connection.execute(query, params)
    return _columns(connection), connection.fetchall()


def rows_of_frame(frame: pl.DataFrame) -> Rows:
    """A frame as `as_rows` gives the answer of a query."""
    import duckdb

    with duckdb.connect() as connection:
        connection.register("frame", frame)
        return as_rows(connection, "FROM frame", [])


def _columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [Column(name, str(kind)) for name, kind, *_ in connection.description or ()]


def as_answers(connection: duckdb.DuckDBPyConnection, query: str, _: list[object]) -> list[Rows]:
    """What `as_rows` gives, of each query in a text; what has no answer (`SET`) gives none."""
    import duckdb

    connection.execute("SET TimeZone = 'Asia/Seoul'")
    found: list[Rows] = []
    for statement in duckdb.extract_statements(query):
        connection.execute(statement)
        if _has_answer(statement):
            found.append((_columns(connection), connection.fetchall()))
    return found


def _refuse_several(query: str) -> None:
    """Refuse several questions at once, of which only the last would be answered.

    Raises:
        ValueError: they are several.
    """
    import duckdb

    if ";" in query:
        count = sum(map(_has_answer, duckdb.extract_statements(query)))
        if count > 1:
            raise ValueError(f"these are {count} queries, and one is answered: ask them one by one")


def _has_answer(statement: duckdb.Statement) -> bool:
    import duckdb

    return duckdb.ExpectedResultType.QUERY_RESULT in statement.expected_result_type
