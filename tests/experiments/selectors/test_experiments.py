"""Reads of experiments: whose they are, how far they are, what went wrong; as many queries for many as for one."""

import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from experiments.selectors.experiments import (
    datapoint_runs_of,
    errors_by_cause,
    experiments_of,
    get_experiment,
    of_datasets,
    progress_of,
    progress_of_many,
    with_tag,
)
from governance.domain.errors import NotFound
from governance.services.projects import system_caller
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_version
from tests.experiments.factories import make_run
from tests.factories import make_project

AGAIN = {"status": "pending", "attempts": 1, "failures": 1, "error_class": "time_out", "error_message": "Too slow."}


def test_an_experiment_is_found_by_each_of_its_ids_and_never_by_another_project(project, caller):
    experiment = make_experiment(project, run_key="mine")
    make_run(project, run_key="the client's own")
    stranger = system_caller(make_project())

    for name in ("mine", experiment.public_id, experiment.run.public_id):
        assert get_experiment(caller, name) == experiment
        with pytest.raises(NotFound):
            get_experiment(stranger, name)
    for name in ("the client's own", "", "nobody", "x" * 300):
        with pytest.raises(NotFound):
            get_experiment(caller, name)


def test_progress_counts_every_status_and_sums_what_was_used(project):
    experiment = make_experiment(project, version=make_version(project, datapoints=7))
    make_datapoint_runs(experiment, "completed", "completed", "failed", "running", "pending", AGAIN)

    found = progress_of(experiment)

    assert found.counts == {"pending": 3, "running": 1, "completed": 2, "failed": 1, "cancelled": 0}
    assert (found.total, found.finished, round(found.fraction, 4)) == (7, 3, 0.4286)
    assert (found.attempts, found.failures, found.lost_attempts, found.waiting_for_retry) == (7, 4, 0, 1)
    assert (found.prompt_tokens, found.completion_tokens) == (20, 4)
    assert (found.cost, found.with_cost) == (Decimal("0.00005"), 2)
    assert found.rate_per_second == pytest.approx(3 / 30, rel=0.1)  # it started 30 seconds ago
    assert found.eta_seconds == pytest.approx(4 / found.rate_per_second, rel=0.01)


def test_the_rate_is_of_the_last_minute(project):
    experiment = make_experiment(project, started_at=timezone.now() - dt.timedelta(hours=1))
    long_ago = timezone.now() - dt.timedelta(minutes=5)
    make_datapoint_runs(experiment, {"status": "completed", "finished_at": long_ago}, "pending", "pending")
    assert (progress_of(experiment).rate_per_second, progress_of(experiment).eta_seconds) == (None, None)

    make_datapoint_runs(experiment, *["completed"] * 6)
    assert progress_of(experiment).rate_per_second == 0.1
    assert progress_of(experiment).eta_seconds == 20.0


@pytest.mark.parametrize(
    ("status", "counted"), [("queued", "pending"), ("cancelled", "cancelled"), ("failed", "cancelled")]
)
def test_rows_that_were_never_written_are_still_to_come_or_will_never_be(project, status, counted):
    found = progress_of(make_experiment(project, status=status))

    assert (found.counts[counted], found.total, found.rate_per_second, found.cost) == (3, 3, None, None)


def test_a_paused_experiment_has_no_eta(project):
    experiment = make_experiment(project, status="paused")
    make_datapoint_runs(experiment, "completed", "pending")
    assert (progress_of(experiment).rate_per_second, progress_of(experiment).eta_seconds) == (None, None)


def test_progress_of_many_takes_one_query(project):
    experiments = [make_experiment(project) for _ in range(3)]
    for experiment in experiments:
        make_datapoint_runs(experiment, "completed", "failed", "pending")

    with CaptureQueriesContext(connection) as queries:
        found = progress_of_many(experiments)

    assert len(queries) == 1
    assert [found[each.pk].finished for each in experiments] == [2, 2, 2]
    assert progress_of_many([]) == {}


def test_errors_are_grouped_by_cause_with_the_first_as_example(project):
    experiment = make_experiment(project, version=make_version(project, datapoints=5))
    other = make_experiment(project)
    make_datapoint_runs(other, "failed")
    healed = {"status": "completed", "failures": 1, "attempts": 2}
    rows = make_datapoint_runs(
        experiment, AGAIN, {"status": "failed", "error_message": "first"}, "failed", healed, "cancelled"
    )

    with CaptureQueriesContext(connection) as queries:
        found = errors_by_cause(experiment)

    assert len(queries) == 2
    assert [(each.error_class, each.failed, each.retrying, each.example) for each in found] == [
        ("http_500", 2, 0, "first"),
        ("time_out", 0, 1, "Too slow."),
    ]
    assert found[0].example_datapoint_id == rows[1].datapoint_key
    assert errors_by_cause(make_experiment(project)) == []


def test_lists_are_newest_first_and_filtered_by_tag_and_dataset(project, caller):
    first = make_experiment(project, tags=("nightly", 'a "b" %'))
    second = make_experiment(project, tags=("night",))
    make_experiment(make_project(), tags=("nightly",))
    mine = experiments_of(caller)

    assert list(mine) == [second, first]
    assert [list(with_tag(mine, tag)) for tag in ("nightly", 'a "b" %', "nigh", "night")] == [
        [first],
        [first],
        [],
        [second],
    ]
    assert list(of_datasets(mine, first.spec["dataset_id"])) == [first]


def test_datapoint_runs_come_in_their_random_order_and_of_one_experiment_only(project):
    experiment = make_experiment(project)
    make_datapoint_runs(make_experiment(project), "pending")
    rows = make_datapoint_runs(experiment, "pending", "completed", "failed", "pending")

    assert list(datapoint_runs_of(experiment)) == rows
