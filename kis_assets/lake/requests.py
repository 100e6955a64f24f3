"""The requests of a run, as rows of `requests`: written when the run ends, also after a failure."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import polars as pl

from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.tables import REQUESTS
from kis_assets.transport.stats import Tally, quantiles

log = logging.getLogger(__name__)


def rows(tally: Tally, settings: Settings, run_id: str) -> pl.DataFrame:
    """Rows of `requests`: one per endpoint, outcome and app key.

    Cache hits and breaker changes have separate rows, so that every column can be summed.
    """
    ended_at = datetime.now(UTC)
    nothing: dict[str, Any] = {
        **dict.fromkeys(("requests", "refusals", "retries", "cache_hits", "breaker_changes"), 0),
        **dict.fromkeys(("key_id", "p50_ms", "p95_ms", "p99_ms")),
    }
    found: list[dict[str, Any]] = []
    for (endpoint, outcome, key_id), count in sorted(tally.outcomes.items()):
        seconds = tally.seconds.get((endpoint, outcome, key_id))
        times = (
            {f"{name}_ms": value for name, value in quantiles(seconds).items()} if seconds else {}
        )
        found.append(
            {
                "endpoint": endpoint,
                "outcome": outcome,
                "key_id": key_id or None,
                "requests": count,
                "refusals": count if outcome == "RateLimited" else 0,
                "retries": tally.retries[endpoint, outcome, key_id],
                **times,
            }
        )
    found += [
        {"endpoint": what, "outcome": "cached", "cache_hits": count}
        for what, count in sorted(tally.cache_hits.items())
    ]
    found += [
        {
            "endpoint": "circuit breaker",
            "outcome": change,
            "key_id": key_id or None,
            "breaker_changes": count,
        }
        for (change, key_id), count in sorted(tally.breaker_changes.items())
    ]
    found += [
        {"endpoint": "tokenP", "outcome": "asked", "key_id": key_id or None, "requests": count}
        for key_id, count in sorted(tally.tokens.items())
    ]
    same = {
        "trading_day": settings.now().date(),
        "captured_at": ended_at,
        "run_id": run_id,
        "started_at": tally.started_at,
        "source": settings.source_name,
        "fetched_at": ended_at,
    }
    return pl.DataFrame([nothing | row | same for row in found], REQUESTS.schema)


def record(tally: Tally, lake: Lake, settings: Settings, run_id: str) -> None:
    """Store and publish the requests of a run.

    A failure here is logged and does not fail the run.
    """
    try:
        found = rows(tally, settings, run_id)
        if not found.is_empty():
            row = found.row(0, named=True)
            scope = Scope.capture(row["trading_day"], row["captured_at"])
            lake.replace(REQUESTS, scope, found)
    except Exception:
        log.warning("the requests of run %s cannot be stored", run_id, exc_info=True)
