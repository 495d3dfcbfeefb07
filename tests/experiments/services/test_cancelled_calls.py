"""Cancelling an experiment ends calls that would never end, with real targets and a worker's turn in a thread."""

import threading
import time

import pytest
from django.db import connections

from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.wire_datasets import DatapointContent
from experiments.models import DatapointRun, Event
from experiments.services import experiments
from experiments.services.datasets import add_rows, create_dataset
from governance.services import providers
from tests.experiments.scripted import Queue
from tests.governance.outbound.servers import mute_port

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 60.0
SECONDS = 15.0  # what "within seconds" may take on a busy machine


def wait_until(condition, what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["callable", "http", "evaluator"])
def test_a_cancel_ends_calls_under_way_within_seconds(caller, monkeypatch, settings, kind) -> None:
    queue = Queue(monkeypatch)
    place = "tests.experiments.adapters.registered"
    settings.CALLABLES = [f"{name}={place}:{name}" for name in ("in_c", "shout")]
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    providers.create_rule(caller=caller, effect="allow", provider="http")
    dataset = create_dataset(caller=caller, name="questions")
    contents = [DatapointContent(inputs={"q": str(number)}) for number in range(4)]
    add_rows(caller=caller, dataset_id=dataset.public_id, contents=contents)
    with mute_port() as port:
        targets = {
            "callable": {"kind": "callable", "name": "in_c"},
            "http": {"kind": "http", "url": f"http://127.0.0.1:{port}/"},
            "evaluator": {"kind": "callable", "name": "shout"},
        }
        body = {
            "name": "endless",
            "dataset_id": dataset.public_id,
            "target": targets[kind],
            "concurrency": 2,
            "deadline_seconds": 300,
            "evaluators": [{"kind": "callable", "name": "in_c"}] if kind == "evaluator" else [],
        }
        experiment = experiments.create_experiment(caller=caller, spec=ExperimentSpec.model_validate(body))
        queue.run_one()  # prepares

        def work() -> None:
            try:
                while queue.waiting:
                    queue.run_one()
            finally:
                connections.close_all()

        worker = threading.Thread(target=work)
        worker.start()
        wait_until(lambda: DatapointRun.objects.filter(status="running").count() == 2, "no call was made")
        time.sleep(0.5)
        started = time.monotonic()
        experiments.cancel_experiment(caller=caller, run_id=experiment.run.run_key)
        worker.join(PATIENCE)
        assert not worker.is_alive(), "the worker waits for a call that never ends"
        assert time.monotonic() - started < SECONDS
    experiment.refresh_from_db()
    assert experiment.status == "cancelled"
    assert set(DatapointRun.objects.values_list("status", flat=True)) == {"cancelled"}
    assert not Event.objects.exists()
