"""KIS's market data, one method a question: which parameters, and how many pages. No storage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl

from kis_assets.kis import answers, endpoints, master
from kis_assets.kis.client import Client
from kis_assets.kis.errors import UnexpectedAnswer

KRX_MARKET = "J"


class Quotations:
    """What can be asked of KIS. Every method raises the branches of `KISError`.

    `patience` is how many seconds a request stands in the quota's queue at most;
    `KIS_API_QUEUE_TIMEOUT` where it is None.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def issues(self) -> pl.DataFrame:
        """Every listed issue of KOSPI, KOSDAQ and KONEX; rows of `stock_master` without a day."""
        frames: list[pl.DataFrame] = []
        for market, file_name in master.FILES.items():
            content = self._client.download_master(f"{file_name}.zip")
            frames.append(master.parse(master.unzip(content, market), market))
        return pl.concat(frames)

    def price(self, code: str, patience: float | None = None) -> dict[str, Any]:
        """The quote of one stock; see `answers.price`."""
        return self._client.ask(
            endpoints.PRICE,
            {"FID_COND_MRKT_DIV_CODE": KRX_MARKET, "FID_INPUT_ISCD": code},
            lambda body: answers.price(body, code),
            about=code,
            live=True,
            patience=patience,
        )

    def prices(
        self, codes: tuple[str, ...], patience: float | None = None
    ) -> Mapping[str, dict[str, Any] | UnexpectedAnswer]:
        """The quotes of up to 30 stocks; see `answers.many_prices`."""
        parameters: dict[str, str] = {}
        for slot, code in enumerate(codes, 1):
            parameters[f"FID_COND_MRKT_DIV_CODE_{slot}"] = KRX_MARKET
            parameters[f"FID_INPUT_ISCD_{slot}"] = code
        return self._client.ask(
            endpoints.MANY_PRICES,
            parameters,
            lambda body: answers.many_prices(body, codes),
            about=f"{codes[0]} to {codes[-1]}",
            live=True,
            patience=patience,
        )

    def daily_page(
        self,
        code: str,
        first: date,
        last: date,
        *,
        live: bool = False,
        patience: float | None = None,
    ) -> list[dict[str, Any]]:
        """The newest 100 raw daily bars of a span, newest first; see `answers.daily_candles`."""
        return self._client.ask(
            endpoints.DAILY_CHART,
            {
                "FID_COND_MRKT_DIV_CODE": KRX_MARKET,
                "FID_INPUT_ISCD": code,
                "FID_INPUT_DATE_1": f"{first:%Y%m%d}",
                "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
                "FID_PERIOD_DIV_CODE": "D",
                "FID_ORG_ADJ_PRC": "1",  # raw; the neighbouring inquire-daily-price has it inverted
            },
            lambda body: answers.daily_candles(body, code, first, last),
            about=code,
            live=live,
            patience=patience,
        )

    def daily_candles(
        self,
        code: str,
        first: date,
        last: date,
        patience: float | None = None,
        count: int | None = None,
    ) -> list[dict[str, Any]]:
        """The raw daily bars of a span, newest first, page by page; `count` of them are enough.

        A page that fails fails the whole: it is never the end of history.
        """
        bars: list[dict[str, Any]] = []
        while first <= last and (count is None or len(bars) < count):
            page = self.daily_page(code, first, last, patience=patience)
            bars += page
            if len(page) < endpoints.BARS_A_PAGE:
                break
            last = page[-1]["trading_day"] - timedelta(days=1)
        return bars[:count]
