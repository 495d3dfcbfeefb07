"""`/internal/prometheus`: counters of all processes together, and gauges read from tables and broker at scrape time.

Counters live in memory-mapped files of `HHWEB_TELEMETRY_DIR`, one a process; files of ended processes stay, so
that no restart makes a counter fall.
"""

import hmac
from collections.abc import Callable, Iterable

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from embeddings_ab import telemetry as embeddings_ab_telemetry  # noqa: F401 - declares its instruments
from embeddings_ab.selectors import jobs as ab_jobs
from experiments import telemetry as experiments_telemetry  # noqa: F401 - declares its instruments
from experiments.selectors import jobs as experiment_jobs
from governance import telemetry as governance_telemetry  # noqa: F401 - declares its instruments
from governance.selectors import jobs

log = structlog.get_logger(__name__)


def queue_depths() -> Iterable[GaugeMetricFamily]:
    """Messages that wait in each queue of the broker."""
    family = GaugeMetricFamily("hhweb_queue_depth", "Messages waiting in the broker.", labels=["queue"])
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        for queue in settings.QUEUES:
            family.add_metric([queue], client.llen(queue))
    yield family


def job_states() -> Iterable[GaugeMetricFamily]:
    """Jobs by kind and state, and for how long the oldest has waited."""
    states = GaugeMetricFamily("hhweb_jobs", "Jobs by state, from their tables.", labels=["kind", "state"])
    oldest = GaugeMetricFamily(
        "hhweb_oldest_waiting_job_seconds", "Age of the oldest job that waits; 0 when none does.", labels=["kind"]
    )
    kinds = (*jobs.KINDS, *experiment_jobs.KINDS, *ab_jobs.KINDS)
    for count in jobs.counts(kinds):
        states.add_metric([count.kind, count.state], count.jobs)
    for kind, seconds in jobs.oldest_waiting_seconds(kinds).items():
        oldest.add_metric([kind], seconds)
    yield from (states, oldest)


class ScrapeTimeCollector(Collector):
    """Reads tables and broker when asked. What cannot be read is left out and counted: the rest stays visible."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        failures = GaugeMetricFamily(
            "hhweb_scrape_failures", "Sources that this scrape could not read.", labels=["source"]
        )
        sources: dict[str, Callable[[], Iterable[GaugeMetricFamily]]] = {"redis": queue_depths, "database": job_states}
        for name, read in sources.items():
            try:
                yield from read()
                failures.add_metric([name], 0)
            except (redis.RedisError, DatabaseError, OSError) as error:
                log.warning("scrape_source_failed", source=name, error=type(error).__name__)
                failures.add_metric([name], 1)
        yield failures


def exposition() -> bytes:
    """Everything in Prometheus' text format."""
    if settings.TELEMETRY_DIR is None:
        counters = generate_latest(REGISTRY)
    else:
        shared = CollectorRegistry()
        MultiProcessCollector(shared, path=str(settings.TELEMETRY_DIR))  # type: ignore[no-untyped-call]
        counters = generate_latest(shared)
    gauges = CollectorRegistry(auto_describe=False)
    gauges.register(ScrapeTimeCollector())
    return counters + generate_latest(gauges)


@require_safe
def prometheus(request: HttpRequest) -> HttpResponse:
    """The exposition, for who sends the token. Without a configured token nobody may read it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.TELEMETRY_TOKEN
    if not expected or scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), expected.encode()):
        refusal = {
            "code": "unauthenticated",
            "message": "Send 'Authorization: Bearer <HHWEB_TELEMETRY_TOKEN>'.",
            "details": {},
        }
        response = JsonResponse({"error": refusal}, status=401)
        response["WWW-Authenticate"] = "Bearer"
        return response
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


urlpatterns = [path("internal/prometheus", prometheus)]
