"""Experiments executed by workers' turns, with a scripted target: every datapoint ends once, whatever happens."""

import datetime as dt
import threading
import time

import pytest
from django.db import DataError, connections

from experiments.domain.calls import CallFailed
from experiments.domain.experiment_spec_errors import read_experiment_spec
from experiments.domain.wire_datasets import DatapointContent
from experiments.models import DatapointRun, Event, Experiment, Lane, Measurement, Run
from experiments.selectors.experiments import progress_of
from experiments.selectors.results import result_of_run
from experiments.services import datapoint_runs, experiment_sweeps, experiments, lanes, turns
from experiments.services.datapoints import create_datapoint
from experiments.services.datasets import create_dataset
from governance.domain.errors import Conflict, InvalidInput
from governance.models import Quota
from governance.services import ingestion_quota
from governance.services.projects import system_caller
from tests.experiments.scripted import Queue, script_access
from tests.factories import make_project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queue(monkeypatch):
    return Queue(monkeypatch)


@pytest.fixture
def caller():
    return system_caller(make_project(), label="ada")


def make_dataset(caller, count=6, name="questions"):
    points = [
        create_datapoint(
            caller=caller, content=DatapointContent(inputs={"number": number}, ground_truth={"answer": number})
        )
        for number in range(count)
    ]
    return create_dataset(caller=caller, name=f"{name} {points[0]}", datapoints=points).public_id


def start(caller, dataset_id, **changes):
    spec = {
        "name": "squares",
        "dataset_id": dataset_id,
        "target": {"kind": "http", "url": "https://target.example"},
        "function": "square",
        "retry": {"max_attempts": 3, "first_delay_seconds": 0.0, "longest_delay_seconds": 0.0},
        **changes,
    }
    return experiments.create_experiment(caller=caller, spec=read_experiment_spec(spec))


def statuses(experiment):
    return sorted(DatapointRun.objects.filter(experiment=experiment).values_list("status", flat=True))


def square(case, number):
    return case.inputs["number"] ** 2


def test_every_datapoint_is_called_once_and_stored_as_the_sdk_stores_it(queue, caller, monkeypatch):
    opened = script_access(monkeypatch, square)
    dataset_id = make_dataset(caller)
    experiment = start(caller, dataset_id, repetitions=2, concurrency=4)
    assert Run.objects.get().status == "pending"

    queue.run()

    run = Run.objects.get()
    experiment.refresh_from_db()
    assert (run.status, experiment.status) == ("completed", "completed")
    assert sum((target.calls for target in opened), start=opened[0].calls.__class__()).total() == 12
    rows = list(DatapointRun.objects.filter(experiment=experiment))
    assert {(row.status, row.attempts, row.failures, row.lost_attempts) for row in rows} == {("completed", 1, 0, 0)}
    assert sorted(row.rank for row in rows) == list(range(12))
    result = result_of_run(caller=caller, run_key=run.run_key)
    assert len(result.datapoints) == 12
    assert [(metric.metric_name, metric.event_name, metric.event_type) for metric in result.metrics] == [
        ("length", "square", "chain")
    ]
    for row in rows:
        by_type = {event.event_type: event for event in Event.objects.filter(session_key=row.session_key)}
        session, root, call = (by_type.pop(name) for name in ("session", "chain", "tool"))
        assert not by_type
        ids = {
            "run_id": run.run_key,
            "dataset_id": dataset_id,
            "datapoint_id": row.datapoint_key,
            "source": "evaluation",
        }
        for event in (session, root, call):
            assert {name: event.metadata[name] for name in ids} == ids
            assert (event.run_key, event.datapoint_key) == (run.run_key, row.datapoint_key)
        assert root.parent_key == session.event_key
        assert call.parent_key == root.event_key
        assert root.outputs == {"result": row.snapshot.inputs["number"] ** 2}
        assert session.feedback == {"ground_truth": row.snapshot.ground_truth}
        assert call.metadata["total_tokens"] == 5


