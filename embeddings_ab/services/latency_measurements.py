"""Latency as a step of its own: one query at a time, warmed up, arms interleaved in random order, on one sample.

The embedding's share is that of each query's first, uncached call, kept with its vector and shown with its date.
"""

import datetime as dt
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import structlog

from embeddings_ab.domain.batches import latency_sample
from embeddings_ab.domain.latency import interleaved, percentiles
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.models import AbTest, Arm, Query, QueryResult
from embeddings_ab.services import embedding_cache, searching
from embeddings_ab.services.corpus_texts import queries_of
from governance.domain.errors import DomainError
from governance.services.heartbeats import Heartbeat

log = structlog.get_logger(__name__)
STEPS = ("embed", "search", "fuse", "rerank", "total")
_WARM_UP = 3
BUDGET_SECONDS = 240.0
_MOST_FAILURES = 3  # then an endpoint is left alone: each failure may take as long as its time-out


def measure(test: AbTest, spec: TestSpec, arms: list[Arm], beat: Heartbeat) -> None:
    """Measure arms that have none yet; uploaded runs have nothing to measure."""
    open_arms = [arm for arm in arms if not arm.latency and arm.spec["retrieval"] != "run"]
    queries = queries_of(test.query_set)
    keys = {embedding_cache.text_hash(query.text): query for query in queries}
    sample = [keys[key] for key in sorted(latency_sample(list(keys), spec.latency_queries))]
    if not open_arms or not sample:
        return
    taken: dict[str, dict[str, list[float]]] = {arm.name: {step: [] for step in STEPS} for arm in open_arms}
    by_query: dict[tuple[int, int], dict[str, float]] = {}
    began = time.monotonic()
    with ExitStack() as stack:
        searchers = _opened(open_arms, spec, stack)
        open_arms = [arm for arm in open_arms if arm.name in searchers]
        if not open_arms:
            return
        beat.on_lost = partial(_close_calls, list(searchers.values()))
        failures = dict.fromkeys(searchers, 0)
        embedded = {arm.name: _embedding(arm, sample) for arm in open_arms}
        for searcher in searchers.values():
            for query in sample[:_WARM_UP]:
                beat.check()
                searcher.search([query])
        for arm_at, query_at in interleaved(len(open_arms), len(sample), seed=spec.seed):
            beat.check()
            if time.monotonic() - began > BUDGET_SECONDS:
                break  # what is measured so far is reported with its number
            arm, query = open_arms[arm_at], sample[query_at]
            if failures[arm.name] == _MOST_FAILURES:
                continue
            found = searchers[arm.name].search([query])
            if found.failures:
                failures[arm.name] += 1
                continue
            times = {step: ms for step, ms in found.milliseconds.items() if step != "total"}
            if (first := embedded[arm.name].get(query.pk)) is not None:
                times["embed"] = first[0]
            times["total"] = sum(times.values())
            for step, ms in times.items():
                taken[arm.name][step].append(ms)
            by_query[arm.pk, query.pk] = {step: round(ms, 3) for step, ms in times.items()}
    _write(open_arms, taken, embedded, by_query)


def _close_calls(searchers: list[searching.Searcher]) -> None:
    for searcher in searchers:
        searcher.close_calls()


def _opened(arms: list[Arm], spec: TestSpec, stack: ExitStack) -> dict[str, searching.Searcher]:
    """By name. An arm that may not be searched any more (a rule was withdrawn) keeps its results, without latency."""
    found: dict[str, searching.Searcher] = {}
    for arm in arms:
        try:
            found[arm.name] = stack.enter_context(searching.opened(arm, spec))
        except DomainError as error:
            log.warning("latency_not_measured", arm=arm.name, cause=error.code)
    return found


def _embedding(arm: Arm, sample: list[Query]) -> dict[int, tuple[float, str]]:
    """By query: ms and date of its first call, where it was measured."""
    if arm.queries is None or arm.queries.space is None:
        return {}
    keys = {embedding_cache.text_hash(query.text): query.pk for query in sample}
    measured = embedding_cache.measured_latencies(arm.queries.space, list(keys))
    return {keys[key]: found for key, found in measured.items()}


def _write(arms: list[Arm], taken: dict[str, Any], embedded: dict[str, Any], by_query: Any) -> None:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    for arm in arms:
        steps = taken[arm.name]
        dates = [at for _, at in embedded[arm.name].values()]
        arm.latency = {
            "sample": len(steps["total"]),
            "measured_at": now,
            **({"embed_measured_at": max(dates)} if dates else {}),
            **{step: _rounded(percentiles(values)) for step, values in steps.items() if values},
        }
        Arm.objects.filter(pk=arm.pk).update(latency=arm.latency)
    rows = list(
        QueryResult.objects.filter(arm__in=arms, query_id__in={query for _, query in by_query}).only(
            "pk", "arm_id", "query_id"
        )
    )
    for row in rows:
        row.latency = by_query.get((row.arm_id, row.query_id))
    QueryResult.objects.bulk_update(rows, ["latency"], batch_size=200)


def _rounded(figures: dict[str, float | int | None]) -> dict[str, float | int | None]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}
