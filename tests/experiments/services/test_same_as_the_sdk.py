"""A run on the server and the same run by the SDK leave the same events, result and comparison."""

import pytest

from experiments.domain.wire_runs import RunBody
from experiments.models import Event, Run
from experiments.sdk.context import ExperimentContext
from experiments.sdk.evaluators.running import EvaluatorOutcome
from experiments.sdk.running.datapoint_run import DatapointRun as SdkDatapointRun
from experiments.sdk.transport.dialects import spans_for_hhweb, traces_body
from experiments.selectors.comparison import compare_runs
from experiments.services.ingestion import ingest
from experiments.services.runs import create_run
from governance.services.projects import system_caller
from tests.experiments.scripted import Queue, script_access
from tests.experiments.services.test_turns import make_dataset, square, start
from tests.factories import make_project

pytestmark = pytest.mark.django_db(transaction=True)
# What the door of OTLP notes of a span's origin, and what the server alone knows.
ORIGIN = {
    "trace_id",
    "span_id",
    "parent_span_id",
    "has_otlp_lineage",
    "instrumentor",
    "scope",
    "service.name",
    "honeyhive_event_type",
    "attempts",
    "run_id",
}


def sdk_run(caller, experiment, dataset_id):
    """The same function over the same datapoints, by the SDK's own classes and through the server's OTLP door."""
    create_run(
        caller=caller,
        body=RunBody(run_id="by-sdk", status="completed", dataset_id=dataset_id, configuration={"function": "square"}),
    )
    finished = []
    for row in experiment.datapoint_runs.select_related("snapshot").order_by("rank"):
        run = SdkDatapointRun(
            context=ExperimentContext("by-sdk", dataset_id=dataset_id),
            datapoint_id=row.datapoint_key,
            session_id=str(row.session_key).replace("-5", "-4", 1),
            function_name="square",
            inputs=row.snapshot.inputs,
            ground_truth=row.snapshot.ground_truth,
            repetition=row.repetition,
            deliver=finished.append,
        )
        with run.active():
            run.returned(row.snapshot.inputs["number"] ** 2)
        run.judged(EvaluatorOutcome("length", {"length": len(str(run.outputs))}))
        run.close()
    ingest(
        caller=caller,
        raw=traces_body(spans_for_hhweb(finished)),
        content_type="application/json",
        content_encoding="",
        source="evaluation",
    )


def shown(run_key):
    events = Event.objects.filter(run_key=run_key, event_type__in=["session", "chain"]).order_by("datapoint_key")
    found = {}
    for event in events:
        metadata = {name: value for name, value in event.metadata.items() if name not in ORIGIN}
        found[event.datapoint_key, event.event_type] = {
            "name": event.event_name,
            "source": event.source,
            "inputs": event.inputs,
            "outputs": event.outputs,
            "metrics": event.metrics,
            "feedback": event.feedback,
            "error": event.error,
            "is_root": event.parent_key is None,
            "below_session": event.parent_key == event.session_key,
            "metadata": metadata,
        }
    return found


def test_events_result_and_comparison_are_the_same(monkeypatch):
    queue, caller = Queue(monkeypatch), system_caller(make_project())
    script_access(monkeypatch, square)
    dataset_id = make_dataset(caller, 4)
    experiment = start(caller, dataset_id)
    queue.run()
    sdk_run(caller, experiment, dataset_id)

    server, sdk = shown(experiment.run.run_key), shown("by-sdk")
    assert len(server) == 8
    for key in server:
        assert server[key] == sdk[key], key
    comparison = compare_runs(caller=caller, new=experiment.run.run_key, old="by-sdk")
    (metric,) = comparison.metrics
    assert (metric.metric_name, metric.found_count, metric.difference) == ("length", 4, 0.0)
    assert Run.objects.filter(status="completed").count() == 2
