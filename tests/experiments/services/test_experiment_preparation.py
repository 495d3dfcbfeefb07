"""Who prepares an experiment: whoever gets its message, or a worker that has just come free."""

import datetime as dt

import pytest
from django.forms.models import model_to_dict
from django.utils import timezone

from experiments.domain.experiment_spec_errors import read_experiment_spec
from experiments.domain.wire_datasets import DatapointContent
from experiments.models import DatapointRun, Experiment, Lane
from experiments.services import experiment_preparation, experiments, turns
from experiments.services.datapoint_events import session_key_of
from experiments.services.datasets import add_rows, create_dataset
from governance import dispatch
from tests.experiments.scripted import script_access

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start(caller, monkeypatch):
    """Makes queued experiments whose messages get lost."""
    script_access(monkeypatch, lambda case, number: case.inputs["number"])
    monkeypatch.setattr(dispatch, "_send", lambda *args, **options: None)
    dataset = create_dataset(caller=caller, name="numbers").public_id
    rows = [DatapointContent(inputs={"number": number}) for number in range(3)]
    add_rows(caller=caller, dataset_id=dataset, contents=rows)
    spec = {"dataset_id": dataset, "target": {"kind": "http", "url": "https://target.example"}}

    def started(name):
        return experiments.create_experiment(caller=caller, spec=read_experiment_spec({**spec, "name": name}))

    return started


def test_a_worker_prepares_what_waits_before_it_takes_a_turn_and_gives_the_turn_to_it(start):
    long = start("long")
    experiment_preparation.prepare_experiment(experiment_id=long.pk)
    new = start("new")

    turns.take_turn(lane_id=Lane.objects.filter(experiment=long).first().pk)

    assert Experiment.objects.get(pk=new.pk).status == "completed"
    assert Experiment.objects.get(pk=long.pk).status == "running"


def test_the_oldest_comes_first_and_one_whose_worker_died_waits_again(start):
    first, second = start("first"), start("second")
    assert list(experiment_preparation.waiting()) == [first, second]
    claimed = {"status": "preparing", "lease_holder": "gone"}
    Experiment.objects.filter(pk=first.pk).update(leased_until=timezone.now() + dt.timedelta(minutes=1), **claimed)
    assert list(experiment_preparation.waiting()) == [second]
    Experiment.objects.filter(pk=first.pk).update(leased_until=timezone.now() - dt.timedelta(seconds=1))
    assert list(experiment_preparation.waiting()) == [first, second]

    experiment_preparation.prepare_next()

    assert {e.pk: e.status for e in Experiment.objects.all()} == {first.pk: "running", second.pk: "queued"}


def test_rows_written_in_bulk_are_those_that_the_model_would_write(start):
    experiment = start("bulk")
    experiment_preparation.prepare_experiment(experiment_id=experiment.pk)
    rows = list(DatapointRun.objects.filter(experiment=experiment).order_by("rank"))
    assert [row.rank for row in rows] == [0, 1, 2]
    for row in rows:
        wanted = DatapointRun(
            pk=row.pk,
            experiment=experiment,
            snapshot_id=row.snapshot_id,
            datapoint_key=row.snapshot.datapoint_key,
            repetition=0,
            rank=row.rank,
            session_key=session_key_of(experiment, row.datapoint_key, 0),
        )
        assert model_to_dict(row) == model_to_dict(wanted)
