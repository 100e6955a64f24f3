"""Run as a script: a day of minutes of the whole market, stored; prints what it took as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import MINUTE_CANDLES
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, open_source

STOCKS = 2500


def main(folder: Path, stocks: int = STOCKS) -> None:
    market = ModelMarket(seed=0, clock=lambda: EVENING)
    simulator = Simulator(market, rate_limit=0, token_window=0.0)
    settings = Settings.load(
        data_source_type="kis",
        kis_app_key=APP_KEY,
        kis_app_secret=APP_SECRET,
        kis_use_virtual_server=False,
        kis_data_dir=folder,
        kis_api_base_url_real="http://kis.test",
        kis_master_base_url="http://kis.test",
        kis_replay_at=EVENING,
    )
    shares = [
        stock.code
        for stock in market.stocks(EVENING.date())
        if stock.group == "ST" and not stock.is_halted and stock.market != "KONEX"
    ]
    codes = shares[:stocks]
    with open_source(simulator, settings) as source:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.monotonic()
        fetched = source.tables.minute_candles(codes, EVENING.date())
        took = time.monotonic() - started
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        lake = Lake(folder / "kis", source="kis")
        scope = Scope.day(EVENING.date()).of(fetched.rows["stock_code"].unique())
        lake.replace(MINUTE_CANDLES, scope, fetched.rows)
    print(  # noqa: T201 - this is what it is for
        json.dumps(
            {
                "stocks": len(codes),
                "rows": fetched.rows.height,
                "failed": len(fetched.failed),
                "absent": len(fetched.absent),
                "requests": simulator.calls("inquire-time-dailychartprice"),
                "confirmations": simulator.calls("inquire-daily-itemchartprice"),
                "seconds": round(took, 1),
                "mb_before": before // 1024,
                "mb_after_fetch": held // 1024,
                "mb_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:]))
