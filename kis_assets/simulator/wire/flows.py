"""Trading by investors in KIS's format: by stock, by market, and by programmes.

One row mixes units: shares, KRW and million KRW.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time, timedelta

from kis_assets.exchange import calendar
from kis_assets.simulator.market.indices import indices_of
from kis_assets.simulator.market.investors import (
    FOREIGNERS,
    INSTITUTIONS,
    OTHERS,
    Flow,
    flows,
    programme,
    summed,
)
from kis_assets.simulator.market.market import Bar
from kis_assets.simulator.wire.indices import points
from kis_assets.simulator.wire.wire import (
    Answer,
    Record,
    Refusal,
    Request,
    change_of,
    rate,
    scaled,
    ymd,
)

ROWS, MARKET_ROWS = 30, 300
_OPENS = time(15, 41)
_PREFIXES = {
    "prsn": ("individual",), "frgn": FOREIGNERS, "orgn": INSTITUTIONS, "etc": OTHERS,
    "frgn_reg": ("foreign_registered",), "frgn_nreg": ("foreign_unregistered",),
    "scrt": ("securities",), "ivtr": ("investment_trust",), "pe_fund": ("private_fund",),
    "bank": ("bank",), "insu": ("insurance",), "mrbn": ("merchant_bank",), "fund": ("pension",),
    "etc_corp": ("other_corporation",), "etc_orgt": ("other_institution",),
}  # fmt: skip
_IN_VOL = frozenset(("pe_fund", "etc_corp", "etc_orgt"))
_REGISTERED = frozenset(("frgn_reg", "frgn_nreg"))
_MILLION = 1_000_000


def newest(request: Request, code: str, last: date, count: int) -> list[Bar]:
    """The last bars up to a day, oldest first; also for a delisted stock."""
    first = last - timedelta(days=int(count * 1.6) + 20)
    return request.market.bars(code, max(first, calendar.FIRST_DAY), last)[-count:]


def investor_trade_by_stock_daily(request: Request) -> Answer:
    """Thirty days of a stock up to a date: 101 fields each, prices for today's share count."""
    request.check_market("FID_COND_MRKT_DIV_CODE")
    last, now = request.day("FID_INPUT_DATE_1"), request.now
    if last == now.date() and now.time() < _OPENS:
        raise Refusal("2", "OPSQ2001", "TIME LIMIT 00:00 ~ 15:40")
    code = request["FID_INPUT_ISCD"]
    quote = request.market.quote(code, now)
    head: Record = {}
    if quote:
        previous = quote.previous.volume if quote.previous else 0
        head = {
            "stck_prpr": str(quote.price), **change_of(quote.bar),
            "acml_vol": str(quote.bar.volume), "prdy_vol": str(previous),
            "rprs_mrkt_kor_name": "KOSPI",
        }  # fmt: skip
    rows = [_stock_row(request, code, bar) for bar in newest(request, code, last, ROWS)]
    return Answer({"output1": head, "output2": rows[::-1]})


def _stock_row(request: Request, code: str, bar: Bar) -> Record:
    factor = request.market.adjustment(code, bar.day, request.today)
    prices = bar if bar.volume else bar._replace(open=0, high=0, low=0, close=0)
    return {
        "stck_bsop_date": ymd(bar.day), "stck_clpr": str(scaled(prices.close, factor)),
        "stck_oprc": str(scaled(prices.open, factor)),
        "stck_hgpr": str(scaled(prices.high, factor)),
        "stck_lwpr": str(scaled(prices.low, factor)), **change_of(bar),
        "acml_vol": str(int(bar.volume / factor)), "acml_tr_pbmn": str(bar.trading_value),
        **_both_sides(flows(code, bar, request.now)), "bold_yn": "N",
    }  # fmt: skip


def _both_sides(found: Mapping[str, Flow]) -> Record:
    fields: Record = {}
    for prefix, names in _PREFIXES.items():
        flow = summed(found[name] for name in names)
        fields |= _net(prefix, flow, 1)
        sides = ("askp_qty", "bidp_qty", "askp_pbmn", "bidp_pbmn")
        if prefix not in _REGISTERED:
            sides = ("seln_vol", "shnu_vol", "seln_tr_pbmn", "shnu_tr_pbmn")
        values = (flow.sold, flow.bought, _millions(flow.sold_value), _millions(flow.bought_value))
        fields |= {
            f"{prefix}_{side}": str(value) for side, value in zip(sides, values, strict=True)
        }
    return fields


