"""The job that verifies a chain: requested, claimed under a lease, finished, and sent again when it got lost."""

import datetime as dt
import time

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from governance import dispatch
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.verification_status import PREDECESSORS
from governance.models import AuditChain, AuditVerification, VerificationStatus
from governance.models.clock import from_now
from governance.services import audit
from governance.services.audit_verification import Verdict, verify_chain
from governance.services.ingestion_quota import holder

log = structlog.get_logger(__name__)

LEASE = dt.timedelta(minutes=2)
HEARTBEAT_SECONDS = 20.0
SENT_AGAIN_AFTER = dt.timedelta(minutes=2)
AT_ONCE = 4  # verifications in workers or on their way to them
DUE_AFTER = dt.timedelta(hours=1)
KEPT = dt.timedelta(days=30)

_OPEN = (VerificationStatus.PENDING, VerificationStatus.RUNNING)


class LeaseLost(Exception):
    """Another worker has the job now; this one stops without a word."""


@transaction.atomic
def request_verification(*, caller: Caller) -> AuditVerification:
    """Ask for a walk over the chain of the caller's project; one that is under way already is returned instead."""
    caller.require(Action.AUDIT_READ)
    chain = caller.project_public_id
    # The lock makes two requests at once into one job.
    AuditChain.objects.select_for_update().filter(name=chain).first()
    job = AuditVerification.objects.filter(chain=chain, status__in=_OPEN).first()
    if job is None:
        job = _create(chain)
        audit.record(
            caller=caller, action="audit.verify", target_kind="audit_chain", target_id=chain, target_label=chain
        )
    return job


@transaction.atomic
def request_due_verifications() -> int:
    """Ask for a walk over each chain that grew or was not walked within the hour, as capacity allows."""
    busy = AuditVerification.objects.filter(status__in=_OPEN).values("chain")
    due = (
        AuditChain.objects.select_for_update(skip_locked=True)
        .filter(Q(verified_at__isnull=True) | Q(verified_at__lt=from_now(-DUE_AFTER)), last_sequence__gt=0)
        .exclude(name__in=busy)
        .exclude(name__in=AuditVerification.objects.filter(created_at__gt=from_now(-DUE_AFTER)).values("chain"))
        .order_by(F("verified_at").asc(nulls_first=True), "pk")
    )
    names = [chain.name for chain in due[: _free_capacity()]]
    for name in names:
        _create(name)
    return len(names)


def run_verification(*, job_id: int) -> Verdict | None:
    """Claim, walk, finish. None when the job is another worker's, finished or gone."""
    job = claim(job_id=job_id)
    if job is None:
        return None
    lease = job.lease_holder
    beaten = time.monotonic()

    def heartbeat(sequence: int) -> None:
        nonlocal beaten
        if time.monotonic() - beaten >= HEARTBEAT_SECONDS:
            beaten = time.monotonic()
            beat(job_id=job_id, lease=lease, checked_through=sequence)

    try:
        verdict = verify_chain(chain=job.chain, on_batch=heartbeat)
        finish(job_id=job_id, lease=lease, verdict=verdict)
    except LeaseLost:
        log.warning("audit_verification_lease_lost", job_id=job_id)
        return None
    return verdict


def claim(*, job_id: int) -> AuditVerification | None:
    """Take a pending job under a lease by one conditional UPDATE; None if it was not to be had."""
    lease = f"{holder()[:48]}:{time.monotonic_ns() % 1_000_000_000}"[:64]
    claimed = AuditVerification.objects.filter(
        pk=job_id, status__in=PREDECESSORS[VerificationStatus.RUNNING.value]
    ).update(
        status=VerificationStatus.RUNNING,
        leased_until=from_now(LEASE),
        lease_holder=lease,
        attempts=F("attempts") + 1,
    )
    return AuditVerification.objects.filter(pk=job_id, lease_holder=lease).first() if claimed else None


def beat(*, job_id: int, lease: str, checked_through: int) -> None:
    """Lengthen the lease; raises `LeaseLost` when another worker has the job."""
    mine = AuditVerification.objects.filter(pk=job_id, status=VerificationStatus.RUNNING, lease_holder=lease)
    if mine.update(leased_until=from_now(LEASE), checked_through=checked_through) == 0:
        raise LeaseLost


@transaction.atomic
def finish(*, job_id: int, lease: str, verdict: Verdict) -> None:
    """Store the verdict, once; raises `LeaseLost` when another worker has the job."""
    to = VerificationStatus.VERIFIED if verdict.holds else VerificationStatus.BROKEN
    mine = AuditVerification.objects.filter(pk=job_id, status__in=PREDECESSORS[to.value], lease_holder=lease)
    stored = mine.update(
        status=to,
        finished_at=Now(),
        leased_until=None,
        checked_through=verdict.checked_through,
        first_bad_sequence=verdict.first_bad_sequence,
        message=verdict.message,
    )
    if stored == 0:
        raise LeaseLost
    if verdict.holds:
        AuditChain.objects.filter(name=verdict.chain).update(
            verified_sequence=verdict.checked_through, verified_at=Now()
        )
    else:
        log.error("audit_chain_broken", chain=verdict.chain, first_bad_sequence=verdict.first_bad_sequence)


@transaction.atomic
def send_lost_verifications() -> int:
    """Send again what was sent too long ago or whose worker died, at most as much as there is room for."""
    AuditVerification.objects.filter(
        status__in=PREDECESSORS[VerificationStatus.PENDING.value], leased_until__lt=Now()
    ).update(status=VerificationStatus.PENDING, leased_until=None, lease_holder="", dispatched_at=None)
    waiting = AuditVerification.objects.filter(status=VerificationStatus.PENDING).filter(_not_on_its_way())
    sent = 0
    for job_id in list(waiting.order_by("pk").values_list("pk", flat=True)[: _free_capacity()]):
        # Conditional, so that two sweeps at once send once.
        if waiting.filter(pk=job_id).update(dispatched_at=Now()) == 1:
            dispatch.after_commit(dispatch.VERIFY_AUDIT_CHAIN, job_id)
            sent += 1
    return sent


def delete_old_verifications() -> int:
    """Delete what was finished long ago; what found tampering stays."""
    old = AuditVerification.objects.filter(status=VerificationStatus.VERIFIED, finished_at__lt=from_now(-KEPT))
    deleted, _ = AuditVerification.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:1_000])).delete()
    return deleted


def _create(chain: str) -> AuditVerification:
    job = AuditVerification.objects.create(chain=chain, dispatched_at=Now())
    dispatch.after_commit(dispatch.VERIFY_AUDIT_CHAIN, job.pk)
    return job


def _not_on_its_way() -> Q:
    return Q(dispatched_at__isnull=True) | Q(dispatched_at__lt=from_now(-SENT_AGAIN_AFTER))


def _free_capacity() -> int:
    running = Q(status=VerificationStatus.RUNNING)
    on_its_way = Q(status=VerificationStatus.PENDING, dispatched_at__gte=from_now(-SENT_AGAIN_AFTER))
    return max(0, AT_ONCE - AuditVerification.objects.filter(running | on_its_way).count())
