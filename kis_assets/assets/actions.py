"""Corporate actions: what was announced, and what the daily chart shows besides."""

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.assets.candles import daily_candles
from kis_assets.assets.reporting import OWNERS, Report, described
from kis_assets.kis.errors import InvalidRequest, NotSupported, UnexpectedAnswer
from kis_assets.lake import Scope
from kis_assets.partitions import MONTHS
from kis_assets.resources import KISResource, LakeResource, plain_failures
from kis_assets.tables import CORPORATE_ACTIONS, DAILY_CANDLES

CHART = "daily_chart"

_BY_REVALUATION = {"02": "capital_reduction", "06": "spin_off"}
_BY_FLAG = {"01": "rights_issue", **dict.fromkeys(("02", "03", "05"), "cash_dividend")}
"""What a mark most likely stands for: a bonus issue is marked as a rights issue is, a distribution
as a dividend is."""


@dg.asset(
    partitions_def=MONTHS,
    deps=[daily_candles],
    group_name="actions",
    owners=OWNERS,
    kinds={"python", "parquet"},
    pool="kis_history",
    description=CORPORATE_ACTIONS.description,
    metadata=described(CORPORATE_ACTIONS),
)
def corporate_actions(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """What took effect in a month: announcements, and the chart's marks that none explains."""
    with plain_failures():
        report = Report(kis)
        month = date.fromisoformat(context.partition_key)
        if month > kis.now().date():
            raise InvalidRequest(f"{month:%Y-%m} has not begun")
        scope = Scope.month(month)
        stored = lake.lake.scan(CORPORATE_ACTIONS, first=scope.first, last=scope.last).collect()
        before = stored.filter(pl.col("origin") != CHART)
        try:
            announced = kis.source.corporate_actions(month)
        except NotSupported as error:
            context.log.warning(f"only what the daily chart marks: {error}")
            announced = before
        else:
            told = announced["origin"].unique()
            silent = before.filter(~pl.col("origin").is_in(told.implode()))
            if announced.is_empty() and not silent.is_empty():
                raise UnexpectedAnswer(
                    f"KIS has no action of {month:%Y-%m} any more, and had {before.height}; "
                    "what is stored is left alone"
                )
            for origin in silent["origin"].unique():
                context.log.warning(f"KIS's list {origin} is empty and was not: its rows are kept")
            announced = pl.concat([announced, silent])
            codes = kis.settings.kis_stock_codes
            if codes is not None:
                announced = announced.filter(pl.col("stock_code").is_in(codes))
        candles = lake.lake.scan(DAILY_CANDLES, first=scope.first, last=scope.last).collect()
        rows = pl.concat([announced, unexplained(candles, announced, kis.now())])
        return report.store(lake.lake, CORPORATE_ACTIONS, scope, rows)


def unexplained(candles: pl.DataFrame, announced: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Rows of `corporate_actions` for the marks in daily candles that no announcement explains.

    `ratio` is null: the base price that the market set tells of no number of shares.
    """
    flag, reason = pl.col("ex_flag"), pl.col("revaluation")
    marked = candles.filter((flag != "00") | (reason != "00") | (pl.col("split_ratio") != 0))
    known = announced.select("stock_code", trading_day="effective_on")
    rows = marked.join(known, on=["stock_code", "trading_day"], how="anti").with_columns(
        effective_on=pl.col("trading_day"),
        kind=pl.coalesce(
            reason.replace_strict(_BY_REVALUATION, default=None, return_dtype=pl.String),
            flag.replace_strict(_BY_FLAG, default=None, return_dtype=pl.String),
            pl.lit("other"),
        ),
        origin=pl.lit(CHART),
        sequence=pl.lit(0, pl.Int64),
        effective_from=pl.lit("chart"),
        base_ratio=pl.when(pl.col("split_ratio") != 0).then(pl.col("split_ratio")),
        fetched_at=pl.lit(now.astimezone(UTC), CORPORATE_ACTIONS.schema["fetched_at"]),
    )
    missing = [name for name in CORPORATE_ACTIONS.schema if name not in rows.columns]
    return rows.with_columns(
        pl.lit(None, CORPORATE_ACTIONS.schema[name]).alias(name) for name in missing
    ).select(CORPORATE_ACTIONS.schema.names())
