"""Names and codes of the invented market: a few well-known real stocks, the rest invented.

An invented name is a pair of syllables that no real company has, followed by a word for its
products.
"""

from __future__ import annotations

import re
from collections import Counter
from random import Random

# code, name, market, usual price (KRW), shares (million), daily trading value (billion KRW)
KNOWN: tuple[tuple[str, str, str, int, float, float], ...] = (
    ("005930", "삼성전자", "KOSPI", 75_000, 5_969.8, 1_400),
    ("000660", "SK하이닉스", "KOSPI", 190_000, 728.0, 900),
    ("373220", "LG에너지솔루션", "KOSPI", 390_000, 234.0, 180),
    ("207940", "삼성바이오로직스", "KOSPI", 850_000, 71.2, 90),
    ("005380", "현대차", "KOSPI", 220_000, 209.4, 220),
    ("000270", "기아", "KOSPI", 98_000, 397.7, 150),
    ("068270", "셀트리온", "KOSPI", 180_000, 217.0, 130),
    ("035420", "NAVER", "KOSPI", 190_000, 158.4, 160),
    ("035720", "카카오", "KOSPI", 48_000, 443.5, 110),
    ("051910", "LG화학", "KOSPI", 330_000, 70.6, 95),
    ("006400", "삼성SDI", "KOSPI", 330_000, 68.8, 140),
    ("105560", "KB금융", "KOSPI", 82_000, 393.5, 120),
    ("055550", "신한지주", "KOSPI", 52_000, 507.0, 80),
    ("086790", "하나금융지주", "KOSPI", 60_000, 287.0, 60),
    ("005490", "POSCO홀딩스", "KOSPI", 320_000, 82.6, 110),
    ("012330", "현대모비스", "KOSPI", 240_000, 93.0, 60),
    ("028260", "삼성물산", "KOSPI", 140_000, 177.8, 55),
    ("032830", "삼성생명", "KOSPI", 90_000, 200.0, 35),
    ("066570", "LG전자", "KOSPI", 95_000, 163.6, 60),
    ("003550", "LG", "KOSPI", 78_000, 157.3, 18),
    ("015760", "한국전력", "KOSPI", 22_000, 641.9, 45),
    ("017670", "SK텔레콤", "KOSPI", 55_000, 214.8, 30),
    ("030200", "KT", "KOSPI", 40_000, 252.0, 30),
    ("033780", "KT&G", "KOSPI", 98_000, 125.8, 25),
    ("009150", "삼성전기", "KOSPI", 140_000, 74.7, 70),
    ("247540", "에코프로비엠", "KOSDAQ", 170_000, 97.8, 190),
    ("086520", "에코프로", "KOSDAQ", 85_000, 133.1, 230),
    ("196170", "알테오젠", "KOSDAQ", 250_000, 53.2, 200),
    ("028300", "HLB", "KOSDAQ", 70_000, 131.0, 130),
    ("293490", "카카오게임즈", "KOSDAQ", 18_000, 82.6, 12),
    ("263750", "펄어비스", "KOSDAQ", 36_000, 64.2, 15),
    ("066970", "엘앤에프", "KOSDAQ", 110_000, 36.2, 80),
)
KNOWN_PREFERRED: tuple[tuple[str, str, str, int, float, float], ...] = (
    ("005935", "삼성전자우", "005930", 60_000, 815.9, 130),
    ("005385", "현대차우", "005380", 150_000, 24.4, 9),
    ("00781K", "코리아써키트2우B", "", 6_000, 1.2, 0.05),
)