def test_what_can_heal_is_tried_again_and_what_cannot_ends_at_once(queue, caller, monkeypatch):
    def fragile(case, number):
        kind = case.inputs["number"]
        if kind == 0 and number < 3:
            raise CallFailed("busy", error_class="server_error", is_transient=True)
        if kind == 1:
            raise CallFailed("no such model", error_class="client_error", is_transient=False)
        if kind == 2:
            raise CallFailed("down", error_class="connection", is_transient=True)
        return "ok"

    opened = script_access(monkeypatch, fragile)
    experiment = start(caller, make_dataset(caller, 4), concurrency=1)
    queue.run()

    rows = {row.snapshot.inputs["number"]: row for row in DatapointRun.objects.select_related("snapshot")}
    assert {n: (r.status, r.attempts, r.failures, r.error_class) for n, r in rows.items()} == {
        0: ("completed", 3, 2, ""),
        1: ("failed", 1, 1, "client_error"),
        2: ("failed", 3, 3, "connection"),
        3: ("completed", 1, 0, ""),
    }
    assert [entry["error_class"] for entry in rows[0].attempt_errors] == ["server_error", "server_error"]
    assert len(opened) == 1
    result = result_of_run(caller=caller, run_key=experiment.run.run_key)
    crashed = {row.datapoint_id for row in result.datapoints if row.crashed}
    assert crashed == {rows[1].datapoint_key, rows[2].datapoint_key}
    assert Run.objects.get().status == "completed"


def test_a_failure_before_any_call_is_no_attempt(queue, caller, monkeypatch):
    def without_slot_once(case, number):
        if number == 1:
            raise CallFailed("no slot", error_class="rate_limited", is_transient=True, called=False)
        if number == 2:
            raise CallFailed("lacks a value", error_class="bad_input", is_transient=False, called=False)

    monkeypatch.setattr("experiments.services.datapoint_runs.RELEASED_FOR", dt.timedelta(0))
    script_access(monkeypatch, without_slot_once)
    start(caller, make_dataset(caller, 1), retry={"max_attempts": 1})
    queue.run()
    row = DatapointRun.objects.get()
    assert (row.status, row.attempts, row.failures, row.error_class) == ("failed", 1, 1, "bad_input")


def test_an_experiment_without_any_completed_datapoint_has_failed_and_says_why(queue, caller, monkeypatch):
    def broken(case, number):
        raise CallFailed("wrong key", error_class="client_error", is_transient=False)

    script_access(monkeypatch, broken)
    experiment = start(caller, make_dataset(caller, 2))
    queue.run()
    experiment.refresh_from_db()
    assert (experiment.status, Run.objects.get().status) == ("failed", "failed")
    assert "wrong key" in experiment.error_message


def test_failed_ones_are_tried_again_and_leave_one_result_each(queue, caller, monkeypatch):
    heals = threading.Event()

    def fragile(case, number):
        if case.inputs["number"] < 2 and not heals.is_set():
            raise CallFailed("down", error_class="connection", is_transient=True)
        return "ok"

    script_access(monkeypatch, fragile)
    experiment = start(caller, make_dataset(caller, 5))
    queue.run()
    assert statuses(experiment) == ["completed"] * 3 + ["failed"] * 2
    before = {event.pk for event in Event.objects.all()}

    heals.set()
    assert experiments.retry_failed(caller=caller, run_id=experiment.run.run_key) == 2
    assert Run.objects.get().status == "running"
    queue.run()

    assert statuses(experiment) == ["completed"] * 5
    rows = DatapointRun.objects.filter(failures__gt=0)
    assert {(row.attempts, row.failures, row.failures_forgiven) for row in rows} == {(4, 3, 3)}
    result = result_of_run(caller=caller, run_key=experiment.run.run_key)
    assert len(result.datapoints) == 5
    assert not any(row.crashed for row in result.datapoints)
    assert len(before & {event.pk for event in Event.objects.all()}) == 9  # of the three that had not failed
    with pytest.raises(Conflict, match="No datapoint of it has failed"):
        experiments.retry_failed(caller=caller, run_id=experiment.run.run_key)


