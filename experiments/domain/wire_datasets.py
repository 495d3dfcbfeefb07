"""Datasets and datapoints as the HoneyHive protocol writes them: request shapes, answers, the mapping of rows."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from governance.domain.errors import InvalidInput

Json = dict[str, Any]


class WireShape(BaseModel):
    """Clients may send keys this server has no word for; they are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)


class DatasetBody(WireShape):
    """`POST` and `PUT` of a dataset; an absent field stays as it is."""

    name: str | None = None
    description: str | None = None
    datapoints: list[str] | None = None


class DatasetBodyWithId(DatasetBody):
    """`PUT /v1/datasets`, which names its dataset in the body."""

    dataset_id: str


class DatapointBody(WireShape):
    """`POST` and `PUT` of a datapoint; an absent field stays as it is."""

    inputs: Json | None = None
    history: list[Json] | None = None
    ground_truth: Json | None = None
    metadata: Json | None = None
    linked_event: str | None = Field(default=None, max_length=64)
    linked_datasets: list[str] | None = Field(default=None, max_length=1000)


class Mapping(WireShape):
    """Which keys of a row become inputs, chat turns and ground truth."""

    inputs: list[str] | None = None
    history: list[str] | None = None
    ground_truth: list[str] | None = None


class RowsBody(WireShape):
    """`POST /v1/datasets/{dataset_id}/datapoints`."""

    data: list[Json] = Field(min_length=1)
    mapping: Mapping


class DateRange(BaseModel):
    """Both spellings of a date range: `{$gte, $lte}` and `{gte, lte}`; ISO texts or epoch milliseconds."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    gte: str | float | None = Field(default=None, alias="$gte")
    lte: str | float | None = Field(default=None, alias="$lte")


class EventsBody(WireShape):
    """`POST /v1/datapoints/batch`: datapoints out of events."""

    events: list[str] | None = None
    mapping: Mapping | None = None
    filters: Json | list[Json] | None = None
    dateRange: DateRange | None = None  # noqa: N815 - the wire's word
    checkState: Json | None = None  # noqa: N815
    selectAll: bool | None = None  # noqa: N815
    dataset_id: str | None = None


@dataclass(slots=True)
class DatapointContent:
    """What a datapoint holds, before it has an id."""

    inputs: Json = field(default_factory=dict)
    history: list[Json] = field(default_factory=list)
    ground_truth: Json | None = None
    metadata: Json | None = None
    linked_event: str | None = None


def content_of_body(body: DatapointBody) -> DatapointContent:
    """The content of a create request."""
    return DatapointContent(
        inputs=body.inputs or {},
        history=body.history or [],
        ground_truth=body.ground_truth,
        metadata=body.metadata,
        linked_event=body.linked_event,
    )


def chat_turns(value: Any, *, where: str) -> list[Json]:
    """One turn, or a list of turns; anything else is refused by name."""
    if value is None:
        return []
    turns = value if isinstance(value, list) else [value]
    if not all(isinstance(turn, dict) for turn in turns):
        raise InvalidInput(
            f"Field {where!r} is mapped to history, so it must be a chat turn such as "
            f'{{"role": "user", "content": "…"}} or a list of them; it is {str(value)[:80]!r}.',
            field=where,
            value=str(value)[:200],
        )
    return turns


def content_of_row(row: Json, mapping: Mapping, *, index: int) -> DatapointContent:
    """One row of `data`, its keys sorted into their places; keys that nothing maps go to metadata."""
    mapped = {*(mapping.inputs or ()), *(mapping.history or ()), *(mapping.ground_truth or ())}
    truth = {key: row[key] for key in mapping.ground_truth or () if key in row}
    rest = {key: value for key, value in row.items() if key not in mapped}
    return DatapointContent(
        inputs={key: row[key] for key in mapping.inputs or () if key in row},
        history=[
            turn for key in mapping.history or () for turn in chat_turns(row.get(key), where=f"data.{index}.{key}")
        ],
        ground_truth=truth or None,
        metadata=rest or None,
    )


def lookup(event: Json, path: str) -> tuple[str, Any] | None:
    """(last part of the path, value) of a dotted path in an event; a bare key is looked for in inputs, then outputs."""
    head, _, rest = path.partition(".")
    if not rest:
        for bucket in ("inputs", "outputs", "feedback", "metadata"):
            if isinstance(event.get(bucket), dict) and path in event[bucket]:
                return path, event[bucket][path]
        return (path, event[path]) if path in event else None
    value = event.get(head)
    if isinstance(value, dict) and rest in value:  # a literal dotted key comes first
        return rest, value[rest]
    for part in rest.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return path.rpartition(".")[2], value


def content_of_event(event: Json, mapping: Mapping | None) -> DatapointContent:
    """A datapoint out of one event object.

    With a mapping, its dotted paths choose. Without one: the event's inputs, its chat history, and
    `feedback.ground_truth`, else its outputs, as ground truth.
    """
    content = DatapointContent(linked_event=str(event["event_id"]))
    if mapping is not None:
        content.inputs = dict(found for path in mapping.inputs or () if (found := lookup(event, path)))
        content.ground_truth = (
            dict(found for path in mapping.ground_truth or () if (found := lookup(event, path))) or None
        )
        for path in mapping.history or ():
            if found := lookup(event, path):
                content.history += chat_turns(found[1], where=f"mapping.history.{path}")
        return content
    inputs = dict(event.get("inputs") or {})
    turns = inputs.get("chat_history")
    if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        content.history = turns
        del inputs["chat_history"]
    content.inputs = inputs
    truth = (event.get("feedback") or {}).get("ground_truth")
    if truth is None:
        truth = event.get("outputs") or None
    content.ground_truth = truth if isinstance(truth, dict) or truth is None else {"ground_truth": truth}
    return content


def dataset_object(
    *,
    public_id: str,
    name: str,
    description: str,
    created_at: dt.datetime,
    updated_at: dt.datetime,
    datapoints: Iterable[str],
) -> Json:
    """A dataset as answers show it."""
    return {
        "id": public_id,
        "name": name,
        "description": description,
        "datapoints": list(datapoints),
        "created_at": created_at.isoformat(),
        "updated_at": updated_at.isoformat(),
    }


def datapoint_object(
    *,
    public_id: str,
    inputs: Json,
    history: list[Json],
    ground_truth: Json | None,
    metadata: Json | None,
    linked_event: str | None,
    created_at: dt.datetime,
    updated_at: dt.datetime,
    linked_datasets: Iterable[str],
) -> Json:
    """A datapoint as answers show it: every key present, null where the protocol allows it."""
    return {
        "id": public_id,
        "inputs": inputs,
        "history": history,
        "ground_truth": ground_truth,
        "metadata": metadata,
        "linked_event": linked_event,
        "created_at": created_at.isoformat(),
        "updated_at": updated_at.isoformat(),
        "linked_datasets": list(linked_datasets),
    }
