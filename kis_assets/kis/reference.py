"""What KIS says of what changes slowly: lists, stock facts, calendar, actions. No storage."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import Any

import polars as pl

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis import answers_reference, endpoints, master_files
from kis_assets.kis.client import Client

log = logging.getLogger(__name__)

CALENDAR_PAGES = 5
"""Pages of the calendar, of 24 days each, that are asked for at most."""
ACTION_PAGES = 50
"""Pages of one list of corporate actions in a month: more than that never ends."""
A_LONG_LIST = 90
"""Rows from which on a list of corporate actions may have been cut: one of them ends at 100."""


class Reference:
    """The part of `Quotations` that is not about prices."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def issues(self) -> pl.DataFrame:
        """Every listed issue of KOSPI, KOSDAQ and KONEX; rows of `stock_master` without a day."""
        frames: list[pl.DataFrame] = []
        for market, file_name in master_files.FILES.items():
            content = self._client.download_master(f"{file_name}.zip")
            frames.append(master_files.parse(master_files.unzip(content, market), market))
        return pl.concat(frames)

    def nxt_codes(self) -> frozenset[str]:
        """The stocks that NXT trades, of KOSPI and KOSDAQ."""
        codes: set[str] = set()
        for market, file_name in master_files.NXT_FILES.items():
            content = self._client.download_master(f"{file_name}.zip")
            codes |= master_files.codes(master_files.unzip(content, market, file_name), file_name)
        return frozenset(codes)

    def sector_names(self) -> dict[str, str]:
        """Names of the index sectors by their code of four digits."""
        content = self._client.download_master(f"{master_files.SECTORS}.zip")
        return master_files.sector_names(master_files.unzip(content, "KOSPI", master_files.SECTORS))

    def stock_info(self, code: str, patience: float | None = None) -> dict[str, Any]:
        """Slow facts of one stock; see `answers_reference.stock_info`."""
        return self._client.ask(
            endpoints.STOCK_INFO,
            {"PRDT_TYPE_CD": "300", "PDNO": code},
            lambda body: answers_reference.stock_info(body, code),
            about=code,
            patience=patience,
        )

    def calendar(self, first: date, last: date) -> dict[date, bool]:
        """Whether the exchange opens, for each day from `first` at least as far as KIS tells.

        KIS wants to be asked about once a day: pages are followed only until `last`, and never
        more than `CALENDAR_PAGES`. The key of the next page is the last day of this one; whether
        the next page begins on that day or after it is not known, and either is right.
        """
        days: dict[date, bool] = {}
        seen: list[dict[str, str]] = []
        keys: dict[str, str] | None = {"CTX_AREA_NK": "", "CTX_AREA_FK": ""}
        while keys is not None and keys not in seen and len(seen) < CALENDAR_PAGES:
            starts = (max(days), max(days) + timedelta(days=1)) if days else (first,)
            page = self._client.ask(
                endpoints.CALENDAR,
                {"BASS_DT": f"{first:%Y%m%d}", **keys},
                lambda body, starts=starts: answers_reference.calendar_page(body, starts),
                tr_cont="N" if seen else "",
            )
            seen.append(keys)
            days |= dict(page.rows)
            keys = page.following if days and max(days) < last else None
        return days

    def corporate_actions(
        self, asked: answers_reference.ActionList, first: date, last: date
    ) -> list[dict[str, Any]]:
        """What one list of the depository has for all stocks in a span of a month at most.

        A list may end at about 100 rows without a word of more. One that is as long is asked for
        again in halves, down to a day, and a day that is as long is warned of. What the halves
        have in common comes twice.

        Raises:
            UnexpectedAnswer: a page comes twice, or the pages do not end.
        """
        rows, may_be_cut = self._pages(asked, first, last)
        if not may_be_cut:
            return rows
        if first == last:
            log.warning(
                "%s of %s may be cut: KIS gives %d, and no list shorter than a day's",
                asked.endpoint.name,
                first,
                len(rows),
            )
            return rows
        middle = first + (last - first) // 2
        return [
            *self.corporate_actions(asked, first, middle),
            *self.corporate_actions(asked, middle + timedelta(days=1), last),
        ]

    def _pages(
        self, asked: answers_reference.ActionList, first: date, last: date
    ) -> tuple[list[dict[str, Any]], bool]:
        """The actions of a span, page by page, and whether there may be more of them."""
        rows: list[dict[str, Any]] = []
        before: list[Any] = []
        keys: dict[str, str] = {"CTS": ""}
        for number in range(ACTION_PAGES):
            page = self._client.ask(
                asked.endpoint,
                {
                    "F_DT": f"{first:%Y%m%d}",
                    "T_DT": f"{last:%Y%m%d}",
                    "SHT_CD": "",
                    **asked.extra,
                    **keys,
                },
                lambda body: answers_reference.corporate_actions(body, asked),
                about=f"{first} to {last}",
                tr_cont="N" if number else "",
            )
            if page.rows and page.rows == before:
                break
            rows += page.rows
            if page.following is None:
                # A list that told of a second page tells of its end too.
                return rows, number == 0 and page.given >= A_LONG_LIST
            before, keys = page.rows, page.following
        raise UnexpectedAnswer(
            "a page comes twice, or the pages do not end",
            endpoint=asked.endpoint.name,
            stock_code=f"{first} to {last}",
        )
