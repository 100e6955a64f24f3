"""Why a day of a table is not available, in Korean too, by what `dataset_condition` says of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kis_assets.site.words import both

if TYPE_CHECKING:
    from markupsafe import Markup

_KOREAN = {
    r"(\w+) fails for (\d+)": r"\1 검사에 걸린 행 \2개",
    r"(\d+) rows are not final: close, high and low may be the after-market's; final when fetched "
    r"at 06:00 of the next session or later": (
        r"확정되지 않은 행 \1개: 종가·고가·저가가 애프터마켓의 값일 수 있습니다. "
        r"다음 거래일 06:00 이후에 수집하면 확정됩니다"
    ),
    r"(\d+) rows are not final: close, high and low may be the after-market's; final when fetched "
    r"at 06:00 of (\S+) or later": (
        r"확정되지 않은 행 \1개: 종가·고가·저가가 애프터마켓의 값일 수 있습니다. "
        r"\2 06:00 이후에 수집하면 확정됩니다"
    ),
    r"(\d+) rows were stored before they were final and not fetched again since: "
    r"run kis-assets repair": (
        r"확정되기 전에 저장된 뒤 다시 수집하지 않은 행 \1개: kis-assets repair를 실행하세요"
    ),
    "stored before trading ended at 20:00: fetch it again": (
        "20:00 거래 종료 전에 저장됨: 다시 수집해야 합니다"
    ),
    "published on the morning of the next session": "다음 거래일 아침에 공표됩니다",
    "published three sessions later": "3거래일 뒤에 공표됩니다",
    "the day is not over": "아직 끝나지 않은 날입니다",
    "was not captured; live data is not available later": (
        "수집하지 않았습니다. 실시간 데이터는 나중에 얻을 수 없습니다"
    ),
    r"was not fetched in time; KIS keeps (\d+) sessions": (
        r"제때 수집하지 않았습니다. KIS는 \1거래일만 보관합니다"
    ),
    "was not fetched; it is still available": "수집하지 않았습니다. 지금도 수집할 수 있습니다",
}
"""What stands for each English reason, by a pattern of it; the names of checks are names."""
_WORTH = "worth a look: "


def why(reason: str | None) -> Markup:
    """A reason in both languages, escaped."""
    text = reason or ""
    return both(_korean(text), text)


def _korean(text: str) -> str:
    if text.startswith(_WORTH):
        return f"살펴볼 것: {_korean(text.removeprefix(_WORTH))}"
    for pattern, korean in _KOREAN.items():
        if re.fullmatch(pattern, text):
            return re.sub(pattern, korean, text)
    several = text.split("; ")
    return "; ".join(map(_korean, several)) if len(several) > 1 else text
