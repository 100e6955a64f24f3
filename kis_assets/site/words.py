"""The words of the pages in both languages. Pages have both; the style shows one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

KOREAN = {
    # of every page
    "Korean stock market": "한국 주식시장",
    "Skip to the content": "본문으로 건너뛰기",
    "Market": "시장",
    "Evening reports": "일일 리포트",
    "Condition of the data": "데이터 상태",
    "MOCK DATA: an invented market. Nothing on this page is real.": (
        "모의 데이터: 가상의 시장입니다. 이 페이지의 어떤 값도 실제가 아닙니다."
    ),
    "Source": "출처",
    "stored until {at} in Seoul": "{at}(서울)까지 저장된 데이터",
    "These pages need JavaScript, which runs from this folder and asks no network.": (
        "이 페이지에는 자바스크립트가 필요합니다. "
        "이 폴더의 파일만 쓰며 네트워크에 접속하지 않습니다."
    ),
    "Charts": "차트",
    "None.": "없음",
    # the market
    "All stocks": "전 종목",
    "more": "더 보기",
    "No stock fits.": "해당하는 종목이 없습니다.",
    "Price and change are those of the newest capture, else of the newest daily candle.": (
        "현재가와 등락률은 최근 수집 시점의 값이며, 없으면 최근 일봉의 값입니다."
    ),
    "No day is stored that could be told of.": "리포트를 만들 수 있는 날이 없습니다.",
    "newest day": "최근일",
    # a stock
    "No such stock is stored.": "저장되지 않은 종목입니다.",
    "price": "현재가",
    "open": "시가",
    "high": "고가",
    "low": "저가",
    "close": "종가",
    "volume": "거래량",
    "trading value": "거래대금",
    "market cap": "시가총액",
    "52-week high": "52주 최고",
    "52-week low": "52주 최저",
    "dividend yield": "배당수익률",
    "foreign holding": "외국인 지분율",
    "Daily candles": "일봉",
    "raw": "원주가",
    "adjusted": "수정주가",
    "Adjusted to the share count of the newest day.": "최근일의 주식 수로 수정한 주가입니다.",
    "Nothing changed the share count in these days: both are the same.": (
        "이 기간에 주식 수가 바뀌지 않아 원주가와 수정주가가 같습니다."
    ),
    "Corporate actions of these days are not all stored: a change of the share count may be "
    "missing.": "이 기간의 권리 변동이 모두 저장되어 있지 않아 주식 수 변화가 빠졌을 수 있습니다.",
    "The newest candle is provisional.": "마지막 일봉은 잠정치입니다.",
    "3 months": "3개월",
    "6 months": "6개월",
    "1 year": "1년",
    "all": "전체",
    "The newest ten": "최근 10일",
    "Minutes": "분봉",
    "Dashed: the close before.": "점선: 전일 종가",
    "Order book": "호가",
    "ask": "매도",
    "bid": "매수",
    "shares": "잔량",
    "Investors, net": "투자자별 순매수",
    "Summed up since the first day shown.": "표시된 첫날부터의 누적 순매수입니다.",
    "sold short": "공매도 비중",
    "Not stored.": "저장된 데이터가 없습니다.",
    "Corporate actions": "권리 변동",
    "individuals": "개인",
    "foreigners": "외국인",
    "institutions": "기관",
    "others": "기타",
    "halted": "거래정지",
    "under administration": "관리종목",
    # the condition
    "What is known of each table and day, the last {count} sessions": (
        "테이블별 최근 {count}거래일의 데이터 상태"
    ),
    "available": "정상",
    "degraded": "품질 저하",
    "pending": "대기",
    "missing": "누락",
    "since": "시작일",
    "Days by table": "테이블별 일수",
    "What is not as it should be": "정상이 아닌 날",
    "until": "종료일",
    "days": "일수",
    # a day
    "Changes of the day": "등락률 분포",
    "day": "날짜",
    "stock": "종목",
    "price, KRW": "현재가(원)",
    "change": "등락률",
    "traded, KRW": "거래대금",
    "from": "기준일",
    "what": "구분",
    "ratio": "비율",
    "amount, KRW": "금액(원)",
    "and {count} more": "외 {count}건",
    "None is stored.": "저장된 내역이 없습니다.",
    "of {day}": "{day} 기준",
    "Indices, flows, short sales and programmes are published on the next morning: until then they "
    "are those of {days}.": (
        "지수·수급·공매도·프로그램은 다음 날 아침에 공표됩니다. 그때까지는 {days}의 값입니다."
    ),
    "change not known": "등락 알 수 없음",
    "traded": "거래대금",
    "Who bought more than they sold, KRW": "투자자별 순매수(원)",
    "market": "시장",
    "{market}, by market value": "{market} 시가총액 기준",
    "{up:,} up, {down:,} down, {flat:,} unchanged": "상승 {up:,} · 하락 {down:,} · 보합 {flat:,}",
    "Rose most": "상승률 상위",
    "No stock rose.": "오른 종목이 없습니다.",
    "Fell most": "하락률 상위",
    "No stock fell.": "내린 종목이 없습니다.",
    "Traded most": "거래대금 상위",
    "Nothing was traded.": "거래가 없었습니다.",
    "The most traded stock": "거래대금 1위",
    "of volume": "거래량 대비",
    "Bought most by foreigners": "외국인 순매수 상위",
    "Sold most by foreigners": "외국인 순매도 상위",
    "Bought most by institutions": "기관 순매수 상위",
    "Sold most by institutions": "기관 순매도 상위",
    "Bought most by programmes": "프로그램 순매수 상위",
    "Sold most by programmes": "프로그램 순매도 상위",
    "Sold short most, by value": "공매도 금액 상위",
    "Sold short most, of the day's volume": "공매도 비중 상위",
    "Not stored of the last days: {tables}.": "최근 저장되지 않은 테이블: {tables}.",
    "Highs and lows of {window} sessions": "{window}일 신고가·신저가",
    "No official close of this day is known, or fewer than {window} sessions before it are "
    "stored.": "이날의 공식 종가가 없거나, 이전 {window}거래일이 모두 저장되어 있지 않습니다.",
    "New highs: {count:,} closed above every close of {window} sessions": (
        "{window}일 신고가: {count:,}종목"
    ),
    "New lows: {count:,} closed below every close of {window} sessions": (
        "{window}일 신저가: {count:,}종목"
    ),
    "Corporate actions of the day": "당일 권리 변동",
    "Corporate actions ahead": "예정된 권리 변동",
    "What is stored of the day, and what is not": "이날 저장된 데이터",
    "table": "테이블",
    "rows": "행",
    "stocks": "종목",
    "nothing": "없음",
    "Listed and without a price": "상장되었으나 현재가가 없는 종목",
    "Every stock that was asked for has a price.": "요청한 모든 종목의 현재가가 있습니다.",
    "condition": "상태",
    "why": "사유",
    "By market value: the change of all stocks' price times listed shares, which is close to an "
    "index and is none. Ratios and amounts of corporate actions are as announced.": (
        "시가총액 기준: 전 종목의 주가×상장주식수의 변화로, 지수에 가깝지만 지수는 아닙니다. "
        "권리 변동의 비율과 금액은 공시된 값입니다."
    ),
    "{up:,} stocks rose, {down:,} fell": "{up:,}종목 상승, {down:,}종목 하락",
    "{up:,} stocks rose, {down:,} fell; {leader} was traded most": (
        "{up:,}종목 상승, {down:,}종목 하락 · 거래대금 1위 {leader}"
    ),
    "from daily candles, not final for {count:,} stocks: see the next morning's": (
        "일봉 기준, {count:,}종목은 확정 전: 다음 날 아침의 리포트를 보세요"
    ),
    "from final daily candles": "확정된 일봉 기준",
    "official closes, and what was traded until the capture of {at} in Seoul": (
        "공식 종가, 거래대금은 {at}(서울) 수집 시점까지"
    ),
    "prices captured {at} in Seoul, not the official closes": (
        "{at}(서울)에 수집한 가격이며 공식 종가가 아님"
    ),
    "official closes, but for {count:,} stocks prices captured {at} in Seoul": (
        "공식 종가, 단 {count:,}종목은 {at}(서울)에 수집한 가격"
    ),
    # kinds of corporate actions
    "split": "액면분할",
    "reverse split": "액면병합",
    "bonus issue": "무상증자",
    "rights issue": "유상증자",
    "stock dividend": "주식배당",
    "cash dividend": "현금배당",
    "capital reduction": "감자",
    "merger": "합병",
    "spin off": "분할",
    "other": "기타",
}
"""What stands for each English text; what is not here is the same in both languages."""
_DATE = "{day:%A, %-d %B %Y}"
_WEEKDAYS = "월화수목금토일"
_UNITS = (
    (("조", 1e12), ("억", 1e8), ("만", 1e4)),
    (("tn", 1e12), ("bn", 1e9), ("m", 1e6)),
)


def say(text: str, **values: Any) -> Markup:
    """A text in both languages, its values escaped."""
    from markupsafe import Markup

    english, korean = text, KOREAN.get(text, text)
    if text == _DATE:
        korean = f"{{day:%Y년 %-m월 %-d일}} ({_WEEKDAYS[values['day'].weekday()]})"
    if english == korean and not values:
        return Markup("{}").format(english)
    # `Markup.format` escapes each value that is not markup itself.
    return both(Markup(korean).format(**values), Markup(english).format(**values))  # noqa: S704


def both(korean: str, english: str) -> Markup:
    """A text of which the style shows one; what is no markup is escaped."""
    from markupsafe import Markup

    if korean == english:
        return Markup("{}").format(english)
    return Markup('<span lang="ko">{}</span><span lang="en">{}</span>').format(korean, english)


def won(value: float) -> Markup:
    """An amount of KRW: 1.2조 or 1.2 tn. `site.js` writes them alike."""
    korean, english = (_short(value, units) for units in _UNITS)
    return both(korean, english)


def _short(value: float, units: tuple[tuple[str, float], ...]) -> str:
    for unit, size in units:
        if abs(value) >= size:
            number = value / size
            gap = " " if unit.isascii() else ""
            return f"{number:,.1f}{gap}{unit}" if abs(number) < 100 else f"{number:,.0f}{gap}{unit}"
    return f"{value:,.0f}"
