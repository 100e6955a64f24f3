"""Margin loans on each stock (credit_balances). Some stocks are not eligible and have no rows."""

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.kis import credit_balances as service
from kis_assets.tables import CREDIT_BALANCES

credit_balances = daily_figures(CREDIT_BALANCES, service.SERVICE, "flows", may_lack=True)
