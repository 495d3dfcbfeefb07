"""Results and comparisons as pandas data frames. pandas is imported here only, and only when asked for."""

import importlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from experiments.sdk.models import DatapointOutcome, DatapointResult, ExperimentResultSummary, RunComparisonResult

RESULT_COLUMNS = (
    "datapoint_id", "session_id", "repetition", "passed", "inputs", "outputs", "ground_truth",
    "error", "error_type", "evaluator_errors", "delivered", "duration_ms",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "metric_name", "metric_type", "event_name", "event_type", "direction", "old_aggregate", "new_aggregate",
    "difference", "percentage_change", "found_count", "improved_count", "degraded_count", "same_count",
)  # fmt: skip


def result_frame(result: ExperimentResultSummary) -> Any:
    """One row per execution, in input order where it ran here; metrics as `metrics.<name>`.

    A name that several events have becomes `metrics.<name> (<event>)`. The figures are the server's; those of
    evaluators here stand in where the server has none. Raises ModuleNotFoundError without pandas.
    """
    pandas = _pandas()
    rows_by_session = {row.session_id: row for row in result.datapoints}
    events = _events_by_metric(result.datapoints)
    rows = []
    for outcome in result.outcomes:
        rows.append(_row(outcome, rows_by_session.pop(outcome.session_id, None), events))
    rows += [_row(None, row, events) for row in rows_by_session.values()]
    metrics = dict.fromkeys(name for row in rows for name in row if name not in RESULT_COLUMNS)
    return pandas.DataFrame(rows, columns=[*RESULT_COLUMNS, *metrics])


def comparison_frame(comparison: RunComparisonResult) -> Any:
    """One row per metric and event; what is undefined is missing. Raises ModuleNotFoundError without pandas."""
    pandas = _pandas()
    rows = [{name: getattr(metric, name) for name in COMPARISON_COLUMNS} for metric in comparison.metrics]
    return pandas.DataFrame(rows, columns=list(COMPARISON_COLUMNS))


def _row(
    outcome: DatapointOutcome | None, row: DatapointResult | None, events: dict[str, set[str | None]]
) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    if outcome is not None:
        cells |= {name: getattr(outcome, name) for name in RESULT_COLUMNS if name != "passed"}
        cells["evaluator_errors"] = outcome.evaluator_errors or None
        cells |= {f"metrics.{name}": value for name, value in outcome.metrics.items() if name not in events}
    if row is not None:
        cells |= {"datapoint_id": row.datapoint_id, "session_id": row.session_id, "passed": row.passed}
        for metric in row.metrics:
            where = f" ({metric.event_name})" if len(events[metric.name]) > 1 else ""
            cells[f"metrics.{metric.name}{where}"] = metric.value
    return cells


def _events_by_metric(rows: Iterable[DatapointResult]) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = defaultdict(set)
    for row in rows:
        for metric in row.metrics:
            found[metric.name].add(metric.event_name)
    return found


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")  # by name: it has no types here
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Data frames need pandas, which is not installed. Type: pip install pandas", name="pandas"
        ) from None
