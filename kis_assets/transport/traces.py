"""A span for each request, by OpenTelemetry, where the environment names a collector.

Where it names none, nothing of OpenTelemetry is loaded.
"""

from __future__ import annotations

import logging
import os
import time
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables; it reads others, such as `OTEL_SERVICE_NAME`, itself."""


class Traces:
    """Spans of requests, sent in batches by a thread of OpenTelemetry."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("kis_assets")

    def add(
        self,
        endpoint: str,
        tr_id: str,
        url: str,
        attempt: int,
        outcome: str,
        status: int | None,
        times: tuple[float, float | None, float],
    ) -> None:
        """One span from before the rate limiter to the end of the answer.

        Args:
            endpoint: its name in messages.
            tr_id: KIS's name of it.
            url: of which only the host is told.
            attempt: 1 for the first.
            outcome: as in the table `requests`.
            status: that of HTTP, None without an answer.
            times: when it began to wait for the rate limiter, when it was sent (None: never) and
                when it ended, which is now, by one clock in seconds.
        """
        from opentelemetry.trace import SpanKind, StatusCode

        began, sent, ended = times
        now = time.time_ns()
        span = self._tracer.start_span(
            endpoint,
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "GET",
                "server.address": urlsplit(url).hostname or "",
                "kis.tr_id": tr_id,
                "kis.attempt": attempt,
                "kis.wait_seconds": (ended if sent is None else sent) - began,
                "kis.outcome": outcome,
            },
            start_time=now - int((ended - began) * 1e9),
        )
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if outcome != "ok":
            span.set_status(StatusCode.ERROR, outcome)
        span.end(now)

    def flush(self) -> None:
        """Send what is left: a worker of Celery ends without a word to its threads.

        It takes two seconds at most, also if no collector answers.
        """
        self._provider.force_flush(2000)


@cache
def opened() -> Traces | None:
    """The traces of this process; None where the environment asks for none."""
    named = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if named is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning(
            "%s is set, but no trace is sent: pip install 'opentelemetry-sdk>=1.45' and "
            "pip install 'opentelemetry-exporter-otlp-proto-http>=1.45'",
            named,
        )
        return None
    name = os.environ.get("OTEL_SERVICE_NAME", "kis-assets")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
