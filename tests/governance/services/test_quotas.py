"""Stock quotas, ceilings, suspension, and what the project's creation leaves behind."""

import datetime as dt
from dataclasses import replace

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from governance.domain.actions import ALLOWED_BY_ROLE, Role
from governance.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaExceeded
from governance.models import AuditEntry, Member, Project, ProjectStatus, Quota, Resource
from governance.services import projects, quotas
from tests.governance.threads import at_once


def quota(project, resource=Resource.RUNS) -> Quota:
    return Quota.objects.get(project=project, resource=resource)


def test_a_project_starts_with_its_quotas_its_owner_and_an_audit_entry(db, settings):
    settings.EVENTS_PER_MONTH = 123
    project = projects.create_project(name=" spine ", owner=User.objects.create_user("ada"), description="d")
    assert project.name == "spine"
    assert dict(Quota.objects.filter(project=project).values_list("resource", "ceiling")) == {
        "events": 123,
        "runs": 1_000_000,
        "datasets": 100_000,
        "datapoints": 10_000_000,
        "api_keys": 1_000,
        "corpus_documents": 10_000_000,
        "collections": 1_000,
        "chunks": 50_000_000,
        "vector_bytes": 214_748_364_800,
        "ab_tests": 10_000,
        "embedding_tokens": 1_000_000_000,
    }
    assert Member.objects.get(project=project).role == "owner"
    entry = AuditEntry.objects.get(chain=project.public_id)
    assert (entry.action, entry.after) == ("project.create", {"name": "spine", "owner": "ada"})


@pytest.mark.parametrize("name", ["", "   ", "n" * 201])
def test_a_project_needs_a_name_that_fits(db, name):
    with pytest.raises(InvalidInput):
        projects.create_project(name=name)
    assert Project.objects.count() == 0


def test_project_names_are_unique(project):
    with pytest.raises(Conflict, match="exists already"):
        projects.create_project(name=project.name)
    assert Project.objects.count() == 1


def test_a_reservation_counts_and_is_given_back(project):
    quotas.reserve(project_id=project.pk, resource=Resource.RUNS, amount=3)
    quotas.reserve(project_id=project.pk, resource=Resource.RUNS, amount=0)
    quotas.give_back(project_id=project.pk, resource=Resource.RUNS, amount=1)
    quotas.give_back(project_id=project.pk, resource=Resource.RUNS, amount=0)
    assert quota(project).used == 2
    quotas.give_back(project_id=project.pk, resource=Resource.RUNS, amount=50)
    assert quota(project).used == 0


def test_what_does_not_fit_is_refused_whole(project):
    Quota.objects.filter(project=project, resource=Resource.RUNS).update(ceiling=5, used=3)
    with pytest.raises(QuotaExceeded) as refusal:
        quotas.reserve(project_id=project.pk, resource=Resource.RUNS, amount=3)
    assert refusal.value.details == {"resource": "runs", "requested": 3, "ceiling": 5, "used": 3}
    quotas.reserve(project_id=project.pk, resource=Resource.RUNS, amount=2)
    assert quota(project).used == 5


@pytest.mark.django_db(transaction=True)
def test_forty_threads_against_a_ceiling_of_ten_reserve_exactly_ten(project):
    Quota.objects.filter(project=project, resource=Resource.RUNS).update(ceiling=10)

    def reserve(_: int) -> None:
        with transaction.atomic():
            quotas.reserve(project_id=project.pk, resource=Resource.RUNS)

    results = at_once(40, reserve)
    assert results.count(None) == 10
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 30
    assert quota(project).used == 10


@pytest.mark.django_db(transaction=True)
def test_a_reservation_is_rolled_back_with_its_transaction(project):
    with transaction.atomic():
        quotas.reserve(project_id=project.pk, resource=Resource.RUNS)
        transaction.set_rollback(True)
    assert quota(project).used == 0


@pytest.mark.parametrize("fields", [{"used": -1}, {"used": 6}, {"ceiling": 2}])
def test_the_database_itself_keeps_the_ceiling(project, fields):
    Quota.objects.filter(project=project, resource=Resource.RUNS).update(ceiling=5, used=3)
    with pytest.raises(IntegrityError), transaction.atomic():
        Quota.objects.filter(project=project, resource=Resource.RUNS).update(**fields)


def test_a_ceiling_is_changed_and_audited(caller, project):
    assert quotas.set_ceiling(caller=caller, resource="runs", ceiling=7).ceiling == 7
    assert quota(project).ceiling == 7
    entry = AuditEntry.objects.get(action="quota.set_ceiling")
    assert (entry.target_id, entry.before, entry.after) == ("runs", {"ceiling": 1_000_000}, {"ceiling": 7})
    quotas.set_ceiling(caller=caller, resource="runs", ceiling=7)
    assert AuditEntry.objects.filter(action="quota.set_ceiling").count() == 1


def test_a_ceiling_never_goes_under_what_is_used(caller, project):
    quotas.reserve(project_id=project.pk, resource=Resource.RUNS, amount=3)
    with pytest.raises(Conflict, match="3 are used"):
        quotas.set_ceiling(caller=caller, resource="runs", ceiling=2)
    assert quota(project).ceiling == 1_000_000
    assert quotas.set_ceiling(caller=caller, resource="runs", ceiling=3).ceiling == 3


