"""`market.duckdb` of a lake: views over its newest files, replaced whole when one changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import duckdb

from kis_assets.lake import catalog, row_files
from kis_assets.lake.damaged_files import damaged, is_database, rows_in
from kis_assets.lake.notes import digest, noted
from kis_assets.lake.versions import Versions, sync
from kis_assets.security.ownership import put, take_place, warn
from kis_assets.tables import TABLES, Table

_Views = dict[str, list[str]]
"""The name of a view and the SQL that makes it."""


class Database:
    """`market.duckdb` over the versions of a lake, shared by all processes that write there."""

    def __init__(self, versions: Versions) -> None:
        self.path = versions.folder / "market.duckdb"
        self._versions = versions
        self._damaged: set[str] = set()

    def views(
        self, tables: Collection[str] = tuple(TABLES), as_of: datetime | None = None
    ) -> _Views:
        """The SQL of every view; see `Lake.views`."""
        files = {name: self._listed(TABLES[name], as_of) for name in tables}
        return catalog.statements(files, self._versions.folder)

    def publish(self, *, only_if_stale: bool) -> None:
        """Publish, if need be with views that fail when asked: one file must not stop all."""
        while True:
            try:
                return self._publish(only_if_stale)
            except duckdb.Error as error:
                path = rows_in(error, self._versions.folder)
                if path is None or str(path) in self._damaged:
                    raise
                self._damaged.add(str(path))
                warn(damaged(path))

    def _publish(self, only_if_stale: bool) -> None:
        # Listing and renaming under one lock: the last publisher is always right.
        with self._versions.lock("market"):
            self._versions.sweep("market")
            views = self.views()
            # A view is made anew too when a table it reads has other columns.
            every = digest(catalog.statements({}))
            marks = {name: f"{every} {digest(sql)}" for name, sql in views.items()}
            note = self._versions.folder / ".locks" / "published"
            is_there = is_database(self.path) and not self.path.is_symlink()
            known = noted(note) if only_if_stale and is_there else {}
            if known == marks:
                return
            changed = {name: views[name] for name in marks if marks[name] != known.get(name)}
            temporary = self._versions.temporary("market", ".duckdb")
            try:
                self._build(changed, views, temporary)
                sync(temporary)
                # What an analyst wrote into the old catalog must not be replayed into the new.
                self.path.with_name("market.duckdb.wal").unlink(missing_ok=True)
                take_place(temporary, self.path)
                sync(self._versions.folder)
            finally:
                self._versions.sweep("market")
            put(note, json.dumps(marks).encode())

    def _build(self, changed: _Views, views: _Views, target: Path) -> None:
        """Bring a catalog that nobody else opens up to date, and copy it.

        Most of the time of making one goes into what has not changed.
        """
        mine = self._versions.folder / ".locks" / "market.duckdb"
        is_plain = mine.is_file() and not mine.is_symlink()
        if len(changed) < len(views) and is_plain:
            try:
                catalog.build(mine, changed)
                shutil.copyfile(mine, target)
            except (duckdb.Error, OSError):
                # Broken, or taken away; a full disk fails below too.
                target.unlink(missing_ok=True)
            else:
                return
        fresh = self._versions.temporary("market", ".duckdb")
        catalog.build(fresh, views)
        shutil.copyfile(fresh, target)
        mine.with_name("market.duckdb.wal").unlink(missing_ok=True)
        take_place(fresh, mine)

    def _listed(self, table: Table, as_of: datetime | None) -> list[catalog.Listed]:
        ending = row_files.ending(table)
        until = None if as_of is None else self._versions.known_until(table.name, as_of)
        found = self._versions.every_newest(table.name, until)
        start = len(f"{self._versions.folder}/")
        return [
            (path[start:], None if path in self._damaged else path.endswith(ending))
            for path in found
        ]
