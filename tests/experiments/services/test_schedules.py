"""Schedules: their rows in beat's table, turns that start exactly once, baselines, refusals."""

import datetime as dt
import json

import pytest
from celery import current_app
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from experiments.domain.experiment_spec_errors import read_experiment_spec
from experiments.domain.wire_datasets import DatapointContent
from experiments.models import Experiment, ExperimentSchedule, Run
from experiments.selectors.schedules import beat_name
from experiments.services import schedules as services
from experiments.services.datasets import add_rows, create_dataset, delete_dataset
from experiments.services.schedule_sweeps import start_missed
from experiments.tasks import schedules as tasks
from governance.domain.actions import ALLOWED_BY_ROLE, Role
from governance.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from governance.models import AuditChain, AuditEntry, Project, ProjectStatus, Quota
from governance.services import providers
from governance.services.projects import set_status, system_caller
from hhweb.schedules import write
from tests.experiments.factories import make_run
from tests.factories import make_project
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db
NIGHTLY = {"crontab": "0 2 * * *", "timezone": "Europe/Vienna"}


@pytest.fixture(autouse=True)
def ready(settings, monkeypatch, caller) -> None:
    """A callable that may be called, and no broker."""
    settings.CALLABLES = ["shout=tests.experiments.adapters.registered:shout"]
    monkeypatch.setattr("governance.dispatch._send", lambda *args, **options: None)
    providers.create_rule(caller=caller, effect="allow", provider="callable")


@pytest.fixture
def dataset_id(caller) -> str:
    dataset = create_dataset(caller=caller, name="cases")
    add_rows(caller=caller, dataset_id=dataset.public_id, contents=[DatapointContent(inputs={"q": "why?"})])
    return dataset.public_id


def spec_of(dataset_id, **changes):
    target = {"kind": "callable", "name": "shout"}
    return read_experiment_spec({"name": "nightly run", "dataset_id": dataset_id, "target": target, **changes})


def make(caller, dataset_id, *, name="nightly", baseline=None, is_enabled=True, crontab=NIGHTLY, **spec):
    return services.create_schedule(
        caller=caller,
        name=name,
        spec=spec_of(dataset_id, **spec),
        baseline=baseline,
        is_enabled=is_enabled,
        **crontab,
    )


def row_of(schedule):
    return PeriodicTask.objects.get(name=beat_name(schedule))


def is_due(schedule, ago=dt.timedelta(hours=1)):
    """Let its turn have come."""
    ExperimentSchedule.objects.filter(pk=schedule.pk).update(next_due_at=timezone.now() - ago)
    return schedule.pk


def start(schedule):
    """Let its turn come, and start it."""
    return services.start_due(schedule_pk=is_due(schedule))


def finish(experiment, status="completed", ago=0):
    finished = timezone.now() - dt.timedelta(hours=ago)
    Run.objects.filter(pk=experiment.run_id).update(status=status, finished_at=finished)
    return experiment.run.run_key


def test_a_schedule_has_a_row_in_beats_table_that_follows_it(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)

    row = row_of(schedule)
    assert (row.task, json.loads(row.args), row.enabled) == (tasks.start_due.name, [schedule.pk], True)
    assert (row.crontab.hour, row.crontab.minute, str(row.crontab.timezone)) == ("2", "0", "Europe/Vienna")
    assert row.schedule.hour == {2}
    first_due = schedule.next_due_at
    assert first_due > timezone.now()

    changed = services.update_schedule(
        caller=caller, schedule_id=schedule.public_id, crontab="30 4 * * 1", timezone="UTC", name="weekly"
    )
    row = row_of(schedule)
    assert (row.crontab.hour, row.crontab.day_of_week, str(row.crontab.timezone)) == ("4", "1", "UTC")
    assert row.description.startswith("weekly, of project ")
    assert (changed.next_due_at.hour, changed.next_due_at.minute, changed.next_due_at.weekday()) == (4, 30, 0)

    services.delete_schedule(caller=caller, schedule_id=schedule.public_id)
    assert not PeriodicTask.objects.filter(name=beat_name(schedule)).exists()
    assert not ExperimentSchedule.objects.exists()


