"""KIS's calendar of the exchange: chk-holiday."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.client import Client
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Page, Row, day, flag, page, read, rows_of

CALENDAR = Endpoint("chk-holiday", "CTCA0903R", virtual=False)
PAGES = 5
"""Most pages per call; a page has 24 days."""

FIELDS = (Field("day", "bass_dt", day), Field("is_open", "opnd_yn", flag))


def market_days(client: Client, first: date, last: date) -> dict[date, bool]:
    """Whether the exchange opens, for each day from `first` on that KIS states.

    KIS asks for at most about one call a day: pages are read only until `last`, and never more than
    `PAGES`. The key of the next page is the last day of this one. It is unknown whether the next
    page begins on that day or after it; both are accepted.
    """
    days: dict[date, bool] = {}
    seen: list[dict[str, str]] = []
    keys: dict[str, str] | None = {"CTX_AREA_NK": "", "CTX_AREA_FK": ""}
    while keys is not None and keys not in seen and len(seen) < PAGES:
        starts = (max(days), max(days) + timedelta(days=1)) if days else (first,)
        found = client.ask(
            CALENDAR,
            {"BASS_DT": f"{first:%Y%m%d}", **keys},
            lambda body, starts=starts: read_page(body, starts),
            tr_cont="N" if seen else "",
        )
        seen.append(keys)
        days |= dict(found.rows)
        keys = found.following if days and max(days) < last else None
    return days


def read_page(body: Row, starts: tuple[date, ...]) -> Page:
    """chk-holiday: (day, whether the exchange opens), from one of `starts` on, day after day.

    `opnd_yn` is the field: `tr_day_yn` is Y on Saturdays too, `bzdy_yn` on 31 December.

    Raises:
        UnexpectedAnswer: a field is missing, or days are wrong, skipped or repeated.
    """
    rows = [
        (values["day"], values["is_open"])
        for values in (read(row, FIELDS) for row in rows_of(body, "output"))
    ]
    if any((later - earlier).days != 1 for (earlier, _), (later, _) in pairwise(rows)):
        raise UnexpectedAnswer("the days are not in order, each after the one before it")
    if rows and rows[0][0] not in starts:
        raise UnexpectedAnswer(f"the answer begins on {rows[0][0]}, expected {starts[-1]}")
    return page(body, rows, {"CTX_AREA_NK": "ctx_area_nk", "CTX_AREA_FK": "ctx_area_fk"})
