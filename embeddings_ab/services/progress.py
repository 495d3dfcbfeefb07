"""Moves a test on: which arms may be prepared, which wait for collections, which may run, when the test is decided.

Everything here is a conditional statement on the row that says where the work stands, so it may run twice, at once,
late, or be killed anywhere: whoever looks next goes on.
"""

import datetime as dt

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from embeddings_ab import dispatch, telemetry
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.statuses import (
    ARM_ENDED,
    ARM_PREDECESSORS,
    ARM_UNDER_WAY,
    TEST_PREDECESSORS,
    TEST_UNDER_WAY,
    ArmStatus,
    CollectionStatus,
    TestStatus,
    TuningStatus,
)
from embeddings_ab.models import AbTest, Arm, Collection, CollectionUse, Tuning
from embeddings_ab.services import collections
from governance.models.clock import from_now
from governance.services.heartbeats import lease

log = structlog.get_logger(__name__)
AT_MOST = 50


def move_test(pk: int, to: TestStatus, **changes: object) -> bool:
    """One statement; False when the present status does not allow it."""
    row = AbTest.objects.filter(pk=pk, status__in=[s.value for s in TEST_PREDECESSORS[to]])
    return row.update(status=to.value, **changes) == 1


def move_arms(arms: Q, to: ArmStatus, **changes: object) -> int:
    """One statement for all arms that may."""
    rows = Arm.objects.filter(arms, status__in=[s.value for s in ARM_PREDECESSORS[to]])
    return rows.update(status=to.value, **changes)


def advance_test(*, test_id: int) -> None:
    """Look at one test and send what is due."""
    test = AbTest.objects.filter(pk=test_id).first()
    if test is None or test.status not in TEST_UNDER_WAY:
        return
    if AbTest.objects.filter(pk=test_id, deadline_at__lt=Now()).exists():
        end_early(
            test_id,
            TestStatus.FAILED,
            code="out_of_time",
            message="The test did not finish within limits.timeout_seconds; raise it and start the test again.",
        )
        return
    if move_test(test_id, TestStatus.RUNNING, started_at=Coalesce("started_at", Now())):
        log.info("ab_test_running", test=test.public_id)
    with transaction.atomic():
        _send_arms(test_id)
    statuses = set(Arm.objects.filter(test_id=test_id).values_list("status", flat=True))
    if statuses <= ARM_ENDED and move_test(test_id, TestStatus.SCORED):
        log.info("ab_test_scored", test=test.public_id)
        dispatch.send_decide([test_id])


def _send_arms(test_id: int) -> None:
    fresh = Q(dispatched_at__isnull=True) & (Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=Now()))
    arms = list(Arm.objects.filter(test_id=test_id).select_related("documents", "queries", "lexical"))
    unsent = Arm.objects.filter(fresh, test_id=test_id, status=ArmStatus.PENDING)
    dispatch.send_arms(dispatch.PREPARE_ARM, list(unsent.values_list("pk", flat=True)))
    for arm in arms:
        if arm.status != ArmStatus.BUILDING:
            continue
        needed = [c for c in (arm.documents, arm.queries, arm.lexical) if c is not None]
        failed = next((c for c in needed if c.status == CollectionStatus.FAILED), None)
        if failed is not None:
            moved = move_arms(
                Q(pk=arm.pk, status=ArmStatus.BUILDING),
                ArmStatus.FAILED,
                error_code=failed.error_code,
                error_message=failed.error_message,
                finished_at=Now(),
            )
            if moved:
                log.warning("arm_failed", arm=arm.name, cause=failed.error_code)
        elif all(c.status == CollectionStatus.READY for c in needed):
            if move_arms(Q(pk=arm.pk), ArmStatus.READY, attempts=0, dispatched_at=None):
                log.info("arm_ready", arm=arm.name, test_id=test_id)
                dispatch.send_arms(dispatch.RUN_ARM, [arm.pk])
        else:
            unsent_builds = Collection.objects.filter(
                fresh, pk__in=[c.pk for c in needed], status=CollectionStatus.PENDING
            )
            dispatch.send_builds(list(unsent_builds.values_list("pk", flat=True)))


