"""Ends a test: measures latency, computes the statistics, writes the report and its hash."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now

from embeddings_ab import telemetry
from embeddings_ab.domain.measures import parse_measure
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.statuses import ArmStatus, TestStatus
from embeddings_ab.models import AbTest, Arm, QueryResult
from embeddings_ab.selectors.ab_tests import arms_of
from embeddings_ab.services import arm_stats, endings, latency_measurements, progress
from embeddings_ab.services.arm_preparation import holder
from embeddings_ab.services.arm_runs import TOP
from embeddings_ab.services.corpus_texts import queries_of
from governance.models.clock import from_now
from governance.models.leased_work import LeaseLost
from governance.services.heartbeats import Heartbeat, lease

log = structlog.get_logger(__name__)
_WITH_RESULTS = (ArmStatus.COMPLETED, ArmStatus.INCOMPLETE)


def decide_test(*, test_id: int) -> None:
    """scored → deciding → completed | incomplete | failed. A second message finds nothing to claim."""
    test = AbTest.claim(
        test_id, waiting=[TestStatus.SCORED], running=TestStatus.DECIDING, holder=holder(), lease=lease()
    )
    if test is None:
        return
    try:
        endings.require_hope(test)
        with Heartbeat(test) as beat:
            _decide(test, beat)
    except LeaseLost:
        log.info("ab_test_lost", test=test.public_id)
    except Exception as error:
        wait = endings.next_attempt(test, error)
        if wait is None:
            log.exception("ab_test_broke", test=test.public_id)
            _fail(test, endings.code_of(error), endings.message_of(error))
        else:
            test.leave(TestStatus.SCORED, next_attempt_at=from_now(wait))


def _fail(test: AbTest, code: str, message: str) -> None:
    test.leave(
        TestStatus.FAILED,
        error_code=code,
        error_message=message,
        finished_at=Now(),
        expires_at=progress.expiry(test),
    )
    telemetry.count_test("failed", seconds=_seconds(test))
    log.warning("ab_test_failed", test=test.public_id, cause=code)


def _seconds(test: AbTest) -> float | None:
    return None if test.started_at is None else (dt.datetime.now(dt.UTC) - test.started_at).total_seconds()


def _decide(test: AbTest, beat: Heartbeat) -> None:
    spec = TestSpec.model_validate(test.spec)
    arms = arms_of(test)
    with_results = [arm for arm in arms if arm.status in _WITH_RESULTS]
    if not with_results:
        first = next((arm for arm in arms if arm.error_message), None)
        _fail(
            test,
            first.error_code if first else "no_results",
            f"No arm has results. {first.name}: {first.error_message}" if first else "No arm has results.",
        )
        return
    latency_measurements.measure(test, spec, with_results, beat)
    beat.check()
    arm_stats.write(test, arms)
    report, report_hash = make(test, spec, arms, beat)
    complete = all(arm.status == ArmStatus.COMPLETED for arm in arms)
    to = TestStatus.COMPLETED if complete else TestStatus.INCOMPLETE
    hours = 0 if spec.clean_up.on_complete and complete else spec.clean_up.ttl_hours
    with transaction.atomic():
        test.leave(
            to,
            report=report,
            report_hash=report_hash,
            result_count=QueryResult.objects.filter(test=test).count(),
            finished_at=Now(),
            expires_at=from_now(dt.timedelta(hours=hours)),
        )
    telemetry.count_test("completed" if complete else "incomplete", seconds=_seconds(test))
    log.info("ab_test_decided", test=test.public_id, status=to.value, report_hash=report_hash)


def make(test: AbTest, spec: TestSpec, arms: list[Arm], beat: Heartbeat | None = None) -> tuple[dict[str, Any], str]:
    """Report and hash from what is stored; the same for the same rows on every machine."""
    from embeddings_ab.domain.report import ArmScores, Design, ReportHash, make_report

    queries = queries_of(test.query_set)
    names = {query.pk: query.external_id for query in queries}
    digest = ReportHash()
    scored: list[ArmScores] = []
    for arm in sorted(arms, key=lambda one: one.name):
        collected = _Collected(parse_measure(spec.primary_metric).cutoff or TOP)
        if arm.status in _WITH_RESULTS:
            digest.add_results(collected.rows(arm, names))
        scored.append(
            ArmScores(
                name=arm.name,
                status=arm.status if arm.status in _WITH_RESULTS else "failed",
                values=collected.values,
                failed=frozenset(collected.failed),
                rankings=collected.rankings,
                blames=collected.blames,
                blamed_by_query=collected.lost,
            )
        )
        if beat is not None:
            beat.check()
    order = {arm.name: arm.position for arm in arms}
    scored.sort(key=lambda one: order[one.name])
    clusters = None
    if spec.cluster_key:
        clusters = {q.external_id: str(q.metadata.get(spec.cluster_key, q.external_id)) for q in queries}
    design = Design(
        metrics=spec.metrics,
        primary=spec.primary_metric,
        control=spec.control,
        alpha=spec.alpha,
        margin=spec.margin,
        effect=spec.effect,
        seed=spec.seed,
        draws=spec.draws,
        clusters=clusters,
        slices={
            key: {q.external_id: str(q.metadata[key]) for q in queries if key in q.metadata} for key in spec.slices
        },
    )
    report = make_report(head=_head(test, spec), design=design, arms=scored)
    return report, digest.finish(report)


def _head(test: AbTest, spec: TestSpec) -> dict[str, Any]:
    corpus, query_set = test.corpus, test.query_set
    return {
        "name": test.name,
        "registration_hash": test.registration_hash,
        "primary_metric": spec.primary_metric,
        "control": spec.control,
        "alpha": spec.alpha,
        "margin": spec.margin,
        "seed": spec.seed,
        "draws": spec.draws,
        "corpus": {
            "name": corpus.name,
            "version": corpus.version,
            "content_hash": corpus.content_hash,
            "documents": corpus.document_count,
        },
        "query_set": {
            "name": query_set.name,
            "version": query_set.version,
            "content_hash": query_set.content_hash,
            "queries": query_set.query_count,
            "judged_queries": query_set.judged_query_count,
            "judgments": query_set.judgment_count,
        },
    }


class _Collected:
    """What the rows of one arm say, gathered while they stream by."""

    def __init__(self, top: int) -> None:
        self.top = top
        self.values: dict[str, dict[str, float | None]] = {}
        self.failed: set[str] = set()
        self.rankings: dict[str, list[str]] = {}
        self.blames: list[str] = []
        self.lost: dict[str, str] = {}

    def rows(self, arm: Arm, names: dict[int, str]) -> Iterator[dict[str, Any]]:
        """Canonical rows for the hash, in order of query ids."""
        from embeddings_ab.domain.explanation import blame_of_query
        from embeddings_ab.domain.report import OVERLAP_K

        found = QueryResult.objects.filter(arm=arm).order_by("query__ordinal")
        for row in found.iterator(chunk_size=1_000):
            name = names[row.query_id]
            if row.is_failed:
                self.failed.add(name)
                yield {"arm": arm.name, "query": name, "failed": True}
                continue
            for measure, value in row.metrics.items():
                self.values.setdefault(measure, {})[name] = value
            self.rankings[name] = row.ranked_ids[: max(OVERLAP_K * 10, 100)]
            blamed = [where["stage"] for where in row.stages.values()]
            self.blames += blamed
            self.lost[name] = blame_of_query([(where, where["grade"]) for where in row.stages.values()], k=self.top)
            yield {
                "arm": arm.name,
                "query": name,
                "ranked_ids": row.ranked_ids,
                "scores": [f"{score:.6f}" for score in row.scores],
                "metrics": {key: None if v is None else f"{v:.6f}" for key, v in sorted(row.metrics.items())},
            }
