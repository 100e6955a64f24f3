"""What KIS answers about figures a day: an invented stock, in KIS's fields and units."""

from __future__ import annotations

from typing import Any

from kis_assets.kis.investor_flows import CLASSES, TOTALS

Body = dict[str, Any]

BOUGHT = {"individual": 120_000, "foreign_registered": 60_000, "pension": 20_000}
SOLD = {"individual": 90_000, "foreign_registered": 70_000, "securities": 40_000}
PRICE = 50_000
"""The price of every trade: 1,000 shares are 50 million KRW."""


def _irregular(kis: str, what: str) -> str:
    """How KIS calls a figure of a class: five of them have names of their own."""
    if kis in ("frgn_reg", "frgn_nreg"):
        return {
            "net": "ntby_qty", "bought": "bidp_qty", "sold": "askp_qty", "net_value": "ntby_pbmn",
            "bought_value": "bidp_pbmn", "sold_value": "askp_pbmn",
        }[what]  # fmt: skip
    net = "ntby_vol" if kis in ("pe_fund", "etc_corp", "etc_orgt") else "ntby_qty"
    return {
        "net": net, "bought": "shnu_vol", "sold": "seln_vol", "net_value": "ntby_tr_pbmn",
        "bought_value": "shnu_tr_pbmn", "sold_value": "seln_tr_pbmn",
    }[what]  # fmt: skip


def flows(day: str = "20260922") -> dict[str, str]:
    """A row of investor-trade-by-stock-daily: shares, million KRW, and the day's value in KRW."""
    row = {"stck_bsop_date": day, "acml_vol": "200000", "acml_tr_pbmn": str(200_000 * PRICE)}
    for name, kis in CLASSES.items():
        bought, sold = BOUGHT.get(name, 0), SOLD.get(name, 0)
        shares = {"bought": bought, "sold": sold, "net": bought - sold}
        row |= {f"{kis}_{_irregular(kis, what)}": str(count) for what, count in shares.items()}
        row |= {
            f"{kis}_{_irregular(kis, f'{what}_value')}": str(count * PRICE // 10**6)
            for what, count in shares.items()
        }
    for total, names in TOTALS.items():
        net = sum(BOUGHT.get(name, 0) - SOLD.get(name, 0) for name in names)
        row[f"{total}_ntby_qty"] = str(net)
    return row


def market_flows(day: str = "20260922") -> dict[str, str]:
    """A row of inquire-investor-daily-by-market: thousands of shares, million KRW, net alone."""
    nets = {"individual": (-1_200, -85_000), "foreign_registered": (900, 90_000),
            "insurance": (301, -5_001)}  # fmt: skip
    row = {"stck_bsop_date": day, "bstp_nmix_prpr": "4028.95"}
    for name, kis in CLASSES.items():
        volume, value = nets.get(name, (0, 0))
        row[f"{kis}_{_irregular(kis, 'net')}"] = str(volume)
        row[f"{kis}_{_irregular(kis, 'net_value')}"] = str(value)
    return row


PROGRAM = {
    "stck_bsop_date": "20260922", "acml_vol": "200000", "acml_tr_pbmn": "10000000000",
    "whol_smtn_shnu_vol": "30000", "whol_smtn_seln_vol": "42000", "whol_smtn_ntby_qty": "-12000",
    "whol_smtn_shnu_tr_pbmn": "1500000000", "whol_smtn_seln_tr_pbmn": "2100000000",
    "whol_smtn_ntby_tr_pbmn": "-600000000",
}  # fmt: skip
SHORT = {
    "stck_bsop_date": "20260922", "acml_vol": "20000", "acml_tr_pbmn": "10000000000",
    "ssts_cntg_qty": "3000", "ssts_tr_pbmn": "150001000", "avrg_prc": "50000",
    "ssts_vol_rlim": "15.00", "acml_ssts_cntg_qty": "900000", "stnd_vol_smtn": "1",
}  # fmt: skip
LOAN = {
    "bsop_date": "20260922", "stck_prpr": "50000.00", "acml_vol": "200000", "new_stcn": "3000",
    "rdmp_stcn": "1000", "prdy_rmnd_vrss": "2000", "rmnd_stcn": "40001", "rmnd_amt": "2000",
}  # fmt: skip
CREDIT = {
    "deal_date": "20260917", "stlm_date": "20260921", "stck_prpr": "50000",
    "whol_loan_new_stcn": "500", "whol_loan_rdmp_stcn": "200", "whol_loan_rmnd_stcn": "10000",
    "whol_loan_rmnd_amt": "35000", "whol_loan_rmnd_rate": "0.10",
}  # fmt: skip
INDEX = {
    "stck_bsop_date": "20260922", "bstp_nmix_prpr": "4028.95", "bstp_nmix_oprc": "4015.22",
    "bstp_nmix_hgpr": "4033.10", "bstp_nmix_lwpr": "4008.87", "acml_vol": "412345",
    "acml_tr_pbmn": "11203344", "mod_yn": "N",
}  # fmt: skip
INDEX_NOW = {"bstp_cls_code": "0001", "hts_kor_isnm": "종합"}
NAV = {
    "stck_bsop_date": "20260922", "stck_clpr": "41050", "nav": "41102.35", "dprt": "-0.13",
    "nav_vrss_prpr": "-52.35", "nav_prdy_vrss": "172.11", "cntg_vol": "",
}  # fmt: skip
VALUED = {
    "stck_shrn_iscd": "900110", "stck_prpr": "71200", "per": "12.34", "pbr": "1.10",
    "eps": "5770.00", "bps": "64727.00", "stac_month": "12", "lstn_stcn": "150000000",
    "hts_avls": "106800", "cpfn": "750", "frgn_hldn_qty": "45000000", "hts_frgn_ehrt": "61.22",
    "w52_hgpr": "80000", "w52_hgpr_date": "20260612", "w52_lwpr": "50000",
    "iscd_stat_cls_code": "55", "vi_cls_code": "N",
}  # fmt: skip


def income(month: str, sales: str, profit: str) -> dict[str, str]:
    """A row of income-statement: 100 million KRW, the year so far."""
    return {
        "stac_yymm": month, "sale_account": sales, "bsop_prti": profit, "op_prfi": ".00",
        "thtr_ntin": "58.1000", "depr_cost": "99.99",
    }  # fmt: skip
