"""The verification job: the row is the job; lost, doubled and late messages change nothing."""

import datetime as dt

import pytest
from django.utils import timezone

from governance import dispatch
from governance.domain.actions import Action
from governance.domain.errors import Forbidden
from governance.domain.verification_status import PREDECESSORS
from governance.models import AuditChain, AuditEntry, AuditVerification, VerificationStatus
from governance.services import audit_verification_jobs as jobs
from governance.services.audit_verification import Verdict, verify_chain
from tests.audit_flush import without_audit_triggers
from tests.governance.threads import at_once

Status = VerificationStatus


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """Ids that went to the queue, instead of a queue."""
    ids: list[int] = []

    class App:
        def send_task(self, name, args, retry, countdown):
            assert name == "governance.tasks.audit.verify_audit_chain"
            ids.extend(args)

    monkeypatch.setattr(dispatch, "current_app", App())
    return ids


def make(chain: str, **fields) -> AuditVerification:
    return AuditVerification.objects.create(chain=chain, **fields)


def ago(**delta) -> dt.datetime:
    return timezone.now() - dt.timedelta(**delta)


def test_the_table_of_moves_knows_every_status():
    assert set(PREDECESSORS) == set(Status.values)
    assert {status for froms in PREDECESSORS.values() for status in froms} <= set(Status.values)


