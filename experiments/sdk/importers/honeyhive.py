"""Exports of hosted HoneyHive: events, runs ("evaluations"), datasets and datapoints as its API gives them.

The protocol is ours, so ids that fit stay what they are: code and notes that name a session find it again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.sdk.importers.files import Row, read_rows
from experiments.sdk.importers.things import (
    RUN_STATUSES,
    BadRow,
    Datapoint,
    Dataset,
    Event,
    Json,
    Run,
    Thing,
    marks,
    our_id,
    uuid_of,
)
from experiments.sdk.importers.values import epoch_ms, given, object_of, text_of
from experiments.sdk.jsonable import jsonable

TOOL = "honeyhive"
EVENT_TYPES = ("model", "tool", "chain", "session")
LOOSE = "honeyhive-datapoints"  # the dataset of datapoints that name none

# Key of an answer of the API -> what its elements are.
_WRAPPERS = {
    "events": "event",
    "evaluations": "run",
    "evaluation": "run",
    "runs": "run",
    "datasets": "dataset",
    "testcases": "dataset",
    "datapoints": "datapoint",
    "datapoint": "datapoint",
}
_OBJECTS = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")
_RUN_FIELDS = {"id", "run_id", "name", "description", "status", "dataset_id", "configuration", "metadata", "results"}
_RUN_FIELDS |= {"event_ids", "_id", "project", "project_id", "tenant", "scope_type", "scope_id", "is_active"}


def read(paths: Sequence[Path], *, name: str) -> Iterator[Thing]:
    """Datasets with their datapoints, then runs, then events."""
    members: dict[str, str] = {}  # id of a datapoint -> id of the dataset that lists it
    known: set[str] = set()
    has_loose = False
    for row, kind, value in _records(paths):
        if kind == "dataset":
            found = _dataset(row, value, name)
            if isinstance(found, Dataset):
                known.add(found.source_id)
                for member in value.get("datapoints") or []:
                    members.setdefault(_id(member) if isinstance(member, dict) else str(member), found.source_id)
            yield found
        elif kind == "datapoint":
            has_loose = has_loose or not _dataset_of(value, members)
        elif kind == "bad":
            yield BadRow(row.where, row.fault or f"{str(row.value)[:80]} is no event, run, dataset or datapoint.")
    if has_loose:
        yield Dataset(LOOSE, name)
    for row, kind, value in _records(paths):
        if kind == "dataset":
            embedded = [each for each in value.get("datapoints") or [] if isinstance(each, dict)]
            for each in embedded:
                yield _datapoint(row, each, _id(value))
        elif kind == "datapoint":
            dataset = _dataset_of(value, members)
            if dataset and dataset not in known:
                known.add(dataset)
                yield Dataset(dataset, f"{name} {dataset}")
            yield _datapoint(row, value, dataset or LOOSE)
    for row, kind, value in _records(paths):
        if kind == "run":
            yield _run(row, value)
    for row, kind, value in _records(paths):
        if kind == "event":
            yield _event(row, value)


def _records(paths: Sequence[Path]) -> Iterator[tuple[Row, str, Json]]:
    for row in read_rows(paths):
        if not isinstance(row.value, dict):
            yield row, "bad", {}
            continue
        wrapped = [key for key in _WRAPPERS if isinstance(row.value.get(key), list | dict)]
        if wrapped and not {"event_type", "run_id", "name", "inputs"} & row.value.keys():
            for key in wrapped:
                values = row.value[key] if isinstance(row.value[key], list) else [row.value[key]]
                for index, value in enumerate(values):
                    inner = Row(f"{row.where} {key}[{index}]", value)
                    yield (inner, _WRAPPERS[key], value) if isinstance(value, dict) else (inner, "bad", {})
        else:
            yield row, _kind(row.value), row.value


def _kind(value: Json) -> str:
    if "event_type" in value or {"session_id", "event_name"} <= value.keys():
        return "event"
    if "run_id" in value:
        return "run"
    if "inputs" in value or "ground_truth" in value:
        return "datapoint"
    return "dataset" if "name" in value and isinstance(value.get("datapoints", []), list) else "bad"


def _id(value: Json) -> str:
    return text_of(value.get("id") or value.get("_id") or value.get("dataset_id"))


def _dataset_of(value: Json, members: dict[str, str]) -> str:
    linked = value.get("linked_datasets") or []
    return members.get(_id(value)) or (str(linked[0]) if isinstance(linked, list) and linked else "")


def _dataset(row: Row, value: Json, name: str) -> Thing:
    source_id = _id(value)
    if not source_id:
        return BadRow(row.where, "the dataset has no id.", "datasets")
    return Dataset(source_id, text_of(value.get("name")) or name, text_of(value.get("description")))


def _datapoint(row: Row, value: Json, dataset: str) -> Thing:
    source_id = _id(value)
    if not source_id:
        return BadRow(row.where, "the datapoint has no id.", "datapoints")
    history = value.get("history")
    turns = [turn for turn in jsonable(history) if isinstance(turn, dict)] if isinstance(history, list) else []
    truth = object_of(value.get("ground_truth"), "ground_truth")
    metadata = object_of(value.get("metadata"), "metadata")
    return Datapoint(source_id, dataset, object_of(value.get("inputs"), "input"), truth or None, turns, metadata)


def _run(row: Row, value: Json) -> Thing:
    run_id = text_of(value.get("run_id"))
    if not run_id:
        return BadRow(row.where, "the run has no run_id.", "runs")
    status = text_of(value.get("status")) or "completed"
    if status not in RUN_STATUSES:
        return BadRow(row.where, f"status {status!r} is unknown; {', '.join(RUN_STATUSES)} are known.", "runs", run_id)
    metadata = object_of(value.get("metadata"), "metadata")
    rest = {key: value[key] for key in value if key not in _RUN_FIELDS and value[key] is not None}
    dataset = text_of(value.get("dataset_id") or metadata.get("offline_dataset_id"))
    return Run(
        source_id=run_id,
        run_id=run_id,
        name=text_of(value.get("name")) or run_id,
        status=status,
        description=text_of(value.get("description")),
        dataset=dataset or None,
        configuration=object_of(value.get("configuration"), "configuration"),
        metadata={**jsonable(rest), **metadata},
        results=object_of(value.get("results"), "results"),
        event_ids=[_event_id(each) for each in value.get("event_ids") or []],
    )


def _event_id(value: Any) -> str:
    return uuid_of(value) or our_id(TOOL, "event", str(value))


def _event(row: Row, value: Json) -> Thing:
    kind = "sessions" if value.get("event_type") == "session" else "events"
    source_id = text_of(value.get("event_id") or (kind == "sessions" and value.get("session_id")) or value.get("_id"))
    session = text_of(value.get("session_id") or (source_id if kind == "sessions" else ""))
    if not source_id or not session:
        return BadRow(row.where, "the event has no event_id or no session_id.", kind, source_id)
    if value.get("event_type") not in EVENT_TYPES:
        reason = f"event_type {value.get('event_type')!r} is unknown; {', '.join(EVENT_TYPES)} are known."
        return BadRow(row.where, reason, kind, source_id)
    body: Json = {name: object_of(value.get(name), name) for name in _OBJECTS}
    try:
        times = {name: epoch_ms(value.get(name)) for name in ("start_time", "end_time")}
    except ValueError as error:
        return BadRow(row.where, f"a time cannot be read: {error}.", kind, source_id)
    metadata = body["metadata"]
    dataset, datapoint = (text_of(metadata.pop(each, None)) or None for each in ("dataset_id", "datapoint_id"))
    body |= given(
        {
            **times,
            "duration": value.get("duration") if isinstance(value.get("duration"), int | float) else None,
            "event_name": text_of(value.get("event_name")),
            "source": text_of(value.get("source") or metadata.get("source")),
            "error": text_of(value.get("error")),
            "children_ids": [_event_id(each) for each in value.get("children_ids") or []],
        }
    )
    body |= {"event_id": _event_id(source_id), "session_id": _event_id(session), "event_type": value["event_type"]}
    if body["event_id"] != body["session_id"]:
        body["parent_id"] = _event_id(value.get("parent_id") or session)
    body["metadata"] = {**metadata, **marks(TOOL, source_id)}
    return Event(source_id, body, dataset, datapoint)
