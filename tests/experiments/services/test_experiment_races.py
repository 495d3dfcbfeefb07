"""Commands of people and writes of workers at the same moment: nothing deadlocks, nothing gets stuck."""

import threading
import time

import pytest
from django.db import connections, transaction

from experiments.domain.calls import CallFailed
from experiments.models import DatapointRun, Experiment, Lane
from experiments.services import datapoint_runs, experiment_endings, experiment_preparation, experiments, lanes
from experiments.services.event_writer import bump_revisions
from governance.services.projects import system_caller
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_version
from tests.experiments.scripted import Queue, script_access
from tests.experiments.services.test_turns import make_dataset, start
from tests.factories import make_project

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]


@pytest.fixture
def queue(monkeypatch):
    return Queue(monkeypatch)


def in_thread(function):
    """Run in a thread with a connection of its own; `.join()` gives its exception or result."""

    class Running(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.outcome = None

        def run(self):
            try:
                self.outcome = function()
            except BaseException as error:
                self.outcome = error
            finally:
                connections.close_all()

    thread = Running()
    thread.start()
    return thread


def test_a_retry_while_the_last_datapoint_ends_leaves_nothing_stuck(queue, monkeypatch):
    project = make_project()
    caller = system_caller(project)
    experiment = make_experiment(project, version=make_version(project, datapoints=2))
    make_datapoint_runs(experiment, "completed", "failed")
    Lane.objects.create(experiment=experiment, number=0)
    inside, go_on = threading.Event(), threading.Event()
    original = experiments._delete_sessions

    def slow(*args):
        inside.set()
        go_on.wait(10)
        return original(*args)

    monkeypatch.setattr(experiments, "_delete_sessions", slow)
    retry = in_thread(lambda: experiments.retry_failed(caller=caller, run_id=experiment.run.run_key))
    assert inside.wait(10)
    end = in_thread(lambda: experiment_endings.end_if_done(experiment_id=experiment.pk))
    time.sleep(0.5)
    go_on.set()
    retry.join()
    end.join()
    assert retry.outcome == 1
    experiment.refresh_from_db()
    waiting = DatapointRun.objects.filter(experiment=experiment, status="pending").count()
    assert (experiment.status, waiting) == ("running", 1), end.outcome


def test_a_retry_and_a_worker_that_stores_do_not_deadlock(queue, monkeypatch):
    project = make_project()
    caller = system_caller(project)
    experiment = make_experiment(project, version=make_version(project, datapoints=2))
    make_datapoint_runs(experiment, "pending", "failed")
    row = Lane.objects.create(experiment=experiment, number=0)
    lane = lanes.claim_lane(lane_id=row.pk)
    in_store, in_retry = threading.Event(), threading.Event()
    original = experiments._offer_lanes

    def offer(*args):
        in_retry.set()
        in_store.wait(10)
        time.sleep(0.5)
        return original(*args)

    monkeypatch.setattr(experiments, "_offer_lanes", offer)
    # Writers count in one of sixteen rows at random; that two choose the same is a matter of time.
    monkeypatch.setattr("experiments.services.event_writer._slot", lambda: 0)

    def store():
        with transaction.atomic():
            datapoint_runs._require_lane(lane)  # as store_outcomes begins
            in_store.set()
            in_retry.wait(10)
            bump_revisions(project_id=project.pk, run_keys=[experiment.run.run_key])  # as write_events ends

    storing = in_thread(store)
    assert in_store.wait(10)
    retry = in_thread(lambda: experiments.retry_failed(caller=caller, run_id=experiment.run.run_key))
    retry.join(15)
    storing.join(15)
    assert (retry.outcome, storing.outcome) == (1, None)


def test_a_cancel_and_a_lane_that_is_left_do_not_deadlock(queue, monkeypatch):
    project = make_project()
    caller = system_caller(project)
    experiment = make_experiment(project, version=make_version(project, datapoints=2))
    make_datapoint_runs(experiment, "pending", "pending")
    Lane.objects.create(experiment=experiment, number=0, asked_at="2020-01-01T00:00Z")
    second = Lane.objects.create(experiment=experiment, number=1)
    lane = lanes._claim(Lane.objects.select_related("experiment").get(pk=second.pk))
    inside = threading.Event()
    original = lanes._asking

    def asking(*args):
        inside.set()
        time.sleep(0.7)
        return original(*args)

    monkeypatch.setattr(lanes, "_asking", asking)
    leaving = in_thread(lambda: lanes.leave_lane(lane, wait_seconds=0.0))
    assert inside.wait(10)
    cancel = in_thread(lambda: experiments.cancel_experiment(caller=caller, run_id=experiment.run.run_key))
    cancel.join(15)
    leaving.join(15)
    assert not isinstance(cancel.outcome, BaseException), cancel.outcome
    assert not isinstance(leaving.outcome, BaseException), leaving.outcome


def test_datapoints_over_which_workers_died_can_be_tried_again(queue, monkeypatch):
    script_access(monkeypatch, lambda case, number: "ok")
    caller = system_caller(make_project())
    experiment = start(caller, make_dataset(caller, count=2))
    experiment_preparation.prepare_experiment(experiment_id=experiment.pk)
    DatapointRun.objects.filter(experiment=experiment).update(lost_attempts=21, attempts=21)
    queue.run()
    experiment.refresh_from_db()
    assert experiment.status == "failed"
    experiments.retry_failed(caller=caller, run_id=experiment.run.run_key)
    queue.run()
    experiment.refresh_from_db()
    assert experiment.status == "completed"


@pytest.mark.parametrize("message", ["nul \x00 here", "half \ud800 of a pair"])
def test_an_error_that_the_database_cannot_hold_fails_its_datapoint_alone(queue, monkeypatch, message):
    def target(case, number):
        if case.inputs["number"] == 0:
            raise CallFailed(message, error_class="callable_error", is_transient=False)
        return "ok"

    script_access(monkeypatch, target)
    caller = system_caller(make_project())
    experiment = start(caller, make_dataset(caller, count=3))
    queue.run()
    experiment.refresh_from_db()
    assert experiment.status == "completed"
    assert sorted(DatapointRun.objects.values_list("status", flat=True)) == ["completed", "completed", "failed"]
    assert Experiment.objects.get().error_message == ""
