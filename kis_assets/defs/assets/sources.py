"""The sources at the beginning of the graph. Dagster does not materialize them."""

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
        "The REST services of KIS Open API: quotes, charts and figures, usually one request per "
        "stock. With DATA_SOURCE_TYPE=mock the invented market answers instead.",
    ),
    _source(
        "kis_master_files",
        "kis",
        "The files of all listed issues that KIS publishes each morning. They are of today only.",
    ),
    _source(
        "real_time_feed",
        "websocket",
        "Trades and order books as KIS sends them (WebSocket), recorded by `kis-assets stream "
        "--store`; docs/stream.md. Records that were missed are lost.",
    ),
    _source(
        "krx_open_api",
        "krx",
        "The exchange's own figures, published on the next morning; docs/krx.md.",
    ),
    _source(
        "exchange_calendar",
        "csv",
        "The computed sessions of KRX: the package `holidays`, corrected by krx_sessions.csv.",
    ),
]
