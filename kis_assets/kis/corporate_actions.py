"""Corporate actions: the six lists of the depository, ksdinfo."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import Any

import polars as pl

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.action_lists import ACTION_LISTS, Action, ActionList, dated
from kis_assets.kis.client import Client
from kis_assets.kis.fields import (
    Page,
    Row,
    frame,
    page,
    read,
    rows_of,
)
from kis_assets.tables import CORPORATE_ACTIONS

log = logging.getLogger(__name__)

ANNOUNCED_BEFORE = 2
"""How many months before the effective month are searched for announcements: the lists go by record
date, and a halt for a split or a merger lasts weeks."""
PAGES = 50
"""Most pages of one list in a month; more are taken for an endless list."""
A_LONG_LIST = 90
"""A list of at least this many rows may be truncated: one list ends at 100."""


def in_month(client: Client, month: date) -> pl.DataFrame:
    """Rows of `corporate_actions` that took effect in a month, not stamped yet."""
    found: list[Action] = []
    for asked in ACTION_LISTS:
        # Search one month later too: an ex-day comes before its record day.
        for number in range(-ANNOUNCED_BEFORE, 2):
            found += announced(client, asked, *_month(month, number))
    key = [name for name in CORPORATE_ACTIONS.key if name != "sequence"]
    listed = pl.col("stock_code").str.contains(r"^[0-9A-Z]{6}$")
    return (
        frame(found, CORPORATE_ACTIONS.schema)
        .filter(listed & pl.col("effective_on").is_between(*_month(month)))
        # A row in the lists of two months is one row.
        .unique(maintain_order=True)
        .with_columns(sequence=pl.int_range(pl.len()).over(key))
    )


def _month(day: date, later: int = 0) -> tuple[date, date]:
    """First and last day of the month that is `later` months after that of `day`."""
    number = day.year * 12 + day.month - 1 + later
    first = date(number // 12, number % 12 + 1, 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def announced(client: Client, asked: ActionList, first: date, last: date) -> list[Action]:
    """The rows of one list of the depository for all stocks, in a span of at most a month.

    A list may be truncated at about 100 rows without notice. A list of that length is requested
    again in halves, down to single days; a day of that length causes a warning. Rows that the
    halves have in common come twice.

    Raises:
        UnexpectedAnswer: a page is repeated, or the pages do not end.
    """
    rows, may_be_cut = _pages(client, asked, first, last)
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
        *announced(client, asked, first, middle),
        *announced(client, asked, middle + timedelta(days=1), last),
    ]


def _pages(client: Client, asked: ActionList, first: date, last: date) -> tuple[list[Action], bool]:
    """The actions of a span, page by page, and whether there may be more of them."""
    rows: list[Action] = []
    before: list[Any] = []
    keys: dict[str, str] = {"CTS": ""}
    for number in range(PAGES):
        found = client.ask(
            asked.endpoint,
            {
                "F_DT": f"{first:%Y%m%d}",
                "T_DT": f"{last:%Y%m%d}",
                "SHT_CD": "",
                **asked.extra,
                **keys,
            },
            lambda body: read_page(body, asked),
            about=f"{first} to {last}",
            tr_cont="N" if number else "",
        )
        if found.rows and found.rows == before:
            break
        rows += found.rows
        if found.following is None:
            # A list that announced a second page also announces its end.
            return rows, number == 0 and found.given >= A_LONG_LIST
        before, keys = found.rows, found.following
    raise UnexpectedAnswer(
        "a page comes twice, or the pages do not end",
        endpoint=asked.endpoint.name,
        stock_code=f"{first} to {last}",
    )


def read_page(body: Row, asked: ActionList) -> Page:
    """ksdinfo: the actions of a page of one list, columns of `corporate_actions`.

    Raises:
        UnexpectedAnswer: an action has no stock or no day, or cannot be read.
    """
    given = rows_of(body, "output1")
    found = [
        dated(action) | {"origin": asked.endpoint.name}
        for row in given
        for action in asked.actions(read(row, asked.fields))
    ]
    return page(body, found, {"CTS": "ctx_area_nk"})._replace(given=len(given))
