"""Plans to fetch candles again that were stored before they were final.

KIS shows the after-market's close, high and low until the night before the next session. A row that
was fetched before then stays wrong if it is not fetched again. This can happen to the last session
of a month, to a stock that left the universe, or if the machine was off afterwards.
"""

from __future__ import annotations

from kis_assets.defs.resources import KISResource
from kis_assets.execution.plan import Plan, make_plan
from kis_assets.lake.lake import Lake
from kis_assets.lake.quality import provisional
from kis_assets.tables import DAILY_CANDLES


def make_repair(kis: KISResource, lake: Lake) -> Plan:
    """The months of daily candles with such rows, with an estimate.

    Raises:
        KISError: the master files are not available.
    """
    rows = provisional(lake, kis.now())
    months = sorted({day.replace(day=1) for day in rows["trading_day"]})
    if not months:
        return Plan(DAILY_CANDLES.name, [], 0, [], {}, 0, 0, kis.settings.rate_limit)
    first, last = f"{months[0]:%Y-%m}", f"{months[-1]:%Y-%m}"
    only = [str(month) for month in months]
    return make_plan(DAILY_CANDLES.name, first, last, kis, lake, only=only)
