"""What a server calls a stock, or says, never becomes SQL, HTML, a picture or a call to a chat."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import polars as pl
import pytest

from kis_assets.defs.asset_metadata import escaped, markdown
from kis_assets.defs.materialization import _missing
from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis import master_files
from kis_assets.lake.queries import rows_of
from kis_assets.monitoring import alerts
from kis_assets.settings import Settings
from kis_assets.sources.tables import Fetched
from kis_assets_tests.kis.test_master_files import parse, record

NAMES = [
    "<img src=x onerror=alert(1)>",
    "</td><script>alert(1)</script>",
    "![](http://elsewhere.test/seen.png)",
    "[here](javascript:alert(1))",
    "<!channel> <http://elsewhere.test|here>",
    "`code`",
    "*loud*",
    "a | b",
    "a\n\n# b\r\n- c",
    "\\[here](javascript:alert(1))",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_dagsters_markdown_is_more_than_text(name: str) -> None:
    failed = Fetched(pl.DataFrame(), {"005930": UnexpectedAnswer(name)})
    tables = [markdown(pl.DataFrame({"stock_name": [name]})), _missing(failed)["failures"]]
    for table in tables:
        *_, row = lines = table.value.split("\n")
        assert len(lines) == 3
        assert row.count("|") == lines[0].count("|")
        assert "<" not in row and ">" not in row
        assert not re.search(r"(?<!\\)(\\\\)*[\[\]`*]", row)


@pytest.mark.parametrize("text", ["삼성전자", "1,234.50", "a_b 3 % (x); https://openapi.krx.co.kr"])
def test_an_ordinary_text_stands_as_it_is(text: str) -> None:
    assert escaped(text) == text


def test_a_code_that_is_none_is_no_sql() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE daily_candles (stock_code VARCHAR, trading_day DATE)")
        connection.execute(
            "INSERT INTO daily_candles VALUES ('005930', '2026-03-17'), ('a''b', NULL)"
        )
        for codes, found in (
            (["' OR true --"], []),
            (["'); DROP TABLE daily_candles; --"], []),
            (["a'b", "005930"], ["005930", "a'b"]),
        ):
            rows = connection.sql(rows_of("daily_candles", codes, None, None)).fetchall()
            assert [row[0] for row in rows] == found


@pytest.mark.parametrize("code", ["' OR 1=1", "../../x", "a b", "<b>", "가나다", "*", ""])
def test_a_code_that_is_none_comes_out_of_no_master_file(code: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="stock_code"):
        parse(record(mksc_shrn_iscd=code))
    with pytest.raises(UnexpectedAnswer):
        master_files.codes(code.encode("cp949").ljust(9) + b"x", "nxt_kospi_code.mst")


def test_a_chat_is_told_text_and_nothing_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydantic import SecretStr

    told: list[Any] = []

    def receive(
        *_: object, json: dict[str, str], **__: object
    ) -> tuple[int, bytes, dict[str, str]]:
        told.append(json["text"])
        return 200, b"", {}

    monkeypatch.setattr("kis_assets.transport.http.Wire.receive", receive)
    there = settings.model_copy(update={"kis_failure_webhook_url": SecretStr("http://chat.test")})
    alerts.report_failure(there, "a run", NAMES[4], "0123456789")
    (text,) = told
    assert "<" not in text
    assert "&lt;!channel&gt;" in text
