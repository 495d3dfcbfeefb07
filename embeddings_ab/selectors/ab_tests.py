"""Reads of tests, their progress and results."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from embeddings_ab.domain.statuses import ARM_ENDED, TEST_ENDED, ArmStatus
from embeddings_ab.models import AbTest, Arm, Collection, QueryResult
from governance.domain.caller import Caller
from governance.domain.errors import NotFound


def tests(caller: Caller) -> QuerySet[AbTest]:
    """Tests of the caller's project, newest first."""
    return AbTest.objects.filter(project_id=caller.project_id).select_related("corpus", "query_set")


def find_test(caller: Caller, test_id: str) -> AbTest:
    """One test of the project."""
    found = tests(caller).filter(public_id=test_id).first()
    if found is None:
        raise NotFound(
            f"There is no A/B test {test_id[:80]!r} in this project; GET /api/v1/ab/tests lists them.",
            field="test_id",
            value=test_id[:200],
        )
    return found


def arms_of(test: AbTest) -> list[Arm]:
    """Arms in the order of the specification, with their collections."""
    return list(Arm.objects.filter(test=test).select_related("documents__space", "queries__space", "lexical"))


def results(test: AbTest) -> QuerySet[QueryResult]:
    """Results by id."""
    return QueryResult.objects.filter(test=test).select_related("arm", "query").order_by("pk")


def progress(test: AbTest) -> dict[str, Any]:
    """Where every arm stands, how much is done (0 to 1) and, from the pace so far, how many seconds are left."""
    arms = arms_of(test)
    shown = {arm.name: _arm_progress(arm, test.query_set.query_count) for arm in arms}
    fraction = (
        1.0 if test.status in TEST_ENDED else sum(part["fraction"] for part in shown.values()) / max(len(shown), 1)
    )
    eta = None
    if test.started_at is not None and test.status not in TEST_ENDED and 0.02 <= fraction < 1:
        gone = (timezone.now() - test.started_at).total_seconds()
        eta = round(gone * (1 - fraction) / fraction, 1)
    return {
        "status": test.status,
        "arms": shown,
        "fraction": round(fraction, 4),
        "eta_seconds": eta,
        "error": _error(test.error_code, test.error_message),
    }


def _error(code: str, message: str) -> dict[str, str] | None:
    return {"code": code, "message": message} if code else None


def _arm_progress(arm: Arm, queries: int) -> dict[str, Any]:
    held = [c for c in (arm.documents, arm.queries, arm.lexical) if c is not None]
    done = sum(c.chunks_done for c in held)
    total = sum(_units(c) for c in held)
    built = done / total if total else float(arm.status not in (ArmStatus.PENDING, ArmStatus.PREPARING))
    run = arm.queries_done / queries if queries else 1.0
    ended = arm.status in ARM_ENDED
    return {
        "status": arm.status,
        "chunks_done": done,
        "chunks": total,
        "queries_done": arm.queries_done,
        "queries": queries,
        "queries_failed": arm.queries_failed,
        # Building takes most of the time of an arm that embeds.
        "fraction": 1.0 if ended else round(0.8 * min(built, 1.0) + 0.2 * min(run, 1.0), 4),
        "error": _error(arm.error_code, arm.error_message),
    }


def _units(collection: Collection) -> int:
    return collection.chunk_count if collection.chunk_count is not None else collection.document_count
