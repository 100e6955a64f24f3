"""The invented market's names: believable in both scripts, and nobody else's."""

from __future__ import annotations

import pytest

from kis_assets.simulator.market.names import KNOWN, KNOWN_PREFERRED, english_of
from kis_assets.simulator.market.universe import universe


@pytest.mark.parametrize(
    ("code", "name", "english"),
    [
        ("005930", "삼성전자", "Samsung Electronics"),
        ("280040", "들누금융", "Deulnu Financial"),
        ("090215", "해담바이오우", "Haedam Bio (1P)"),
        ("09021K", "해담바이오3우C", "Haedam Bio (3P)"),
        ("0131S0", "솔내제3호스팩", "Solnae SPAC 3"),
        ("900050", "물람전자인터내셔널", "Mulramjeonja International"),
    ],
)
def test_a_name_has_an_english_one(code: str, name: str, english: str) -> None:
    assert english_of(code, name) == english


def test_no_two_companies_share_a_name() -> None:
    known = {row[1] for row in (*KNOWN, *KNOWN_PREFERRED)}
    issues = [it.stock for it in universe(0).values() if it.stock.group in ("ST", "KN", "FS")]
    names = [it.name for it in issues if it.name not in known and not it.is_spac]
    assert len(names) == len(set(names))
    assert len(names) > 2_500
