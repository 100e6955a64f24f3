"""KRX's Open API over the same market: whole markets by day. Not KIS's protocol.

KRX's answer to a malformed request is not documented; 400 is this simulator's choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from kis_assets.exchange import calendar
from kis_assets.krx import publication
from kis_assets.simulator.market.market import ETP_GROUPS, Bar, Market, Stock
from kis_assets.simulator.server.damage import damage_payload, damage_request, lies_of
from kis_assets.simulator.server.faults import Faults
from kis_assets.simulator.wire.wire import Record, Refusal, parse_day, rate, ymd

ROOT = "/svc/apis/"
_APIS = {
    "stk_bydd_trd": "KOSPI",
    "ksq_bydd_trd": "KOSDAQ",
    "knx_bydd_trd": "KONEX",
    "stk_isu_base_info": "KOSPI",
    "ksq_isu_base_info": "KOSDAQ",
    "knx_isu_base_info": "KONEX",
}
_KEY_LENGTH = 40
_GROUPS = {
    "FS": "외국주권", "RT": "부동산투자회사", "IF": "사회간접자본투융자회사", "MF": "투자회사",
}  # fmt: skip
_KINDS = ("보통주", "구형우선주", "신형우선주")


class OpenAPI:
    """KRX's answers about a market; accepts only `key`, or any key of 40 characters if None."""

    def __init__(self, market: Market, faults: Faults, key: str | None = None) -> None:
        self._market, self._faults, self._key = market, faults, key
        self._rows = lru_cache(maxsize=24)(self._make_rows)

    def answer(
        self, method: str, path: str, query: list[tuple[str, str]], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """The body of the answer to one request; header names are in lower case.

        Raises:
            Refusal: the key, the API or the day is wrong, or a fault applies.
        """
        key = headers.get("auth_key", "")
        is_known = key == self._key if self._key is not None else len(key) == _KEY_LENGTH
        if not is_known or self._faults.strikes("unauthorized", path):
            raise Refusal("", "401", "Unauthorized API Call", 401)
        if self._faults.strikes("refused", path):
            raise Refusal("", "429", "Too Many Requests", 429)
        api = path.removeprefix(ROOT + "sto/").removesuffix(".json")
        if method != "GET" or api not in _APIS:
            raise Refusal("", "404", "Not Found", 404)
        parameters = {name.upper(): value for name, value in query if name == "basDd"}
        if parse_day(parameters.get("BASDD", "")) is None:
            raise Refusal("", "400", "Bad Request", 400)
        lies = lies_of(self._faults, path, parameters)
        damage_request(lies, path, self._market, parameters)
        day = parse_day(parameters["BASDD"])
        rows: tuple[Record, ...] = ()
        if day and self._is_there(day, api, path) and not self._faults.strikes("empty_day", path):
            rows = self._rows(api, day)
        payload: dict[str, Any] = {"OutBlock_1": [dict(row) for row in rows]}
        damage_payload(lies, path, payload)
        return payload

    def _is_there(self, day: date, api: str, path: str) -> bool:
        if day < publication.MARKETS[_APIS[api]]:
            return False
        session, now = calendar.session(day), self._market.now()
        if session is None:
            return False
        if self._faults.strikes("published_early", path):
            return session.closes_at <= now
        return publication.published_at(day) <= now

    def _listed(self, exchange: str, day: date) -> Iterator[tuple[Stock, Bar]]:
        for stock in self._market.stocks(day):
            if stock.market == exchange and stock.group not in ETP_GROUPS:
                bar = self._market.final_bar(stock.code, day)
                if bar is not None:
                    yield stock, bar

    def _make_rows(self, api: str, day: date) -> tuple[Record, ...]:
        make = _issue if api.endswith("base_info") else _figures
        return tuple(make(stock, bar) for stock, bar in self._listed(_APIS[api], day))


def _figures(stock: Stock, bar: Bar) -> Record:
    return {
        "BAS_DD": ymd(bar.day), "ISU_CD": stock.code, "ISU_NM": stock.name,
        "MKT_NM": stock.market, "SECT_TP_NM": stock.department or "-",
        "TDD_CLSPRC": str(bar.close), "CMPPREVDD_PRC": str(bar.change),
        "FLUC_RT": rate(bar.change_rate), "TDD_OPNPRC": str(bar.open),
        "TDD_HGPRC": str(bar.high), "TDD_LWPRC": str(bar.low),
        "ACC_TRDVOL": str(bar.volume), "ACC_TRDVAL": str(bar.trading_value),
        "MKTCAP": str(bar.close * bar.listed_shares), "LIST_SHRS": str(bar.listed_shares),
    }  # fmt: skip


def _issue(stock: Stock, bar: Bar) -> Record:
    # The files of real days state no face value.
    unknown = "무액면" if stock.group == "FS" else ""
    return {
        "ISU_CD": stock.isin, "ISU_SRT_CD": stock.code, "ISU_NM": stock.name,
        "ISU_ABBRV": stock.name, "ISU_ENG_NM": f"ISSUE {stock.code}",
        "LIST_DD": ymd(stock.listed_on), "MKT_TP_NM": stock.market,
        "SECUGRP_NM": _GROUPS.get(stock.group, "주권"), "SECT_TP_NM": stock.department or "-",
        "KIND_STKCERT_TP_NM": _KINDS[stock.preferred],
        "PARVAL": str(stock.face_value or unknown), "LIST_SHRS": str(bar.listed_shares),
    }  # fmt: skip
