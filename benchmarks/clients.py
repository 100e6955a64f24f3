"""KIS clients that are measured: this project's, and those that are on PyPI.

Each is used as its own documents show: with its own limiter, token file and retries. Only the
address that it talks to is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.setting import AT, SECRET

ACCOUNT = "00000000-01"
MONTH = (date(AT.year, AT.month, 1), AT.date())

Work = Callable[[list[str]], int]
"""Fetches of these stocks what the job is about; of how many there was an answer."""


def one_by_one(ask: Callable[[str], Any]) -> Work:
    """A job that takes one stock after another; one of which it raises an error is left out."""

    def work(codes: list[str]) -> int:
        came = 0
        for code in codes:
            try:
                ask(code)
                came += 1
            except Exception as error:
                logging.getLogger(__name__).info("%s: %r", code, error)
        return came

    return work


def kis_assets(url: str, key: str) -> dict[str, Work]:
    """This project, by what its assets fetch with."""
    from benchmarks.server import settings
    from kis_assets.sources.kis import KISDataSource

    source = KISDataSource(settings(Path("data"), url, kis_app_key=key))
    tables, day = source.tables, AT.date()
    master = tables.stock_master(day)

    def of(codes: list[str]) -> Any:
        return master.filter(master["stock_code"].is_in(codes))

    return {
        "prices": lambda codes: tables.price_snapshots(of(codes), day, AT).rows.height,
        "books": lambda codes: tables.order_books(of(codes), day, AT).rows.height,
        "days": lambda codes: tables.daily_candles(codes, *MONTH).rows["stock_code"].n_unique(),
    }


def python_kis(url: str, key: str) -> dict[str, Work]:
    """As its README opens it: the token is kept in the home folder."""
    import pykis
    import pykis.kis

    pykis.kis.REAL_DOMAIN = url
    kis = pykis.PyKis(
        id="tester", account=ACCOUNT, appkey=key, secretkey=SECRET, keep_token=True,
        use_websocket=False,
    )  # fmt: skip

    def stock(code: str) -> Any:
        return kis.stock(code, market="KRX")

    return {
        "prices": one_by_one(lambda code: stock(code).quote()),
        "books": one_by_one(lambda code: stock(code).orderbook()),
        "days": one_by_one(lambda code: stock(code).daily_chart(start=MONTH[0], end=MONTH[1])),
    }


def kis_trader(url: str, key: str) -> dict[str, Work]:
    """As its quick start opens it: the token is kept under the home folder."""
    import kis_trader as trader
    from kis_trader._internal import _endpoints

    _endpoints._BASE_URL_BY_ENVIRONMENT["real"] = url
    kis = trader.KISClient(app_key=key, app_secret=SECRET, account=ACCOUNT, environment="real")
    first, last = map(str, MONTH)
    stock = kis.domestic.stock
    return {
        "prices": one_by_one(lambda code: stock(code).quote()),
        "books": one_by_one(lambda code: stock(code).order_book()),
        "days": one_by_one(lambda code: stock(code).bars("1d", start=first, end=last)),
    }


def mojito2(url: str, key: str) -> dict[str, Work]:
    """As its README opens it: the token is kept in the folder it runs in; there is no limiter."""
    import mojito
    from mojito import koreainvestment

    get = koreainvestment.requests.get
    # Some of its paths begin with two slashes, which the simulator takes for another path.
    koreainvestment.requests.get = lambda to, **more: get(to.replace("//uapi", "/uapi"), **more)

    class Broker(mojito.KoreaInvestment):
        def set_base_url(self, mock: bool = True) -> None:
            self.base_url = url

    kis = Broker(api_key=key, api_secret=SECRET, acc_no=ACCOUNT)

    def granted(answer: dict[str, Any]) -> None:
        if answer["rt_cd"] != "0":  # it raises no error of that
            raise ValueError(answer["msg1"])

    first, last = (f"{day:%Y%m%d}" for day in MONTH)
    return {
        "prices": one_by_one(lambda code: granted(kis.fetch_price(code))),
        "days": one_by_one(lambda code: granted(kis.fetch_ohlcv(code, "D", first, last))),
    }


CLIENTS = {"kis_assets": kis_assets, "python-kis": python_kis, "kis-trader": kis_trader,
           "mojito2": mojito2}  # fmt: skip
MODULES = {"kis_assets": "kis_assets.sources.kis", "python-kis": "pykis",
           "kis-trader": "kis_trader", "mojito2": "mojito"}  # fmt: skip
