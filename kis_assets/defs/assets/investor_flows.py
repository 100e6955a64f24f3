"""What each class of investors bought and sold of each stock (investor_flows)."""

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.kis import investor_flows as service
from kis_assets.tables import INVESTOR_FLOWS

investor_flows = daily_figures(INVESTOR_FLOWS, service.SERVICE, "flows")