def expiry(test: AbTest) -> Combinable:
    """When a test that ends now without a verdict lets go of its collections."""
    return from_now(dt.timedelta(hours=TestSpec.model_validate(test.spec).clean_up.ttl_hours))


def end_early(test_id: int, to: TestStatus, *, code: str, message: str) -> bool:
    """Cancel or fail a test with all that is under way for it; workers find out at their next look."""
    with transaction.atomic():
        if not move_test(
            test_id,
            to,
            error_code=code,
            error_message=message,
            finished_at=Now(),
            expires_at=expiry(AbTest.objects.get(pk=test_id)),
            leased_until=None,
            lease_holder="",
            lease_token=F("lease_token") + 1,
        ):
            return False
        Arm.objects.filter(test_id=test_id, status__in=[s.value for s in ARM_UNDER_WAY]).update(
            status=ArmStatus.CANCELLED,
            error_code=code,
            error_message=message,
            leased_until=None,
            lease_holder="",
            lease_token=F("lease_token") + 1,
            finished_at=Now(),
        )
        held = CollectionUse.objects.filter(test_id=test_id).values_list("collection_id", flat=True)
        collections.call_off_unneeded(list(held))
    telemetry.count_test("cancelled" if to == TestStatus.CANCELLED else "failed")
    log.info("ab_test_ended_early", test_id=test_id, status=to.value, cause=code)
    return True


def send_lost_work() -> None:
    """The sweep: whatever waits without a message, or whose worker died, is sent again. Safe with several beats."""
    unsent_for = lease() / 3
    lost_arms = Arm.lost(
        waiting=[ArmStatus.PENDING, ArmStatus.READY],
        running=[ArmStatus.PREPARING, ArmStatus.RUNNING],
        unsent_for=unsent_for,
        at_most=AT_MOST,
        within=Q(test__status__in=TEST_UNDER_WAY),
    )
    for arm in Arm.objects.filter(pk__in=lost_arms):
        prepares = arm.status in (ArmStatus.PENDING, ArmStatus.PREPARING)
        dispatch.send_arms(dispatch.PREPARE_ARM if prepares else dispatch.RUN_ARM, [arm.pk])
    dispatch.send_builds(
        Collection.lost(
            waiting=[CollectionStatus.PENDING],
            running=[CollectionStatus.BUILDING],
            unsent_for=unsent_for,
            at_most=AT_MOST,
        )
    )
    dispatch.send_decide(
        AbTest.lost(waiting=[TestStatus.SCORED], running=[TestStatus.DECIDING], unsent_for=unsent_for, at_most=AT_MOST)
    )
    dispatch.send_tunings(
        Tuning.lost(
            waiting=[TuningStatus.PENDING], running=[TuningStatus.RUNNING], unsent_for=unsent_for, at_most=AT_MOST
        )
    )
    _look_at_tests(unsent_for)


def _look_at_tests(unsent_for: dt.timedelta) -> None:
    """Every test that waits is looked at once in a while, those that waited longest first; late ones end."""
    for pk in AbTest.objects.filter(deadline_at__lt=Now(), status__in=TEST_UNDER_WAY).values_list("pk", flat=True):
        advance_test(test_id=pk)
    unseen = Q(dispatched_at__isnull=True) | Q(dispatched_at__lt=from_now(-unsent_for))
    waiting = AbTest.objects.filter(unseen, status__in=[TestStatus.QUEUED, TestStatus.RUNNING])
    oldest_first = waiting.order_by(F("dispatched_at").asc(nulls_first=True), "pk")
    dispatch.send_advance(list(oldest_first.values_list("pk", flat=True)[:AT_MOST]))
