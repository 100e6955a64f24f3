"""The invented market's names: believable in both scripts, and nobody else's."""

from __future__ import annotations

import pytest

from kis_assets.simulator.market.names import (
    KNOWN,
    KNOWN_PREFERRED,
    THEMES,
    TRADES,
    english_of,
)
from kis_assets.simulator.market.universe import universe


@pytest.mark.parametrize(
    ("code", "name", "english"),
    [
        ("005930", "삼성전자", "Samsung Electronics"),
        ("280040", "들누금융", "Deulnu Financial"),
        ("090215", "해담바이오우", "Haedam Bio (1P)"),
        ("09021K", "해담바이오3우C", "Haedam Bio (3P)"),
        ("0131S0", "솔내제3호스팩", "Solnae SPAC 3"),
        ("900050", "물람전자인터내셔널", "Mulram Electronics International"),
        ("245550", "벼샘생명과학", "Byeosaem Life Science"),
        ("102110", "새울 골드선물(H) TR", "Saeul Gold Futures(H) TR"),
        ("58001J", "마중1002 KOSPI200 콜", "Majung1002 KOSPI200 Call"),
    ],
)
def test_a_name_has_an_english_one(code: str, name: str, english: str) -> None:
    assert english_of(code, name) == english


INVENTED = [
    it.stock
    for it in universe(0).values()
    if it.stock.name not in {row[1] for row in (*KNOWN, *KNOWN_PREFERRED)}
]


def test_no_two_issues_share_a_name() -> None:
    names = [it.name for it in INVENTED if not it.is_spac]
    assert len(names) == len(set(names))
    assert len(names) > 2_500


def test_what_a_company_sells_is_its_industry() -> None:
    """So that a join by sector reads as it would with real companies."""
    of_word = {word: (sector, industry) for sector, words in TRADES for word, industry, _ in words}
    companies = [it for it in INVENTED if it.group in ("ST", "KN") and not it.preferred]
    for stock in companies:
        if not stock.is_spac:
            (told,) = {of for word, of in of_word.items() if stock.name[2:] == word}
            assert told == (stock.sector, stock.industry), stock.name
    assert len({it.industry for it in companies}) > 20


def test_funds_are_named_by_brand_theme_and_style() -> None:
    funds = [it.name for it in INVENTED if it.group == "EF"]
    assert {name.split(" ")[0] for name in funds} == {"마중", "새울"}
    assert all(any(theme in name.split(" ") for theme in THEMES) for name in funds[1:])