def test_beat_sends_the_task_of_a_schedule_at_its_turn(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id, crontab={"crontab": " 0  2 * * * ", "timezone": "Europe/Vienna"})
    assert schedule.crontab == "0 2 * * *"
    row = row_of(schedule)
    row.last_run_at = timezone.now() - dt.timedelta(days=2)

    entry = ModelEntry(row, app=current_app)

    assert entry.is_due().is_due
    assert (entry.task, entry.args, entry.options["expires"]) == (tasks.start_due.name, [schedule.pk], 120)
    assert current_app.tasks[entry.task] is not None
    row.enabled = False
    assert not entry.is_due().is_due


def test_both_change_in_one_transaction(caller, dataset_id, monkeypatch) -> None:
    schedule = make(caller, dataset_id)
    monkeypatch.setattr("governance.services.audit.record", lambda **_: 1 / 0)
    for change in (
        lambda: make(caller, dataset_id, name="second"),
        lambda: services.update_schedule(caller=caller, schedule_id=schedule.public_id, crontab="1 1 * * *"),
        lambda: services.disable_schedule(caller=caller, schedule_id=schedule.public_id),
        lambda: services.delete_schedule(caller=caller, schedule_id=schedule.public_id),
    ):
        with pytest.raises(ZeroDivisionError):
            change()
    assert ExperimentSchedule.objects.get().crontab == "0 2 * * *"
    (row,) = PeriodicTask.objects.filter(task=tasks.start_due.name)
    assert (row.crontab.hour, row.enabled) == ("2", True)