def test_cancelling_cuts_calls_off_and_stores_nothing_of_them(queue, caller, monkeypatch):
    monkeypatch.setattr("governance.services.heartbeats.LOOK_SECONDS", 0.05)
    under_way = threading.Event()

    def hanging(case, number):
        if case.inputs["number"] == 0:
            return "ok"
        under_way.set()
        assert opened[0].closed.wait(20)
        return "too late"

    opened = script_access(monkeypatch, hanging)
    experiment = start(caller, make_dataset(caller, 4), concurrency=4)
    queue.run_one()
    worker = threading.Thread(target=lambda: (queue.run_one(), connections.close_all()))
    worker.start()
    assert under_way.wait(20)
    time.sleep(0.3)  # the one that ended is stored
    experiments.cancel_experiment(caller=caller, run_id=experiment.run.run_key)
    began = time.monotonic()
    worker.join(20)
    assert time.monotonic() - began < 5
    queue.run()

    assert statuses(experiment) == ["cancelled"] * 3 + ["completed"]
    assert Run.objects.get().status == "cancelled"
    assert Event.objects.filter(event_type="session").count() == 1
    with pytest.raises(Conflict, match="ended already"):
        experiments.cancel_experiment(caller=caller, run_id=experiment.run.run_key)


def test_pausing_keeps_what_is_under_way_and_resuming_goes_on(queue, caller, monkeypatch):
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.0)

    def pausing(case, number):
        if not Experiment.objects.filter(status="paused").exists():
            experiments.pause_experiment(caller=caller, run_id=experiment.run.run_key)
        connections.close_all()
        return "ok"

    script_access(monkeypatch, pausing)
    experiment = start(caller, make_dataset(caller, 5), concurrency=1)
    queue.run()
    assert statuses(experiment) == ["completed"] + ["pending"] * 4
    assert Run.objects.get().status == "running"
    script_access(monkeypatch, lambda case, number: "ok")
    experiments.resume_experiment(caller=caller, run_id=experiment.run.run_key)
    queue.run()
    assert statuses(experiment) == ["completed"] * 5
    with pytest.raises(Conflict, match="Only a running one"):
        experiments.pause_experiment(caller=caller, run_id=experiment.run.run_key)


def test_a_worker_that_died_is_recorded_and_its_datapoints_are_called_again(queue, caller, monkeypatch):
    class Killed(BaseException):
        pass

    def dies_once(case, number):
        return "ok"

    opened = script_access(monkeypatch, dies_once)
    experiment = start(caller, make_dataset(caller, 3), concurrency=3)
    queue.run_one()
    original = turns.Turn._store

    def killed(self):
        if self._ended:
            raise Killed
        original(self)

    monkeypatch.setattr(turns.Turn, "_store", killed)
    with pytest.raises(Killed):
        queue.run_one()
    monkeypatch.setattr(turns.Turn, "_store", original)
    assert sum(opened[0].calls.values()) == 3
    assert statuses(experiment) == ["running"] * 3
    queue.run()  # other lanes find no room while the dead one's lease holds
    assert statuses(experiment) == ["running"] * 3
    DatapointRun.objects.update(leased_until="2020-01-01T00:00Z")
    Lane.objects.update(leased_until="2020-01-01T00:00Z", dispatched_at="2020-01-01T00:00Z", next_attempt_at=None)
    experiment_sweeps.send_lost_work()
    queue.run()
    rows = DatapointRun.objects.filter(experiment=experiment)
    assert {(r.status, r.attempts, r.lost_attempts, r.failures) for r in rows} == {("completed", 2, 1, 0)}
    assert Event.objects.filter(event_type="session").count() == 3
    assert Run.objects.get().status == "completed"


