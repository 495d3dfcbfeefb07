"""`/v1/datapoints…` of the HoneyHive protocol."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import path

from experiments.domain.wire_datasets import DatapointBody, EventsBody, content_of_body, datapoint_object
from experiments.honeyhive_api.door import Call, dump, endpoint, resource
from experiments.models import Datapoint
from experiments.selectors import datasets as selectors
from experiments.services import datapoints as services
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

_MAX_IDS = 1000


def _objects(found: Sequence[Datapoint]) -> list[dict[str, Any]]:
    links = selectors.linked_datasets(found)
    return [
        datapoint_object(
            public_id=datapoint.public_id,
            inputs=datapoint.inputs,
            history=datapoint.history,
            ground_truth=datapoint.ground_truth,
            metadata=datapoint.metadata,
            linked_event=datapoint.linked_event,
            created_at=datapoint.created_at,
            updated_at=datapoint.updated_at,
            linked_datasets=links[datapoint.pk],
        )
        for datapoint in found
    ]


def _stream(chunks: Iterator[list[Datapoint]]) -> Iterator[bytes]:
    """The whole answer in pieces: the protocol has no paging here, and memory is not to grow with rows."""
    yield b'{"datapoints":['
    separator = b""
    for chunk in chunks:
        yield separator + b",".join(dump(each) for each in _objects(chunk))
        separator = b","
    yield b"]}"


@endpoint(Action.DATASETS_READ)
def list_datapoints(call: Call) -> dict[str, Any] | HttpResponseBase:
    wanted = [each for text in call.texts("datapoint_ids") for each in text.split(",") if each]
    dataset_name = call.query.get("dataset_name")
    if len(wanted) > _MAX_IDS:
        raise InvalidInput(
            f"Query parameter 'datapoint_ids' names {len(wanted)} ids; send at most {_MAX_IDS} at a time.",
            field="datapoint_ids",
            value=len(wanted),
        )
    if wanted:
        rows = selectors.datapoints(call.caller).filter(public_id__in=wanted)
        if dataset_name:
            rows = rows.filter(
                memberships__dataset__name=dataset_name, memberships__dataset__project_id=call.caller.project_id
            )
        found = {datapoint.public_id: datapoint for datapoint in rows}
        # In the order asked for, each once.
        return {"datapoints": _objects([found[each] for each in dict.fromkeys(wanted) if each in found])}
    if dataset_name:
        dataset = selectors.datasets(call.caller).filter(name=dataset_name).first()
        if dataset is None:
            return {"datapoints": []}
        chunks: Iterator[list[Datapoint]] = (
            [member.datapoint for member in chunk] for chunk in selectors.chunks_of_dataset(dataset)
        )
    else:
        chunks = selectors.chunks_of_project(call.caller)
    return StreamingHttpResponse(_stream(chunks), content_type="application/json")


@endpoint(Action.DATASETS_READ)
def get_datapoint(call: Call, datapoint_id: str) -> dict[str, Any]:
    return {"datapoint": _objects([selectors.find_datapoint(call.caller, datapoint_id)])}


@endpoint(Action.DATASETS_WRITE)
def create_datapoint(call: Call) -> dict[str, Any]:
    body = call.parse(DatapointBody)
    public_id = services.create_datapoint(
        caller=call.caller, content=content_of_body(body), linked_datasets=body.linked_datasets or []
    )
    return {"inserted": True, "result": {"insertedIds": [public_id]}}


@endpoint(Action.DATASETS_WRITE)
def update_datapoint(call: Call, datapoint_id: str) -> dict[str, Any]:
    body = call.parse(DatapointBody)
    changes = body.model_dump(exclude_none=True, exclude={"linked_datasets"})
    services.update_datapoint(
        caller=call.caller, datapoint_id=datapoint_id, changes=changes, linked_datasets=body.linked_datasets
    )
    return {"updated": True, "result": {"modifiedCount": 1}}


@endpoint(Action.DATASETS_WRITE)
def delete_datapoint(call: Call, datapoint_id: str) -> dict[str, Any]:
    services.delete_datapoint(caller=call.caller, datapoint_id=datapoint_id)
    return {"deleted": True}


@endpoint(Action.DATASETS_WRITE)
def create_from_events(call: Call) -> dict[str, Any]:
    body = call.parse(EventsBody)
    public_ids = services.create_from_events(caller=call.caller, body=body)
    return {"inserted": True, "insertedIds": public_ids}


urlpatterns = [
    path("v1/datapoints", resource(GET=list_datapoints, POST=create_datapoint)),
    # Before the next one, which would take the word `batch` for an id.
    path("v1/datapoints/batch", resource(POST=create_from_events)),
    path(
        "v1/datapoints/<str:datapoint_id>",
        resource(GET=get_datapoint, PUT=update_datapoint, DELETE=delete_datapoint),
    ),
]
