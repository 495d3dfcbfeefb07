"""Runs the queries of an arm: retrieves, fuses, reranks, scores; stores one row per query, never two."""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now

from embeddings_ab import dispatch, telemetry
from embeddings_ab.domain.explanation import blame
from embeddings_ab.domain.measures import Measure, depth_needed, parse_measure, parse_measures
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.statuses import ArmStatus
from embeddings_ab.models import Arm, Judgment, Query, QueryResult
from embeddings_ab.services import arm_files, endings, searching
from embeddings_ab.services.arm_preparation import holder
from embeddings_ab.services.corpus_texts import document_ids, queries_of
from governance.models.leased_work import LeaseLost
from governance.services.heartbeats import Heartbeat, lease

BLOCK = 256  # queries searched and stored together
TOP = 10  # what counts as found where the primary metric has no cutoff
CALLED_BLOCK = 1  # the same where each query is a call to somebody else
log = structlog.get_logger(__name__)
Judged = dict[int, dict[int, int]]


def run_arm(*, arm_id: int) -> None:
    """ready → running → completed | incomplete | failed. A second message finds nothing to claim."""
    arm = Arm.claim(arm_id, waiting=[ArmStatus.READY], running=ArmStatus.RUNNING, holder=holder(), lease=lease())
    if arm is None:
        return
    began = time.monotonic()
    try:
        with endings.of_arm(arm, back_to=ArmStatus.READY):
            endings.require_hope(arm)
            _run(arm, began)
    except LeaseLost:
        log.info("arm_lost", arm=arm.name, test=arm.test.public_id)
    dispatch.send_advance([arm.test_id])


def _run(arm: Arm, began: float) -> None:
    test = TestSpec.model_validate(arm.test.spec)
    queries = queries_of(arm.test.query_set)
    arm.held().update(started_at=Now())
    # Rows that are there and did not fail are kept: a worker died after them, or the arm is run again for the failed.
    done = set(QueryResult.objects.filter(arm=arm, is_failed=False).values_list("query_id", flat=True))
    open_queries = [query for query in queries if query.pk not in done]
    scorer = Scorer(arm, test, queries)
    log.info("arm_running", arm=arm.name, test=arm.test.public_id, queries=len(open_queries))
    # The heart beats before anything is opened: an index that is made first takes longer than a lease.
    with Heartbeat(arm) as beat, searching.opened(arm, test) as searcher:
        beat.on_lost = searcher.close_calls
        size = CALLED_BLOCK if searcher.reranker or searcher.external else BLOCK
        for start in range(0, len(open_queries), size):
            block = open_queries[start : start + size]
            rows = scorer.rows(block, searcher.search(block))
            beat.check()
            with transaction.atomic():
                store(rows)
                arm.renew(lease(), attempts=0, queries_done=len(done) + start + len(block))
    failed = QueryResult.objects.filter(arm=arm, is_failed=True).count()
    status = ArmStatus.INCOMPLETE if failed else ArmStatus.COMPLETED
    first = QueryResult.objects.filter(arm=arm, is_failed=True).order_by("pk").first()
    arm.leave(
        status,
        queries_done=len(queries),
        queries_failed=failed,
        finished_at=Now(),
        error_code=first.error_code if first else "",
        error_message=f"{failed} of {len(queries)} queries failed, the first: {first.error_message}" if first else "",
    )
    telemetry.count_arm(
        searcher.spec.retrieval, "incomplete" if failed else "completed", seconds=time.monotonic() - began
    )
    log.info("arm_ended", arm=arm.name, test=arm.test.public_id, status=status.value, failed=failed)


def store(rows: Sequence[QueryResult]) -> None:
    """Insert, or replace what an earlier attempt left for the same arm and query."""
    fields = ["is_failed", "error_code", "error_message", "ranked_ids", "scores", "metrics", "stages", "latency"]
    QueryResult.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["arm", "query"], update_fields=fields, batch_size=500
    )