def test_what_a_past_month_used_does_not_hold_up_a_ceiling(caller, project):
    Quota.objects.filter(project=project, resource=Resource.EVENTS).update(used=900, period_start=dt.date(2020, 1, 1))
    changed = quotas.set_ceiling(caller=caller, resource="events", ceiling=10)
    assert (changed.ceiling, changed.used) == (10, 0)


@pytest.mark.parametrize("ceiling", [-1, 2**60])
def test_a_ceiling_out_of_range_is_refused(caller, ceiling):
    with pytest.raises(InvalidInput) as refusal:
        quotas.set_ceiling(caller=caller, resource="runs", ceiling=ceiling)
    assert refusal.value.details["field"] == "ceiling"


def test_an_unknown_resource_is_not_found(caller):
    with pytest.raises(NotFound, match="api_keys"):
        quotas.set_ceiling(caller=caller, resource="gold", ceiling=1)


def tokens(project) -> tuple[int, dt.date | None]:
    row = quota(project, Resource.EMBEDDING_TOKENS)
    return row.used, row.period_start


def take_tokens(project, amount: int) -> dt.date | None:
    return quotas.reserve(project_id=project.pk, resource=Resource.EMBEDDING_TOKENS, amount=amount)


def test_a_monthly_quota_counts_within_the_month_and_starts_anew_with_the_next(project):
    Quota.objects.filter(project=project, resource=Resource.EMBEDDING_TOKENS).update(ceiling=10)
    with time_machine.travel("2026-11-30 23:59:59+00:00", tick=False):
        assert take_tokens(project, 6) == dt.date(2026, 11, 1)
        assert take_tokens(project, 4) == dt.date(2026, 11, 1)
        assert take_tokens(project, 0) == dt.date(2026, 11, 1)
        with pytest.raises(QuotaExceeded, match=r"10 for November 2026, 10 are used") as refusal:
            take_tokens(project, 1)
        assert refusal.value.details == {"resource": "embedding_tokens", "requested": 1, "ceiling": 10, "used": 10}
    with time_machine.travel("2026-12-01 00:00:00+00:00", tick=False):
        with pytest.raises(QuotaExceeded, match="0 are used") as refusal:
            take_tokens(project, 11)
        assert refusal.value.details["used"] == 0
        assert tokens(project) == (10, dt.date(2026, 11, 1))
        assert take_tokens(project, 7) == dt.date(2026, 12, 1)
    assert tokens(project) == (7, dt.date(2026, 12, 1))


def test_a_clock_that_is_behind_does_not_start_an_old_month_again(project):
    Quota.objects.filter(project=project, resource=Resource.EMBEDDING_TOKENS).update(ceiling=10)
    with time_machine.travel("2026-12-01 00:00:01+00:00", tick=False):
        take_tokens(project, 6)
    with time_machine.travel("2026-11-30 23:59:59+00:00", tick=False):
        with pytest.raises(QuotaExceeded):
            take_tokens(project, 5)
        take_tokens(project, 4)
    assert tokens(project) == (10, dt.date(2026, 12, 1))


def test_a_monthly_quota_is_given_back_within_its_month_only(project):
    def give_back(amount: int, month: dt.date | None = None) -> None:
        quotas.give_back(project_id=project.pk, resource=Resource.EMBEDDING_TOKENS, amount=amount, month=month)

    with time_machine.travel("2026-11-30 12:00:00+00:00", tick=False):
        november = take_tokens(project, 9)
        give_back(2)
        assert tokens(project)[0] == 7
    with time_machine.travel("2026-12-01 12:00:00+00:00", tick=False):
        give_back(7)
        assert tokens(project) == (7, dt.date(2026, 11, 1))
        december = take_tokens(project, 5)
        give_back(7, november)
        assert tokens(project) == (5, dt.date(2026, 12, 1))
        give_back(1, december)
        assert tokens(project) == (4, dt.date(2026, 12, 1))
        give_back(50, december)
        assert tokens(project) == (0, dt.date(2026, 12, 1))


def test_events_are_not_reserved_here(project):
    with pytest.raises(RuntimeError, match="ingestion_quota"):
        quotas.reserve(project_id=project.pk, resource=Resource.EVENTS)


@pytest.mark.django_db(transaction=True)
def test_forty_threads_in_a_new_month_reserve_exactly_what_fits(project):
    old = {"ceiling": 10, "used": 9, "period_start": dt.date(2020, 1, 1)}
    Quota.objects.filter(project=project, resource=Resource.EMBEDDING_TOKENS).update(**old)
    results = at_once(40, lambda _: take_tokens(project, 1))
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 30
    assert tokens(project)[0] == 10


def test_viewers_change_neither_ceilings_nor_the_project(caller, project):
    viewer = replace(caller, allowed=ALLOWED_BY_ROLE[Role.VIEWER])
    with pytest.raises(Forbidden):
        quotas.set_ceiling(caller=viewer, resource="runs", ceiling=1)
    with pytest.raises(Forbidden):
        projects.set_status(caller=viewer, status=ProjectStatus.SUSPENDED)
    project.refresh_from_db()
    assert project.status == "active"


def test_suspending_and_resuming_is_audited_once_each(caller, project):
    for status in (ProjectStatus.SUSPENDED, ProjectStatus.SUSPENDED, ProjectStatus.ACTIVE, ProjectStatus.ACTIVE):
        assert projects.set_status(caller=caller, status=status).status == status
    actions = AuditEntry.objects.filter(action__in=["project.suspend", "project.resume"]).order_by("sequence")
    assert [entry.action for entry in actions] == ["project.suspend", "project.resume"]
