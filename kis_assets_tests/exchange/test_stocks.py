"""What is the code of a stock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


WRITTEN = (
    *("005930", "5930", 5930, np.int64(5930), " 005930 ", "００５９３０"),
    *("005930.KS", "005930.kq", "5930.KS", "KRX:005930", "krx:5930", "KOSDAQ:005930"),
    *("A005930", "a005930.ks", "KR7005930003"),
)


@pytest.mark.parametrize("given", WRITTEN, ids=repr)
def test_a_code_is_read_as_other_programs_and_spreadsheets_write_it(given: object) -> None:
    assert stocks.code_of(given) == "005930"


@pytest.mark.parametrize(
    ("given", "code"), [("q500001", "Q500001"), ("0011a0.KS", "0011A0"), ("A12345", "A12345")]
)
def test_a_code_with_letters_keeps_them(given: str, code: str) -> None:
    assert stocks.code_of(given) == code


@pytest.mark.parametrize(
    "given",
    [*("", "삼성전자", "NAVERS", "1234567", "005930.T", "NYSE:005930"), -5930, 5930.0, True, None],
    ids=repr,
)
def test_what_is_no_code_is_none(given: object) -> None:
    assert stocks.code_of(given) is None


def test_every_listed_share_has_a_code(days_folder: Path) -> None:
    codes = pl.read_parquet(days_folder / "daily.parquet").get_column("code").unique()
    assert [code for code in codes if not stocks.is_stock_code(code)] == []
