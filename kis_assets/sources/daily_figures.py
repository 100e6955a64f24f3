"""Daily figures of many stocks from services that return many days in one answer.

Days of earlier months in an answer are kept. A backfill, which starts with the newest month, uses
them later.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from itertools import takewhile
from typing import Any

from kis_assets.errors import KISError, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.client import Client
from kis_assets.kis.daily_figures import ODD, DailyService, Day, compared, days
from kis_assets.kis.fields import frame
from kis_assets.sources.resume import History
from kis_assets.sources.tables import Fetched
from kis_assets.tables import Table
from kis_assets.transport.fan_out import Progress, counted, each

_TAIL = "end"
"""The name of a kept span that holds only the last days of a month."""
NO_ROW = "KIS has no row of it in these days"


class DailyFigures:
    """Sends requests to these services; keeps days of earlier months in `history`."""

    def __init__(self, client: Client, history: History, workers: int, source: str) -> None:
        self._client = client
        self._history = history
        self._workers = workers
        self._source = source

    def fetch(
        self,
        table: Table,
        service: DailyService,
        codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of a table from `first` to `last`, days of one month, by stock, index or market."""
        subject = next(name for name in table.key if name not in ("trading_day", "investor"))
        rows: list[dict[str, Any]] = []
        absent: dict[str, str] = {}
        failed: dict[str, KISError] = {}
        told: dict[tuple[Any, ...], str] = {}

        def take(code: str, found: list[Day]) -> None:
            if not found:
                absent[code] = NO_ROW
                return
            same = told.setdefault(_figures(found), code)
            if service.is_own and same != code:
                failed[code] = UnexpectedAnswer(
                    f"KIS has the same figures for {code} as for {same}", stock_code=code
                )
                return
            fetched_at = found[0].get("fetched_at") or self._client.settings.now()
            if odd := [f"{day['trading_day']}: {day[ODD]}" for day in found if ODD in day]:
                more = f", and {len(odd) - 1} more days" if len(odd) > 1 else ""
                failed[code] = UnexpectedAnswer(
                    f"KIS's row of {odd[0]}{more}; the other days are stored", stock_code=code
                )
            own = {subject: code, "source": self._source, "fetched_at": fetched_at}
            known = (day for day in found if ODD not in day)
            rows.extend(row | own for day in known for row in service.spread(day))

        failed |= each(
            codes,
            lambda code: self._month(table, service, code, first, last),
            take,
            workers=self._workers,
            rest=self._client.accounts.wait_for_breaker,
            progress=counted(progress, len(codes)),
        )
        return Fetched(frame(rows, table.schema), failed, absent)

    def _month(
        self, table: Table, service: DailyService, code: str, first: date, last: date
    ) -> list[Day]:
        span = f"{table.name}:{first}:{last}"
        earlier: list[Day] = []

        def ask() -> list[Day]:
            # The end of the month may have come with an answer for the next month.
            tail = self._history.kept(code, f"{span}:{_TAIL}") or []
            until = tail[-1]["trading_day"] - timedelta(days=1) if tail else last
            found = days(self._client, service, code, first, until)
            if tail and found:
                compared(service, tail[-1], found[0])
            before = (day for day in found if day["trading_day"] < first)
            # What is beyond a row that cannot be right is asked for again.
            earlier.extend(takewhile(lambda day: ODD not in day, before))
            return [*tail, *(day for day in found if day["trading_day"] >= first)]

        found = self._history.bars(code, span, last, ask)
        self._keep(table, code, first, earlier)
        return found

    def _keep(self, table: Table, code: str, first: date, earlier: list[Day]) -> None:
        """Keep an answer's days before `first`: complete months, and the end of one more."""
        if not earlier:
            return
        now = self._client.settings.now()
        oldest = earlier[-1]["trading_day"]
        month_ends = first - timedelta(days=1)
        while True:
            begins = month_ends.replace(day=1)
            sessions = calendar.possible_trading_days(begins, month_ends)
            inside = [day for day in earlier if begins <= day["trading_day"] <= month_ends]
            if not sessions or not inside:
                return
            span = f"{table.name}:{begins}:{month_ends}"
            # The month of the oldest day may be incomplete.
            is_whole = sessions[0] >= oldest
            kept = [day | {"fetched_at": now} for day in inside]
            self._history.keep({code: kept}, span if is_whole else f"{span}:{_TAIL}", month_ends)
            if not is_whole:
                return
            month_ends = begins - timedelta(days=1)


def _figures(found: list[Day]) -> tuple[Any, ...]:
    """The figures of these days, without their time of fetching."""
    return tuple(
        tuple(value for name, value in day.items() if name != "fetched_at") for day in found
    )
