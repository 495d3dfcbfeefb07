"""Lanes and preparation under many workers at once, and preparations that died half-way."""

import pytest

from experiments.domain.experiment_status import ExperimentStatus
from experiments.models import DatapointRun, Experiment, Lane
from experiments.services import datapoint_runs, experiment_preparation, experiment_sweeps, lanes
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_version
from tests.experiments.scripted import Queue
from tests.factories import make_project
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = "2020-01-01T00:00Z"


@pytest.fixture
def queue(monkeypatch):
    return Queue(monkeypatch)


def with_concurrency(experiment, concurrency):
    experiment.spec["concurrency"] = concurrency
    experiment.save(update_fields=["spec"])
    return experiment


@pytest.mark.postgres_only
def test_workers_that_claim_at_once_never_get_more_than_the_limits(queue, settings, monkeypatch):
    settings.CALLS_PER_PROJECT = 5
    project = make_project()
    rows = []
    for _ in range(2):
        experiment = with_concurrency(make_experiment(project), 4)
        rows += Lane.objects.bulk_create([Lane(experiment=experiment, number=n) for n in range(6)])
    names = iter(range(100))
    monkeypatch.setattr(lanes, "holder", lambda: f"worker {next(names)}")

    at_once(12, lambda number: lanes.claim_lane(lane_id=rows[number].pk))

    held = Lane.objects.filter(lanes.HELD)
    assert sum(held.values_list("granted", flat=True)) == 5
    by_experiment = {}
    for experiment_id, granted in held.values_list("experiment_id", "granted"):
        by_experiment[experiment_id] = by_experiment.get(experiment_id, 0) + granted
    assert sorted(by_experiment.values()) == [1, 4]


def test_room_that_is_offered_to_a_long_experiment_goes_to_one_without_a_worker_that_asked_for_it(
    queue, settings, monkeypatch
):
    settings.CALLS_PER_PROJECT = 16
    project = make_project()
    long = with_concurrency(make_experiment(project), 64)
    first, second = (Lane.objects.create(experiment=long, number=number) for number in range(2))
    monkeypatch.setattr(lanes, "holder", lambda: "worker 1")
    held = lanes.claim_lane(lane_id=first.pk)
    assert (held.pk, held.granted) == (first.pk, 16)
    monkeypatch.setattr(lanes, "holder", lambda: "worker 2")
    assert lanes.claim_lane(lane_id=second.pk) is None
    short = with_concurrency(make_experiment(project), 8)
    of_short = Lane.objects.create(experiment=short, number=0)
    assert lanes.claim_lane(lane_id=of_short.pk) is None
    lanes.shrink(held, granted=lanes.fair_share(held))

    taken = lanes.claim_lane(lane_id=second.pk)  # the oldest wish is offered first

    assert (taken.pk, taken.granted) == (of_short.pk, 8)


@pytest.mark.postgres_only
def test_workers_that_claim_datapoints_at_once_never_get_the_same(queue):
    project = make_project()
    experiment = with_concurrency(make_experiment(project, version=make_version(project, datapoints=40)), 8)
    make_datapoint_runs(experiment, *["pending"] * 40)
    held = []
    for number in range(8):
        lane = Lane.objects.create(experiment=experiment, number=number)
        held.append(
            Lane.claim(lane.pk, waiting=["waiting"], running="running", holder=f"w{number}", lease=lanes.lease())
        )
    claimed = at_once(8, lambda number: [row.pk for row in datapoint_runs.claim_rows(held[number], count=5)])
    keys = [pk for found in claimed for pk in found]
    assert len(keys) == len(set(keys)) == 40
    assert set(DatapointRun.objects.values_list("attempts", flat=True)) == {1}