def _net(prefix: str, flow: Flow, unit: int) -> Record:
    quantity = "ntby_vol" if prefix in _IN_VOL else "ntby_qty"
    value = "ntby_pbmn" if prefix in _REGISTERED else "ntby_tr_pbmn"
    return {
        f"{prefix}_{quantity}": str(round(flow.net / unit)),
        f"{prefix}_{value}": str(_millions(flow.net_value)),
    }


def _millions(won: int) -> int:
    return round(won / _MILLION)


def inquire_investor(request: Request) -> Answer:
    """The last thirty days of three classes; today's figures are blank until the close."""
    stock = request.stock()
    if stock is None:
        return Answer({"output": []})
    session = calendar.session(request.now.date())
    rows: list[Record] = []
    for bar in reversed(newest(request, stock.code, request.today, ROWS)):
        row = {
            "stck_bsop_date": ymd(bar.day), "stck_clpr": str(bar.close),
            "prdy_vrss": str(bar.change), "prdy_vrss_sign": bar.sign,
        }  # fmt: skip
        is_open = session and session.day == bar.day and request.now < session.closes_at
        found = _both_sides(flows(stock.code, bar, request.now))
        row |= {
            name: "" if is_open else value
            for name, value in found.items()
            if name.startswith(("prsn_", "orgn_", "frgn_"))
            and not name.startswith(("frgn_reg", "frgn_nreg"))
        }
        rows.append(row)
    return Answer({"output": rows})


_MARKETS = {"KSP": "0", "KSQ": "1"}


def inquire_investor_daily_by_market(request: Request) -> Answer:
    """Three hundred days of a market: only net figures, in thousands of shares and million KRW.

    The first index determines the prices of a row, the second its investors. For an unknown market
    or index the rows are zeros.
    """
    last = request.day("FID_INPUT_DATE_1")
    priced, code = request["FID_INPUT_ISCD"], request["FID_INPUT_ISCD_2"]
    indices = indices_of(request.market)
    first = max(last - timedelta(days=int(MARKET_ROWS * 1.6)), calendar.FIRST_DAY)
    # Fewer rows than KIS returns: each row of a market is computed from thirty stocks.
    bars = indices.bars(priced, first, last)[-MARKET_ROWS:]
    is_known = _MARKETS.get(request["FID_INPUT_ISCD_1"], "?") == code[:1] and bars
    members = indices.members(code) if is_known else []
    scale = indices.scale(code) if is_known else 1.0
    by_day: dict[date, list[tuple[str, Bar]]] = {}
    for member in members:
        for bar in request.market.bars(member, bars[0].day, last):
            by_day.setdefault(bar.day, []).append((member, bar))
    rows: list[Record] = []
    for before, bar in zip([None, *bars], bars, strict=False):
        traded = [flows(member, day, request.now) for member, day in by_day.get(bar.day, ())]
        row = points(bar, before)
        row["stck_prdy_clpr"] = rate(before.close if before else bar.close)
        for prefix, names in _PREFIXES.items():
            flow = summed(one[name] for one in traded for name in names)
            row |= _net(prefix, flow.times(scale), 1_000)
        rows.append(row)
    return Answer({"output": rows[::-1]})


def program_trade_by_stock_daily(request: Request) -> Answer:
    """Thirty days of a stock's programme trades, in shares and KRW; a blank date is today."""
    request.check_market("FID_COND_MRKT_DIV_CODE")
    code, text = request["FID_INPUT_ISCD"], request["FID_INPUT_DATE_1"]
    last = request.day("FID_INPUT_DATE_1") if text else request.today
    rows: list[Record] = []
    before: Flow | None = None
    for bar in newest(request, code, last, ROWS + 1):
        flow = programme(code, bar)
        grown = (flow.net - before.net, flow.net_value - before.net_value) if before else (0, 0)
        before = flow
        rows.append(
            {
                "stck_bsop_date": ymd(bar.day), "stck_clpr": str(bar.close), **change_of(bar),
                "acml_vol": str(bar.volume), "acml_tr_pbmn": str(bar.trading_value),
                "whol_smtn_seln_vol": str(flow.sold), "whol_smtn_shnu_vol": str(flow.bought),
                "whol_smtn_ntby_qty": str(flow.net),
                "whol_smtn_seln_tr_pbmn": str(flow.sold_value),
                "whol_smtn_shnu_tr_pbmn": str(flow.bought_value),
                "whol_smtn_ntby_tr_pbmn": str(flow.net_value),
                "whol_ntby_vol_icdc": str(grown[0]), "whol_ntby_tr_pbmn_icdc2": str(grown[1]),
            }
        )  # fmt: skip
    return Answer({"output": rows[-ROWS:][::-1]})
