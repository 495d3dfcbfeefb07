"""The monthly quota of events: exact under concurrency, silent on the hot path, whole after every death."""

import datetime as dt
import os
import subprocess
import sys
import textwrap

import pytest
import time_machine
from django.utils import timezone

from governance.domain.errors import QuotaExceeded
from governance.models import IngestionCount, Quota, QuotaBlock, Resource
from governance.services import ingestion_quota, quota_reconciliation
from tests.governance.threads import at_once

HEADROOM = 16


def quota(project) -> Quota:
    return Quota.objects.get(project=project, resource=Resource.EVENTS)


def limit(project, ceiling: int, used: int = 0) -> None:
    Quota.objects.filter(project=project, resource=Resource.EVENTS).update(
        ceiling=ceiling, used=used, period_start=ingestion_quota.current_month()
    )


def count(project, events: int, *, hour: dt.datetime | None = None) -> None:
    """What the event writer notes in the transaction of the events."""
    hour = (hour or timezone.now()).replace(minute=0, second=0, microsecond=0)
    row, _ = IngestionCount.objects.get_or_create(project=project, key_label="key", hour=hour)
    row.events += events
    row.save()


def expire_leases() -> None:
    QuotaBlock.objects.update(leased_until=timezone.now() - dt.timedelta(hours=1))


def test_a_block_is_reserved_once_and_consumed_without_queries(project, settings, django_assert_num_queries):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=30)
    assert quota(project).used == 100
    with django_assert_num_queries(0):
        ingestion_quota.take(project_id=project.pk, events=70)
    assert quota(project).used == 100
    ingestion_quota.take(project_id=project.pk, events=1)
    assert quota(project).used == 200
    assert [block.size for block in QuotaBlock.objects.all()] == [100, 100]


def test_what_is_left_of_a_block_is_consumed_first(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=90)
    ingestion_quota.take(project_id=project.pk, events=100)
    assert quota(project).used == 200
    ingestion_quota.take(project_id=project.pk, events=10)
    assert quota(project).used == 200


def test_a_request_larger_than_a_block_reserves_several(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=250)
    assert quota(project).used == 300


def test_near_the_ceiling_exactly_what_is_needed_is_reserved(project, settings):
    settings.INGESTION_BLOCK = 100
    limit(project, 30)
    ingestion_quota.take(project_id=project.pk, events=7)
    assert quota(project).used == 7
    ingestion_quota.take(project_id=project.pk, events=23)
    with pytest.raises(QuotaExceeded) as refusal:
        ingestion_quota.take(project_id=project.pk, events=1)
    assert refusal.value.details == {"resource": "events", "requested": 1, "ceiling": 30, "used": 30}
    assert quota(project).used == 30


def test_whole_blocks_stop_while_other_processes_still_find_room(project, settings):
    settings.INGESTION_BLOCK = 10
    limit(project, HEADROOM * 10 + 10)
    ingestion_quota.take(project_id=project.pk, events=1)
    assert quota(project).used == 10
    ingestion_quota.take(project_id=project.pk, events=10)
    assert quota(project).used == 11


def test_a_refusal_keeps_what_the_process_holds(project, settings):
    settings.INGESTION_BLOCK = 10
    limit(project, HEADROOM * 10 + 10)
    ingestion_quota.take(project_id=project.pk, events=4)
    with pytest.raises(QuotaExceeded):
        ingestion_quota.take(project_id=project.pk, events=1_000)
    ingestion_quota.take(project_id=project.pk, events=6)
    assert quota(project).used == 10


def test_put_back_is_consumable_again_without_queries(project, settings, django_assert_num_queries):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=100)
    with django_assert_num_queries(0):
        ingestion_quota.put_back(project_id=project.pk, events=40)
        ingestion_quota.take(project_id=project.pk, events=40)
    assert quota(project).used == 100


def test_put_back_never_makes_a_block_larger_than_it_was(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=1)
    ingestion_quota.put_back(project_id=project.pk, events=500)
    ingestion_quota.take(project_id=project.pk, events=100)
    assert quota(project).used == 100
    ingestion_quota.take(project_id=project.pk, events=1)
    assert quota(project).used == 200


@pytest.mark.parametrize("events", [0, -3])
def test_nothing_costs_nothing(project, events, django_assert_num_queries):
    with django_assert_num_queries(0):
        ingestion_quota.take(project_id=project.pk, events=events)
        ingestion_quota.put_back(project_id=project.pk, events=events)
    assert quota(project).used == 0


def test_a_project_without_a_quota_row_is_refused(db):
    with pytest.raises(QuotaExceeded):
        ingestion_quota.take(project_id=987_654, events=1)


def test_a_new_month_starts_anew(project, settings):
    settings.INGESTION_BLOCK = 10
    with time_machine.travel(dt.datetime(2026, 11, 30, 23, 59, tzinfo=dt.UTC), tick=False):
        limit(project, 20, used=12)
        ingestion_quota.take(project_id=project.pk, events=8)
        with pytest.raises(QuotaExceeded, match="November 2026"):
            ingestion_quota.take(project_id=project.pk, events=1)
    with time_machine.travel(dt.datetime(2026, 12, 1, 0, 1, tzinfo=dt.UTC), tick=False):
        ingestion_quota.put_back(project_id=project.pk, events=8)  # of November: says nothing about December
        ingestion_quota.take(project_id=project.pk, events=5)
    row = quota(project)
    assert (row.used, row.period_start) == (5, dt.date(2026, 12, 1))


