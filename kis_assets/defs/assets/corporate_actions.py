"""Corporate actions: announcements, and additional signs in the daily chart."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs.materialization import Report, asset_of
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest, NotSupported, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.lake.base_prices import best_supported, moved_bases, supported
from kis_assets.lake.lake import Scope
from kis_assets.tables import CORPORATE_ACTIONS, DAILY_CANDLES

CHART = "daily_chart"

_BY_REVALUATION = {"02": "capital_reduction", "06": "spin_off"}
_BY_FLAG = {"01": "rights_issue", **dict.fromkeys(("02", "03", "05"), "cash_dividend")}
"""The most likely meaning of each mark. A bonus issue has the same mark as a rights issue, and a
distribution the same as a dividend."""


@asset_of(CORPORATE_ACTIONS, "actions", pool="kis_history", deps=["daily_candles"])
def corporate_actions(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Actions that took effect in a month: announced ones, and others that the chart shows."""
    with plain_failures():
        report = Report(kis)
        month = date.fromisoformat(context.partition_key)
        if month > kis.now().date():
            raise InvalidRequest(f"{month:%Y-%m} has not begun")
        scope = Scope.month(month)
        stored = lake.lake.scan(CORPORATE_ACTIONS, first=scope.first, last=scope.last).collect()
        before = stored.filter(pl.col("origin") != CHART)
        try:
            announced = kis.tables.corporate_actions(month)
        except NotSupported as error:
            context.log.warning(f"only actions that the daily chart shows: {error}")
            announced = before
        else:
            for code in announced["stock_code"].unique():
                kis.source.invalidate_chart(code)
            origins = announced["origin"].unique()
            silent = before.filter(~pl.col("origin").is_in(origins.implode()))
            if announced.is_empty() and not silent.is_empty():
                raise UnexpectedAnswer(
                    f"KIS no longer has any action of {month:%Y-%m}, but had {before.height}; "
                    "stored rows are unchanged"
                )
            for origin in silent["origin"].unique():
                context.log.warning(f"KIS's list {origin} is empty now: its stored rows are kept")
            announced = pl.concat([announced, silent])
            codes = kis.settings.kis_stock_codes
            if codes is not None:
                announced = announced.filter(pl.col("stock_code").is_in(codes))
        # The base price of the first session is compared with the last close of the month before.
        candles = lake.lake.scan(
            DAILY_CANDLES, first=scope.first - calendar.LONGEST_CLOSURE, last=scope.last
        )
        moved = moved_bases(candles, scope.first, scope.last).collect()
        announced = with_confirmed_ratios(announced, moved)
        shown = candles.filter(pl.col("trading_day") >= scope.first).collect()
        rows = pl.concat([announced, unexplained(shown, moved, announced, kis.now())])
        return report.store(lake.lake, CORPORATE_ACTIONS, scope, rows)


def with_confirmed_ratios(announced: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
    """Announced actions, with ratios of capital reductions that the base price confirms.

    The meaning of `rate` is ambiguous: a factor, a divisor, or the percentage that is taken away.
    If the day's base price contradicts the announced ratio, the best of these three that it
    confirms is used, or else null. A base price that has not moved confirms nothing: then the
    action was postponed. Days with several actions of a stock are skipped as well.

    Args:
        announced: rows of `corporate_actions`.
        moved: the result of `moved_bases` for the same days.
    """
    actions = Counter(announced.select("stock_code", "effective_on").iter_rows())
    bases = {
        (row["stock_code"], row["trading_day"]): row["base_price"] / row["previous_close"]
        for row in moved.iter_rows(named=True)
        if actions[row["stock_code"], row["trading_day"]] == 1
    }
    ratios = [
        _ratio(action, bases.get((action["stock_code"], action["effective_on"])))
        for action in announced.iter_rows(named=True)
    ]
    return announced.with_columns(ratio=pl.Series(ratios, dtype=pl.Float64))


def _ratio(action: dict[str, Any], base_ratio: float | None) -> float | None:
    ratio, rate = action["ratio"], action["rate"]
    if action["kind"] != "capital_reduction" or base_ratio is None:
        return ratio
    if ratio is not None and supported(ratio, base_ratio):
        return ratio
    readings = (rate, 1 / rate, 1 - rate / 100) if rate else ()
    return best_supported([reading for reading in readings if 0 < reading <= 1], base_ratio)


def unexplained(
    candles: pl.DataFrame, moved: pl.DataFrame, announced: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """Rows of `corporate_actions` for signs in daily candles that no announcement explains.

    These are marks, and moved base prices without a mark. `ratio` is null, because a base price
    says nothing about the number of shares.

    Args:
        candles: rows of `daily_candles`.
        moved: the result of `moved_bases` for the same days.
        announced: rows of `corporate_actions`.
        now: the current time.
    """
    day = ["stock_code", "trading_day"]
    flag, reason, split_ratio = pl.col("ex_flag"), pl.col("revaluation"), pl.col("split_ratio")
    is_marked = ((flag != "00") | (reason != "00") | (split_ratio != 0)).fill_null(value=False)
    base_ratio = pl.col("base_price") / pl.col("previous_close")
    found = candles.join(moved.select(*day, base_ratio=base_ratio), on=day, how="left")
    known = announced.select("stock_code", "kind", trading_day="effective_on")
    marked = found.filter(is_marked).join(known, on=day, how="anti")
    # A cash dividend moves no base price.
    moving = known.filter(pl.col("kind") != "cash_dividend")
    unmarked = found.filter(~is_marked, pl.col("base_ratio").is_not_null())
    rows = pl.concat([marked, unmarked.join(moving, on=day, how="anti")]).with_columns(
        effective_on=pl.col("trading_day"),
        kind=pl.coalesce(
            reason.replace_strict(_BY_REVALUATION, default=None, return_dtype=pl.String),
            flag.replace_strict(_BY_FLAG, default=None, return_dtype=pl.String),
            pl.lit("other"),
        ),
        origin=pl.lit(CHART),
        sequence=pl.lit(0, pl.Int64),
        effective_from=pl.lit("chart"),
        base_ratio=pl.when(split_ratio != 0).then(split_ratio).otherwise("base_ratio"),
        fetched_at=pl.lit(now.astimezone(UTC), CORPORATE_ACTIONS.schema["fetched_at"]),
    )
    missing = [name for name in CORPORATE_ACTIONS.schema if name not in rows.columns]
    return rows.with_columns(
        pl.lit(None, CORPORATE_ACTIONS.schema[name]).alias(name) for name in missing
    ).select(CORPORATE_ACTIONS.schema.names())