class Scorer:
    """Turns what was found into rows: ids, scores, metrics, and where each relevant document stood in each stage."""

    def __init__(self, arm: Arm, test: TestSpec, queries: Sequence[Query], *, only: str = "") -> None:
        """`only`: one measure without bounds, for searches over many variants."""
        self.arm, self.test, self.only = arm, test, only
        self.top = parse_measure(test.primary_metric).cutoff or TOP
        self.measures: list[Measure] = parse_measures([only] if only else test.metrics)
        # How much of the answer anybody judged, whether it was asked for or not.
        if (judged := Measure("Judged", self.top)) not in self.measures and not only:
            self.measures.append(judged)
        self.ids = document_ids(arm.test.corpus)
        self.ordinals = {name: at for at, name in enumerate(self.ids)}
        self.judged = self._judgments(queries)
        self.greatest = arm.test.query_set.greatest_grade
        self.chunked: set[int] | None = None

    def _judgments(self, queries: Sequence[Query]) -> Judged:
        found: Judged = {query.pk: {} for query in queries}
        rows = Judgment.objects.filter(query__query_set_id=self.arm.test.query_set_id)
        for query_id, name, grade in rows.values_list("query_id", "document_id", "grade"):
            # A judged document that this corpus lacks can be found by nobody; an id of its own keeps it counted.
            ordinal = self.ordinals.setdefault(name, len(self.ordinals))
            found[query_id][ordinal] = grade
        return found

    def rows(self, queries: Sequence[Query], found: searching.Found) -> list[QueryResult]:
        """One row per query of the block."""
        from embeddings_ab.domain import retrieval_metrics
        from embeddings_ab.domain.ranking import without_own_documents

        final = found.final
        if self.test.drop_same_id:
            final = without_own_documents(
                final, [self.ordinals.get(query.external_id) for query in queries], depth_needed(self.measures)
            )
        rankings = {query.pk: final.units[at].tolist() for at, query in enumerate(queries) if at not in found.failures}
        judged = {pk: self.judged[pk] for pk in rankings}
        scored = retrieval_metrics.score(rankings, judged, self.measures, relevant_from=self.test.relevant_from)
        bounds = (
            {}
            if self.only
            else retrieval_metrics.highest(
                rankings,
                judged,
                self.measures,
                highest_grade=max(self.greatest, 1),
                relevant_from=self.test.relevant_from,
                lowest=scored,
            )
        )
        rows = []
        for at, query in enumerate(queries):
            row = QueryResult(test_id=self.arm.test_id, arm=self.arm, query=query)
            if (error := found.failures.get(at)) is not None:
                row.is_failed = True
                row.error_code, row.error_message = endings.code_of(error), endings.message_of(error)
            else:
                row.ranked_ids = [self.ids[unit] for unit in rankings[query.pk]]
                row.scores = [round(float(score), 6) + 0.0 for score in final.scores[at]]  # no -0.0
                row.metrics = {
                    **scored[query.pk],
                    **{
                        f"{name} highest": value
                        for name, value in bounds.get(query.pk, {}).items()
                        if not name.startswith("Judged")
                    },
                }
                row.stages = self._stages(query, at, found, rankings[query.pk])
            rows.append(row)
        return rows

    def _stages(self, query: Query, at: int, found: searching.Found, ranking: list[int]) -> dict[str, Any]:
        """By id of each relevant document: its rank in every stage, and the stage that lost it from the top."""
        ranks = {stage: _ranks(candidates.units[at].tolist()) for stage, candidates in found.stages.items()}
        ranks["final"] = _ranks(ranking)
        stages: dict[str, Any] = {}
        for unit, grade in self.judged[query.pk].items():
            if grade < self.test.relevant_from or unit >= len(self.ids):
                continue
            where: dict[str, Any] = {stage: known.get(unit) for stage, known in ranks.items()}
            where["chunked"] = unit in self._chunked()
            stages[self.ids[unit]] = {"grade": grade, "stage": blame(where, k=self.top).value, **where}
        return stages

    def _chunked(self) -> set[int]:
        """Documents that have any chunk: one without text can be found by nobody."""
        if self.chunked is None:
            self.chunked = arm_files.chunked_documents(self.arm)
        return self.chunked


def _ranks(units: list[int]) -> dict[int, int]:
    return {unit: rank for rank, unit in enumerate(units, start=1)}