def test_a_worker_that_lost_its_lane_stores_nothing(queue, caller, monkeypatch):
    def stolen(case, number):
        Lane.objects.update(lease_token=99)
        DatapointRun.objects.update(lease_token=99)
        connections.close_all()
        return "late"

    script_access(monkeypatch, stolen)
    start(caller, make_dataset(caller, 1), concurrency=1)
    queue.run()
    assert Event.objects.count() == 0
    assert DatapointRun.objects.get().status == "running"


def test_calls_at_once_stay_within_experiment_project_and_provider(queue, caller, monkeypatch, settings):
    def slow(case, number):
        time.sleep(0.02)
        return "ok"

    settings.CALLS_PER_PROJECT, settings.PARALLEL_REQUESTS = 3, 2
    dataset_id = make_dataset(caller, 8)
    for provider, concurrency, most in (("", 2, 2), ("", 8, 3), ("openai", 8, 2)):
        opened = script_access(monkeypatch, slow, provider=provider)
        start(caller, dataset_id, concurrency=concurrency)
        queue.run()
        assert max(target.most_at_once for target in opened) == most
    assert set(DatapointRun.objects.values_list("status", flat=True)) == {"completed"}


def test_who_finds_no_room_gets_a_fair_share_of_it(queue, caller, monkeypatch):
    script_access(monkeypatch, square)
    experiment = start(caller, make_dataset(caller, 8), concurrency=8)
    queue.run_one()
    first, second, *_ = [pk for _, pk in queue.waiting]
    monkeypatch.setattr(lanes, "holder", lambda: "worker 1")
    lane = lanes.claim_lane(lane_id=first)
    assert lane.granted == 8
    assert lanes.fair_share(lane) == 8
    monkeypatch.setattr(lanes, "holder", lambda: "worker 2")
    assert lanes.claim_lane(lane_id=second) is None
    assert lanes.fair_share(lane) == 4
    queue.waiting.clear()
    lanes.shrink(lane, granted=4)
    assert [pk for _, pk in queue.waiting] == [second]
    assert lanes.claim_lane(lane_id=second).granted == 4
    assert sum(Lane.objects.filter(experiment=experiment).values_list("granted", flat=True)) == 8


def test_a_worker_goes_to_the_experiment_that_nobody_works_on(queue, caller, monkeypatch):
    script_access(monkeypatch, square)
    dataset_id = make_dataset(caller, 8)
    long = start(caller, dataset_id, concurrency=4)
    queue.run_one()
    lane_ids = [pk for _, pk in queue.waiting]
    assert lanes.claim_lane(lane_id=lane_ids[0]).experiment_id == long.pk
    assert not lanes.others_wait(long.pk)
    short = start(caller, dataset_id, concurrency=1)
    queue.waiting.rotate(1)
    queue.run_one()
    assert lanes.others_wait(long.pk)
    taken = lanes.claim_lane(lane_id=lane_ids[1])
    assert taken.experiment_id == short.pk
    assert not lanes.others_wait(long.pk)
    assert queue.waiting[-1][1] == lane_ids[1]  # who gave way is offered again


def test_without_quota_it_pauses_before_it_calls(queue, caller, monkeypatch):
    opened = script_access(monkeypatch, square)
    experiment = start(caller, make_dataset(caller, 3))
    ingestion_quota.give_back_all()
    Quota.objects.filter(project_id=caller.project_id, resource="events").update(ceiling=0, used=0)
    queue.run()
    experiment.refresh_from_db()
    assert experiment.status == "paused"
    assert experiment.error_code == "quota_exceeded"
    assert not opened[0].calls
    assert statuses(experiment) == ["pending"] * 3
    Quota.objects.filter(project_id=caller.project_id, resource="events").update(ceiling=1000)
    experiments.resume_experiment(caller=caller, run_id=experiment.run.run_key)
    queue.run()
    assert statuses(experiment) == ["completed"] * 3


