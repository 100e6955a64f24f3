"""Metrics for Prometheus: the state that processes share, and the requests of recent runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import Any

import polars as pl
from starlette.datastructures import Headers

from kis_assets.lake.lake import Lake, LakeError
from kis_assets.monitoring import lake_metrics, status
from kis_assets.security.http_guard import refusal
from kis_assets.settings import Settings
from kis_assets.tables import REQUESTS

DAYS = 31
"""Days of the table `requests` that are summed; a sum falls when a day leaves this window."""
BREAKER = {"CLOSED": 0, "HALF_OPEN": 1, "OPEN": 2}


def metrics_text(settings: Settings) -> str:
    """The metrics in Prometheus's text format. No request goes to KIS."""
    from prometheus_client import generate_latest

    return generate_latest(_registry(settings)).decode()


def serve_metrics(settings: Settings, port: int = 9188, allowed: Collection[str] = ()) -> Any:
    """Serve the metrics at `/metrics` from a thread, to this machine only.

    Args:
        settings: The settings whose metrics are served.
        port: The port to listen on; 0 takes a free port.
        allowed: Host names that requests may use, besides those of this machine.

    Returns:
        The HTTP server: `server_port` is its port, `shutdown()` and `server_close()` stop it.

    Raises:
        OSError: the port cannot be opened.
    """
    from prometheus_client import start_http_server

    server, _ = start_http_server(port, addr="127.0.0.1", registry=_registry(settings))
    server.set_app(_refusing_other_hosts(server.get_app(), allowed))
    return server


def _refusing_other_hosts(app: Any, allowed: Collection[str]) -> Any:
    """The WSGI application, which refuses requests from web pages of other hosts."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        headers = {
            name[5:].replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        if reason := refusal(environ["REQUEST_METHOD"], Headers(headers), allowed):
            start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [reason.encode()]
        return app(environ, start)

    return answer


def _registry(settings: Settings) -> Any:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(settings))
    return registry


class _Collector:
    """Reads all figures at every scrape."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def describe(self) -> list[Any]:
        """Nothing: the metrics depend on the stored data."""
        return []

    def collect(self) -> Iterator[Any]:
        """The families of metrics, one by one. It reads the lake: once a minute is enough."""
        yield from _state_metrics(status.snapshot(self._settings))
        yield from _request_metrics(_requests(self._settings))
        yield from lake_metrics.families(self._settings)


def _state_metrics(found: dict[str, Any]) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    gauges = {
        "kis_up": "1 when what processes share can be read",
        "kis_quota_limit_per_second": "Requests a second that are allowed",
        "kis_quota_rate_per_second": "Requests a second allowed now, after refusals",
        "kis_quota_sent_last_second": "Requests sent in the last second",
        "kis_token_expires_timestamp_seconds": "When the token ends",
        "kis_breaker_state": "0 closed, 1 half open, 2 open",
    }
    families = {
        name: GaugeMetricFamily(name, text, labels=[] if name == "kis_up" else ["account"])
        for name, text in gauges.items()
    }
    families["kis_up"].add_metric([], 0.0 if found["error"] else 1.0)
    for name, account in found["accounts"].items():
        values = (
            account["rate_limit"],
            account["rate"],
            account["last_second"],
            None
            if account["token_expires_at"] is None
            else account["token_expires_at"].timestamp(),
            BREAKER[account["breaker"]],
        )
        for family, value in zip(list(families.values())[1:], values, strict=True):
            if value is not None:
                family.add_metric([name], float(value))
    yield from families.values()
    for name in ("hits", "misses", "entries", "bytes"):
        if name in found["cache"]:
            yield GaugeMetricFamily(
                f"kis_cache_{name}", f"Cache: {name}, of all processes", found["cache"][name]
            )


def _request_metrics(rows: pl.DataFrame) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ["endpoint", "outcome"]
    span = f"in the last {DAYS} days"
    for name in ("requests", "refusals", "retries", "cache_hits", "breaker_changes"):
        family = GaugeMetricFamily(f"kis_{name}", f"{name} {span}".capitalize(), labels=labels)
        for endpoint, outcome, total in (
            rows.group_by(labels).agg(pl.col(name).sum()).sort(labels).iter_rows()
        ):
            if total:
                family.add_metric([endpoint, outcome], float(total))
        yield family
    latency = GaugeMetricFamily(
        "kis_latency_seconds",
        "Time of an answer, by endpoint, in the run that asked last",
        labels=["endpoint", "quantile"],
    )
    answered = rows.filter(pl.col("outcome") == "ok", pl.col("p50_ms").is_not_null())
    for row in answered.sort("captured_at").unique("endpoint", keep="last").iter_rows(named=True):
        for share in ("50", "95", "99"):
            latency.add_metric([row["endpoint"], f"0.{share}"], row[f"p{share}_ms"] / 1000)
    yield latency


def _requests(settings: Settings) -> pl.DataFrame:
    today = settings.now().date()
    lake = Lake(settings.source_dir, source=settings.source_name)
    try:
        return lake.scan(REQUESTS, first=today - timedelta(days=DAYS), last=today).collect()
    except (LakeError, OSError, pl.exceptions.PolarsError):
        return REQUESTS.empty()
