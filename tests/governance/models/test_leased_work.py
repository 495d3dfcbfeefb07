"""Leased work: one winner among many, a growing token, nothing written after the lease was lost, lost rows found."""

import datetime as dt
import threading

import pytest
from django.db import connection
from django.db.models import Q

from embeddings_ab.domain.statuses import ArmStatus
from embeddings_ab.models import Arm
from governance.models.clock import from_now
from governance.models.leased_work import LeaseLost
from tests.embeddings_ab.factories import make_caller, make_query_set, make_test_row

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = dt.timedelta(minutes=1)
WAITING, RUNNING = [ArmStatus.READY], ArmStatus.RUNNING
AN_HOUR = dt.timedelta(hours=1)


@pytest.fixture
def arm():
    """A row that waits."""
    return changed(make_test_row(make_query_set(make_caller()), arms=["only"]).arms.get(), status=ArmStatus.READY)


def changed(arm: Arm, **values: object) -> Arm:
    Arm.objects.filter(pk=arm.pk).update(**values)
    return Arm.objects.get(pk=arm.pk)


def claim(arm: Arm, holder: str = "me", lease: dt.timedelta = LEASE) -> Arm | None:
    return Arm.claim(arm.pk, waiting=WAITING, running=RUNNING, holder=holder, lease=lease)


def lost(**changes: object) -> list[int]:
    asked = {"waiting": WAITING, "running": [RUNNING], "unsent_for": dt.timedelta(seconds=20), "at_most": 10}
    return Arm.lost(**{**asked, **changes})


def test_many_threads_claim_and_one_wins(arm):
    start = threading.Barrier(8)
    winners: list[str] = []
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            start.wait(60)
            if claim(arm, name) is not None:
                winners.append(name)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(f"worker {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(winners) == 1
    row = Arm.objects.get(pk=arm.pk)
    assert (row.status, row.lease_holder, row.lease_token, row.attempts) == (RUNNING, winners[0], 1, 1)


def test_a_claim_holds_until_its_lease_ends_and_the_next_has_a_greater_token(arm):
    first = claim(arm, "first")
    assert first is not None
    assert claim(arm, "second") is None
    changed(arm, leased_until=from_now(-dt.timedelta(seconds=1)))
    second = claim(arm, "second")
    assert second is not None
    assert (second.lease_token, second.attempts, second.lease_holder) == (first.lease_token + 1, 2, "second")


def test_an_attempt_that_is_not_due_waits(arm):
    changed(arm, next_attempt_at=from_now(AN_HOUR))
    assert claim(arm) is None
    changed(arm, next_attempt_at=from_now(-dt.timedelta(seconds=1)))
    held = claim(arm)
    assert held is not None
    assert held.next_attempt_at is None


def test_a_row_in_another_status_cannot_be_claimed(arm):
    changed(arm, status=ArmStatus.COMPLETED)
    assert claim(arm) is None
    assert Arm.objects.get(pk=arm.pk).lease_token == 0


def test_the_old_holder_writes_nothing_after_it_lost_the_row(arm):
    old = claim(arm, "old")
    changed(arm, leased_until=None)
    new = claim(arm, "new")
    with pytest.raises(LeaseLost):
        old.renew(LEASE, queries_done=7)
    with pytest.raises(LeaseLost):
        old.leave(ArmStatus.COMPLETED, queries_done=7)
    row = Arm.objects.get(pk=arm.pk)
    assert (row.status, row.queries_done, row.lease_holder) == (RUNNING, 0, "new")
    new.renew(LEASE, queries_done=3)
    new.leave(ArmStatus.COMPLETED)
    row = Arm.objects.get(pk=arm.pk)
    assert (row.status, row.queries_done, row.lease_holder, row.leased_until) == (ArmStatus.COMPLETED, 3, "", None)
    assert new.status == ArmStatus.COMPLETED


def test_leaving_ends_the_claim(arm):
    held = claim(arm)
    held.leave(ArmStatus.READY)
    again = claim(arm)
    assert again is not None
    held.status = RUNNING  # what a late thread still believes
    with pytest.raises(LeaseLost):
        held.renew(LEASE)


def test_a_status_changed_from_outside_ends_the_claim(arm):
    held = claim(arm)
    changed(arm, status=ArmStatus.CANCELLED)
    with pytest.raises(LeaseLost):
        held.leave(ArmStatus.COMPLETED)
    assert Arm.objects.get(pk=arm.pk).status == ArmStatus.CANCELLED


def test_a_renewed_lease_ends_later(arm):
    held = claim(arm, lease=dt.timedelta(seconds=1))
    before = Arm.objects.get(pk=arm.pk).leased_until
    held.renew(AN_HOUR)
    assert Arm.objects.get(pk=arm.pk).leased_until - before > dt.timedelta(minutes=50)


def test_lost_rows_are_those_unsent_and_those_whose_worker_died(arm):
    assert lost() == [arm.pk]  # never sent
    Arm.note_dispatch([arm.pk])
    assert lost() == []  # its message is on the way
    changed(arm, dispatched_at=from_now(-dt.timedelta(seconds=21)))
    assert lost() == [arm.pk]
    changed(arm, next_attempt_at=from_now(AN_HOUR))
    assert lost() == []  # not due
    changed(arm, next_attempt_at=None)
    claim(arm)
    assert lost() == []  # at work
    changed(arm, leased_until=from_now(-dt.timedelta(seconds=1)))
    assert lost() == [arm.pk]
    changed(arm, leased_until=None)
    assert lost() == [arm.pk]
    changed(arm, status=ArmStatus.COMPLETED)
    assert lost() == []


def test_no_more_are_sent_again_than_there_is_room_for(arm):
    others = make_test_row(make_query_set(make_caller()), arms=["a", "b", "c"]).arms
    others.update(status=ArmStatus.READY)
    known = sorted([arm.pk, *others.values_list("pk", flat=True)])
    assert lost() == known
    assert lost(at_most=2) == known[:2]


def test_dead_workers_come_before_lost_messages_and_within_narrows_first(arm):
    other = changed(make_test_row(make_query_set(make_caller()), arms=["a"]).arms.get(), status=ArmStatus.READY)
    claim(other)
    changed(other, leased_until=None)
    assert lost() == [other.pk, arm.pk]
    assert lost(at_most=1) == [other.pk]
    assert lost(at_most=1, within=Q(test_id=arm.test_id)) == [arm.pk]


def test_work_called_off_between_claim_and_read_is_nobodys(arm, monkeypatch):
    original = Arm.objects.none().__class__.update

    def update(self, **changes):
        count = original(self, **changes)
        if changes.get("lease_holder") == "me":
            Arm.objects.filter(pk=arm.pk).update(status=ArmStatus.CANCELLED, lease_holder="", leased_until=None)
        return count

    monkeypatch.setattr(Arm.objects.none().__class__, "update", update)
    assert claim(arm) is None
    assert Arm.objects.get(pk=arm.pk).status == ArmStatus.CANCELLED