def test_a_preparation_that_died_is_done_again_in_the_same_order(queue, monkeypatch):
    project = make_project()
    experiment = make_experiment(project, status="queued", version=make_version(project, datapoints=7))
    monkeypatch.setattr(experiment_preparation, "BLOCK", 2)
    original, written = experiment_preparation.insert_datapoint_runs, []

    class Killed(BaseException):
        pass

    def dies(*, experiment_id, rows):
        if len(written) == 2:
            raise Killed
        written.append(len(rows))
        original(experiment_id=experiment_id, rows=rows)

    monkeypatch.setattr(experiment_preparation, "insert_datapoint_runs", dies)
    with pytest.raises(Killed):
        experiment_preparation.prepare_experiment(experiment_id=experiment.pk)
    before = dict(DatapointRun.objects.values_list("datapoint_key", "rank"))
    assert len(before) == 4
    monkeypatch.setattr(experiment_preparation, "insert_datapoint_runs", original)
    experiment_preparation.prepare_experiment(experiment_id=experiment.pk)  # its lease holds
    assert DatapointRun.objects.count() == 4

    Experiment.objects.update(leased_until=LONG_AGO)
    experiment_sweeps.send_lost_work()
    queue.run_one()

    after = dict(DatapointRun.objects.values_list("datapoint_key", "rank"))
    assert after.items() >= before.items()
    assert sorted(after.values()) == list(range(7))
    experiment.refresh_from_db()
    assert (experiment.status, experiment.run.status) == ("running", "running")
    assert Lane.objects.count() == 7


def test_the_order_of_datapoints_is_drawn_from_the_seed_alone():
    first = experiment_preparation.random_order(7, 1000)
    assert first == experiment_preparation.random_order(7, 1000)
    assert sorted(first) == list(range(1000))
    assert first != experiment_preparation.random_order(8, 1000)
    assert experiment_preparation.random_order(7, 6) == [1, 4, 5, 3, 0, 2]  # on any Python: runs are repeated by it


def test_a_preparation_that_kills_its_workers_is_given_up(queue):
    experiment = make_experiment(make_project(), status="queued", attempts=experiment_preparation.MOST_CLAIMS)
    experiment_preparation.prepare_experiment(experiment_id=experiment.pk)
    experiment.refresh_from_db()
    assert (experiment.status, experiment.run.status) == (ExperimentStatus.FAILED, "failed")
    assert "stopped its worker" in experiment.error_message


def test_the_sweep_sends_what_lost_its_message_or_its_worker_and_nothing_of_paused_ones(queue):
    project = make_project()
    queued = make_experiment(project, status="queued")
    running = make_experiment(project)
    make_datapoint_runs(running, "pending", "running")
    paused = make_experiment(project, status="paused")
    waiting = Lane.objects.create(experiment=running, number=0)
    dead = Lane.objects.create(experiment=running, number=1, status="running", leased_until=LONG_AGO)
    Lane.objects.create(experiment=running, number=2, status="running", leased_until="2200-01-01T00:00Z")
    Lane.objects.create(experiment=running, number=3, next_attempt_at="2200-01-01T00:00Z")
    Lane.objects.create(experiment=paused, number=0)

    experiment_sweeps.send_lost_work()

    sent = sorted((task.rpartition(".")[2], pk) for task, pk in queue.waiting)
    assert sent == [("prepare_experiment", queued.pk), ("take_turn", waiting.pk), ("take_turn", dead.pk)]
    queue.waiting.clear()
    experiment_sweeps.send_lost_work()  # all of it was sent a moment ago, but for the dead
    assert [pk for _, pk in queue.waiting] == [dead.pk]


def test_the_sweep_ends_what_nobody_ended(queue):
    project = make_project()
    done, open_one = make_experiment(project), make_experiment(project)
    make_datapoint_runs(done, "completed", "failed")
    make_datapoint_runs(open_one, "completed", "running")
    experiment_sweeps.send_lost_work()
    assert list(Experiment.objects.order_by("pk").values_list("status", flat=True)) == ["completed", "running"]
    assert Experiment.objects.get(pk=done.pk).run.status == "completed"


def test_between_its_turns_a_long_run_gives_its_worker_to_a_short_one_that_came_later(queue):
    project = make_project()
    long, short = make_experiment(project), make_experiment(project)
    lanes_of_long = Lane.objects.bulk_create([Lane(experiment=long, number=n) for n in range(4)])
    Lane.objects.update(dispatched_at=LONG_AGO)
    Lane.objects.create(experiment=short, number=0, dispatched_at="2020-01-02T00:00Z")

    taken = lanes.claim_lane(lane_id=lanes_of_long[1].pk)

    assert taken.experiment_id == short.pk