def test_a_process_whose_clock_is_behind_does_not_turn_the_month_back(project, settings):
    settings.INGESTION_BLOCK = 10
    with time_machine.travel(dt.datetime(2026, 12, 1, 0, 1, tzinfo=dt.UTC), tick=False):
        limit(project, 20, used=12)
    with time_machine.travel(dt.datetime(2026, 11, 30, 23, 59, tzinfo=dt.UTC), tick=False):
        ingestion_quota.take(project_id=project.pk, events=8)
    row = quota(project)
    assert (row.used, row.period_start) == (20, dt.date(2026, 12, 1))


@pytest.mark.django_db(transaction=True)
def test_forty_threads_against_a_ceiling_of_ten_store_exactly_ten(project):
    limit(project, 10)
    results = at_once(40, lambda _: ingestion_quota.take(project_id=project.pk, events=1))
    assert results.count(None) == 10
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 30
    assert quota(project).used == 10


@pytest.mark.django_db(transaction=True)
def test_threads_share_one_block(project, settings):
    settings.INGESTION_BLOCK = 1_000
    assert at_once(20, lambda _: ingestion_quota.take(project_id=project.pk, events=50)) == [None] * 20
    assert quota(project).used == 1_000
    assert QuotaBlock.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_taking_inside_a_transaction_is_a_mistake(project):
    from django.db import transaction

    with transaction.atomic(), pytest.raises(RuntimeError):
        ingestion_quota.take(project_id=project.pk, events=1)
    assert quota(project).used == 0


def test_a_lease_is_renewed_when_little_of_it_is_left(project, settings, monkeypatch):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=1)
    QuotaBlock.objects.update(leased_until=timezone.now() + dt.timedelta(seconds=60))
    ingestion_quota._purses[project.pk].block.usable_until = 0.0
    ingestion_quota.take(project_id=project.pk, events=1)
    block = QuotaBlock.objects.get()
    assert block.leased_until > timezone.now() + dt.timedelta(minutes=4)
    assert quota(project).used == 100


def test_a_block_whose_lease_ran_out_is_not_consumed(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=1)
    expire_leases()
    ingestion_quota._purses[project.pk].block.usable_until = 0.0
    ingestion_quota.take(project_id=project.pk, events=1)
    assert quota(project).used == 200


def test_the_rest_is_given_back_at_exit(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=30)
    ingestion_quota.give_back_all()
    assert quota(project).used == 30
    assert QuotaBlock.objects.get().size == 30
    ingestion_quota.give_back_all()
    assert quota(project).used == 30


def test_a_rest_that_was_reconciled_is_not_given_back_twice(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=30)
    count(project, 30)
    expire_leases()
    quota_reconciliation.reconcile_project(project_id=project.pk)
    ingestion_quota.give_back_all()
    assert quota(project).used == 30


def test_what_a_killed_process_held_is_found_again(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=30)
    count(project, 30)
    ingestion_quota.forget()
    assert quota_reconciliation.reconcile_project(project_id=project.pk) == 0  # the lease still runs
    assert quota(project).used == 100
    expire_leases()
    assert quota_reconciliation.reconcile_project(project_id=project.pk) == 70
    assert quota(project).used == 30
    assert QuotaBlock.objects.count() == 0


def test_reconciliation_spares_what_living_processes_hold(project, settings):
    settings.INGESTION_BLOCK = 100
    ingestion_quota.take(project_id=project.pk, events=100)
    count(project, 60)  # 40 more are on their way to the disk
    ingestion_quota.forget()
    expire_leases()
    ingestion_quota.take(project_id=project.pk, events=50)
    QuotaBlock.objects.filter(leased_until__lt=timezone.now()).update(
        leased_until=timezone.now() + dt.timedelta(minutes=1)
    )
    assert quota_reconciliation.reconcile_project(project_id=project.pk) == 0
    assert quota(project).used == 200


def test_reconciliation_counts_this_month_only(project, settings):
    limit(project, 1_000, used=500)
    count(project, 40)
    count(project, 77, hour=timezone.now() - dt.timedelta(days=40))
    assert quota_reconciliation.reconcile_project(project_id=project.pk) == 460
    assert quota(project).used == 40


def test_reconciliation_never_raises_the_use(project):
    limit(project, 1_000, used=5)
    count(project, 40)
    assert quota_reconciliation.reconcile_project(project_id=project.pk) == 0
    assert quota(project).used == 5


def test_all_projects_with_events_are_reconciled(project):
    limit(project, 1_000, used=500)
    assert quota_reconciliation.reconcile_all() == 500
    assert quota(project).used == 0


@pytest.mark.process
@pytest.mark.django_db(transaction=True)
def test_a_fork_does_not_consume_its_parents_block_and_an_exit_returns_the_rest(project):
    """In processes of their own: this one has taken its block already when it forks, as gunicorn's preload does."""
    from django.db import connection

    program = textwrap.dedent(f"""
        import os, sys
        import django
        django.setup()
        from django.conf import settings
        from django.db import connections
        settings.DATABASES["default"]["NAME"] = connections["default"].settings_dict["NAME"] = sys.argv[1]
        settings.INGESTION_BLOCK = 100
        from governance.services import ingestion_quota
        ingestion_quota.take(project_id={project.pk}, events=10)
        parent = ingestion_quota.holder()
        connections.close_all()
        pid = os.fork()
        if pid == 0:
            assert ingestion_quota.holder() != parent
            ingestion_quota.take(project_id={project.pk}, events=20)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        ingestion_quota.take(project_id={project.pk}, events=5)
        """)
    database = str(connection.settings_dict["NAME"])
    done = subprocess.run(
        [sys.executable, "-c", program, database], capture_output=True, text=True, env=dict(os.environ), timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert quota(project).used == 35
    assert sorted(QuotaBlock.objects.values_list("size", flat=True)) == [15, 20]
    assert len(set(QuotaBlock.objects.values_list("holder", flat=True))) == 2
