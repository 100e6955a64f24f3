"""Lent shares of each stock (stock_loans)."""

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.kis import stock_loans as service
from kis_assets.tables import STOCK_LOANS

stock_loans = daily_figures(STOCK_LOANS, service.SERVICE, "flows")
