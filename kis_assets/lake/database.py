"""`market.duckdb` of a lake: views over its newest files, replaced as a whole on a change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from datetime import date, datetime
from pathlib import Path

import duckdb

from kis_assets.lake import catalog, row_files
from kis_assets.lake.compaction import Compaction
from kis_assets.lake.damaged_files import damaged, is_copy, is_database, rows_in
from kis_assets.lake.live_parts import patterns
from kis_assets.lake.notes import digest, noted
from kis_assets.lake.versions import Versions, sync
from kis_assets.security.ownership import put, take_place, warn
from kis_assets.tables import TABLES, Table

_Views = dict[str, list[str]]
"""The name of a view, and the SQL that creates it."""


class Database:
    """`market.duckdb` over the versions of a lake, shared by all processes that write there."""

    def __init__(self, versions: Versions) -> None:
        self.path = versions.folder / "market.duckdb"
        self._versions = versions
        self._compaction = Compaction(versions)
        self._damaged: set[str] = set()

    def views(
        self, tables: Collection[str] = tuple(TABLES), as_of: datetime | None = None
    ) -> _Views:
        """The SQL of every view; see `Lake.views`."""
        return catalog.statements(self._files(tables, as_of), self._versions.folder)

    def publish(self, *, only_if_stale: bool) -> None:
        """Publish; views of damaged files fail when they are read: one file must not stop all."""
        while True:
            try:
                return self._publish(only_if_stale)
            except duckdb.Error as error:
                path = rows_in(error, self._versions.folder)
                if path is None or str(path) in self._damaged:
                    raise
                if is_copy(path, self._versions.folder):
                    path.unlink(missing_ok=True)  # its rows are stored elsewhere
                    continue
                self._damaged.add(str(path))
                warn(damaged(path))

    def _publish(self, only_if_stale: bool) -> None:
        # One lock for listing and renaming: the last publisher always has the newest files.
        with self._versions.lock("market"):
            self._versions.sweep("market")
            files = self._files(TABLES)
            larger = {
                name: self._compaction.instead(TABLES[name], listed)
                for name, listed in files.items()
            }
            views = catalog.statements(files, self._versions.folder, larger)
            # A view is also recreated when a table that it reads has other columns.
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
                # Changes by an analyst in the old catalog must not be replayed into the new one.
                self.path.with_name("market.duckdb.wal").unlink(missing_ok=True)
                take_place(temporary, self.path)
                sync(self._versions.folder)
            finally:
                self._versions.sweep("market")
            put(note, json.dumps(marks).encode())

    def _build(self, changed: _Views, views: _Views, target: Path) -> None:
        """Update a private catalog, and copy it.

        A complete build would spend most of its time on unchanged views.
        """
        mine = self._versions.folder / ".locks" / "market.duckdb"
        is_plain = mine.is_file() and not mine.is_symlink()
        if len(changed) < len(views) and is_plain:
            try:
                catalog.build(mine, changed)
                shutil.copyfile(mine, target)
            except (duckdb.Error, OSError):
                # The catalog is damaged or gone; a full disk fails below again.
                target.unlink(missing_ok=True)
            else:
                return
        fresh = self._versions.temporary("market", ".duckdb")
        catalog.build(fresh, views)
        shutil.copyfile(fresh, target)
        mine.with_name("market.duckdb.wal").unlink(missing_ok=True)
        take_place(fresh, mine)

    def compact(self, today: date) -> int:
        """Make the missing larger files of closed units; return how many.

        Raises:
            duckdb.Error: the disk is full.
        """
        made, wanted = 0, set[str]()
        with self._versions.lock("compacted"):
            self._versions.sweep("compacted")
            for name, files in self._files(TABLES).items():
                table = TABLES[name]
                for larger, several in self._compaction.missing(table, files, today).items():
                    made += self._compacted(larger, table, several)
                wanted.update(path for path, _ in self._compaction.instead(table, files))
            self._compaction.sweep(wanted)
        return made

    def _compacted(self, larger: str, table: Table, files: Sequence[catalog.Listed]) -> bool:
        """Make one larger file; warn and return False if one of its files is damaged."""
        try:
            query = catalog.in_order(table, files, self._versions.folder)
            self._compaction.make(larger, query)
        except duckdb.Error as error:
            if (path := rows_in(error, self._versions.folder)) is None:
                raise
            warn(damaged(path))
            return False
        return True

    def _files(
        self, tables: Collection[str], as_of: datetime | None = None
    ) -> dict[str, list[catalog.Listed]]:
        found: dict[str, list[catalog.Listed]] = {}
        start = len(f"{self._versions.folder}/")
        for name in tables:
            ending = row_files.ending(TABLES[name])
            until = None if as_of is None else self._versions.known_until(name, as_of)
            found[name] = [
                (path[start:], None if path in self._damaged else path.endswith(ending))
                for path in self._versions.every_newest(name, until)
            ]
            if until is None:
                found[name] += patterns(self._versions, TABLES[name])
        return found
