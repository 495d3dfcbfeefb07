"""Use cases that write datapoints. Order of locks: see services/datasets.py."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from experiments.domain.filters import BUCKETS, parse_filters, parse_time_range
from experiments.domain.wire_datasets import DatapointContent, EventsBody, content_of_event
from experiments.models import Datapoint, Dataset, DatasetMembership, Event
from experiments.selectors.datasets import datapoint_not_found
from experiments.selectors.event_conditions import as_q
from experiments.services import datapoint_writer
from experiments.services.datasets import add_rows, bump_revision, locked_datasets, next_positions
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput, NotFound
from governance.models import Resource
from governance.services import audit, quotas

# Far below the number of parameters either database takes in one statement.
MAX_EVENTS = 10_000
_AUDITED_CHARACTERS = 2000
_CONTENT = ("inputs", "history", "ground_truth", "metadata", "linked_event")


def shown(value: Any) -> Any:
    """A value as the audit trail keeps it: its JSON as text when short, else its size and hash.

    Text, because jsonb may give a number back in another form (1e22, -0.0), and the chain hashes what it reads.
    """
    if value is None:
        return None
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(text) <= _AUDITED_CHARACTERS:
        return text
    return {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _link(datapoint_pk: int, datasets: Sequence[Dataset]) -> None:
    positions = next_positions(datasets)
    DatasetMembership.objects.bulk_create(
        [
            DatasetMembership(dataset=dataset, datapoint_id=datapoint_pk, position=positions[dataset.pk])
            for dataset in datasets
        ]
    )


@transaction.atomic
def create_datapoint(*, caller: Caller, content: DatapointContent, linked_datasets: Sequence[str] = ()) -> str:
    """A datapoint, appended to each of the datasets named; returns its id."""
    caller.require(Action.DATASETS_WRITE)
    datasets = locked_datasets(caller, linked_datasets, field="linked_datasets")
    quotas.reserve(project_id=caller.project_id, resource=Resource.DATAPOINTS)
    datapoint = Datapoint.objects.create(
        project_id=caller.project_id, **{name: getattr(content, name) for name in _CONTENT}
    )
    if datasets:
        _link(datapoint.pk, datasets)
        bump_revision(datasets)
    audit.record(
        caller=caller,
        action="datapoint.create",
        target_kind="datapoint",
        target_id=datapoint.public_id,
        after={"linked_datasets": [dataset.public_id for dataset in datasets]},
    )
    return datapoint.public_id


@transaction.atomic
def create_from_contents(
    *, caller: Caller, contents: Sequence[DatapointContent], dataset_id: str | None = None
) -> list[str]:
    """Many datapoints at once, at the end of a dataset when one is named; their ids in input order."""
    caller.require(Action.DATASETS_WRITE)
    if dataset_id is not None:
        return add_rows(caller=caller, dataset_id=dataset_id, contents=contents)
    quotas.reserve(project_id=caller.project_id, resource=Resource.DATAPOINTS, amount=len(contents))
    public_ids = datapoint_writer.insert_datapoints(project_id=caller.project_id, contents=contents)
    audit.record(
        caller=caller,
        action="datapoint.create_batch",
        target_kind="datapoint",
        target_id=public_ids[0] if public_ids else "",
        after={"added": len(public_ids), "last": public_ids[-1] if public_ids else None},
    )
    return public_ids


def _chosen_events(caller: Caller, body: EventsBody) -> list[Event]:
    """The events a request means: those it lists, or (selectAll) all that match its filters, oldest first."""
    found = Event.objects.filter(project_id=caller.project_id)
    states = body.checkState or {}
    if len(states) > MAX_EVENTS:
        raise InvalidInput(
            f"Field 'checkState' names {len(states)} events; send at most {MAX_EVENTS} at a time.", field="checkState"
        )
    if body.selectAll:
        for condition in parse_filters(body.filters):
            found = found.filter(as_q(condition, project_public_id=caller.project_public_id))
        span = parse_time_range(body.dateRange.model_dump(by_alias=True) if body.dateRange else None)
        if span.since is not None:
            found = found.filter(start_time__gte=span.since)
        if span.until is not None:
            found = found.filter(start_time__lte=span.until)
        left_out = _event_keys([key for key, checked in states.items() if not checked], field="checkState")
        found = found.exclude(event_key__in=left_out)
        chosen = list(found.order_by("start_time", "id")[: MAX_EVENTS + 1])
        if len(chosen) > MAX_EVENTS:
            raise InvalidInput(
                f"More than {MAX_EVENTS} events match; narrow 'filters' or 'dateRange'.", field="filters", value=None
            )
        return chosen
    listed = [*(body.events or ()), *(key for key, checked in states.items() if checked)]
    keys = list(dict.fromkeys(_event_keys(listed, field="events")))
    if not keys:
        raise InvalidInput(
            "Field 'events' names no event; send event ids, or selectAll with filters.", field="events", value=None
        )
    if len(keys) > MAX_EVENTS:
        raise InvalidInput(
            f"Field 'events' names {len(keys)} events; send at most {MAX_EVENTS} at a time.", field="events"
        )
    by_key = {event.event_key: event for event in found.filter(event_key__in=keys)}
    for key in keys:
        if key not in by_key:
            raise NotFound(f"Field 'events': this project has no event '{key}'.", field="events", value=str(key))
    return [by_key[key] for key in keys]


def _event_keys(texts: Sequence[str], *, field: str) -> list[uuid.UUID]:
    keys = []
    for text in texts:
        try:
            keys.append(uuid.UUID(text))
        except ValueError:
            raise InvalidInput(
                f"Field {field!r}: {text[:80]!r} is not the UUID of an event.", field=field, value=text[:200]
            ) from None
    return keys


@transaction.atomic
def create_from_events(*, caller: Caller, body: EventsBody) -> list[str]:
    """Datapoints out of events, in the order listed or of time; their ids. Constant number of statements."""
    caller.require(Action.DATASETS_WRITE)
    caller.require(Action.EVENTS_READ)
    contents = [
        content_of_event(
            {
                "event_id": str(event.event_key),
                "event_name": event.event_name,
                "event_type": event.event_type,
                "error": event.error,
                **{bucket: getattr(event, bucket) for bucket in BUCKETS},
            },
            body.mapping,
        )
        for event in _chosen_events(caller, body)
    ]
    return create_from_contents(caller=caller, contents=contents, dataset_id=body.dataset_id)


def _locked_datapoint(caller: Caller, datapoint_id: str) -> Datapoint:
    rows = Datapoint.objects.filter(project_id=caller.project_id, public_id=datapoint_id)
    datapoint = rows.select_for_update().first()
    if datapoint is None:
        raise datapoint_not_found(datapoint_id)
    return datapoint


def _datasets_of(datapoint: Datapoint) -> set[str]:
    return set(DatasetMembership.objects.filter(datapoint=datapoint).values_list("dataset__public_id", flat=True))


@transaction.atomic
def update_datapoint(
    *, caller: Caller, datapoint_id: str, changes: dict[str, Any], linked_datasets: Sequence[str] | None = None
) -> Datapoint:
    """Replace each given field whole. `linked_datasets` names all datasets the datapoint is to be in."""
    caller.require(Action.DATASETS_WRITE)
    datapoint = _locked_datapoint(caller, datapoint_id)
    held = _datasets_of(datapoint)
    wanted = held if linked_datasets is None else set(linked_datasets)
    datasets = locked_datasets(caller, wanted - held, optional=held, field="linked_datasets")
    before = {name: shown(getattr(datapoint, name)) for name in _CONTENT if name in changes}
    for name in before:
        setattr(datapoint, name, changes[name])
    datapoint.save(update_fields=[*before, "updated_at"])
    if wanted != held:
        leaving = [dataset for dataset in datasets if dataset.public_id not in wanted]
        DatasetMembership.objects.filter(datapoint=datapoint, dataset__in=leaving).delete()
        _link(datapoint.pk, [dataset for dataset in datasets if dataset.public_id not in held])
    bump_revision(datasets)
    audit.record(
        caller=caller,
        action="datapoint.update",
        target_kind="datapoint",
        target_id=datapoint.public_id,
        before={**before, "linked_datasets": sorted(held)},
        after={**{name: shown(changes[name]) for name in before}, "linked_datasets": sorted(wanted)},
    )
    return datapoint


@transaction.atomic
def delete_datapoint(*, caller: Caller, datapoint_id: str) -> None:
    """Delete a datapoint; it leaves every dataset."""
    caller.require(Action.DATASETS_WRITE)
    datapoint = _locked_datapoint(caller, datapoint_id)
    held = _datasets_of(datapoint)
    datasets = locked_datasets(caller, (), optional=held)
    before = {name: shown(getattr(datapoint, name)) for name in _CONTENT}
    datapoint.delete()
    bump_revision(datasets)
    quotas.give_back(project_id=caller.project_id, resource=Resource.DATAPOINTS)
    audit.record(
        caller=caller,
        action="datapoint.delete",
        target_kind="datapoint",
        target_id=datapoint_id,
        before={**before, "linked_datasets": sorted(held)},
    )
