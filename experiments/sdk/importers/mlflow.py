"""Exports of MLflow: traces (`Trace.to_json`, `search_traces` as CSV or JSON), results of `genai.evaluate`, tables of
`models.evaluate` (`eval_results_table.json`), records of evaluation datasets. Seen with MLflow 3; traces of 2 are read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.sdk.importers import mlflow_traces
from experiments.sdk.importers.files import Row, read_rows
from experiments.sdk.importers.mlflow_traces import TOOL
from experiments.sdk.importers.things import (
    BadRow,
    Datapoint,
    Dataset,
    Event,
    Json,
    Run,
    Score,
    Thing,
    fingerprint,
    marks,
    our_id,
)
from experiments.sdk.importers.values import object_of, opened, text_of

_OUTPUTS = ("outputs", "output", "predictions", "prediction", "response")
_TRUTHS = ("targets", "target", "ground_truth", "truth", "label", "expected_response", "expectations")
_SCORE, _REASONS = "score", ("justification", "rationale")


@dataclass
class _Index:
    """Ids of the whole export, from a first reading."""

    runs: dict[str, str] = field(default_factory=dict)  # run -> id of the experiment it is of
    records: dict[str, str] = field(default_factory=dict)  # fingerprint of inputs -> id of their dataset
    tables: dict[str, Any] = field(default_factory=dict)  # file -> hash of its rows


def read(paths: Sequence[Path], *, name: str) -> Iterator[Thing]:
    """Datasets with their records, runs, then traces or rows of tables as sessions with their judgments."""
    index = _Index()
    yield from _index(paths, name, index)
    for _, kind, value in _records(paths):
        if kind == "record":
            yield _record(value, name)
    tables = {file: f"{name}:{found.hexdigest()[:16]}" for file, found in index.tables.items()}
    runs = [*index.runs, *tables.values()]
    for run in runs:
        title = name if len(runs) == 1 else f"{name} {run.rpartition(':')[2][:8]}"
        yield Run(run, our_id(TOOL, "run", run), title)
    seen: dict[str, int] = {}
    for row, kind, value in _records(paths):
        if kind == "trace":
            try:
                yield from mlflow_traces.trace(value, index.records)
            except (ValueError, KeyError, TypeError) as error:
                found = text_of((value.get("info") or {}).get("trace_id"))
                yield BadRow(row.where, f"the trace cannot be read: {error!r}.", "sessions", found)
        elif kind == "table":
            table = tables[_file_of(row)]
            number = seen[table] = seen.get(table, -1) + 1
            yield from _table_row(value, table, number, index)


def _records(paths: Sequence[Path]) -> Iterator[tuple[Row, str, Json]]:
    for row in read_rows(paths):
        value = row.value
        if isinstance(value, dict) and isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
            for index, cells in enumerate(value["data"]):
                inner = Row(f"{row.where} data[{index}]", None)
                if isinstance(cells, list) and len(cells) == len(value["columns"]):
                    yield _told(inner, dict(zip(map(str, value["columns"]), cells, strict=True)))
                else:
                    yield inner, "bad", {}
        elif isinstance(value, dict) and isinstance(value.get("traces"), list):
            for index, each in enumerate(value["traces"]):
                yield _told(Row(f"{row.where} traces[{index}]", each), each if isinstance(each, dict) else {})
        else:
            yield _told(row, value if isinstance(value, dict) else {})


def _told(row: Row, value: Json) -> tuple[Row, str, Json]:
    """What a row is; a trace in a column comes out of it."""
    inside = opened(value.get("trace"))
    if isinstance(inside, dict) and "info" in inside:
        return row, "trace", inside
    if isinstance(value.get("info"), dict):
        return row, "trace", value
    if "dataset_record_id" in value or {"inputs", "expectations"} <= value.keys():
        return row, "record", value
    if "trace_id" in value and ("spans" in value or "request" in value):
        return row, "trace", mlflow_traces.from_columns(value)
    return row, "table" if value else "bad", value


def _file_of(row: Row) -> str:
    return row.where.partition(" data[")[0].partition("[")[0].partition(":")[0]


def _index(paths: Sequence[Path], name: str, index: _Index) -> Iterator[Thing]:
    has_dataset = False
    for row, kind, value in _records(paths):
        if kind == "bad":
            yield BadRow(row.where, row.fault or "is no trace, record or table row of MLflow.")
        elif kind == "record":
            if not has_dataset:
                has_dataset = True
                yield Dataset(name, name)
            index.records[fingerprint(object_of(value.get("inputs"), "input"))] = name
        elif kind == "table":
            found = index.tables.setdefault(_file_of(row), hashlib.sha256())
            found.update(fingerprint(value).encode())
        elif run := mlflow_traces.run_of(value):
            index.runs.setdefault(run, "")


def _record(value: Json, name: str) -> Thing:
    """Records are known by their inputs: that is what ties the traces of an evaluation to them."""
    inputs = object_of(value.get("inputs"), "input")
    rest = {key: value[key] for key in ("dataset_record_id", "tags", "source", "created_time") if value.get(key)}
    truth = object_of(value.get("expectations"), "expectations")
    return Datapoint(fingerprint(inputs), name, inputs, truth or None, metadata=rest)


def _table_row(value: Json, table: str, number: int, index: _Index) -> Iterator[Thing]:
    """A row as a session: columns named as scores are scores, known names are outputs and truth, the rest inputs."""
    inputs: Json = {}
    outputs: Json = {}
    truth: Json = {}
    scores: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for column, cell in value.items():
        metric, _, part = column.rpartition("/")
        if metric and part in (_SCORE, "value"):
            scores[_metric_name(metric)] = cell
        elif metric and part in _REASONS:
            reasons[_metric_name(metric)] = text_of(cell)
        elif column in _OUTPUTS:
            outputs |= object_of(cell, column)
        elif column in _TRUTHS:
            truth |= object_of(cell, column)
        else:
            inputs[column] = opened(cell)
    source_id = f"{table}/{number}"
    session, datapoint = our_id(TOOL, "row", source_id), fingerprint(inputs)
    body = {
        "event_id": session,
        "session_id": session,
        "event_type": "session",
        "event_name": "row",
        "source": "evaluation",
        "inputs": inputs,
        "outputs": outputs,
        "feedback": {"ground_truth": truth} if truth else {},
        "metadata": {"run_id": our_id(TOOL, "run", table), **marks(TOOL, source_id)},
    }
    yield Event(source_id, body, *mlflow_traces.place_of(datapoint, index.records))
    for name, cell in scores.items():
        if (found := mlflow_traces.plain(cell)) is not None:
            yield Score(f"{source_id}/{name}", session, session, name, found, reasons.get(name) or None)


def _metric_name(metric: str) -> str:
    """`exact` of `exact/v1`."""
    name, _, version = metric.rpartition("/")
    return name if name and version[:1] == "v" and version[1:].isdecimal() else metric
