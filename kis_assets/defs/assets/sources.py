"""Where rows come from: what the graph begins with. Dagster makes none of it."""

import dagster as dg

from kis_assets.defs.materialization import OWNERS


def _source(name: str, kind: str, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        name, group_name="sources", owners=OWNERS, kinds={kind}, description=description
    )


sources = [
    _source(
        "kis_open_api",
        "kis",
        "The REST services of KIS Open API: quotes, charts and figures, one request a stock as a "
        "rule. With DATA_SOURCE_TYPE=mock the invented market answers in its place.",
    ),
    _source(
        "kis_master_files",
        "kis",
        "The files of all listed issues that KIS puts up each morning. They tell of today alone.",
    ),
    _source(
        "real_time_feed",
        "websocket",
        "Trades and order books as KIS sends them (WebSocket), recorded by `kis-assets stream "
        "--store`; docs/stream.md. What was not recorded is gone.",
    ),
    _source(
        "krx_open_api",
        "krx",
        "The exchange's own figures, published on the morning after; docs/krx.md.",
    ),
    _source(
        "exchange_calendar",
        "csv",
        "The sessions of KRX as computed: the package `holidays`, corrected by krx_sessions.csv.",
    ),
]
