"""What is the code of a stock."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from kis_assets.exchange import stocks


@pytest.mark.parametrize("code", ["005930", "0011A0", "45226K", "00781K", "Q500001"])
def test_codes_of_shares_and_notes_are_codes(code: str) -> None:
    assert stocks.is_stock_code(code)


@pytest.mark.parametrize(
    "code", ["", "5930", "00593０", "0059300", "00593k", "005930\n", "A005930"]
)
def test_anything_else_is_no_code(code: str) -> None:
    assert not stocks.is_stock_code(code)


def test_every_listed_share_has_a_code(days_folder: Path) -> None:
    codes = pl.read_parquet(days_folder / "daily.parquet").get_column("code").unique()
    assert [code for code in codes if not stocks.is_stock_code(code)] == []