def test_running_again_takes_the_same_version_in_the_same_order(queue, caller, monkeypatch):
    script_access(monkeypatch, square)
    dataset_id = make_dataset(caller, 5)
    first = start(caller, dataset_id)
    create_datapoint(caller=caller, content=DatapointContent(inputs={"number": 9}), linked_datasets=[dataset_id])
    queue.run()
    again = experiments.rerun_experiment(caller=caller, run_id=first.run.run_key, name="again")
    queue.run()
    order = [
        list(DatapointRun.objects.filter(experiment=one).order_by("rank").values_list("datapoint_key", flat=True))
        for one in (first, again)
    ]
    assert order[0] == order[1]
    assert len(order[0]) == 5
    assert again.dataset_version_id == first.dataset_version_id
    assert again.run.metadata["rerun_of"] == first.run.run_key
    assert start(caller, dataset_id).datapoint_runs_count == 6


def test_nothing_is_created_for_an_empty_dataset_or_an_unknown_baseline(queue, caller, monkeypatch):
    script_access(monkeypatch, square)
    empty = create_dataset(caller=caller, name="empty").public_id
    with pytest.raises(InvalidInput, match="holds no datapoints"):
        start(caller, empty)
    with pytest.raises(InvalidInput, match="baseline_run_id"):
        start(caller, make_dataset(caller, 1), baseline_run_id="gone")
    assert not Run.objects.exists()
    assert not Experiment.objects.exists()


def test_progress_adds_up_and_deleting_a_run_under_way_ends_its_work(queue, caller, monkeypatch):
    script_access(monkeypatch, square)
    experiment = start(caller, make_dataset(caller, 3))
    queue.run_one()
    assert progress_of(experiment).total == 3
    Run.objects.all().delete()
    queue.run()
    assert not DatapointRun.objects.exists()
    assert not Measurement.objects.exists()


def test_an_answer_that_the_database_cannot_hold_fails_its_datapoint_alone(queue, caller, monkeypatch):
    original = datapoint_runs.write_events

    def picky(*, caller, rows):
        if any("huge" in str(row.outputs) for row in rows):
            raise DataError("numeric value out of range")
        return original(caller=caller, rows=rows)

    monkeypatch.setattr(datapoint_runs, "write_events", picky)
    script_access(monkeypatch, lambda case, number: "huge" if case.inputs["number"] == 1 else "ok")
    experiment = start(caller, make_dataset(caller, 3), concurrency=3)
    queue.run()
    assert statuses(experiment) == ["completed"] * 2 + ["failed"]
    failed = DatapointRun.objects.get(status="failed")
    assert (failed.error_class, failed.attempts, failed.failures) == ("unstorable", 1, 1)
    assert Event.objects.filter(event_type="session").count() == 3


def test_a_fault_of_the_worker_gives_its_datapoints_back_at_once(queue, caller, monkeypatch):
    script_access(monkeypatch, square)
    experiment = start(caller, make_dataset(caller, 2), concurrency=2)
    queue.run_one()
    original = turns.Turn._gather

    def breaks(self):
        raise OSError("the disk is gone")

    monkeypatch.setattr(turns.Turn, "_gather", breaks)
    monkeypatch.setattr("experiments.services.datapoint_runs.RELEASED_FOR", dt.timedelta(0))
    with pytest.raises(OSError, match="disk"):
        queue.run_one()
    rows = DatapointRun.objects.filter(experiment=experiment)
    assert {(row.status, row.attempts, row.lost_attempts) for row in rows} == {("pending", 1, 1)}
    monkeypatch.setattr(turns.Turn, "_gather", original)
    Lane.objects.update(next_attempt_at=None)
    queue.run()
    assert {(row.status, row.attempts, row.lost_attempts) for row in rows.all()} == {("completed", 2, 1)}
