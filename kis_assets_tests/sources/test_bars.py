"""Weeks and months out of days as a source gives them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from kis_assets.sources.bars import chart
from kis_assets.sources.record_types import PriceType
from kis_assets_tests.support.small_rows import candle

MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)


def joined(older: dict[str, Any], newer: dict[str, Any]) -> tuple[int, ...]:
    (bar,) = chart("005930", [newer, older], PriceType.WEEKLY, 5)
    return (bar.open_price, bar.high_price, bar.low_price, bar.close_price, bar.volume)


@pytest.mark.parametrize(
    ("before", "base", "volume"),
    [
        ((50_000, 52_000, 49_000, 50_000), 5_000, 100),  # a split of one into ten
        ((500, 520, 490, 500), 5_000, 10_000),  # ten into one
    ],
)
def test_a_week_with_a_split_is_on_the_share_count_of_its_last_day(
    before: tuple[int, ...], base: int, volume: int
) -> None:
    older = candle(MONDAY, *before, volume=volume)
    newer = candle(TUESDAY, 5_000, 5_300, 4_950, 5_100, volume=2_000, base_price=base)
    assert joined(older, newer) == (5_000, 5_300, 4_900, 5_100, 3_000)


@pytest.mark.parametrize(
    ("base", "is_final"),
    [(50_000, True), (49_950, True), (49_000, False)],
    ids=["as before", "a tick beside it", "the close is the after-market's"],
)
def test_other_weeks_are_as_they_traded(base: int, is_final: bool) -> None:
    older = candle(MONDAY, 50_000, 52_000, 49_000, 50_000, is_final=is_final)
    newer = candle(TUESDAY, 50_000, 51_000, 49_500, 50_500, base_price=base)
    assert joined(older, newer) == (50_000, 52_000, 49_000, 50_500, 20)
