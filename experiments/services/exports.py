"""Exports: who takes which rows out of the house is audited before the first byte leaves.

Every function returns an `Export` whose rows are read while they are sent, in short queries by key-set.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import transaction

from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate_name
from experiments.domain.export_rows import (
    COMPARISON,
    DATAPOINT_RUNS,
    DATAPOINTS,
    EVENTS,
    RUN_DATAPOINTS,
    RUN_METRICS,
)
from experiments.domain.run_results import DatapointResult, MetricResult
from experiments.models import DatapointRun, Dataset, Event
from experiments.selectors import event_pages
from experiments.selectors.comparison import compare_runs
from experiments.selectors.datasets import chunks_of_dataset, find_dataset
from experiments.selectors.experiments import chunks_of_datapoint_runs, get_experiment
from experiments.selectors.results import iter_datapoint_rows, result_of_run
from experiments.telemetry import EXPORTS
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.file_exports import Export, ExportSchema
from governance.services import audit


def export_dataset(*, caller: Caller, dataset_id: str) -> Export:
    """The datapoints of a dataset, in order of evaluation."""
    caller.require(Action.EXPORTS_READ)
    dataset = find_dataset(caller, dataset_id)
    filters = {"dataset_id": dataset.public_id, "name": dataset.name, "revision": dataset.revision}
    record_export(caller, DATAPOINTS, target_kind="dataset", target_id=dataset.public_id, filters=filters)
    return Export(DATAPOINTS, caller.project_public_id, dataset.public_id, filters, _dataset_rows(dataset))


def export_events(*, caller: Caller, selection: event_pages.EventSelection) -> Export:
    """The events of a selection, oldest first."""
    caller.require(Action.EXPORTS_READ)
    filters = selection.given()
    record_export(caller, EVENTS, target_kind="events", target_id=selection.run_id or "", filters=filters)
    found = event_pages.selected(caller, selection)
    rows = (_event_row(event) for chunk in event_pages.chunks(found) for event in chunk)
    return Export(EVENTS, caller.project_public_id, selection.run_id or "", filters, rows)


def export_run_datapoints(*, caller: Caller, run_id: str) -> Export:
    """One row per value of a metric at a datapoint of a run; a datapoint without any has one row of its own."""
    caller.require(Action.EXPORTS_READ)
    caller.require(Action.RUNS_READ)
    found = iter_datapoint_rows(caller=caller, run_key=run_id)
    filters = {"run_id": run_id}
    record_export(caller, RUN_DATAPOINTS, target_kind="run", target_id=run_id, filters=filters)
    rows = (row for datapoint in found for row in _datapoint_rows(run_id, datapoint))
    return Export(RUN_DATAPOINTS, caller.project_public_id, run_id, filters, rows)


def export_run_metrics(*, caller: Caller, run_id: str, aggregate_function: str = DEFAULT_AGGREGATE) -> Export:
    """One row per metric and event name of a run, aggregated."""
    caller.require(Action.EXPORTS_READ)
    caller.require(Action.RUNS_READ)
    function = aggregate_name(aggregate_function)
    result = result_of_run(caller=caller, run_key=run_id, aggregate_function=function)
    filters = {"run_id": run_id, "aggregate_function": function}
    record_export(caller, RUN_METRICS, target_kind="run", target_id=run_id, filters=filters)
    rows = [_metric_row(run_id, function, metric) for metric in result.metrics]
    return Export(RUN_METRICS, caller.project_public_id, run_id, filters, rows)


def export_comparison(*, caller: Caller, new: str, old: str, aggregate_function: str = DEFAULT_AGGREGATE) -> Export:
    """One row per metric and event name of two runs."""
    caller.require(Action.EXPORTS_READ)
    caller.require(Action.RUNS_READ)
    function = aggregate_name(aggregate_function)
    compared = compare_runs(caller=caller, new=new, old=old, aggregate_function=function)
    filters = {"new_run_id": new, "old_run_id": old, "aggregate_function": function}
    record_export(caller, COMPARISON, target_kind="run", target_id=new, filters=filters)
    rows = [
        (
            new,
            old,
            metric.metric_name,
            metric.metric_type,
            metric.event_name,
            metric.event_type,
            metric.direction,
            function,
            metric.old_aggregate,
            metric.new_aggregate,
            metric.difference,
            metric.percentage_change,
            metric.found_count,
            len(metric.improved),
            len(metric.degraded),
            len(metric.same),
        )
        for metric in compared.metrics
    ]
    return Export(COMPARISON, caller.project_public_id, f"{new[:40]}-vs-{old[:40]}", filters, rows)


def export_datapoint_runs(*, caller: Caller, run_id: str) -> Export:
    """One row per execution of a datapoint by the server, in their random order."""
    caller.require(Action.EXPORTS_READ)
    caller.require(Action.RUNS_READ)
    experiment = get_experiment(caller, run_id)
    run_key = experiment.run.run_key
    filters = {"run_id": run_key, "status": experiment.status}
    record_export(caller, DATAPOINT_RUNS, target_kind="run", target_id=run_key, filters=filters)
    rows = (_datapoint_run_row(run_key, row) for chunk in chunks_of_datapoint_runs(experiment) for row in chunk)
    return Export(DATAPOINT_RUNS, caller.project_public_id, run_key, filters, rows)


@transaction.atomic
def record_export(
    caller: Caller, schema: ExportSchema, *, target_kind: str, target_id: str, filters: dict[str, Any]
) -> None:
    """The audit entry of one export. Rows are not counted beforehand: they are read while they are sent."""
    audit.record(
        caller=caller,
        action="export",
        target_kind=target_kind,
        target_id=target_id,
        after={"schema": schema.name, "schema_version": schema.version, "filters": filters},
    )
    EXPORTS.labels(schema.name).inc()


def _dataset_rows(dataset: Dataset) -> Iterator[Sequence[Any]]:
    for chunk in chunks_of_dataset(dataset):
        for member in chunk:
            datapoint = member.datapoint
            yield (
                member.position,
                datapoint.public_id,
                datapoint.inputs,
                datapoint.history,
                datapoint.ground_truth,
                datapoint.metadata,
                datapoint.linked_event,
                datapoint.created_at.isoformat(),
                datapoint.updated_at.isoformat(),
            )


def _datapoint_rows(run_id: str, datapoint: DatapointResult) -> Iterator[Sequence[Any]]:
    said = (
        run_id,
        datapoint.datapoint_id,
        datapoint.session_id,
        datapoint.start_time,
        datapoint.passed,
        datapoint.crashed,
    )
    for metric in sorted(datapoint.metrics, key=lambda metric: (metric.name, metric.event_name, metric.event_type)):
        yield (*said, metric.name, metric.event_name, metric.event_type, metric.value, metric.passed)
    if not datapoint.metrics:
        yield (*said, None, None, None, None, None)


def _datapoint_run_row(run_id: str, row: DatapointRun) -> Sequence[Any]:
    return (
        run_id,
        row.rank,
        row.datapoint_key,
        row.repetition,
        row.status,
        str(row.session_key),
        row.attempts,
        row.failures,
        row.lost_attempts,
        row.latency_ms,
        row.prompt_tokens,
        row.completion_tokens,
        None if row.cost is None else float(row.cost),
        row.error_class or None,
        row.error_message or None,
        row.attempt_errors,
        _iso(row.next_attempt_at),
        _iso(row.started_at),
        _iso(row.finished_at),
    )


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _metric_row(run_id: str, function: str, metric: MetricResult) -> Sequence[Any]:
    interval = metric.passing_range
    return (
        run_id,
        metric.metric_name,
        metric.metric_type,
        metric.event_name,
        metric.event_type,
        metric.direction,
        function,
        metric.aggregate,
        len(metric.values),
        interval.min if interval else None,
        interval.max if interval else None,
        len(metric.passed),
        len(metric.failed),
    )


def _event_row(event: Event) -> Sequence[Any]:
    return (
        str(event.event_key),
        str(event.session_key),
        None if event.parent_key is None else str(event.parent_key),
        event.event_type,
        event.event_name,
        event.source,
        event.run_key,
        event.dataset_key,
        event.datapoint_key,
        event.start_time,
        event.end_time,
        event.duration,
        event.error,
        event.inputs,
        event.outputs,
        event.config,
        event.metadata,
        event.metrics,
        event.feedback,
        event.user_properties,
        event.children_ids,
    )
