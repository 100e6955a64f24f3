"""The most used views, at the end of the graph. They are in DuckDB; no run makes them."""

import dagster as dg

from kis_assets.defs.checks.registry import LISTED
from kis_assets.defs.materialization import OWNERS
from kis_assets.lake.views import VIEWS

SHOWN = ("daily_candles_adjusted", "latest_prices", "dataset_condition")
_MADE = {table.name for table in LISTED}


def _view(name: str) -> dg.AssetSpec:
    view = VIEWS[name]
    # A table that is not an asset, such as `quality`, is written by the runs of all assets.
    read = view.tables if view.tables <= _MADE else _MADE
    return dg.AssetSpec(
        name,
        deps=sorted(read),
        group_name="views",
        owners=OWNERS,
        kinds={"duckdb", "sql"},
        tags={"domain": "views"},
        description=(
            f"{view.about}\n\nA view of market.duckdb. It reads its tables at the time of "
            "the query, so there is nothing to materialize. Read it with `kis-assets sql` or "
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
