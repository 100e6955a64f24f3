"""The catalog of a lake for queries of strangers: it reads the lake's files, and nothing else.

DuckDB holds this, not a list of forbidden words: files outside of the folders of rows, extensions
and addresses are out of reach, also of a view that somebody planted in `market.duckdb`. One SELECT
is answered, within a time and a memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kis_assets.lake.damaged_files import COPIES
from kis_assets.lake.reader import CatalogReader

if TYPE_CHECKING:
    import duckdb

MEMORY = "2GB"
"""What one query may take of it. DuckDB counts most, but not a single huge text."""
_ROWS = ("versions", COPIES, "live")
"""The folders of a lake that hold rows."""


class Refused(Exception):
    """A query was not answered; the message says why, and what to ask instead."""


class LockedReader(CatalogReader):
    """`CatalogReader` for queries that nobody has checked. Thread-safe."""

    def select(
        self, query: str, params: Sequence[object] = (), *, most: int | None, seconds: float
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of one SELECT, instants in Seoul.

        Args:
            query: the SELECT; `?` in it stands for the next parameter.
            params: these.
            most: rows that are given, the first ones; None for all.
            seconds: how long it may take.

        Raises:
            Refused: it is no single SELECT, or takes too long or too much memory.
            NotStored: nothing is stored.
            Unfit: a file is damaged.
            duckdb.Error: the query is wrong, or asks for what is out of reach.
        """
        import duckdb

        _only_select(query)

        def give(
            connection: duckdb.DuckDBPyConnection, query: str, params: list[object]
        ) -> tuple[list[str], list[tuple[Any, ...]]]:
            timer = threading.Timer(seconds, connection.interrupt)
            timer.start()
            try:
                connection.execute(query, params)
                rows = connection.fetchall() if most is None else connection.fetchmany(most)
            except duckdb.InterruptException:
                raise Refused(
                    f"the query was stopped after {seconds:g} s: ask for fewer days and stocks, "
                    "or for sums instead of rows"
                ) from None
            except duckdb.OutOfMemoryException:
                raise Refused(
                    f"the query took more than {MEMORY} of memory: ask for fewer days, stocks and "
                    "columns, or for sums instead of rows"
                ) from None
            finally:
                timer.cancel()
            return [column[0] for column in connection.description or ()], rows

        return self.ask(query, params, give)

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        super()._prepare(connection)
        folders = ", ".join(_text(f"{self.folder / name}/") for name in _ROWS)
        for setting in (
            "GLOBAL TimeZone = 'Asia/Seoul'",
            f"memory_limit = '{MEMORY}'",
            "temp_directory = ''",
            "python_enable_replacements = false",
            f"allowed_directories = [{folders}]",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            connection.execute(f"SET {setting}")


def _only_select(query: str) -> None:
    """Refuse all but one statement that reads: within the folders of rows others would write."""
    import duckdb

    kinds = [statement.type for statement in duckdb.extract_statements(query)]
    if kinds != [duckdb.StatementType.SELECT]:
        raise Refused(
            f"{len(kinds)} statements: one SELECT is answered at a time"
            if len(kinds) != 1
            else "only what reads is answered: one SELECT, FROM, WITH, DESCRIBE or SUMMARIZE. "
            "Nothing here writes, attaches, loads, or changes a setting"
        )


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