_FIRST = tuple("슬벼윤솜늘찬별솔샘들봄여잎달강터맑물숲돌씨깃누해노두")
_SECOND = tuple("담결온봄림뫼울람슬빛터샘솔누별재벗길잎숲돌내")
TRADES: tuple[tuple[int, tuple[tuple[str, str, str], ...]], ...] = (
    (13, (("전자", "전자부품 제조업", "Electronics"), ("반도체", "반도체 제조업", "Semicon"),
          ("테크", "통신 및 방송 장비 제조업", "Tech"))),
    (8, (("화학", "화학제품 제조업", "Chemical"), ("소재", "플라스틱제품 제조업", "Materials"))),
    (9, (("제약", "의약품 제조업", "Pharm"), ("약품", "기초 의약물질 제조업", "Pharmaceutical"))),
    (9, (("바이오", "자연과학 연구개발업", "Bio"), ("메디칼", "의료용 기기 제조업", "Medical"),
         ("생명과학", "자연과학 연구개발업", "Life Science"))),
    (18, (("건설", "건물 건설업", "E&C"), ("토건", "토목 건설업", "Civil"))),
    (5, (("식품", "식료품 제조업", "Foods"), ("제과", "기타 식품 제조업", "Confectionery"))),
    (11, (("금속", "1차 비철금속 제조업", "Metal"), ("스틸", "1차 철강 제조업", "Steel"))),
    (12, (("기계", "특수 목적용 기계 제조업", "Machinery"),
          ("정밀", "일반 목적용 기계 제조업", "Precision"),
          ("로보틱스", "특수 목적용 기계 제조업", "Robotics"))),
    (28, (("소프트", "소프트웨어 개발 및 공급업", "Soft"),
          ("시스템", "컴퓨터 프로그래밍, 시스템 통합 및 관리업", "Systems"),
          ("게임즈", "소프트웨어 개발 및 공급업", "Games"))),
    (19, (("물류", "도로 화물 운송업", "Logistics"), ("해운", "해상 운송업", "Shipping"))),
    (21, (("금융", "기타 금융업", "Financial"), ("캐피탈", "기타 금융업", "Capital"))),
    (17, (("에너지", "전동기, 발전기 및 전기 변환장치 제조업", "Energy"),
          ("전력", "전기업", "Power"))),
    (27, (("미디어", "영상 프로그램 제작 및 배급업", "Media"),
          ("엔터", "오디오물 출판 및 원판 녹음업", "Entertainment"))),
    (26, (("홀딩스", "기타 금융업", "Holdings"),)),
    (16, (("A&B", "상품 종합 도매업", "A&B"), ("상사", "상품 종합 도매업", "Trading"),
          ("유통", "종합 소매업", "Retail"))),
)  # fmt: skip
"""By sector number: the ends of company names, the industry, the English word."""
_BRANDS = ("마중", "새울")
"""Brands of funds; no real issuer has them."""
THEMES = {
    "200": "200", "반도체": "Semiconductor", "고배당": "High Dividend", "국고채10년": "KTB 10Y",
    "미국나스닥100": "US Nasdaq 100", "인버스": "Inverse", "골드선물(H)": "Gold Futures(H)",
    "2차전지": "Secondary Battery",
}  # fmt: skip
_STYLES = {
    "": "", "TR": "TR", "액티브": "Active", "TOP10": "TOP10", "플러스": "Plus", "ESG": "ESG",
    "커버드콜": "Covered Call", "밸류": "Value", "모멘텀": "Momentum", "프리미엄": "Premium",
    "타겟": "Target", "혼합": "Mixed", "알파": "Alpha", "인컴": "Income", "성장": "Growth",
    "퀄리티": "Quality", "동일가중": "Equal Weight", "롱숏": "Long Short",
}  # fmt: skip
_IN_ENGLISH = {word: english for _, words in TRADES for word, _, english in words} | {
    "리츠": "REIT", "인프라": "Infra",
}  # fmt: skip
_KNOWN_IN_ENGLISH = {
    "005930": "Samsung Electronics", "000660": "SK hynix", "005380": "Hyundai Motor",
    "000270": "Kia", "068270": "Celltrion", "035720": "Kakao", "051910": "LG Chem",
    "105560": "KB Financial Group", "055550": "Shinhan Financial Group",
    "005490": "POSCO Holdings", "005935": "Samsung Electronics (1P)",
}  # fmt: skip
_OF_FUNDS = THEMES | _STYLES | {"콜": "Call"}
_ABROAD = "인터내셔널"
# The parts of a syllable, in the order of Unicode.
_INITIAL = (
    *("g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", ""),
    *("j", "jj", "ch", "k", "t", "p", "h"),
)
_VOWEL = (
    *("a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo"),
    *("we", "wi", "yu", "eu", "ui", "i"),
)
_FINAL = (
    *("", "k", "k", "k", "n", "n", "n", "t", "l", "k", "m", "l", "l", "l", "p", "l", "m", "p"),
    *("p", "t", "t", "ng", "t", "t", "k", "t", "p", "t"),
)
_CLASS = re.compile(r"(\d?)우[BC]?$")
_SPAC = re.compile(r"제(\d+)호스팩$")


