"""One KIS client at work, in a process of its own: this project's, or one that is on PyPI.

`python -m benchmarks.clients NAME JOB URL KEY SECONDS CODES` says `ready` when its modules are
loaded, begins at the next line of its input, and prints what came of it as JSON. Each client is
used as its own documents show: with its own limiter, token file and retries. Only the address that
it talks to is changed.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.server import AT, SECRET, settings

ACCOUNT = "00000000-01"
MONTH = (date(AT.year, AT.month, 1), AT.date())

Work = Callable[[list[str]], int]
"""Fetches of these stocks what the job is about; of how many there was an answer."""


class Cannot(Exception):
    """A client has no such thing, and why."""


def one_by_one(ask: Callable[[str], bool]) -> Work:
    """A job that takes one stock after another; a stock that fails is left out, as users do."""

    def work(codes: list[str]) -> int:
        came = 0
        for code in codes:
            try:
                came += bool(ask(code))
            except Exception as error:
                logging.getLogger(__name__).info("%s: %r", code, error)
        return came

    return work


def kis_assets(url: str, key: str) -> dict[str, Work]:
    """This project, by what its assets fetch with."""
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
        "prices": one_by_one(lambda code: stock(code).quote().price > 0),
        "books": one_by_one(lambda code: len(stock(code).orderbook().asks) > 0),
        "days": one_by_one(
            lambda code: len(stock(code).daily_chart(start=MONTH[0], end=MONTH[1]).bars) > 0
        ),
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
        "prices": one_by_one(lambda code: stock(code).quote().current_price is not None),
        "books": one_by_one(lambda code: len(stock(code).order_book().asks) > 0),
        "days": one_by_one(lambda code: len(stock(code).bars("1d", start=first, end=last)) > 0),
    }


def mojito2(url: str, key: str) -> dict[str, Work]:
    """As its README opens it: the token is kept in the folder it runs in; there is no limiter."""
    import mojito

    class Broker(mojito.KoreaInvestment):
        def set_base_url(self, mock: bool = True) -> None:
            self.base_url = url

    kis = Broker(api_key=key, api_secret=SECRET, acc_no=ACCOUNT)
    first, last = (f"{day:%Y%m%d}" for day in MONTH)
    return {
        "prices": one_by_one(lambda code: kis.fetch_price(code)["rt_cd"] == "0"),
        "days": one_by_one(lambda code: kis.fetch_ohlcv(code, "D", first, last)["rt_cd"] == "0"),
    }


CLIENTS = {"kis_assets": kis_assets, "python-kis": python_kis, "kis-trader": kis_trader,
           "mojito2": mojito2}  # fmt: skip
MODULES = {"kis_assets": "kis_assets.sources.kis", "python-kis": "pykis",
           "kis-trader": "kis_trader", "mojito2": "mojito"}  # fmt: skip


def run(name: str, job: str, url: str, key: str, seconds: float, codes: Sequence[str]) -> Any:
    """Do a job once, or again and again until a time is over; what came of it."""
    began, starts, work = time.monotonic(), 0, None
    while work is None:
        try:
            jobs = CLIENTS[name](url, key)
            if job not in jobs:
                raise Cannot(f"{name} has none of these")
            work = jobs[job]
        except Cannot:
            raise
        except Exception as error:
            # Another process asked for a token in this minute: whoever watches it starts it anew.
            starts += 1
            if time.monotonic() - began > max(seconds, 5.0):
                raise Cannot(f"did not start: {type(error).__name__}: {error}"[:200]) from None
            time.sleep(1)
    asked = came = 0
    at_once = 36 if name == "kis_assets" and seconds else len(codes) if not seconds else 1
    working = time.monotonic()
    while not asked or time.monotonic() - began < seconds:
        some = [codes[(asked + place) % len(codes)] for place in range(at_once)]
        came += work(some)
        asked += at_once
    ended = time.monotonic()
    return {"asked": asked, "came": came, "failed_starts": starts, "seconds": ended - working,
            "whole": ended - began, "cpu": time.process_time()}  # fmt: skip


def main() -> None:
    """See the module."""
    name, job, url, key, seconds, *codes = sys.argv[1:]
    try:
        __import__(MODULES[name])
    except ImportError:
        print("not installed", flush=True)
        return
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        found = run(name, job, url, key, float(seconds), codes)
    except Cannot as reason:
        found = {"cannot": str(reason)}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
