"""Makes the invented market days of `extract`, which tests use beside real ones or without them.

`python -m kis_assets_tests.make_extract` writes them anew. They have the columns of public KRX
listings: the final rows of seven days, what was seen at fourteen moments of the last two, and the
stocks. Prices, volumes, names and dates are the market model's; what is odd about some is made by
`courses.py`, and `test_extract.py` says what it comes to.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path

import polars as pl

from kis_assets.exchange import calendar, prices
from kis_assets.simulator.market.market import Stock, rate_of
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.market.names import share_isin
from kis_assets_tests.support.courses import (
    DAYS,
    FRI,
    LAST,
    MON,
    NEXT_MON,
    THU,
    TUE,
    WED,
    Course,
    Row,
    at_the_limit,
    bid_up,
    day_before,
    first_day,
    liquidation,
    off_the_tick,
    priced,
    reverse_split,
    rights,
    rounded_base,
    two_krw,
)

FOLDER = Path(__file__).parent / "extract"


def _at(day: date, *times: tuple[int, int, int]) -> list[datetime]:
    return [datetime.combine(day, time(*parts), calendar.SEOUL) for parts in times]


# The last one of Monday is from just after the close. In the first minutes nothing was looked at.
MOMENTS = [
    *_at(NEXT_MON, (9, 58, 41), (11, 49, 6), (13, 9, 30), (14, 2, 17), (14, 51, 55), (15, 30, 34)),
    *_at(LAST, (9, 44, 12), (10, 28, 59), (11, 24, 3), (12, 26, 48)),
    *_at(LAST, (13, 19, 20), (14, 9, 37), (14, 43, 8), (15, 21, 51)),
]


HOW_MANY = {
    **{"KOSPI": 110, "KOSDAQ": 200, "KONEX": 14, "preferred": 14, "new": 14, "spac": 14},
    **{"FS": 5, "RT": 4, "IF": 1},
}
NAMED = {
    **{"000020": "KOSPI", "000040": "KOSPI", "005930": "KOSPI", "00781K": "preferred"},
    **{"006800": "KOSPI", "000640": "KOSPI", "355690": "KOSDAQ", "195990": "KOSDAQ"},
    **{"036180": "KOSDAQ", "204630": "KOSDAQ", "222810": "KOSDAQ", "063570": "KOSDAQ"},
    **{"0011A0": "new", "0082N0": "new", "0068Y0": "spac", "0088D0": "spac"},
    **{"900110": "FS", "330590": "RT", "088980": "IF"},
}
"""Codes that tests or the replay name, of that kind. All else about these stocks is invented."""

UNLIMITED = {"0011A0", "0082N0", "036180", "204630", "222810"}
"""Those that leave a day's limits: two on their first day, three in liquidation."""


