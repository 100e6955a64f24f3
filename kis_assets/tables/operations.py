"""Tables about the runs themselves: requests, and results of checks."""

from __future__ import annotations

from kis_assets.tables.columns import ORIGIN, TRADING_DAY, day, flag, instant, integer, real, text
from kis_assets.tables.table import Table

REQUESTS = Table(
    name="requests",
    description=(
        "The requests of each run, by endpoint, outcome and app key: their number, how long the "
        "answers took, and how many were refused for the rate, retried, or answered by the cache. "
        "Answers of the cache and changes of the circuit breaker have rows of their own, so every "
        "count can be summed."
    ),
    clock="trading_day",
    key=("captured_at", "endpoint", "outcome", "key_id"),
    partition="day",
    unit="month",
    columns=(
        day("trading_day", "Day of the requests in Seoul, whether a trading day or not"),
        instant("captured_at", "When the run ended and these figures were taken"),
        text("run_id", "The Dagster run"),
        text("endpoint", "KIS's name of the service, or the kind of cached record"),
        text(
            "outcome",
            "ok, the error's name, NotSent if the rate limiter gave no permit, cached, or the "
            "change of the circuit breaker",
        ),
        text(
            "key_id",
            "The app key, as the hash that `kis-assets status` shows; null if none was needed, "
            "and in rows of earlier versions",
            nullable=True,
        ),
        integer("requests", "Attempts with this outcome"),
        real("p50_ms", "Median time of the answers", "ms", nullable=True),
        real("p95_ms", "95 of 100 answers took no longer", "ms", nullable=True),
        real("p99_ms", "99 of 100 answers took no longer", "ms", nullable=True),
        integer("refusals", "Attempts that KIS refused for the rate"),
        integer("retries", "Attempts with this outcome that were followed by a retry"),
        integer("cache_hits", "Answers from the cache, without a request"),
        integer("breaker_changes", "Changes of the circuit breaker that this run saw or caused"),
        instant("started_at", "When the run first used its source"),
        *ORIGIN,
    ),
)

QUALITY = Table(
    name="quality",
    description=(
        "Results of the checks of each table and day: one row per check, with whether it passed "
        "and which stocks have no row and why. dataset_condition is made from it."
    ),
    clock="trading_day",
    key=("trading_day", "table_name", "check_name"),
    partition="day",
    unit="month",
    columns=(
        TRADING_DAY,
        text("table_name", "The table that was checked"),
        text(
            "check_name",
            "The check; every_stock_is_accounted_for runs when rows are written, the others after "
            "it",
        ),
        flag("passed", "Whether the rows of this day passed"),
        text("severity", "ERROR: failing rows are wrong. WARN: they are worth a look"),
        integer(
            "rows",
            "Rows of the day that were checked, or that the last run stored",
        ),
        integer("failing_rows", "Rows that fail, or stocks that could not be fetched"),
        text(
            "detail",
            "JSON: the first failing rows; for every_stock_is_accounted_for the codes by reason, "
            "`absent` with why there is no row, `failed` with the error. Null if there are none",
            nullable=True,
        ),
        instant("checked_at", "When it was checked"),
        *ORIGIN,
    ),
)
