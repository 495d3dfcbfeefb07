"""What clients may and may not do through the protocol to runs that the server executes."""

import pytest

from experiments.models import DatapointRun, DatasetVersion, Experiment, Lane, Run
from governance.models import AuditEntry, Quota, Resource
from tests.experiments.executed import make_datapoint_runs, make_experiment


@pytest.fixture
def executed(project):
    """Makes a run `r` that the server executes, in a state."""

    def make(status):
        Quota.objects.filter(project=project, resource=Resource.RUNS).update(used=1)
        experiment = make_experiment(project, status=status, run_key="r")
        make_datapoint_runs(experiment, "completed", "running")
        Lane.objects.create(experiment=experiment, number=0)
        return experiment

    return make


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "pending"])
def test_the_protocol_cannot_move_a_run_that_the_server_executes(api, executed, status):
    executed("running")

    answer = api.put("/v1/runs/r", {"status": status, "name": "other"}, content_type="application/json")

    assert answer.status_code == 409
    assert "executed by the server" in answer.json()["message"]
    assert (Run.objects.get().status, Run.objects.get().name) == ("running", "nightly")
    assert not AuditEntry.objects.filter(action="run.update").exists()


def test_everything_else_of_it_may_be_changed_and_its_own_status_repeated(api, executed):
    executed("completed")
    finished = Run.objects.get().finished_at

    answer = api.put(
        "/v1/runs/r", {"status": "completed", "metadata": {"note": "seen"}}, content_type="application/json"
    )

    assert answer.status_code == 200
    run = Run.objects.get()
    assert (run.status, run.metadata["note"], run.finished_at) == ("completed", "seen", finished)


@pytest.mark.parametrize("status", ["queued", "preparing", "running", "paused"])
def test_a_run_under_way_is_not_deleted(api, executed, status):
    executed(status)

    answer = api.delete("/v1/runs/r")

    assert answer.status_code == 409
    assert "Cancel it first" in answer.json()["message"]
    assert (Run.objects.count(), Experiment.objects.count(), DatapointRun.objects.count()) == (1, 1, 2)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_one_that_has_ended_is_deleted_with_its_executions_and_its_version_stays(api, executed, status):
    executed(status)

    assert api.delete("/v1/runs/r").status_code == 200
    assert (Run.objects.count(), Experiment.objects.count(), DatapointRun.objects.count()) == (0, 0, 0)
    assert (Lane.objects.count(), DatasetVersion.objects.count()) == (0, 1)
    assert Quota.objects.get(resource=Resource.RUNS).used == 0
