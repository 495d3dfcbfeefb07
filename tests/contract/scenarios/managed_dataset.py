"""evaluate() on a managed dataset: linked and mapped datapoints, outputs that are no dictionaries, session metrics."""

from honeyhive import HoneyHive
from honeyhive.experiments import evaluate
from honeyhive.models import (
    AddDatapointsToDatasetRequest,
    CreateDatapointRequest,
    CreateDatasetRequest,
    CreateMetricRequest,
    DatapointMapping,
)
from shared import events_of, show

client = HoneyHive()
dataset_id = client.datasets.create(CreateDatasetRequest(name="words", description="four words")).result.insertedId
linked = [
    client.datapoints.create(
        CreateDatapointRequest(inputs={"word": word}, ground_truth={"length": len(word)}, linked_datasets=[dataset_id])
    ).result.insertedIds[0]
    for word in ("alpha", "be")
]
mapped = client.datasets.add_datapoints(
    dataset_id,
    AddDatapointsToDatasetRequest(
        data=[{"word": "gamma", "length": 5, "note": "greek"}, {"word": "d", "length": 2}],
        mapping=DatapointMapping(inputs=["word"], ground_truth=["length"]),
    ),
).datapoint_ids
client.metrics.create(
    CreateMetricRequest(
        name="right_length",
        type="PYTHON",
        criteria="computed by the client",
        return_type="boolean",
        threshold={"pass_when": True},
        enabled_in_prod=False,
    )
)


def measure(datapoint, tracer):
    tracer.enrich_session(metrics={"letters": len(datapoint["inputs"]["word"])})
    return len(datapoint["inputs"]["word"])


def right_length(outputs, inputs, ground_truth):
    return outputs == ground_truth["length"]


summary = evaluate(
    function=measure,
    dataset_id=dataset_id,
    evaluators=[right_length],
    name="managed",
    max_workers=2,
    print_results=False,
)
show(
    dataset_id=dataset_id,
    linked=linked,
    mapped=mapped,
    dataset=client.datasets.get_dataset(dataset_id),
    summary=summary,
    run=client.experiments.get_run(summary.run_id).evaluation,
    events=events_of(client, "metadata.run_id", summary.run_id),
)
