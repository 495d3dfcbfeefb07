"""Exports of Langfuse: datasets, items, runs, traces, observations and scores, as its API pages, its UI tables and its
batch exports (snake_case columns) give them. Row shapes: Langfuse's public API, SDK 3 and 5.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.sdk.importers import langfuse_events
from experiments.sdk.importers.files import Row, read_rows
from experiments.sdk.importers.langfuse_events import TOOL, Index
from experiments.sdk.importers.things import (
    BadRow,
    Datapoint,
    Dataset,
    Json,
    Run,
    Thing,
    fingerprint,
    our_id,
)
from experiments.sdk.importers.values import camel, given, object_of, opened, text_of

# Kinds of rows in the order in which they are sent: an event comes before what judges it.
_READERS = (
    ("trace", langfuse_events.trace),
    ("experiment", langfuse_events.execution),
    ("observation", langfuse_events.observation),
    ("score", langfuse_events.score),
)
_KIND_OF = {"score": "scores", "trace": "sessions", "experiment": "sessions", "observation": "events"}


def read(paths: Sequence[Path], *, name: str) -> Iterator[Thing]:
    """Datasets with their items, runs, traces as sessions, observations as events, then scores."""
    index = Index()
    yield from _index(paths, name, index)
    for row, kind, value in _records(paths):
        if kind == "item":
            yield _item(row, value, name, index)
    yield from index.runs.values()
    for wanted, make in _READERS:
        for row, kind, value in _records(paths):
            if kind == wanted:
                try:
                    yield from make(value, index)
                except ValueError as error:
                    yield BadRow(row.where, f"cannot be read: {error}.", _KIND_OF[kind], text_of(value.get("id")))


# --- rows


def _records(paths: Sequence[Path]) -> Iterator[tuple[Row, str, Json]]:
    for row in read_rows(paths):
        yield from _unwrapped(row)


def _unwrapped(row: Row) -> Iterator[tuple[Row, str, Json]]:
    """The row and the rows inside it: a page's `data`, a run's items, a trace's observations and scores."""
    if not isinstance(row.value, dict):
        yield row, "bad", {}
        return
    value = camel(row.value)
    if isinstance(value.get("data"), list) and "id" not in value:
        for index, each in enumerate(value["data"]):
            yield from _unwrapped(Row(f"{row.where} data[{index}]", each))
        return
    kind = _kind(value)
    yield row, kind, value
    for key in ("datasetRunItems", "observations", "scores"):
        inner = opened(value.get(key))
        for index, each in enumerate(inner if isinstance(inner, list) else []):
            if isinstance(each, dict):  # a trace of a list names its observations and scores only
                about = {"traceId": value.get("traceId") or value.get("id")} if kind in ("trace", "experiment") else {}
                yield from _unwrapped(Row(f"{row.where} {key}[{index}]", {**about, **given(camel(each))}))


def _kind(value: Json) -> str:
    has = value.keys()
    rules = (
        ("run item", {"datasetRunId", "datasetItemId"}),
        ("experiment", {"experimentId", "traceId"}),
        ("observation", {"traceId", "type", "startTime"}),
        ("score", {"name", "value", "source"}),
        ("score", {"name", "stringValue", "traceId"}),
        ("score", {"name", "value", "traceId"}),
        ("item", {"expectedOutput"}),
        ("item", {"datasetId", "input"}),
        ("run", {"datasetId", "name", "id"}),
        ("trace", {"id", "timestamp"}),
        ("dataset", {"id", "name", "createdAt"}),
        ("item", {"input"}),
    )
    return next((kind for kind, keys in rules if keys <= has), "bad")


def _index(paths: Sequence[Path], name: str, index: Index) -> Iterator[Thing]:
    """Fill the index; yields the datasets, and what is no row of Langfuse."""
    known: set[str] = set()
    for row, kind, value in _records(paths):
        if kind == "bad":
            yield BadRow(row.where, row.fault or "is no row of an export of Langfuse.")
        elif kind == "dataset":
            known.add(str(value["id"]))
            index.datasets[text_of(value["name"])] = str(value["id"])
            yield Dataset(str(value["id"]), text_of(value["name"]), text_of(value.get("description")))
        elif kind == "item":
            if (dataset := _dataset_of(value, name)) not in known:
                known.add(dataset)
                yield Dataset(dataset, text_of(value.get("datasetName")) or name)
        elif kind == "run":
            _add_run(index, str(value["id"]), text_of(value["name"]), value)
        elif kind == "run item":
            run, dataset = str(value["datasetRunId"]), text_of(value.get("datasetId"))
            if run not in index.runs:
                _add_run(index, run, text_of(value.get("datasetRunName")), {"datasetId": dataset})
            dataset = dataset or index.runs[run].dataset or ""
            index.places[text_of(value.get("traceId"))] = (run, dataset, str(value["datasetItemId"]))
        elif kind == "experiment":
            run, dataset = str(value["experimentId"]), text_of(value.get("experimentDatasetId"))
            if run not in index.runs:
                facts = {"datasetId": dataset, "metadata": value.get("experimentMetadata")}
                facts["description"] = value.get("experimentDescription")
                _add_run(index, run, text_of(value.get("experimentName")), facts)
            item = text_of(value.get("experimentItemId") or value.get("id"))
            index.places[str(value["traceId"])] = (run, dataset, item)
        elif kind == "trace":
            index.traces.add(str(value["id"]))
        elif kind == "observation" and not value.get("parentObservationId"):
            index.rootless.setdefault(text_of(value["traceId"]), text_of(value.get("id")))


def _add_run(index: Index, source_id: str, name: str, value: Json) -> None:
    metadata = object_of(value.get("metadata"), "metadata") | given({"created_at": value.get("createdAt")})
    index.runs[source_id] = Run(
        source_id=source_id,
        run_id=our_id(TOOL, "run", source_id),
        name=name or source_id,
        description=text_of(value.get("description")),
        dataset=text_of(value.get("datasetId")) or None,
        metadata=metadata,
    )


def _dataset_of(value: Json, name: str) -> str:
    return text_of(value.get("datasetId") or value.get("datasetName")) or f"{name} (items)"


def _item(row: Row, value: Json, name: str, index: Index) -> Thing:
    content = {key: value.get(key) for key in ("input", "expectedOutput", "metadata")}
    source_id = text_of(value.get("id")) or fingerprint(content)
    truth = object_of(value.get("expectedOutput"), "expected_output")
    metadata = object_of(value.get("metadata"), "metadata")
    metadata |= given({key: value.get(key) for key in ("status", "sourceTraceId", "sourceObservationId", "createdAt")})
    return Datapoint(
        source_id,
        _dataset_of(value, name),
        object_of(value.get("input"), "input"),
        truth or None,
        metadata=metadata,
    )
