"""What an agent is told of one lake: its tables, a query, candles, and which days can be relied on.

Each answer is what JSON can say, with `source`, and with `mark` where prices are invented. Knows no
protocol: `server.py` speaks it.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import date, time
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from kis_assets.exchange import days
from kis_assets.exchange.venues import is_invented
from kis_assets.lake import queries, remedies
from kis_assets.lake.locked import LockedReader, Refused
from kis_assets.lake.reader import NotStoredWarning
from kis_assets.lake.views import FUNCTIONS, VIEWS
from kis_assets.market import Market
from kis_assets.tables import TABLES

if TYPE_CHECKING:
    from datetime import datetime

Period = Literal["daily", "weekly", "monthly", "1m", "5m", "30m"]
Answer = dict[str, Any]

ROWS = 1000
"""Rows of one answer, at most."""
CHARACTERS = 100_000
"""Characters of the rows of one answer, at most: about 30,000 tokens."""
SECONDS = 20.0
"""How long one query may take."""
MARK = (
    "MOCK: invented prices under real or invented names. Tell the user so with every figure; "
    "decide nothing by them"
)


class LockedMarket(Market):
    """`Market` over a catalog that reads nothing else, for names, codes and candles."""

    def __init__(self, folder: Path, replay_at: datetime | None, seconds: float) -> None:
        super().__init__(folder, replay_at=replay_at)
        self._catalog = self.reader = LockedReader(self.folder, replay_at)
        self._seconds = seconds

    def rows(self, query: str, *params: object) -> queries.Rows:
        """Column names and plain rows of one query, instants in Seoul."""
        return self.reader.select(query, params, most=None, seconds=self._seconds)


class Answers:
    """The answers about one lake. Thread-safe; reads only.

    Every method raises what tells the agent what to do next: Refused or ValueError where it should
    ask otherwise, NotStored where its user has to fetch something, OSError where a file is damaged,
    duckdb.Error where the SQL is wrong.
    """

    def __init__(
        self, folder: Path, replay_at: datetime | None = None, *, seconds: float = SECONDS
    ) -> None:
        self._market = LockedMarket(folder, replay_at, seconds)
        self._reader = self._market.reader
        self._seconds = seconds
        self._warnings = Lock()
        self.source = folder.name

    @property
    def is_invented(self) -> bool:
        """Whether its rows are anything but what KIS or KRX said."""
        return is_invented(self.source)

    def tables(self) -> Answer:
        """Every table and view: what it shows, and from when to when rows are stored."""
        source = self.source.partition("-")[0]
        listed = [
            {"name": name, "kind": "table", "about": table.description, **self._stored(name)}
            for name, table in TABLES.items()
            if table.own_source in ("", source)
        ]
        listed += [{"name": it, "kind": "view", "about": view.about} for it, view in VIEWS.items()]
        functions = [{"name": name, "kind": "function"} for name in FUNCTIONS]
        return self._marked({"tables": listed + functions})

    def describe(self, name: str) -> Answer:
        """The columns of a table or view: type, unit, meaning; and its key."""
        if name not in TABLES and name not in VIEWS:
            near = ", ".join(get_close_matches(name, [*TABLES, *VIEWS], cutoff=0.4))
            raise Refused(
                f"there is no table {name!r}{near and f'; nearest: {near}'}; list_tables names all"
            )
        _, rows = self._market.rows(
            "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = ? "
            "ORDER BY column_index",
            name,
        )
        columns = [
            {"name": column, "type": kind, **_meaning(comment or "")}
            for column, kind, comment in rows
        ]
        if name in VIEWS:
            return self._marked({"name": name, "about": VIEWS[name].about, "columns": columns})
        table = TABLES[name]
        about = {"name": name, "about": table.description, "key": list(table.key)}
        return self._marked({**about, **self._stored(name), "columns": columns})

    def query(self, sql: str, most: int = 200) -> Answer:
        """The rows of one SELECT, the first `most` of them."""
        if not 1 <= most <= ROWS:
            raise Refused(f"max_rows={most}: from 1 to {ROWS} rows are given; sum up the rest")
        columns, rows = self._reader.select(sql, most=most + 1, seconds=self._seconds)
        more = f"these are the first {most} rows, and there are more: sum up, or narrow it"
        return self._table(columns, rows[:most], [more] if len(rows) > most else [])

    def candles(
        self,
        stock: str,
        start: str | None = None,
        end: str | None = None,
        *,
        period: Period = "daily",
        adjusted: bool = False,
        count: int = 100,
    ) -> Answer:
        """The newest `count` candles of a stock between two days, oldest first."""
        if not 1 <= count <= ROWS:
            raise Refused(f"count={count}: from 1 to {ROWS} candles are given")
        is_of_minutes = period.endswith("m")
        if adjusted and is_of_minutes:
            raise Refused(
                "minutes are stored raw only: leave adjusted out, or ask for period daily"
            )
        view = (
            queries.minutes_of(int(period.removesuffix("m")))
            if is_of_minutes
            else f"{period}_candles{'_adjusted' if adjusted else ''}"
        )
        code = self._market.code(stock)
        (known, found), notes = self._told(lambda: self._market.bars(view, code, start, end))
        wanted = ["started_at" if is_of_minutes else "trading_day", *_BARS]
        columns = [name for name in wanted if name in known]
        places = [known.index(name) for name in columns]
        if len(found) > count:
            notes.append(f"these are the newest {count} of {len(found)}: give count, start or end")
        if "is_final" in known and not all(row[known.index("is_final")] for row in found):
            notes.append("where is_final is false, the close may be the after-market's")
        rows = [tuple(row[place] for place in places) for row in found[-count:]]
        about = {"stock_code": code, "period": period, "adjusted": adjusted, "currency": "KRW"}
        return {**about, **self._table(columns, rows, notes)}

    def condition(
        self, table: str | None = None, start: str | None = None, end: str | None = None
    ) -> Answer:
        """Which days of a table can be relied on, the newest first; of all tables how many days."""
        query, params = queries.conditions(table, *days.span(start, end))
        if table is None:
            query = (
                "SELECT table_name, condition, count(*) AS days, min(trading_day) AS first_day, "  # noqa: S608
                f"max(trading_day) AS last_day FROM ({query}) GROUP BY ALL ORDER BY ALL"
            )
        else:
            query = f"FROM ({query}) ORDER BY trading_day DESC"
        columns, rows = self._market.rows(query, *params)
        if table is not None and not rows:
            _, known = self._market.rows(
                "SELECT DISTINCT table_name FROM dataset_condition ORDER BY 1"
            )
            names = [name for (name,) in known]
            if table not in names:
                raise Refused(f"no condition is kept of {table!r}; of {', '.join(names)} it is")
        more = f"these are the newest {ROWS} of {len(rows)} days: give start and end"
        return self._table(columns, rows[:ROWS], [more] if len(rows) > ROWS else [])

    def _stored(self, name: str) -> Answer:
        """The first and last stored day or month of a table; or how its user gets it."""
        if units := self._reader.units(name):
            return {"stored_from": units[0], "stored_to": units[-1]}
        return {"stored_from": None, "to_have_it": remedies.remedy(name, [])}

    def _told(self, ask: Callable[[], queries.Rows]) -> tuple[queries.Rows, list[str]]:
        """An answer, and what was said of it."""
        # Python records warnings for all threads at once.
        with self._warnings, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", NotStoredWarning)
            found = ask()
        return found, [str(it.message) for it in caught if it.category is not ResourceWarning]

    def _table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], notes: list[str]
    ) -> Answer:
        """Rows that fit into an answer, and what is to be said of them."""
        taken, size = list[list[Any]](), 0
        for row in rows:
            plain = [_plain(cell) for cell in row]
            size += len(json.dumps(plain, ensure_ascii=False))
            if size > CHARACTERS:
                if not taken:
                    raise Refused(
                        f"one row has more than {CHARACTERS:,} characters: ask for fewer columns"
                    )
                notes = [
                    f"only {len(taken)} of {len(rows)} rows fit into {CHARACTERS:,} characters: "
                    "ask for fewer columns or rows",
                    *notes,
                ]
                break
            taken.append(plain)
        said = {"notes": notes} if notes else {}
        return self._marked({"columns": list(columns), "rows": taken, **said})

    def _marked(self, answer: Answer) -> Answer:
        mark = {"mark": MARK} if self.is_invented else {}
        return {"source": self.source, **mark, **answer}


_BARS = ("open", "high", "low", "close", "volume", "trading_value", "is_final")


def explained(error: Exception) -> str | None:
    """A failure as a sentence that says what to do next; None when it is a mistake of this code."""
    package = type(error).__module__
    text = " ".join(str(error).split("\n\nLINE")[0].split())
    if package in ("duckdb", "_duckdb"):
        return f"{text}. {_NEXT.get(type(error).__name__, _ELSE)}"
    if isinstance(error, OSError):
        from kis_assets.security.ownership import explained as of_file

        return of_file(error)
    if not (package.startswith("kis_assets.") or isinstance(error, ValueError)):
        return None
    you = ". Ask your user to run that command: nothing here fetches" if "run: kis" in text else ""
    return text + you


_NEXT = {
    "CatalogException": "list_tables names what there is",
    "BinderException": "describe_table names the columns and their types",
    "ParserException": "One SELECT in DuckDB's SQL is wanted",
    "PermissionException": "Only the tables that list_tables names can be read",
}
_ELSE = "Only SQL over the tables that list_tables names is answered"


def _meaning(comment: str) -> Answer:
    """A column's comment, with its unit apart."""
    found = re.fullmatch(r"(.*) \[(.+)\]", comment, re.DOTALL)
    return {"unit": found[2], "meaning": found[1]} if found else {"meaning": comment}


def _plain(cell: Any) -> Any:
    """A value as JSON has it: what is no number is null, days and instants are ISO text."""
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if cell is None or isinstance(cell, str | int):
        return cell
    if isinstance(cell, date | time):  # an instant is a date too
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, dict):
        return {str(name): _plain(value) for name, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_plain(value) for value in cell]
    return str(cell)