def test_the_list_of_the_code_leaves_rows_of_schedules_alone(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    services.disable_schedule(caller=caller, schedule_id=schedule.public_id)
    write()
    assert row_of(schedule).enabled is False


def test_the_switch_turns_both_off_and_on_and_the_next_turn_counts_from_then(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)

    off = services.disable_schedule(caller=caller, schedule_id=schedule.public_id)
    assert (off.is_enabled, off.next_due_at, row_of(schedule).enabled) == (False, None, False)
    assert services.start_due(schedule_pk=schedule.pk) is None

    on = services.enable_schedule(caller=caller, schedule_id=schedule.public_id)
    assert (on.is_enabled, row_of(schedule).enabled) == (True, True)
    assert on.next_due_at > timezone.now()
    verbs = AuditEntry.objects.filter(action__startswith="experiment_schedule").order_by("sequence")
    assert [each.action.rpartition(".")[2] for each in verbs] == ["create", "disable", "enable"]


def test_an_operators_switch_in_beats_table_lets_turns_pass(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    row = row_of(schedule)
    row.enabled = False
    row.save()

    assert start(schedule) is None
    assert start_missed() == 0

    schedule.refresh_from_db()
    assert schedule.next_due_at > timezone.now()
    assert not Experiment.objects.exists()
    services.update_schedule(caller=caller, schedule_id=schedule.public_id, name="renamed")
    assert row_of(schedule).enabled is False  # only a switch touches a switch
    services.enable_schedule(caller=caller, schedule_id=schedule.public_id)
    assert row_of(schedule).enabled is True
    assert start(schedule) is not None


def test_a_turn_starts_one_experiment_and_moves_on(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    assert services.start_due(schedule_pk=schedule.pk) is None  # not yet

    experiment = start(schedule)
    again = services.start_due(schedule_pk=schedule.pk)

    assert again is None
    assert Experiment.objects.get() == experiment
    assert experiment.schedule == schedule
    assert experiment.created_by == "schedule nightly"
    schedule.refresh_from_db()
    assert schedule.next_due_at > timezone.now()
    assert schedule.last_started_at is not None
    assert AuditEntry.objects.filter(action="experiment.create", actor_label="schedule nightly").count() == 1


def test_turns_missed_while_everything_was_down_start_once(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id, crontab={"crontab": "*/5 * * * *", "timezone": "UTC"})
    is_due(schedule, ago=dt.timedelta(days=3))

    assert [start_missed(), start_missed()] == [1, 0]
    assert Experiment.objects.count() == 1


def test_a_message_for_a_schedule_that_is_gone_does_nothing(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    services.delete_schedule(caller=caller, schedule_id=schedule.public_id)
    tasks.start_due(schedule.pk)
    assert not Experiment.objects.exists()


def test_the_dataset_is_pinned_at_each_start_unless_a_version_is_named(caller, dataset_id) -> None:
    newest = make(caller, dataset_id)
    first = start(newest)
    fixed = make(caller, dataset_id, name="fixed", dataset_version=1)
    add_rows(caller=caller, dataset_id=dataset_id, contents=[DatapointContent()])

    assert [each.dataset_version.number for each in (first, start(newest), start(fixed))] == [1, 2, 1]


def test_a_refused_start_says_why_and_the_next_turn_tries_again(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    Quota.objects.filter(project_id=caller.project_id, resource="runs").update(ceiling=0)

    assert start(schedule) is None
    schedule.refresh_from_db()
    assert "quota of runs" in schedule.last_error
    assert schedule.next_due_at > timezone.now()
    assert (schedule.last_started_at, Experiment.objects.count(), Run.objects.count()) == (None, 0, 0)

    Quota.objects.filter(project_id=caller.project_id, resource="runs").update(ceiling=10)
    assert start(schedule) is not None
    schedule.refresh_from_db()
    assert schedule.last_error == ""


def test_a_deleted_dataset_a_withdrawn_rule_and_a_withdrawn_callable_are_told(caller, dataset_id, settings) -> None:
    schedule = make(caller, dataset_id)
    settings.CALLABLES = []
    assert start(schedule) is None
    schedule.refresh_from_db()
    assert "spec.target.name" in schedule.last_error
    settings.CALLABLES = ["shout=tests.experiments.adapters.registered:shout"]
    delete_dataset(caller=caller, dataset_id=dataset_id)
    assert start(schedule) is None
    schedule.refresh_from_db()
    assert f"has no dataset '{dataset_id}'" in schedule.last_error


def test_a_suspended_project_starts_nothing(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    set_status(caller=caller, status=ProjectStatus.SUSPENDED)

    assert start(schedule) is None
    schedule.refresh_from_db()
    assert "suspended" in schedule.last_error
    assert schedule.next_due_at > timezone.now()
    assert not Experiment.objects.exists()

    set_status(caller=caller, status=ProjectStatus.ACTIVE)
    assert start(schedule) is not None


def test_the_baseline_may_be_a_run(caller, project, dataset_id) -> None:
    make_run(project, run_key="v1")
    schedule = make(caller, dataset_id, baseline={"kind": "run", "run_id": "v1"})

    experiment = start(schedule)

    assert (experiment.baseline_run_key, experiment.run.metadata["baseline_run_id"]) == ("v1", "v1")
    assert experiment.spec["baseline_run_id"] == "v1"


def test_the_baseline_may_be_the_last_run_of_the_schedule_that_completed(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id, baseline={"kind": "previous"})
    other = make(caller, dataset_id, name="other")

    first = start(schedule)
    assert first.baseline_run_key == ""
    finish(start(other))
    assert start(schedule).baseline_run_key == ""  # the first has not completed
    key = finish(first, ago=1)
    failed = start(schedule)
    assert failed.baseline_run_key == key
    finish(failed, status="failed")
    assert start(schedule).baseline_run_key == key


@pytest.mark.parametrize("metadata", [{"tags": ["x", "1.0"]}, {"tags": "1.0"}])
def test_the_baseline_may_be_the_last_release_by_the_metadata_of_any_run(caller, project, dataset_id, metadata) -> None:
    schedule = make(caller, dataset_id, baseline={"kind": "latest_with_tag", "tag": "1.0"})
    assert start(schedule).baseline_run_key == ""  # none yet

    now = timezone.now()
    make_run(project, run_key="older", metadata=metadata, finished_at=now - dt.timedelta(days=2))
    make_run(project, run_key="release", metadata=metadata, finished_at=now - dt.timedelta(days=1))
    make_run(project, run_key="unfinished", metadata=metadata, status="running")
    make_run(project, run_key="failed", metadata=metadata, status="failed")
    make_run(make_project(), run_key="foreign", metadata=metadata)
    for number, tags in enumerate([["1.00"], "11.0", 1.0, {"1.0": 1}, None, [["1.0"]], True]):
        make_run(project, run_key=f"other {number}", metadata={"tags": tags})

    assert start(schedule).baseline_run_key == "release"


def test_the_baseline_may_be_the_last_experiment_with_a_tag(caller, dataset_id) -> None:
    released = start(make(caller, dataset_id, name="releases", tags=["release"]))
    key = finish(released)
    Run.objects.filter(pk=released.run_id).update(metadata={})
    schedule = make(caller, dataset_id, baseline={"kind": "latest_with_tag", "tag": "release"})

    assert start(schedule).baseline_run_key == key


def test_a_start_by_hand_leaves_the_next_turn_where_it_is_and_needs_no_switch(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    due = schedule.next_due_at

    experiment = services.start_now(caller=caller, schedule_id=schedule.public_id)

    assert (experiment.schedule, experiment.created_by) == (schedule, caller.actor_label)
    schedule.refresh_from_db()
    assert (schedule.next_due_at, schedule.last_started_at is not None) == (due, True)
    off = make(caller, dataset_id, name="off", is_enabled=False)
    assert off.next_due_at is None
    assert services.start_now(caller=caller, schedule_id=off.public_id).schedule == off
    Quota.objects.filter(project_id=caller.project_id, resource="runs").update(ceiling=2)
    with pytest.raises(Exception, match="quota of runs"):
        services.start_now(caller=caller, schedule_id=schedule.public_id)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"crontab": {"crontab": "61 * * * *", "timezone": "UTC"}}, "crontab"),
        ({"crontab": {"crontab": "0 2 * * *", "timezone": "Mars/Olympus"}}, "timezone"),
        ({"baseline": {"kind": "best"}}, "baseline.kind"),
        ({"baseline": {"kind": "run"}}, "baseline.run_id"),
        ({"baseline": {"kind": "run", "run_id": "nobody"}}, "baseline.run_id"),
        ({"baseline": {"kind": "latest_with_tag", "tag": " "}}, "baseline.tag"),
        ({"baseline": {"kind": "none", "tag": "x"}}, "baseline.tag"),
        ({"dataset_id": "nobody"}, "spec.dataset_id"),
        ({"dataset_version": 7}, "spec.dataset_version"),
        ({"baseline_run_id": "v1"}, "spec.baseline_run_id"),
        ({"target": {"kind": "callable", "name": "unknown"}}, "spec.target.name"),
    ],
)
def test_what_cannot_be_started_is_refused_at_once_and_leaves_nothing(caller, dataset_id, changes, field) -> None:
    dataset = changes.pop("dataset_id", dataset_id)
    with pytest.raises((InvalidInput, NotFound)) as refused:
        make(caller, dataset, **changes)
    assert refused.value.details["field"] == field
    assert field in refused.value.message
    assert not ExperimentSchedule.objects.exists()
    assert not PeriodicTask.objects.filter(task=tasks.start_due.name).exists()


def test_names_are_taken_once_in_a_project(caller, dataset_id) -> None:
    make(caller, dataset_id)
    second = make(caller, dataset_id, name="second")
    for act in (
        lambda: make(caller, dataset_id),
        lambda: services.update_schedule(caller=caller, schedule_id=second.public_id, name="nightly"),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.details["field"] == "name"
    assert PeriodicTask.objects.filter(task=tasks.start_due.name).count() == 2


def test_a_change_of_nothing_writes_nothing(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    entries = AuditEntry.objects.count()
    same = services.update_schedule(caller=caller, schedule_id=schedule.public_id, name="nightly", is_enabled=True)
    assert (same.next_due_at, AuditEntry.objects.count()) == (schedule.next_due_at, entries)


def test_foreign_schedules_are_not_found_and_readers_change_nothing(caller, project, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    stranger, reader = system_caller(make_project()), system_caller(project)
    object.__setattr__(reader, "allowed", ALLOWED_BY_ROLE[Role.VIEWER])
    for who, error in ((stranger, NotFound), (reader, Forbidden)):
        for act in (
            services.update_schedule,
            services.enable_schedule,
            services.disable_schedule,
            services.delete_schedule,
            services.start_now,
        ):
            with pytest.raises(error):
                act(caller=who, schedule_id=schedule.public_id)
    with pytest.raises(Forbidden):
        make(reader, dataset_id, name="second")


def test_nobody_schedules_what_they_may_not_start(caller, project, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    writer = system_caller(project)
    object.__setattr__(writer, "allowed", frozenset({"runs.read", "runs.write"}))
    for act in (
        lambda: make(writer, dataset_id, name="second"),
        lambda: services.update_schedule(caller=writer, schedule_id=schedule.public_id, spec=spec_of(dataset_id)),
        lambda: services.start_now(caller=writer, schedule_id=schedule.public_id),
    ):
        with pytest.raises(Forbidden, match=r"datasets\.read"):
            act()
    renamed = services.update_schedule(caller=writer, schedule_id=schedule.public_id, name="renamed")
    assert (renamed.name, Experiment.objects.count()) == ("renamed", 0)


def test_the_audit_chain_is_the_last_lock_of_a_delete(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    experiment = start(schedule)
    with CaptureQueriesContext(connection) as queries:
        services.delete_schedule(caller=caller, schedule_id=schedule.public_id)
    statements = [query["sql"] for query in queries]
    chain = next(n for n, sql in enumerate(statements) if AuditChain._meta.db_table in sql)
    freed = next(n for n, sql in enumerate(statements) if sql.startswith(f'UPDATE "{Experiment._meta.db_table}"'))
    assert freed < chain
    experiment.refresh_from_db()
    assert experiment.schedule is None


def test_the_sweep_goes_on_after_one_that_fails_and_that_one_stays_due(caller, dataset_id, monkeypatch) -> None:
    broken, good = make(caller, dataset_id), make(caller, dataset_id, name="good")
    is_due(broken, ago=dt.timedelta(hours=2))
    is_due(good)
    create = services.create_experiment

    def failing(*, schedule, **given):
        if schedule.pk == broken.pk:
            raise DatabaseError("the connection is closed")
        return create(schedule=schedule, **given)

    monkeypatch.setattr(services, "create_experiment", failing)
    assert start_missed() == 1
    assert Experiment.objects.get().schedule == good
    monkeypatch.setattr(services, "create_experiment", create)
    assert start_missed() == 1


def test_the_sweep_removes_rows_whose_schedule_went_with_its_project(caller, project, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    operators = PeriodicTask.objects.create(name="an operator's", task="t", crontab=row_of(schedule).crontab)
    tasks.sweep_schedules()
    assert row_of(schedule).enabled
    ExperimentSchedule.objects.filter(project=project).delete()
    tasks.sweep_schedules()
    assert list(PeriodicTask.objects.filter(task__in=[tasks.start_due.name, "t"])) == [operators]
    assert Project.objects.filter(pk=project.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_many_beats_and_sweeps_at_once_start_one_experiment(caller, dataset_id) -> None:
    schedule = make(caller, dataset_id)
    is_due(schedule)

    answers = at_once(8, lambda n: services.start_due(schedule_pk=schedule.pk) if n % 2 else start_missed())

    assert [each for each in answers if isinstance(each, Exception)] == []
    assert sum(bool(each) for each in answers) == 1
    assert Experiment.objects.count() == Run.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_turn_beside_changes_deletes_and_starts_by_hand_breaks_nothing(caller, dataset_id) -> None:
    schedules = [make(caller, dataset_id, name=str(n), baseline={"kind": "previous"}) for n in range(3)]
    for schedule in schedules:
        is_due(schedule)
    ids = [schedule.public_id for schedule in schedules]
    acts = [
        lambda: start_missed(),
        lambda: services.start_due(schedule_pk=schedules[0].pk),
        lambda: services.delete_schedule(caller=caller, schedule_id=ids[0]),
        lambda: services.update_schedule(caller=caller, schedule_id=ids[1], crontab="7 7 * * *"),
        lambda: services.disable_schedule(caller=caller, schedule_id=ids[2]),
        lambda: services.start_now(caller=caller, schedule_id=ids[1]),
        lambda: add_rows(caller=caller, dataset_id=dataset_id, contents=[DatapointContent()]),
        lambda: services.create_schedule(caller=caller, name="new", spec=spec_of(dataset_id), **NIGHTLY),
    ]

    answers = at_once(len(acts), lambda n: acts[n]())

    assert [each for each in answers if isinstance(each, Exception)] == []
    left = set(ExperimentSchedule.objects.values_list("name", flat=True))
    assert left == {"1", "2", "new"}
    assert PeriodicTask.objects.filter(task=tasks.start_due.name).count() == 3
    started = Experiment.objects.filter(created_by="schedule 1").count()
    assert started <= 1
    assert Experiment.objects.filter(created_by=caller.actor_label).count() == 1
