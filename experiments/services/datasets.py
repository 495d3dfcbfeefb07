"""Use cases that write datasets.

Locks are always taken in this order: datapoints, datasets (by primary key), quota, audit chain. Whoever
changes what a dataset holds has locked its row, which is what makes positions unique and without races.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max
from django.utils import timezone

from experiments.domain.wire_datasets import DatapointContent
from experiments.models import Dataset, DatasetMembership
from experiments.selectors.datasets import datapoint_not_found, dataset_not_found
from experiments.services import datapoint_writer
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput
from governance.models import Resource
from governance.models.project import new_public_id
from governance.services import audit, quotas

_NAME_LIMIT = 255


def locked_datasets(
    caller: Caller, required: Iterable[str], *, optional: Iterable[str] = (), field: str = "dataset_id"
) -> list[Dataset]:
    """Datasets of the project, their rows locked until commit, in the one order that cannot deadlock.

    `optional` ids were read before the lock and may be gone by now.
    """
    needed = set(required)
    wanted = needed.union(optional)
    if not wanted:
        return []
    rows = Dataset.objects.filter(project_id=caller.project_id, public_id__in=wanted).order_by("pk")
    found = list(rows.select_for_update())
    if missing := needed - {dataset.public_id for dataset in found}:
        raise dataset_not_found(min(missing), field=field)
    return found


def bump_revision(datasets: Iterable[Dataset]) -> None:
    """Count a change of content; the last statement on datasets of a transaction."""
    pks = [dataset.pk for dataset in datasets]
    if pks:
        Dataset.objects.filter(pk__in=pks).update(revision=F("revision") + 1, updated_at=timezone.now())


def next_positions(datasets: Sequence[Dataset]) -> dict[int, int]:
    """First free position of each locked dataset, by primary key."""
    rows = DatasetMembership.objects.filter(dataset__in=datasets).values_list("dataset_id").annotate(Max("position"))
    last = dict(rows.order_by("dataset_id"))
    return {dataset.pk: last[dataset.pk] + 1 if dataset.pk in last else 0 for dataset in datasets}


def _valid_name(name: str) -> str:
    if not name.strip():
        raise InvalidInput("Field 'name' is empty; give the dataset a name.", field="name", value=name)
    if len(name) > _NAME_LIMIT:
        raise InvalidInput(
            f"Field 'name' has {len(name)} characters; shorten it to {_NAME_LIMIT}.", field="name", value=name[:200]
        )
    return name.strip()


def _name_is_taken(name: str) -> Conflict:
    return Conflict(
        f"Field 'name': a dataset named {name!r} exists already. Choose another name, or update that dataset.",
        field="name",
        value=name,
    )


def valid_members(caller: Caller, public_ids: Sequence[str]) -> None:
    """Refuse ids that are twice in the list or not in the project; lock the others against deletion."""
    seen: set[str] = set()
    for index, public_id in enumerate(public_ids):
        if public_id in seen:
            raise InvalidInput(
                f"Field 'datapoints.{index}': {public_id[:80]!r} is in the list twice. "
                "A dataset holds a datapoint once; leave the second out.",
                field=f"datapoints.{index}",
                value=public_id[:200],
            )
        seen.add(public_id)
    if not public_ids:
        return
    existing = datapoint_writer.existing_and_locked(project_id=caller.project_id, public_ids=public_ids)
    for index, public_id in enumerate(public_ids):
        if public_id not in existing:
            raise datapoint_not_found(public_id, field=f"datapoints.{index}")


@transaction.atomic
def create_dataset(
    *, caller: Caller, name: str | None = None, description: str = "", datapoints: Sequence[str] = ()
) -> Dataset:
    """A dataset holding the given datapoints in the given order. Without a name it gets one from its id."""
    caller.require(Action.DATASETS_WRITE)
    public_id = new_public_id()
    valid_name = f"Dataset {public_id}" if name is None else _valid_name(name)
    valid_members(caller, datapoints)
    quotas.reserve(project_id=caller.project_id, resource=Resource.DATASETS)
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                public_id=public_id, project_id=caller.project_id, name=valid_name, description=description, revision=1
            )
    except IntegrityError:
        raise _name_is_taken(valid_name) from None
    if datapoints:
        datapoint_writer.insert_memberships(
            project_id=caller.project_id, dataset_pk=dataset.pk, first_position=0, public_ids=datapoints
        )
    audit.record(
        caller=caller,
        action="dataset.create",
        target_kind="dataset",
        target_id=dataset.public_id,
        target_label=dataset.name,
        after={"name": dataset.name, "description": description, "datapoints": len(datapoints), "revision": 1},
    )
    return dataset


@transaction.atomic
def update_dataset(
    *,
    caller: Caller,
    dataset_id: str,
    name: str | None = None,
    description: str | None = None,
    datapoints: Sequence[str] | None = None,
) -> Dataset:
    """Change what is given; `datapoints` replaces the members and their order."""
    caller.require(Action.DATASETS_WRITE)
    valid_name = None if name is None else _valid_name(name)
    if datapoints is not None:
        valid_members(caller, datapoints)
    (dataset,) = locked_datasets(caller, [dataset_id])
    before: dict[str, Any] = {"revision": dataset.revision}
    after: dict[str, Any] = {"revision": dataset.revision + 1}
    if valid_name is not None and valid_name != dataset.name:
        before["name"], after["name"] = dataset.name, valid_name
        dataset.name = valid_name
    if description is not None and description != dataset.description:
        before["description"], after["description"] = dataset.description, description
        dataset.description = description
    if datapoints is not None:
        members = DatasetMembership.objects.filter(dataset=dataset)
        before["datapoints"], after["datapoints"] = members.count(), len(datapoints)
        members.delete()
        datapoint_writer.insert_memberships(
            project_id=caller.project_id, dataset_pk=dataset.pk, first_position=0, public_ids=datapoints
        )
    dataset.revision += 1
    try:
        with transaction.atomic():
            dataset.save(update_fields=["name", "description", "revision", "updated_at"])
    except IntegrityError:
        raise _name_is_taken(dataset.name) from None
    audit.record(
        caller=caller,
        action="dataset.update",
        target_kind="dataset",
        target_id=dataset.public_id,
        target_label=dataset.name,
        before=before,
        after=after,
    )
    return dataset


@transaction.atomic
def delete_dataset(*, caller: Caller, dataset_id: str) -> str:
    """Delete a dataset; its datapoints stay, and its runs keep their results. Returns the id."""
    caller.require(Action.DATASETS_WRITE)
    (dataset,) = locked_datasets(caller, [dataset_id])
    before = {
        "name": dataset.name,
        "description": dataset.description,
        "revision": dataset.revision,
        "datapoints": dataset.memberships.count(),
    }
    dataset.delete()
    quotas.give_back(project_id=caller.project_id, resource=Resource.DATASETS)
    audit.record(
        caller=caller,
        action="dataset.delete",
        target_kind="dataset",
        target_id=dataset_id,
        target_label=dataset.name,
        before=before,
    )
    return dataset_id


@transaction.atomic
def add_rows(*, caller: Caller, dataset_id: str, contents: Sequence[DatapointContent]) -> list[str]:
    """Store new datapoints at the end of a dataset; their ids in input order. Constant number of statements."""
    caller.require(Action.DATASETS_WRITE)
    (dataset,) = locked_datasets(caller, [dataset_id])
    quotas.reserve(project_id=caller.project_id, resource=Resource.DATAPOINTS, amount=len(contents))
    public_ids = datapoint_writer.insert_datapoints(project_id=caller.project_id, contents=contents)
    datapoint_writer.insert_memberships(
        project_id=caller.project_id,
        dataset_pk=dataset.pk,
        first_position=next_positions([dataset])[dataset.pk],
        public_ids=public_ids,
    )
    bump_revision([dataset])
    audit.record(
        caller=caller,
        action="dataset.add_datapoints",
        target_kind="dataset",
        target_id=dataset.public_id,
        target_label=dataset.name,
        before={"revision": dataset.revision},
        after={
            "revision": dataset.revision + 1,
            "added": len(public_ids),
            "first": public_ids[0] if public_ids else None,
            "last": public_ids[-1] if public_ids else None,
        },
    )
    return public_ids


@transaction.atomic
def remove_datapoint(*, caller: Caller, dataset_id: str, datapoint_id: str) -> None:
    """Take a datapoint out of a dataset; the datapoint itself stays."""
    caller.require(Action.DATASETS_WRITE)
    (dataset,) = locked_datasets(caller, [dataset_id])
    removed, _ = DatasetMembership.objects.filter(
        dataset=dataset, datapoint__public_id=datapoint_id, datapoint__project_id=caller.project_id
    ).delete()
    if not removed:
        raise datapoint_not_found(datapoint_id)
    bump_revision([dataset])
    audit.record(
        caller=caller,
        action="dataset.remove_datapoint",
        target_kind="dataset",
        target_id=dataset.public_id,
        target_label=dataset.name,
        before={"revision": dataset.revision, "datapoint": datapoint_id},
        after={"revision": dataset.revision + 1},
    )
