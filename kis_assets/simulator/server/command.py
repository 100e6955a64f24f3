"""`kis-assets simulate`: start the simulator in the foreground and print how to use it."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta
from pathlib import Path

import uvicorn
from rich.console import Console

from kis_assets.exchange import calendar, venues
from kis_assets.simulator.market.market import Market
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.market.replay import ReplayMarket
from kis_assets.simulator.server.http import create_app
from kis_assets.simulator.server.server import Simulator

KEY = "PSSIMULATED0000000000000000000000000"
SECRET = "SIMULATED" * 20
KRX_KEY = "SIMULATED0" * 4


def start(
    replay: Path | None,
    at: datetime | None,
    *,
    port: int,
    virtual: bool,
    rate_limit: float | None,
    seed: int,
    speed: float = 0.0,
) -> None:
    """Serve until interrupted; the market starts at `at` and runs at `speed` times real time.

    Raises:
        ValueError: the folder to replay lacks required files or rows.
        OSError: the port cannot be opened.
    """
    moment = None if at is None else at.astimezone(calendar.SEOUL)

    began = time.monotonic()

    def clock() -> datetime:
        if moment is None:
            return calendar.now()
        return moment + timedelta(seconds=(time.monotonic() - began) * speed)

    market: Market
    market = ReplayMarket(replay, clock=clock) if replay else ModelMarket(seed=seed, clock=clock)
    simulator = Simulator(
        market,
        environment="virtual" if virtual else "real",
        rate_limit=None if rate_limit is None else math.floor(rate_limit),
        # Tokens use the wall clock, not the market's time: clients compare their expiry with it.
        clock=calendar.now,
    )
    config = uvicorn.Config(
        create_app(simulator), host="127.0.0.1", port=port, log_level="warning", access_log=False,
        ws_ping_interval=None, date_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    name = "VIRTUAL" if virtual else "REAL"
    lines = {
        "DATA_SOURCE_TYPE": "kis",
        f"KIS_API_BASE_URL_{name}": url,
        f"KIS_WS_URL_{name}": url.replace("http", "ws", 1),
        "KIS_MASTER_BASE_URL": url,
        "KIS_USE_VIRTUAL_SERVER": str(virtual).lower(),
        "KIS_APP_KEY": KEY,
        "KIS_APP_SECRET": SECRET,
        "KRX_API_BASE_URL": f"{url}/svc/apis",
        "KRX_API_KEY": KRX_KEY,
    }
    if moment is not None:
        lines["KIS_REPLAY_AT"] = moment.isoformat()
    if replay is not None:
        lines["KIS_UNIVERSE"] = "all"
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"# A simulated KIS server ({name.lower()}) at {url}. Nothing here is KIS.")
    console.print("# Point the client at it:")
    for variable, value in lines.items():
        console.print(f"export {variable}={value}")
    console.print(f"# Rows are called {venues.SIMULATED}kis, and lie in a folder of that name.")
    console.print("# Stop it with Ctrl-C.")
    server.run(sockets=[listener])
