"""The views that people read most, at the end of the graph. DuckDB has them: no run makes one."""

import dagster as dg

from kis_assets.defs.materialization import OWNERS
from kis_assets.lake.views import VIEWS
from kis_assets.tables import QUALITY, REQUESTS, TABLES

SHOWN = ("daily_candles_adjusted", "latest_prices", "dataset_condition")
_KEPT_BESIDE = {QUALITY.name, REQUESTS.name}
"""Tables that are no assets: what all runs say of themselves."""


def _view(name: str) -> dg.AssetSpec:
    view = VIEWS[name]
    # What checks found is said by every table.
    read = set(TABLES) if QUALITY.name in view.tables else view.tables
    return dg.AssetSpec(
        name,
        deps=sorted(read - _KEPT_BESIDE),
        group_name="views",
        owners=OWNERS,
        kinds={"duckdb", "sql"},
        tags={"domain": "views"},
        description=(
            f"{view.about}\n\nA view of market.duckdb: it shows what its tables hold at the moment "
            "of the query, so there is nothing to materialize. Read it with `kis-assets sql` or "
            "`Market().sql`."
        ),
        metadata={
            "dagster/table_name": name,
            "dagster/column_schema": dg.TableSchema(
                columns=[
                    dg.TableColumn(column, description=means)
                    for column, means in view.columns.items()
                ]
            ),
            "query": dg.MetadataValue.md(f"```sql\n{view.sql}\n```"),
        },
    )


views = [_view(name) for name in SHOWN]
