"""Searches for the best configuration of a finished test's arm: nothing is embedded, the choice is cross-validated.

Alpha, depth, k of RRF, dimensions and quantisation are searched over the arm's own collections; chunk sizes or models
are searched by naming other arms of the test, whose results are there.
"""

import itertools
import time
from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now

from embeddings_ab import dispatch
from embeddings_ab.domain.measures import parse_measure
from embeddings_ab.domain.spec import ArmSpec, TestSpec
from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus, TuningStatus
from embeddings_ab.domain.tuning_spec import TuningSpec, variants_of
from embeddings_ab.models import AbTest, Arm, Collection, Query, QueryResult, Tuning
from embeddings_ab.selectors.ab_tests import arms_of, find_test
from embeddings_ab.services import arm_runs, endings, searching
from embeddings_ab.services.arm_preparation import holder
from embeddings_ab.services.corpus_texts import queries_of
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput
from governance.models.clock import from_now
from governance.models.leased_work import LeaseLost
from governance.services import audit
from governance.services.heartbeats import Heartbeat, lease

log = structlog.get_logger(__name__)
TIMED_QUERIES = 30


@transaction.atomic
def create_tuning(*, caller: Caller, test_id: str, spec: TuningSpec) -> Tuning:
    """Store a search over an ended test and send it. Every variant is checked now."""
    caller.require(Action.AB_WRITE)
    test = find_test(caller, test_id)
    if test.status not in (TestStatus.COMPLETED, TestStatus.INCOMPLETE):
        raise Conflict(
            f"Test {test_id} is {test.status}; a search needs its results. Wait until it is completed.",
            field="test_id",
            value=test_id,
        )
    arms = {arm.name: arm for arm in arms_of(test)}
    judged = test.query_set.judged_query_count
    if spec.folds > judged:
        raise InvalidInput(
            f"Field 'folds' is {spec.folds}, but only {judged} queries are judged; use fewer.",
            field="folds",
            value=spec.folds,
        )
    for field, name in (("arm", spec.arm), *(("compare_arms", other) for other in spec.compare_arms)):
        if name not in arms or arms[name].status not in (ArmStatus.COMPLETED, ArmStatus.INCOMPLETE):
            raise InvalidInput(
                f"Field {field!r}: {name!r} is no arm with results; there are {', '.join(arms)}.",
                field=field,
                value=name,
            )
    variants_of(spec, ArmSpec.model_validate(arms[spec.arm].spec))
    _require_ready(arms[spec.arm])
    measure = str(parse_measure(spec.measure or test.primary_metric, field="measure"))
    tuning = Tuning.objects.create(
        test=test,
        spec={**spec.model_dump(mode="json"), "measure": measure},
        created_by=caller.actor_label,
    )
    audit.record(
        caller=caller,
        action="tuning.create",
        target_kind="tuning",
        target_id=tuning.public_id,
        target_label=test.name,
        after=tuning.spec,
    )
    dispatch.send_tunings([tuning.pk])
    return tuning


def _require_ready(arm: Arm) -> None:
    for collection in (arm.documents, arm.queries, arm.lexical):
        if collection is not None and collection.status != CollectionStatus.READY:
            raise Conflict(
                f"Field 'arm': the {collection.get_kind_display()} of arm {arm.name!r} were cleaned up. Run the test "
                "again: what is cached is not embedded anew.",
                field="arm",
                value=arm.name,
            )


def run_tuning(*, tuning_id: int) -> None:
    """pending → running → completed | failed. A second message finds nothing to claim."""
    tuning = Tuning.claim(
        tuning_id, waiting=[TuningStatus.PENDING], running=TuningStatus.RUNNING, holder=holder(), lease=lease()
    )
    if tuning is None:
        return
    try:
        endings.require_hope(tuning)
        with Heartbeat(tuning) as beat:
            result = _search(tuning, beat)
        tuning.leave(TuningStatus.COMPLETED, result=result, finished_at=Now())
        log.info("tuning_completed", tuning=tuning.public_id)
    except LeaseLost:
        log.info("tuning_lost", tuning=tuning.public_id)
    except Exception as error:
        wait = endings.next_attempt(tuning, error)
        if wait is not None:
            tuning.leave(TuningStatus.PENDING, next_attempt_at=from_now(wait))
            return
        log.exception("tuning_broke", tuning=tuning.public_id)
        tuning.leave(
            TuningStatus.FAILED,
            error_code=endings.code_of(error),
            error_message=endings.message_of(error),
            finished_at=Now(),
        )


