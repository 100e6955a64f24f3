"""Which days are meant by what people give as a day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from kis_assets.exchange import calendar, days

DAY = date(2026, 3, 17)
MIDNIGHT = datetime(2026, 3, 17)  # noqa: DTZ001

GIVEN: tuple[Any, ...] = (
    *(DAY, MIDNIGHT, MIDNIGHT.replace(tzinfo=calendar.SEOUL), np.datetime64("2026-03-17")),
    np.datetime64("2026-03-17T00:00:00.000000000"),
    *("2026-03-17", "20260317", "2026/03/17", "2026.3.17", "2026-03-17 00:00:00", " 2026-03-17 "),
)


@pytest.mark.parametrize("given", GIVEN, ids=repr)
def test_a_day_is_a_date_a_midnight_or_a_text(given: Any) -> None:
    assert days.as_day(given) == DAY
    assert days.span(given, given) == (DAY, DAY)


def test_a_timestamp_of_pandas_is_a_day() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    for zone in (None, "Asia/Seoul"):
        assert days.as_day(pandas.Timestamp("2026-03-17", tz=zone)) == DAY
    for given in (
        pandas.Timestamp("2026-03-17 09:00"),
        pandas.Timestamp(DAY.isoformat(), tz="UTC"),
    ):
        with pytest.raises(TypeError, match="not the instant 2026-03-17"):
            days.as_day(given)
    with pytest.raises(TypeError, match="not NaT"):
        days.as_day(pandas.NaT)


def test_a_month_and_a_year_begin_on_their_first_day_and_end_on_their_last() -> None:
    assert days.span("2026", "2026") == (date(2026, 1, 1), date(2026, 12, 31))
    assert days.span("2024-02", "2024-02") == (date(2024, 2, 1), date(2024, 2, 29))
    assert days.span("2026.3", "202603") == (date(2026, 3, 1), date(2026, 3, 31))
    assert days.span("2026-03", None) == (date(2026, 3, 1), None)
    assert days.span(*days.both("2026-03")) == days.span("2026-03", "2026-03")


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="ends on 2026-02-28, before it starts on 2026-03-01"):
        days.span("2026-03", "2026-02")


@pytest.mark.parametrize(
    "given", ["17.3.2026", "2026-13", "2026-02-30", "May", "", "2026-03-17T09"]
)
def test_a_text_that_is_no_day_is_a_value_error(given: str) -> None:
    with pytest.raises(ValueError, match="is not a day; write it as 2026-03-17"):
        days.span(given, None)


def test_one_day_is_no_month() -> None:
    with pytest.raises(ValueError, match="'2026-03' is not a day"):
        days.as_day("2026-03")


@pytest.mark.parametrize(
    "given", [20260317, 2026.0, b"2026-03-17", datetime(2026, 3, 17, tzinfo=UTC)]
)
def test_what_may_be_another_day_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError, match="expected a day"):
        days.span(given, None)
