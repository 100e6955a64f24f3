"""What is known of the work: what was asked, and what the checks found."""

from __future__ import annotations

from kis_assets.tables.columns import ORIGIN, TRADING_DAY, day, flag, instant, integer, real, text
from kis_assets.tables.table import Table

REQUESTS = Table(
    name="requests",
    description=(
        "What each run asked, by endpoint, outcome and app key: how often, how long the answers "
        "took, what was refused for the rate, tried again, or answered by the cache. What the "
        "cache answered and what the circuit breaker did stand in rows of their own: every count "
        "can be summed."
    ),
    clock="trading_day",
    key=("captured_at", "endpoint", "outcome", "key_id"),
    partition="day",
    unit="month",
    columns=(
        day("trading_day", "Day on which was asked, in Seoul, be it a trading day or not"),
        instant("captured_at", "When the run ended and these figures were taken"),
        text("run_id", "The Dagster run"),
        text("endpoint", "What was asked: KIS's name of the service, or of what was cached"),
        text(
            "outcome",
            "ok, the error's name, NotSent where no permit was had, cached, or the change of the "
            "circuit breaker",
        ),
        text(
            "key_id",
            "Which app key asked, by the hash that `kis-assets status` shows; null where none was "
            "needed, and in rows of earlier versions",
            nullable=True,
        ),
        integer("requests", "Attempts with this outcome"),
        real("p50_ms", "Half of the answers took no longer", "ms", nullable=True),
        real("p95_ms", "95 of 100 answers took no longer", "ms", nullable=True),
        real("p99_ms", "99 of 100 answers took no longer", "ms", nullable=True),
        integer("refusals", "Attempts that KIS refused for the rate"),
        integer("retries", "Attempts with this outcome that were followed by another"),
        integer("cache_hits", "Answers from the cache, for which nothing was asked"),
        integer("breaker_changes", "Changes of the circuit breaker that this run saw or made"),
        instant("started_at", "When the run first asked for its source"),
        *ORIGIN,
    ),
)

QUALITY = Table(
    name="quality",
    description=(
        "What is known of the rows of each table and day: one check of them, whether it passed, "
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
            "The check; every_stock_is_accounted_for is made as rows are written, others after it",
        ),
        flag("passed", "Whether it held for the rows of this day"),
        text("severity", "ERROR: what fails is wrong. WARN: it is worth a look"),
        integer("rows", "Rows of the day that were looked at; that were stored by the last run"),
        integer("failing_rows", "Rows that break it, or stocks that could not be fetched"),
        text(
            "detail",
            "JSON: the first failing rows; of every_stock_is_accounted_for the codes by reason, "
            "`absent` with why there is no row, `failed` with the error. Null when there is none",
            nullable=True,
        ),
        instant("checked_at", "When this was found"),
        *ORIGIN,
    ),
)