def _search(tuning: Tuning, beat: Heartbeat) -> dict[str, Any]:
    from embeddings_ab.domain.tuning import ParetoPoint, cross_validate, pareto_front

    test = tuning.test
    spec = TuningSpec.model_validate(tuning.spec)
    full = TestSpec.model_validate(test.spec)
    # All metrics of the test stay: they say how deep every stage looks, and so what it finds.
    metrics = full.metrics if spec.measure in full.metrics else (*full.metrics, spec.measure)
    written = full.model_copy(update={"metrics": metrics, "primary_metric": spec.measure})
    arm = next(one for one in arms_of(test) if one.name == spec.arm)
    queries = queries_of(test.query_set)
    scored: dict[str, dict[str, float]] = {}
    points: list[ParetoPoint] = []
    for name, variant in variants_of(spec, ArmSpec.model_validate(arm.spec)).items():
        values, latency = _score(arm, variant, written, queries, beat)
        scored[name] = values
        points.append(
            ParetoPoint(name, _mean(values), latency_ms=latency, cost=_bytes_per_document(variant, arm.documents))
        )
    for other in spec.compare_arms:
        scored[f"arm {other}"] = _stored(test, other, spec.measure, queries)
    common = sorted(set.intersection(*(set(values) for values in scored.values())))
    names = list(scored)
    try:
        result = cross_validate(
            [[scored[name][query] for query in common] for name in names],
            configurations=names,
            queries=common,
            seed=spec.seed,
            folds=spec.folds,
            repeats=spec.repeats,
            groups=_groups(queries, written.cluster_key),
        )
    except ValueError as error:  # too few queries or groups that every variant answered
        raise InvalidInput(f"Field 'folds': {error}", field="folds", value=spec.folds) from None
    return {
        **result.to_json(),
        "measure": spec.measure,
        "pareto_front": pareto_front(points),
        "points": [
            {"name": p.name, "quality": p.quality, "latency_ms": p.latency_ms, "bytes_per_chunk": p.cost}
            for p in points
        ],
        "embedded": 0,
    }


def _groups(queries: list[Query], key: str) -> dict[str, str] | None:
    """Queries that belong together stay in one fold."""
    if not key:
        return None
    return {query.external_id: str(query.metadata[key]) for query in queries if key in query.metadata}


def _mean(values: dict[str, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None


def _score(
    arm: Arm, variant: ArmSpec, test: TestSpec, queries: list[Query], beat: Heartbeat
) -> tuple[dict[str, float], float | None]:
    """Value by query of one variant, and the median ms of one query searched alone."""
    scorer = arm_runs.Scorer(arm, test, queries, only=test.primary_metric)
    values: dict[str, float] = {}
    times: list[float] = []
    with searching.opened(arm, test, variant) as searcher:
        for start in range(0, len(queries), arm_runs.BLOCK):
            beat.check()
            block = queries[start : start + arm_runs.BLOCK]
            for row in scorer.rows(block, searcher.search(block)):
                value = row.metrics.get(test.primary_metric)
                if value is not None:
                    values[row.query.external_id] = float(value)
        for query in itertools.islice(queries, TIMED_QUERIES):
            began = time.perf_counter()
            searcher.search([query])
            times.append((time.perf_counter() - began) * 1000)
    return values, sorted(times)[len(times) // 2] if times else None


def _stored(test: AbTest, arm: str, measure: str, queries: list[Query]) -> dict[str, float]:
    names = {query.pk: query.external_id for query in queries}
    rows = QueryResult.objects.filter(test=test, arm__name=arm, is_failed=False).values_list("query_id", "metrics")
    found = {names[pk]: metrics.get(measure) for pk, metrics in rows}
    if not any(value is not None for value in found.values()):
        raise InvalidInput(
            f"Field 'compare_arms': arm {arm!r} has no values of {measure}; name a measure of the test.",
            field="compare_arms",
            value=arm,
        )
    return {name: float(value) for name, value in found.items() if value is not None}


_BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "bits": 1 / 8}


def _bytes_per_document(variant: ArmSpec, documents: Collection | None) -> float | None:
    """Bytes of one vector as it is searched; rescoring reads the full ones besides."""
    if documents is None or documents.space is None:
        return None
    return (variant.dimensions or documents.space.dimensions) * _BYTES[variant.quantisation.kind]
