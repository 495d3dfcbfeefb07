"""Prometheus instruments of embeddings A/B testing. Every label has a closed set of values: a model is never one.

Queue depth and jobs by state are collected at scrape time in `hhweb/telemetry.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from prometheus_client import Counter, Histogram

_MINUTES = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800)

BUILDS = Counter("hhweb_ab_builds", "Collection builds: started, finished and failed by cause.", ["outcome", "cause"])
BUILD_SECONDS = Histogram("hhweb_ab_build_seconds", "Time one attempt to build took, in seconds.", buckets=_MINUTES)
TESTS = Counter("hhweb_ab_tests", "A/B tests that were queued, and how they ended.", ["outcome"])
TEST_SECONDS = Histogram(
    "hhweb_ab_test_seconds", "Time from the start of an A/B test to its end, in seconds.", buckets=_MINUTES
)
ARMS = Counter("hhweb_ab_arms", "Arms of A/B tests by how they ended.", ["kind", "outcome"])
ARM_SECONDS = Histogram(
    "hhweb_ab_arm_seconds", "Time an arm took to run its queries, in seconds.", ["kind"], buckets=_MINUTES
)
PROVIDER_CALLS = Counter(
    "hhweb_ab_provider_calls", "Calls to embedders, rerankers and search endpoints.", ["provider", "outcome"]
)
PROVIDER_SECONDS = Histogram(
    "hhweb_ab_provider_seconds",
    "Time of one call to an embedder, reranker or search endpoint, in seconds.",
    ["provider"],
    buckets=(0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
EMBEDDED_TEXTS = Counter("hhweb_ab_embedded_texts", "Distinct texts that a provider embedded.", ["provider"])
EMBEDDED_TOKENS = Counter("hhweb_ab_embedded_tokens", "Tokens of embedded texts.", ["provider"])
CACHE_HITS = Counter("hhweb_ab_cache_hits", "Distinct texts whose vector was there before.", ["provider"])
EXPORTS = Counter("hhweb_ab_exports", "Exports of A/B tests that were begun, by kind of file.", ["kind"])

BuildOutcome = Literal["started", "finished", "failed", "postponed"]
TestOutcome = Literal["queued", "completed", "incomplete", "failed", "cancelled"]
ArmOutcome = Literal["completed", "incomplete", "failed", "cancelled"]
CAUSES = (
    "none", "timeout", "connection", "rate_limited", "server_error", "bad_answer", "refused", "unauthorised",
    "input_rejected", "not_installed", "not_allowed", "quota", "model_changed", "cancelled", "lease_lost", "other",
)  # fmt: skip
ARM_KINDS = ("vector", "lexical", "hybrid", "external", "run", "other")
PROVIDERS = (
    "synthetic", "minilm", "wordllama", "openai", "cohere", "tei",
    "rerank_overlap", "rerank_http", "rerank_cross_encoder", "external", "other",
)  # fmt: skip
EXPORT_KINDS = ("ab-results", "ab-trec", "ab-qrels", "ab-report", "other")


def _one_of(value: str, known: tuple[str, ...]) -> str:
    return value if value in known else "other"


def count_build(outcome: BuildOutcome, *, cause: str = "none", seconds: float | None = None) -> None:
    """One build began (`started`), ended (`finished`, `failed`) or waits for its next attempt (`postponed`).

    `cause` is a `ProviderFailed.cause` or another word of `CAUSES`; `seconds` is the length of the attempt.
    """
    BUILDS.labels(outcome, _one_of(cause, CAUSES)).inc()
    if seconds is not None:
        BUILD_SECONDS.observe(seconds)


def count_test(outcome: TestOutcome, *, seconds: float | None = None) -> None:
    """A test was queued or ended; `seconds` since its start."""
    TESTS.labels(outcome).inc()
    if seconds is not None:
        TEST_SECONDS.observe(seconds)


def count_arm(kind: str, outcome: ArmOutcome, *, seconds: float | None = None) -> None:
    """An arm ended; `kind` is its `retrieval`, `seconds` the time of its queries."""
    kind = _one_of(kind, ARM_KINDS)
    ARMS.labels(kind, outcome).inc()
    if seconds is not None:
        ARM_SECONDS.labels(kind).observe(seconds)


def count_call(provider: str, *, seconds: float, cause: str = "none") -> None:
    """One call to a provider: `ok`, or the cause of its failure."""
    provider = _one_of(provider, PROVIDERS)
    PROVIDER_CALLS.labels(provider, "ok" if cause == "none" else _one_of(cause, CAUSES)).inc()
    PROVIDER_SECONDS.labels(provider).observe(seconds)


def count_embedded(provider: str, *, texts: int, tokens: int = 0, cache_hits: int = 0) -> None:
    """Distinct texts embedded just now, and those whose vector was there before."""
    provider = _one_of(provider, PROVIDERS)
    EMBEDDED_TEXTS.labels(provider).inc(texts)
    EMBEDDED_TOKENS.labels(provider).inc(tokens)
    CACHE_HITS.labels(provider).inc(cache_hits)


def count_export(kind: str) -> None:
    """A file was asked for and audited."""
    EXPORTS.labels(_one_of(kind, EXPORT_KINDS)).inc()


@contextmanager
def timed_call(provider: str) -> Iterator[None]:
    """Counts and times the call inside; what it raises is counted by its `cause`, where it has one, and passed on."""
    start = perf_counter()
    try:
        yield
    except BaseException as error:
        cause = getattr(error, "cause", None)
        count_call(provider, seconds=perf_counter() - start, cause=cause if isinstance(cause, str) else "other")
        raise
    count_call(provider, seconds=perf_counter() - start)
