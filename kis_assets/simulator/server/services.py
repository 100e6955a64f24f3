"""The services: path, TR id, parameters, and whether the virtual server has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kis_assets.simulator.wire import (
    charts,
    corporate_actions,
    finance,
    flows,
    indices,
    lending,
    minutes,
    quotes,
    reference,
)
from kis_assets.simulator.wire.wire import Answer, Request

_QUOTATIONS = "/uapi/domestic-stock/v1/quotations/"
_FINANCE = "/uapi/domestic-stock/v1/finance/"
_KSD = "/uapi/domestic-stock/v1/ksdinfo/"
_STOCK = ("FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD")


@dataclass(frozen=True, slots=True)
class Service:
    """One quotation call; `required` parameters must be present, but may be blank."""

    path: str
    tr_id: str
    required: tuple[str, ...]
    answer: Callable[[Request], Answer]
    on_virtual: bool = False


_KSD_LISTS = (
    ("paidin-capin", "HHKDB669100C0", ("GB1",)),
    ("bonus-issue", "HHKDB669101C0", ()),
    ("dividend", "HHKDB669102C0", ("GB1", "HIGH_GB")),
    ("purreq", "HHKDB669103C0", ()),
    ("merger-split", "HHKDB669104C0", ()),
    ("rev-split", "HHKDB669105C0", ("MARKET_GB",)),
    ("cap-dcrs", "HHKDB669106C0", ()),
    ("list-info", "HHKDB669107C0", ()),
    ("pub-offer", "HHKDB669108C0", ()),
    ("forfeit", "HHKDB669109C0", ()),
    ("mand-deposit", "HHKDB669110C0", ()),
    ("sharehld-meet", "HHKDB669111C0", ()),
)
_ALL = (
    Service(
        _QUOTATIONS + "inquire-price", "FHKST01010100", _STOCK, quotes.inquire_price, True
    ),
    Service(
        _QUOTATIONS + "inquire-asking-price-exp-ccn", "FHKST01010200", _STOCK,
        quotes.inquire_asking_price, True,
    ),
    Service(_QUOTATIONS + "inquire-ccnl", "FHKST01010300", _STOCK, quotes.inquire_ccnl, True),
    Service(
        _QUOTATIONS + "inquire-daily-price", "FHKST01010400",
        (*_STOCK, "FID_PERIOD_DIV_CODE", "FID_ORG_ADJ_PRC"), charts.inquire_daily_price, True,
    ),
    Service(
        _QUOTATIONS + "inquire-daily-itemchartprice", "FHKST03010100",
        (*_STOCK, "FID_INPUT_DATE_1", "FID_INPUT_DATE_2", "FID_PERIOD_DIV_CODE", "FID_ORG_ADJ_PRC"),
        charts.inquire_daily_itemchartprice, True,
    ),
    Service(
        _QUOTATIONS + "inquire-time-itemchartprice", "FHKST03010200",
        (*_STOCK, "FID_INPUT_HOUR_1", "FID_PW_DATA_INCU_YN", "FID_ETC_CLS_CODE"),
        minutes.inquire_time_itemchartprice, True,
    ),
    Service(
        _QUOTATIONS + "inquire-time-dailychartprice", "FHKST03010230",
        (
            *_STOCK, "FID_INPUT_DATE_1", "FID_INPUT_HOUR_1", "FID_PW_DATA_INCU_YN",
            "FID_FAKE_TICK_INCU_YN",
        ),
        minutes.inquire_time_dailychartprice,
    ),
    Service(
        _QUOTATIONS + "intstock-multprice", "FHKST11300006",
        ("FID_COND_MRKT_DIV_CODE_1", "FID_INPUT_ISCD_1"), quotes.intstock_multprice,
    ),
    Service(
        _QUOTATIONS + "volume-rank", "FHPST01710000",
        (
            *_STOCK, "FID_COND_SCR_DIV_CODE", "FID_DIV_CLS_CODE", "FID_BLNG_CLS_CODE",
            "FID_TRGT_CLS_CODE", "FID_TRGT_EXLS_CLS_CODE", "FID_INPUT_PRICE_1",
            "FID_INPUT_PRICE_2", "FID_VOL_CNT",
        ),
        quotes.volume_rank,
    ),
    Service(
        _QUOTATIONS + "search-stock-info", "CTPF1002R", ("PRDT_TYPE_CD", "PDNO"),
        reference.search_stock_info,
    ),
    Service(
        _QUOTATIONS + "search-info", "CTPF1604R", ("PRDT_TYPE_CD", "PDNO"),
        reference.search_info,
    ),
    Service(
        _QUOTATIONS + "chk-holiday", "CTCA0903R", ("BASS_DT", "CTX_AREA_NK", "CTX_AREA_FK"),
        reference.chk_holiday,
    ),
    Service(_QUOTATIONS + "market-time", "HHMCM000002C0", (), reference.market_time),
    Service(
        _QUOTATIONS + "inquire-daily-indexchartprice", "FHKUP03500100",
        (*_STOCK, "FID_INPUT_DATE_1", "FID_INPUT_DATE_2", "FID_PERIOD_DIV_CODE"),
        indices.inquire_daily_indexchartprice, True,
    ),
    Service(
        _QUOTATIONS + "investor-trade-by-stock-daily", "FHPTJ04160001",
        (*_STOCK, "FID_INPUT_DATE_1", "FID_ORG_ADJ_PRC", "FID_ETC_CLS_CODE"),
        flows.investor_trade_by_stock_daily,
    ),
    Service(
        _QUOTATIONS + "inquire-investor", "FHKST01010900", _STOCK, flows.inquire_investor, True
    ),
    Service(
        _QUOTATIONS + "inquire-investor-daily-by-market", "FHPTJ04040000",
        (*_STOCK, "FID_INPUT_ISCD_1", "FID_INPUT_ISCD_2", "FID_INPUT_DATE_1", "FID_INPUT_DATE_2"),
        flows.inquire_investor_daily_by_market,
    ),
    Service(
        _QUOTATIONS + "program-trade-by-stock-daily", "FHPPG04650201",
        (*_STOCK, "FID_INPUT_DATE_1"), flows.program_trade_by_stock_daily,
    ),
    Service(
        _QUOTATIONS + "daily-short-sale", "FHPST04830000",
        (*_STOCK, "FID_INPUT_DATE_1", "FID_INPUT_DATE_2"), lending.daily_short_sale,
    ),
    Service(
        _QUOTATIONS + "daily-loan-trans", "HHPST074500C0",
        ("MRKT_DIV_CLS_CODE", "MKSC_SHRN_ISCD", "START_DATE", "END_DATE", "CTS"),
        lending.daily_loan_trans,
    ),
    Service(
        _QUOTATIONS + "daily-credit-balance", "FHPST04760000",
        (*_STOCK, "FID_COND_SCR_DIV_CODE", "FID_INPUT_DATE_1"), lending.daily_credit_balance,
    ),
    *(
        Service(_FINANCE + name, tr_id, (*_STOCK, "FID_DIV_CLS_CODE"), answer)
        for name, tr_id, answer in (
            ("balance-sheet", "FHKST66430100", finance.balance_sheet),
            ("income-statement", "FHKST66430200", finance.income_statement),
            ("financial-ratio", "FHKST66430300", finance.financial_ratio),
        )
    ),
    Service(
        "/uapi/etfetn/v1/quotations/nav-comparison-daily-trend", "FHPST02440200",
        (*_STOCK, "FID_INPUT_DATE_1", "FID_INPUT_DATE_2"), finance.nav_comparison_daily_trend,
    ),
    *(
        Service(
            _KSD + name, tr_id, ("CTS", "F_DT", "T_DT", "SHT_CD", *extra),
            corporate_actions.ksdinfo(name),
        )
        for name, tr_id, extra in _KSD_LISTS
    ),
)  # fmt: skip

SERVICES: dict[str, Service] = {service.path: service for service in _ALL}
"""Every service, by path."""