def courses() -> list[Course]:
    """Every stock with its figures, by code."""
    market = ModelMarket(seed=0, clock=lambda: datetime(2026, 3, 18, 20, tzinfo=calendar.SEOUL))
    found: dict[str, Course] = {}
    for kind, count in HOW_MANY.items():
        stocks = [stock for stock in market.stocks(LAST) if _kind(stock) == kind]
        ordinary = [course for stock in stocks if (course := _course(market, stock))]
        # Odd ones are made of those that are traded much.
        ordinary.sort(key=lambda course: -min(row.volume for row in course.rows.values()))
        names = [code for code, its_kind in NAMED.items() if its_kind == kind]
        chosen = {name: _called(name, ordinary) for name in names}
        rest = [course for course in ordinary if course.stock.code not in NAMED]
        left = count - len(names)
        for course in (rest[place * len(rest) // left] for place in range(left)):
            chosen[course.stock.code] = course
        found |= chosen
    for code, course in found.items():
        quotes = {at: market.quote(course.stock.code, at) for at in MOMENTS}
        course.seen = {at: Row(*quote.bar[1:7]) for at, quote in quotes.items() if quote}
        if course.stock.code != code:
            course.stock = replace(course.stock, code=code, isin=share_isin(code))
    _make_odd(found)
    return [found[code] for code in sorted(found)]


def _called(name: str, ordinary: list[Course]) -> Course:
    """The stock of that code, else one that will get it; it is among the others no more."""
    same = [course for course in ordinary if course.stock.code == name]
    course = same[0] if same else ordinary[len(ordinary) // 20]
    ordinary.remove(course)
    return course


def _kind(stock: Stock) -> str:
    if stock.group not in ("ST", "KN"):
        return stock.group
    if stock.is_spac:
        return "spac"
    if stock.preferred:
        return "preferred"
    return stock.market if stock.code.isdigit() else "new"


def _course(market: ModelMarket, stock: Stock) -> Course | None:
    """A stock that trades all days on one share count, else None."""
    bars = market.bars(stock.code, DAYS[0], LAST)
    if len(bars) < len(DAYS) or any(bar.base != bar.previous_close for bar in bars):
        return None
    return Course(
        stock,
        rows={bar.day: Row(*bar[1:7]) for bar in bars},
        seen={},
        bases={MON: bars[0].base},
        shares={bar.day: bar.listed_shares for bar in bars},
    )


def _make_odd(found: dict[str, Course]) -> None:
    rights(found["006800"], NEXT_MON, 0.955)
    rights(found["000640"], THU, 0.93)
    rights(found["355690"], TUE, 0.9)
    reverse_split(found["195990"], THU)
    first_day(found["0082N0"], NEXT_MON, 12_500, 50_000)
    first_day(found["0011A0"], WED, 8_000, 20_000)
    liquidation(found["204630"], FRI, 0.28)
    liquidation(found["036180"], TUE, 0.2, last=FRI)
    liquidation(found["222810"], WED, 0.45, last=NEXT_MON)
    stock = found["063570"].stock
    found["063570"].stock = replace(stock, name=stock.name[:2] + "인프라")
    rounded_base(found["0068Y0"], TUE)

    spacs = _others(found, "spac")
    for day in (WED, FRI, LAST):
        rounded_base(_traded(spacs, day_before(day), day), day)
    spacs.pop().keep(last=NEXT_MON)

    priced(_traded(_others(found, "KOSPI"), MON), 1_200_000)
    others = _others(found, "KOSDAQ")
    two_krw(_traded(others, MON))
    for course in (others.pop() for _ in range(5)):
        course.segment, course.stock = " GLOBAL", replace(course.stock, department="우량기업부")
    for course in (others.pop() for _ in range(8)):
        for day in DAYS:
            course.rest(day)
    for day in DAYS:
        others.pop().rest(day)
        for _ in range(2):
            at_the_limit(_traded(others, day), day, 1)
            off_the_tick(_traded(others, day), day)
    for day in (TUE, FRI, LAST):
        at_the_limit(_traded(others, day), day, 0)
    bid_up(others.pop(), WED)


def _others(found: dict[str, Course], kind: str) -> list[Course]:
    """Stocks of a kind that no test names; half a tick is a price there."""
    courses = [course for code, course in found.items() if code not in NAMED]
    return [
        course
        for course in courses
        if _kind(course.stock) == kind and min(row.close for row in course.rows.values()) > 2_005
    ]


def _traded(others: list[Course], *days: date) -> Course:
    """One of them that traded on these days; it is among the others no more."""
    found = next(course for course in others if all(course.rows[day].volume for day in days))
    others.remove(found)
    return found


# The files.


def frames() -> dict[str, pl.DataFrame]:
    """The three tables by the names of their files."""
    daily, seen, listing = [], [], []
    for course in courses():
        for day, row in course.rows.items():
            evening = datetime.combine(day, time(17, 58), calendar.SEOUL)
            keys = {"date": day, "code": course.stock.code, "captured_at": evening}
            daily.append(keys | _figures(course, row, day))
        for at, row in course.seen.items():
            keys = {"captured_at": at, "date": at.date()}
            seen.append(keys | _figures(course, row, at.date()))
        if LAST in course.rows:
            listing.append(_listed(course))
    moment = {"captured_at": pl.Datetime("us", "Asia/Seoul")}
    return {
        "daily": pl.DataFrame(daily, schema_overrides=moment).sort("date", "code"),
        "intraday_snapshots": pl.DataFrame(seen, schema_overrides=moment).sort(
            "captured_at", "code"
        ),
        "listing": pl.DataFrame(listing),
    }


def _figures(course: Course, row: Row, day: date) -> dict[str, object]:
    stock, base, shares = course.stock, course.base(day), course.shares[day]
    lower, upper = prices.price_limits(base, stock.market, day)
    change = row.close - base
    # Of KRX: 1 up, 2 down, 3 unchanged, 4 and 5 the limits, 0 no trade.
    code = "3" if change == 0 else "1" if change > 0 else "2"
    if row.volume == 0 and change == 0:
        code = "0"
    elif row.close == upper:
        code = "4"
    elif row.close == lower:
        code = "5"
    return {
        "code": stock.code,
        "isin": stock.isin,
        "name": stock.name,
        "market": stock.market + course.segment,
        "department": stock.department or None,
        "open": row.open,
        "high": row.high,
        "low": row.low,
        "close": row.close,
        "change": change,
        "change_code": code,
        "change_rate": rate_of(change, base) / 100,
        "volume": row.volume,
        "trading_value": row.value,
        "market_cap": row.close * shares,
        "listed_shares": shares,
    }


def _listed(course: Course) -> dict[str, object]:
    stock = course.stock
    # Of preferred shares nothing more is published.
    is_common = not stock.preferred
    return {
        "code": stock.code,
        "name": stock.name,
        "market": stock.market + course.segment,
        "department": stock.department or None,
        "industry": stock.industry if is_common else None,
        "products": f"{stock.name[2:]} 제품" if is_common else None,
        "listing_date": str(stock.listed_on) if is_common else None,
        "settle_month": f"{stock.settle_month:02d}월" if is_common else None,
        "region": "서울특별시" if is_common else None,
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, frame in frames().items():
        frame.write_parquet(FOLDER / f"{name}.parquet", compression_level=19)


if __name__ == "__main__":
    main()
