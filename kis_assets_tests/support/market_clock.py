"""An invented market whose clock a test turns: what the tests of the after-market share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import Any

from kis_assets.exchange import calendar
from kis_assets.simulator.market.after_market import Correction, takes_part
from kis_assets.simulator.market.market import Bar, Quote, Stock
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.wire.wire import Answer, Record, Request

THURSDAY, FRIDAY, MONDAY = date(2026, 11, 12), date(2026, 11, 13), date(2026, 11, 16)
EXAM = date(2026, 11, 19)
BUSY = "005930"

Service = Callable[[Request], Answer]


class Clock:
    """A market whose clock one can turn; stocks are corrected at one instant."""

    def __init__(self, **options: Any) -> None:
        self.at = moment(FRIDAY, 12)
        options.setdefault("correction", Correction(late_share=0))
        self.market = ModelMarket(0, lambda: self.at, **options)

    def __call__(self, day: date, *hour: int) -> ModelMarket:
        self.at = moment(day, *hour)
        return self.market

    def ask(self, service: Service, output: str = "output", **parameters: str) -> Record:
        """What a service says in one record."""
        return service(self._request(parameters)).payload[output]

    def rows(self, service: Service, output: str = "output2", **parameters: str) -> list[Record]:
        """What a service says in rows."""
        return service(self._request(parameters)).payload[output]

    def _request(self, parameters: dict[str, str]) -> Request:
        known = {
            "FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": BUSY, "FID_PERIOD_DIV_CODE": "D",
            "FID_INPUT_DATE_1": "20261101", "FID_INPUT_DATE_2": "20270131",
            "FID_ORG_ADJ_PRC": "1", "FID_INPUT_HOUR_1": "200000",
        }  # fmt: skip
        return Request(self.market, self.at, known | parameters)


def moment(day: date, *hour: int) -> datetime:
    return datetime.combine(day, time(*hour), calendar.SEOUL)


def shares(market: ModelMarket, day: date) -> Iterator[tuple[Stock, Bar]]:
    """The shares that were traded and can be in the after-market, with their final bars."""
    for stock in market.stocks(day):
        bar = market.final_bar(stock.code, day)
        if bar and bar.volume and takes_part(stock):
            yield stock, bar


def quote_of(market: ModelMarket, code: str = BUSY) -> Quote:
    quote = market.quote(code, market.now())
    assert quote
    return quote


def bar_of(market: ModelMarket, day: date, code: str = BUSY) -> Bar:
    (bar,) = market.bars(code, day, day)
    return bar


def moved(market: ModelMarket, day: date) -> tuple[Stock, Bar]:
    """A busy share whose last after-market trade is above its close and above its high."""
    return next(
        (stock, bar) for stock, bar in shares(market, day)
        if bar.after and bar.after.close > bar.high and bar.volume > 10_000
    )  # fmt: skip
