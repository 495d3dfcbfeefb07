"""`/v1/datasets…` of the HoneyHive protocol."""

from collections.abc import Sequence
from typing import Any

from django.urls import path

from experiments.domain.wire_datasets import DatasetBody, DatasetBodyWithId, RowsBody, content_of_row, dataset_object
from experiments.honeyhive_api.door import Call, endpoint, resource
from experiments.models import Dataset
from experiments.selectors import datasets as selectors
from experiments.services import datasets as services
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput


def _objects(found: Sequence[Dataset]) -> list[dict[str, Any]]:
    members = selectors.datapoint_ids(found)
    return [
        dataset_object(
            public_id=dataset.public_id,
            name=dataset.name,
            description=dataset.description,
            created_at=dataset.created_at,
            updated_at=dataset.updated_at,
            datapoints=members[dataset.pk],
        )
        for dataset in found
    ]


@endpoint(Action.DATASETS_READ)
def list_datasets(call: Call) -> dict[str, Any]:
    found = selectors.datasets(call.caller)
    if dataset_id := call.query.get("dataset_id"):
        found = found.filter(public_id=dataset_id)
    if name := call.query.get("name"):
        found = found.filter(name=name)
    return {"datasets": _objects(list(found))}


@endpoint(Action.DATASETS_READ)
def get_dataset(call: Call, dataset_id: str) -> dict[str, Any]:
    return {"datasets": _objects([selectors.find_dataset(call.caller, dataset_id)])}


@endpoint(Action.DATASETS_WRITE)
def create_dataset(call: Call) -> dict[str, Any]:
    body = call.parse(DatasetBody)
    dataset = services.create_dataset(
        caller=call.caller, name=body.name, description=body.description or "", datapoints=body.datapoints or []
    )
    return {"inserted": True, "result": {"insertedId": dataset.public_id}}


def _update(call: Call, dataset_id: str, body: DatasetBody) -> dict[str, Any]:
    dataset = services.update_dataset(
        caller=call.caller,
        dataset_id=dataset_id,
        name=body.name,
        description=body.description,
        datapoints=body.datapoints,
    )
    return {"result": _objects([dataset])[0]}


@endpoint(Action.DATASETS_WRITE)
def update_dataset(call: Call, dataset_id: str) -> dict[str, Any]:
    return _update(call, dataset_id, call.parse(DatasetBody))


@endpoint(Action.DATASETS_WRITE)
def update_dataset_by_body(call: Call) -> dict[str, Any]:
    body = call.parse(DatasetBodyWithId)
    return _update(call, body.dataset_id, body)


@endpoint(Action.DATASETS_WRITE)
def delete_dataset(call: Call, dataset_id: str) -> dict[str, Any]:
    return {"result": {"id": services.delete_dataset(caller=call.caller, dataset_id=dataset_id)}}


@endpoint(Action.DATASETS_WRITE)
def delete_dataset_by_query(call: Call) -> dict[str, Any]:
    dataset_id = call.query.get("dataset_id", "")
    if not dataset_id:
        raise InvalidInput(
            "Query parameter 'dataset_id' is missing; say which dataset to delete.", field="dataset_id", value=None
        )
    return {"result": {"id": services.delete_dataset(caller=call.caller, dataset_id=dataset_id)}}


@endpoint(Action.DATASETS_WRITE)
def add_rows(call: Call, dataset_id: str) -> dict[str, Any]:
    body = call.parse(RowsBody)
    contents = [content_of_row(row, body.mapping, index=index) for index, row in enumerate(body.data)]
    public_ids = services.add_rows(caller=call.caller, dataset_id=dataset_id, contents=contents)
    return {"inserted": True, "datapoint_ids": public_ids}


@endpoint(Action.DATASETS_WRITE)
def remove_datapoint(call: Call, dataset_id: str, datapoint_id: str) -> dict[str, Any]:
    services.remove_datapoint(caller=call.caller, dataset_id=dataset_id, datapoint_id=datapoint_id)
    return {"dereferenced": True, "message": "The datapoint left the dataset; it still exists by itself."}


urlpatterns = [
    path(
        "v1/datasets",
        resource(GET=list_datasets, POST=create_dataset, PUT=update_dataset_by_body, DELETE=delete_dataset_by_query),
    ),
    path("v1/datasets/<str:dataset_id>", resource(GET=get_dataset, PUT=update_dataset, DELETE=delete_dataset)),
    # Before the next one, which would take the word `datapoints` for a datapoint's id.
    path("v1/datasets/<str:dataset_id>/datapoints", resource(POST=add_rows)),
    path("v1/datasets/<str:dataset_id>/datapoints/<str:datapoint_id>", resource(DELETE=remove_datapoint)),
    path("v1/datasets/<str:dataset_id>/<str:datapoint_id>", resource(DELETE=remove_datapoint)),
]
