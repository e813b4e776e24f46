"""What the server counts, for Prometheus, in a registry of its own: two apps in a process do not mix."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Seconds. A stage of a search takes from 0.1 ms to some seconds.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One a server. Safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "pinflow_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "pinflow_stage_seconds",
            "One stage of a search: fetch, filter, encode, text, knn, hydrate, total",
            ["stage"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._in_flight = Gauge("pinflow_requests_in_flight", "Being answered now", registry=self._registry)
        self._refused = Counter(
            "pinflow_refused_total", "Requests refused, by status", ["status"], registry=self._registry
        )

    def began(self) -> None:
        """A request came."""
        self._in_flight.inc()

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """It was answered. `route` is the path with its parameters' names, so that labels stay few."""
        self._in_flight.dec()
        self._requests.labels(method, route, str(status)).observe(seconds)
        if status in (401, 403, 408, 413, 429, 503):
            self._refused.labels(str(status)).inc()

    def stages(self, timings_ms: Mapping[str, float]) -> None:
        """The stages of one search."""
        for stage, milliseconds in timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
