"""Reads of datasets and datapoints, always inside the caller's project."""

from collections.abc import Iterable, Iterator, Sequence

from django.db.models import QuerySet

from experiments.models import Datapoint, Dataset, DatasetMembership
from governance.domain.caller import Caller
from governance.domain.errors import NotFound


def datasets(caller: Caller) -> QuerySet[Dataset]:
    """The project's datasets, newest first."""
    return Dataset.objects.filter(project_id=caller.project_id).order_by("-created_at", "-id")


def datapoints(caller: Caller) -> QuerySet[Datapoint]:
    """The project's datapoints, oldest first."""
    return Datapoint.objects.filter(project_id=caller.project_id).order_by("id")


def find_dataset(caller: Caller, dataset_id: str) -> Dataset:
    """One dataset by its public id, or `NotFound`."""
    dataset = datasets(caller).filter(public_id=dataset_id).first()
    if dataset is None:
        raise dataset_not_found(dataset_id)
    return dataset


def find_datapoint(caller: Caller, datapoint_id: str) -> Datapoint:
    """One datapoint by its public id, or `NotFound`."""
    datapoint = datapoints(caller).filter(public_id=datapoint_id).first()
    if datapoint is None:
        raise datapoint_not_found(datapoint_id)
    return datapoint


def dataset_not_found(dataset_id: str, *, field: str = "dataset_id") -> NotFound:
    """The one answer for ids that do not exist and ids of other projects."""
    return NotFound(
        f"Field {field!r}: this project has no dataset {dataset_id[:80]!r}. GET /v1/datasets lists them.",
        field=field,
        value=dataset_id[:200],
    )


def datapoint_not_found(datapoint_id: str, *, field: str = "datapoint_id") -> NotFound:
    """The one answer for ids that do not exist and ids of other projects."""
    return NotFound(
        f"Field {field!r}: this project has no datapoint {datapoint_id[:80]!r}. GET /v1/datapoints lists them.",
        field=field,
        value=datapoint_id[:200],
    )


def datapoint_ids(found: Sequence[Dataset]) -> dict[int, list[str]]:
    """Public ids of the datapoints of each dataset (by primary key), in order of evaluation. One query."""
    members: dict[int, list[str]] = {dataset.pk: [] for dataset in found}
    if not members:
        return members
    # Of one or few datasets name them; beyond that read the whole project's in one scan.
    rows = DatasetMembership.objects.filter(dataset__project_id=found[0].project_id)
    if len(members) <= 500:
        rows = rows.filter(dataset_id__in=list(members))
    pairs = rows.order_by("dataset_id", "position", "id").values_list("dataset_id", "datapoint__public_id")
    for dataset_pk, public_id in pairs.iterator(chunk_size=5000):
        if dataset_pk in members:
            members[dataset_pk].append(public_id)
    return members


def linked_datasets(found: Iterable[Datapoint]) -> dict[int, list[str]]:
    """Public ids of the datasets that hold each datapoint (by primary key), oldest dataset first. One query."""
    links: dict[int, list[str]] = {datapoint.pk: [] for datapoint in found}
    if links:
        rows = DatasetMembership.objects.filter(datapoint_id__in=list(links)).order_by("dataset_id")
        for datapoint_pk, public_id in rows.values_list("datapoint_id", "dataset__public_id"):
            links[datapoint_pk].append(public_id)
    return links


def chunks_of_project(caller: Caller, *, size: int = 500) -> Iterator[list[Datapoint]]:
    """All datapoints of the project in chunks, each its own short query (key-set on the id)."""
    last = 0
    while chunk := list(datapoints(caller).filter(pk__gt=last)[:size]):
        yield chunk
        last = chunk[-1].pk


def members_in_order(dataset: Dataset) -> QuerySet[DatasetMembership]:
    """The places of a dataset with their datapoints, in order of evaluation."""
    return DatasetMembership.objects.filter(dataset=dataset).select_related("datapoint").order_by("position", "id")


def chunks_of_dataset(dataset: Dataset, *, size: int = 500) -> Iterator[list[DatasetMembership]]:
    """The places of a dataset in chunks, each its own short query (key-set on position).

    Positions are unique within a dataset: whoever appends holds the dataset's row.
    """
    last = -1
    while chunk := list(members_in_order(dataset).filter(position__gt=last)[:size]):
        yield chunk
        last = chunk[-1].position