def test_a_request_is_stored_audited_and_sent_after_commit(caller, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        job = jobs.request_verification(caller=caller)
        assert sent == []
    assert sent == [job.pk]
    job.refresh_from_db()
    assert (job.status, job.chain) == (Status.PENDING, caller.project_public_id)
    assert job.dispatched_at is not None
    assert AuditEntry.objects.filter(chain=caller.project_public_id, action="audit.verify").count() == 1


def test_a_request_while_one_is_open_returns_that_one(caller, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        first = jobs.request_verification(caller=caller)
        second = jobs.request_verification(caller=caller)
    assert second.pk == first.pk
    assert sent == [first.pk]


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_make_one_job(caller, sent):
    results = at_once(8, lambda _: jobs.request_verification(caller=caller).pk)
    assert len(set(results)) == 1
    assert len(sent) == 1


def test_a_request_needs_the_right(caller, sent):
    from dataclasses import replace

    with pytest.raises(Forbidden):
        jobs.request_verification(caller=replace(caller, allowed=frozenset(Action) - {Action.AUDIT_READ}))
    assert AuditVerification.objects.count() == 0


def test_a_broker_that_is_away_refuses_nobody(caller, monkeypatch, django_capture_on_commit_callbacks):
    class App:
        def send_task(self, name, args, retry, countdown):
            raise ConnectionRefusedError("no broker")

    monkeypatch.setattr(dispatch, "current_app", App())
    with django_capture_on_commit_callbacks(execute=True):
        job = jobs.request_verification(caller=caller)
    assert AuditVerification.objects.get(pk=job.pk).status == Status.PENDING


def test_a_run_ends_verified_and_notes_it_at_the_chain(caller):
    job = make(caller.project_public_id)
    verdict = jobs.run_verification(job_id=job.pk)
    job.refresh_from_db()
    assert verdict is not None
    assert (job.status, job.checked_through, job.first_bad_sequence, job.attempts) == (Status.VERIFIED, 1, None, 1)
    assert job.finished_at is not None
    assert job.leased_until is None
    head = AuditChain.objects.get(name=job.chain)
    assert (head.verified_sequence, head.verified_at is not None) == (1, True)


def test_a_run_over_a_tampered_chain_ends_broken(caller):
    with without_audit_triggers():
        AuditEntry.objects.filter(chain=caller.project_public_id).update(action="x")
    job = make(caller.project_public_id)
    jobs.run_verification(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.first_bad_sequence) == (Status.BROKEN, 1)
    assert "entry 1 was changed" in job.message
    assert AuditChain.objects.get(name=job.chain).verified_at is None


@pytest.mark.parametrize("status", [Status.RUNNING, Status.VERIFIED, Status.BROKEN])
def test_only_a_pending_job_can_be_claimed(caller, status):
    finished = timezone.now() if status in {Status.VERIFIED, Status.BROKEN} else None
    job = make(caller.project_public_id, status=status, finished_at=finished)
    assert jobs.run_verification(job_id=job.pk) is None
    job.refresh_from_db()
    assert (job.status, job.attempts) == (status, 0)


def test_a_message_for_a_row_that_is_gone_is_ignored(db):
    assert jobs.run_verification(job_id=987_654) is None


@pytest.mark.django_db(transaction=True)
def test_ten_workers_claim_a_job_once(caller):
    job = make(caller.project_public_id)
    claims = at_once(10, lambda _: jobs.claim(job_id=job.pk))
    assert sum(isinstance(claim, AuditVerification) for claim in claims) == 1
    assert claims.count(None) == 9


def test_a_worker_that_lost_its_lease_changes_nothing(caller):
    job = make(caller.project_public_id)
    mine = jobs.claim(job_id=job.pk)
    AuditVerification.objects.update(lease_holder="another")
    with pytest.raises(jobs.LeaseLost):
        jobs.beat(job_id=job.pk, lease=mine.lease_holder, checked_through=3)
    with pytest.raises(jobs.LeaseLost):
        jobs.finish(job_id=job.pk, lease=mine.lease_holder, verdict=Verdict(job.chain, 1, None, ""))
    job.refresh_from_db()
    assert (job.status, job.checked_through, job.lease_holder) == (Status.RUNNING, 0, "another")


def test_a_walk_that_lost_its_lease_stops_without_a_word(caller, monkeypatch):
    job = make(caller.project_public_id)
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.0)

    def walk(*, chain, on_batch):
        AuditVerification.objects.update(lease_holder="another")
        return verify_chain(chain=chain, on_batch=on_batch)

    monkeypatch.setattr(jobs, "verify_chain", walk)
    assert jobs.run_verification(job_id=job.pk) is None
    job.refresh_from_db()
    assert (job.status, job.lease_holder) == (Status.RUNNING, "another")


def test_a_heartbeat_lengthens_the_lease_and_tells_progress(caller):
    job = make(caller.project_public_id)
    mine = jobs.claim(job_id=job.pk)
    AuditVerification.objects.update(leased_until=ago(seconds=-5))
    jobs.beat(job_id=job.pk, lease=mine.lease_holder, checked_through=1000)
    job.refresh_from_db()
    assert job.checked_through == 1000
    assert job.leased_until > timezone.now() + dt.timedelta(seconds=60)


def sweep(callbacks) -> int:
    with callbacks(execute=True):
        return jobs.send_lost_verifications()


def test_what_was_sent_too_long_ago_is_sent_again_once(caller, sent, django_capture_on_commit_callbacks):
    job = make("a", dispatched_at=ago(minutes=10))
    fresh = make("b", dispatched_at=ago(seconds=5))
    assert sweep(django_capture_on_commit_callbacks) == 1
    assert sweep(django_capture_on_commit_callbacks) == 0
    assert sent == [job.pk]
    assert AuditVerification.objects.get(pk=fresh.pk).status == Status.PENDING


def test_what_died_with_its_worker_is_sent_again(caller, sent, django_capture_on_commit_callbacks):
    job = make("a", status=Status.RUNNING, leased_until=ago(seconds=1), lease_holder="dead", attempts=1)
    alive = make("b", status=Status.RUNNING, leased_until=ago(seconds=-60), lease_holder="alive")
    assert sweep(django_capture_on_commit_callbacks) == 1
    job.refresh_from_db()
    alive.refresh_from_db()
    assert sent == [job.pk]
    assert (job.status, job.lease_holder, job.leased_until) == (Status.PENDING, "", None)
    assert (alive.status, alive.lease_holder) == (Status.RUNNING, "alive")


def test_a_long_queue_is_not_multiplied(caller, sent, django_capture_on_commit_callbacks):
    for number in range(10):
        make(str(number), dispatched_at=ago(minutes=10))
    make("running", status=Status.RUNNING, leased_until=ago(seconds=-60))
    assert sweep(django_capture_on_commit_callbacks) == jobs.AT_ONCE - 1
    assert sweep(django_capture_on_commit_callbacks) == 0
    assert len(sent) == jobs.AT_ONCE - 1


def test_each_chain_is_walked_once_an_hour(caller, sent, django_capture_on_commit_callbacks):
    AuditChain.objects.create(name="empty")
    AuditChain.objects.create(name="fresh", last_sequence=4, verified_at=ago(minutes=20))
    AuditChain.objects.create(name="old", last_sequence=4, verified_at=ago(minutes=80))
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs.request_due_verifications() == 2
    assert set(AuditVerification.objects.values_list("chain", flat=True)) == {caller.project_public_id, "old"}
    assert len(sent) == 2
    assert jobs.request_due_verifications() == 0
    # Walks by schedule are not audited: the chain must not grow by being looked at.
    assert not AuditEntry.objects.filter(action="audit.verify").exists()


def test_a_broken_chain_is_not_walked_more_often_than_hourly(caller, sent):
    make(caller.project_public_id, status=Status.BROKEN, finished_at=timezone.now())
    assert jobs.request_due_verifications() == 0


def test_due_walks_stay_within_capacity(caller, sent):
    for number in range(10):
        AuditChain.objects.create(name=f"c{number}", last_sequence=1)
    assert jobs.request_due_verifications() == jobs.AT_ONCE


def test_old_clean_walks_are_forgotten_and_broken_ones_kept(caller):
    make("a", status=Status.VERIFIED, finished_at=ago(days=31))
    make("b", status=Status.BROKEN, finished_at=ago(days=31))
    make("c", status=Status.VERIFIED, finished_at=ago(days=1))
    assert jobs.delete_old_verifications() == 1
    assert set(AuditVerification.objects.values_list("chain", flat=True)) == {"b", "c"}
