"""The client's collections from end to end: datasets, datapoints, runs, metrics, sessions, events; sync and async."""

import asyncio

from honeyhive import HoneyHive
from honeyhive._generated.api_config import HTTPException
from honeyhive.models import (
    CreateDatapointRequest,
    CreateDatasetRequest,
    CreateMetricRequest,
    PostEventBatchRequest,
    PostEventRequest,
    PostExperimentRunRequest,
    PutExperimentRunRequest,
    StartSessionRequest,
    UpdateDatapointRequest,
    UpdateDatasetRequest,
    UpdateEventRequest,
    UpdateMetricRequest,
)
from honeyhive.utils.error_handler import APIError
from shared import events_of, show

client = HoneyHive()


def status_of(call, *arguments, **options):
    """The status of the exception that the client raises, 200 when it raises none."""
    try:
        call(*arguments, **options)
    except HTTPException as error:
        return error.status_code
    return 200


def datasets():
    dataset_id = client.datasets.create(CreateDatasetRequest(name="shelf", description="first")).result.insertedId
    datapoint_id = client.datapoints.create(
        CreateDatapointRequest(
            inputs={"q": "1+1"},
            history=[{"role": "user", "content": "hi"}],
            ground_truth={"a": 2},
            metadata={"m": 1},
            linked_datasets=[dataset_id],
        )
    ).result.insertedIds[0]
    seen = client.datapoints.get(datapoint_id).datapoint
    updated = client.datapoints.update(datapoint_id, UpdateDatapointRequest(inputs={"q": "2+2"}, ground_truth={"a": 4}))
    after = client.datapoints.get(datapoint_id).datapoint
    renamed = client.datasets.update(UpdateDatasetRequest(dataset_id=dataset_id, name="shelf two")).result
    by_name = client.datasets.list(name="shelf two").datasets
    removed = client.datasets.remove_datapoint(dataset_id, datapoint_id)
    emptied = client.datasets.get_dataset(dataset_id).datasets
    deleted = client.datapoints.delete(datapoint_id)
    client.datasets.delete(dataset_id)
    return {
        "dataset_id": dataset_id,
        "datapoint_id": datapoint_id,
        "seen": [row.model_dump(mode="json") for row in seen],
        "updated": updated.model_dump(mode="json"),
        "after": [row.model_dump(mode="json") for row in after],
        "renamed": renamed.model_dump(mode="json"),
        "by_name": [row.id for row in by_name],
        "dereferenced": removed.dereferenced,
        "emptied": [row.datapoints for row in emptied],
        "deleted": deleted.deleted,
        "gone": [row.id for row in client.datasets.list(dataset_id=dataset_id).datasets],
        "gone_datapoint": status_of(client.datapoints.get, datapoint_id),
    }


def runs():
    made = [
        client.experiments.create_run(
            PostExperimentRunRequest(name=f"sweep_{i}", metadata={"i": i}, configuration={"k": {"a": i}})
        )
        for i in range(2)
    ]
    run_id = made[0].run_id
    updated = client.experiments.update_run(
        run_id,
        PutExperimentRunRequest(status="running", metadata={"j": 5}, results={"note": "half"}, configuration={"l": 1}),
    ).evaluation
    listed = client.experiments.list_runs(name="sweep", sort_by="name", sort_order="asc")
    by_ids = client.experiments.list_runs(run_ids=[row.run_id for row in made])
    deleted = client.experiments.delete_run(run_id)
    return {
        "run_ids": [row.run_id for row in made],
        "first_status": made[0].evaluation.status,
        "updated": updated.model_dump(mode="json"),
        "listed": [row.name for row in listed.evaluations],
        "pagination": listed.pagination.model_dump(),
        "by_ids": sorted(row.run_id for row in by_ids.evaluations),
        "deleted": deleted.model_dump(),
        "gone": status_of(client.experiments.get_run, run_id),
        "gone_update": status_of(client.experiments.update_run, run_id, PutExperimentRunRequest(name="x")),
        "bad_status": status_of(client.experiments.create_run, PostExperimentRunRequest(name="x", status="odd")),
        "bad_function": status_of(client.experiments.get_result, made[1].run_id, aggregate_function="mode"),
    }


def metrics():
    metric_id = client.metrics.create(
        CreateMetricRequest(name="tone", type="HUMAN", criteria="Is it kind?", return_type="float", scale=5)
    ).metric_id
    updated = client.metrics.update(UpdateMetricRequest(id=metric_id, threshold={"min": 3}, description="kindness"))
    seen = [metric.model_dump(mode="json") for metric in client.metrics.list() if metric.id == metric_id]
    deleted = client.metrics.delete(metric_id)
    return {
        "metric_id": metric_id,
        "updated": updated.updated,
        "seen": seen,
        "deleted": deleted.deleted,
        "left": [metric.name for metric in client.metrics.list() if metric.id == metric_id],
    }


def events():
    session = client.sessions.start(
        StartSessionRequest(session={"session_name": "by hand", "source": "clients", "inputs": {"x": 1}})
    )
    created = client.events.create(
        PostEventRequest(
            event={
                "event_type": "tool", "event_name": "step", "session_id": session.session_id, "source": "clients",
                "inputs": {"a": 1}, "outputs": {"b": 2}, "start_time": 1700000000000, "end_time": 1700000000250,
                "metadata": {"k": 1}, "metrics": {"m": 0.5},
            }
        )
    )  # fmt: skip
    client.events.update(UpdateEventRequest(event_id=created.event_id, metrics={"n": 2}, feedback={"good": True}))
    batch = client.events.create_batch(
        PostEventBatchRequest(
            events=[
                {"event_type": "model", "event_name": name, "inputs": {}, "source": "clients"}
                for name in ("one", "two")
            ],
            is_single_session=True,
            session_properties={"session_name": "batched"},
        )
    )
    return {
        "session_id": session.session_id,
        "event_id": created.event_id,
        "events": events_of(client, "session_id", session.session_id),
        "batch": batch.model_dump(mode="json"),
        "batched": [event["event_name"] for event in events_of(client, "session_id", batch.session_id)],
        "unknown_filter": status_of_export(),
    }


def status_of_export():
    """What the client reports for a filter type that the protocol refuses; the export raises an error of its own."""
    try:
        client.events.export(filters=[{"field": "session_id", "operator": "is", "value": "x", "type": "id"}])
    except APIError as error:
        return str(error).partition(",")[0]
    return "accepted"


async def asynchronously():
    run = await client.experiments.create_run_async(PostExperimentRunRequest(name="awaited"))
    seen = await client.experiments.get_run_async(run.run_id)
    result = await client.experiments.get_result_async(run.run_id)
    exported = await client.events.export_async(filters=[], limit=1)
    datasets = await client.datasets.list_async()
    return {
        "name": seen.evaluation.name,
        "result": {key: result[key] for key in ("status", "passed", "failed", "datapoints")},
        "exported": len(exported.events),
        "datasets": [row.name for row in datasets.datasets if row.name == "nothing of the kind"],
    }


show(datasets=datasets(), runs=runs(), metrics=metrics(), events=events(), awaited=asyncio.run(asynchronously()))
