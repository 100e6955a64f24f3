"""Programme trades of each stock (program_trades)."""

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.kis import program_trades as service
from kis_assets.tables import PROGRAM_TRADES

program_trades = daily_figures(PROGRAM_TRADES, service.SERVICE, "flows")