class Names:
    """Creates unique names and codes."""

    def __init__(self, chance: Random) -> None:
        self._pairs = [first + second for first in _FIRST for second in _SECOND]
        chance.shuffle(self._pairs)
        self._chance = chance
        self._given: set[tuple[str, object]] = set()
        self._funds = Counter[tuple[str, str]]()
        self.codes = {row[0] for row in (*KNOWN, *KNOWN_PREFERRED)}

    def company(self) -> tuple[str, str, int]:
        """A new company: name, industry, sector number."""
        while True:
            pair = self._chance.choice(self._pairs)
            sector, words = self._chance.choice(TRADES)
            if (pair, words) not in self._given:
                self._given.add((pair, words))
                trade, industry, _ = words[sum(map(ord, pair)) % len(words)]
                return pair + trade, industry, sector

    def fund(self, theme: str, ending: str = "") -> str:
        """A new fund of a theme: each brand has each style once."""
        style, brand = divmod(self._funds[theme, ending], len(_BRANDS))
        self._funds[theme, ending] += 1
        words = (_BRANDS[brand], theme, list(_STYLES)[style], ending)
        return " ".join(word for word in words if word)

    def digits(self, first: int, last: int, suffix: str = "0") -> str:
        """An unused code of digits; `first` and `last` bound its first five digits."""
        while True:
            code = f"{self._chance.randint(first, last):05d}{suffix}"
            if code not in self.codes:
                self.codes.add(code)
                return code

    def lettered(self) -> str:
        """An unused code of the form that KRX uses since 2024: four digits, a letter, a digit."""
        while True:
            letter = self._chance.choice("ABCDFGHJKLMNPRSTVWXYZ")
            code = f"{self._chance.randint(1, 149):04d}{letter}0"
            if code not in self.codes:
                self.codes.add(code)
                return code


def english_of(code: str, name: str) -> str:
    """The English name of an issue: its real one, or its syllables and its products."""
    if code in _KNOWN_IN_ENGLISH:
        return _KNOWN_IN_ENGLISH[code]
    if found := _SPAC.search(name):
        return f"{romanized(name[: found.start()])} SPAC {found[1]}"
    if (found := _CLASS.search(name)) and code[5] != "0":
        return f"{english_of('', name[: found.start()])} ({found[1] or 1}P)"
    if name.startswith(_BRANDS):
        return " ".join(_OF_FUNDS.get(word) or romanized(word) for word in name.split(" "))
    if name.endswith(_ABROAD):
        return f"{english_of('', name.removesuffix(_ABROAD))} International"
    for trade, word in _IN_ENGLISH.items():
        if name.endswith(trade) and len(name) > len(trade):
            return f"{romanized(name.removesuffix(trade))} {word}"
    return romanized(name)


def romanized(text: str) -> str:
    """Korean in Latin letters, syllable by syllable, each word with a capital."""
    letters = ""
    for character in text:
        place = ord(character) - 0xAC00
        if 0 <= place < 11_172:
            initial, rest = divmod(place, 588)
            letters += _INITIAL[initial] + _VOWEL[rest // 28] + _FINAL[rest % 28]
        else:
            letters += character
    return " ".join(word[:1].upper() + word[1:] for word in letters.split(" "))


def isin_of(body: str) -> str:
    """An ISIN: eleven characters plus the check digit of ISO 6166."""
    digits = "".join(str(int(character, 36)) for character in body)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 == 0 else 1)
        total += number // 10 + number % 10
    return f"{body}{-total % 10}"


def share_isin(code: str) -> str:
    """The ISIN of a share; preferred shares count up from the digit of the common share."""
    if code[:5] + "0" != code:
        series = {"5": "1", "7": "2", "9": "3"}.get(code[5], code[5])
        return isin_of(f"KR7{code[:5]}{series}00")
    return isin_of(f"KR7{code}00")
