"""What KIS says of what changes slowly: lists, stock facts, calendar, actions. No storage."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from kis_assets.kis import answers_reference, endpoints, master
from kis_assets.kis.client import Client
from kis_assets.kis.errors import UnexpectedAnswer

CALENDAR_PAGES = 5
"""Pages of the calendar, of 24 days each, that are asked for at most."""
ACTION_PAGES = 50
"""Pages of one list of corporate actions in a month: more than that never ends."""


class Reference:
    """The part of `Quotations` that is not about prices."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def issues(self) -> pl.DataFrame:
        """Every listed issue of KOSPI, KOSDAQ and KONEX; rows of `stock_master` without a day."""
        frames: list[pl.DataFrame] = []
        for market, file_name in master.FILES.items():
            content = self._client.download_master(f"{file_name}.zip")
            frames.append(master.parse(master.unzip(content, market), market))
        return pl.concat(frames)

    def nxt_codes(self) -> frozenset[str]:
        """The stocks that NXT trades, of KOSPI and KOSDAQ."""
        codes: set[str] = set()
        for market, file_name in master.NXT_FILES.items():
            content = self._client.download_master(f"{file_name}.zip")
            codes |= master.codes(master.unzip(content, market, file_name), file_name)
        return frozenset(codes)

    def sector_names(self) -> dict[str, str]:
        """Names of the index sectors by their code of four digits."""
        content = self._client.download_master(f"{master.SECTORS}.zip")
        return master.sector_names(master.unzip(content, "KOSPI", master.SECTORS))

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
        more than `CALENDAR_PAGES`.
        """
        days: dict[date, bool] = {}
        seen: list[dict[str, str]] = []
        keys: dict[str, str] | None = {"CTX_AREA_NK": "", "CTX_AREA_FK": ""}
        while keys is not None and keys not in seen and len(seen) < CALENDAR_PAGES:
            start = max(days) + timedelta(days=1) if days else first
            page = self._client.ask(
                endpoints.CALENDAR,
                {"BASS_DT": f"{first:%Y%m%d}", **keys},
                lambda body, start=start: answers_reference.calendar(body, start),
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

        Raises:
            UnexpectedAnswer: a page comes twice, or the pages do not end.
        """
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
                return rows
            before, keys = page.rows, page.following
        raise UnexpectedAnswer(
            "a page comes twice, or the pages do not end",
            endpoint=asked.endpoint.name,
            stock_code=f"{first} to {last}",
        )
