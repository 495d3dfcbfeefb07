"""One run by itself: each metric's mean or rate, and the interval in which the truth lies."""

import math
from typing import Any

from experiments.domain.comparison import Column
from experiments.domain.comparison_options import DEFAULT_CONFIDENCE
from experiments.domain.run_status import TERMINAL, RunStatus
from experiments.domain.statistics.intervals import Interval
from experiments.domain.statistics.single import single_run_interval
from experiments.domain.thresholds import direction_of
from experiments.models import Run
from experiments.selectors.comparison import crashed_datapoints, run_shown
from experiments.selectors.comparison_findings import pass_rate_of
from experiments.selectors.paired_comparison import LARGEST, seed_of
from experiments.selectors.results import Computation

NO_INTERVAL_YET = (
    "No intervals before the run is complete: looked at again and again, they would miss the truth far more often "
    "than they say."
)


def summary_of(side: Computation, *, confidence: float = DEFAULT_CONFIDENCE) -> dict[str, Any]:
    """Each metric of a run that is read already, over its datapoints; executions of one are averaged first.

    Wilson's interval where every datapoint has 0 or 1, else that of the mean: BCa up to 2,000 datapoints, t above
    (40,000 over all metrics). A run that did not complete has means and no intervals. Values beyond ± 1e140 count as
    none. The run's datapoints stand for others like them: of exactly these datapoints the figures are exact.
    """
    run = side.run
    is_complete = run.status == RunStatus.COMPLETED
    columns = [side.table.compared_column(column, "average") for column in side.table.filled_columns()]
    in_all = sum(len(column.by_datapoint) for column in columns)
    return {
        "run": run_shown(run),
        "is_complete": is_complete,
        "confidence": confidence,
        "datapoints": len(set(side.table.keys)),
        "crashed_datapoints": len(crashed_datapoints(side)),
        "pass_rate": pass_rate_of(side, confidence=confidence, is_complete=is_complete).to_json(),
        "metrics": [
            _metric(side, column, confidence=confidence, in_all=in_all, is_complete=is_complete) for column in columns
        ],
        "note": note_of(run),
    }


def note_of(run: Run) -> str:
    """Why there are no intervals; empty when there are."""
    if run.status == RunStatus.COMPLETED:
        return ""
    if run.status in TERMINAL:
        return f"The run is {run.status}: it is not known what the rest would have shown, so there are no intervals."
    return NO_INTERVAL_YET


def _metric(side: Computation, column: Column, *, confidence: float, in_all: int, is_complete: bool) -> dict[str, Any]:
    values = [value for value in column.by_datapoint.values() if abs(value) <= LARGEST]
    mean = math.fsum(values) / len(values) if values else None
    interval: Interval | None = None
    if is_complete and values:
        interval = single_run_interval(values, seed=seed_of(side.run), level=confidence, pairs_in_all=in_all)
    spread = None
    if mean is not None and len(values) > 1:
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return {
        "metric_name": column.metric_name,
        "metric_type": column.metric_type,
        "event_name": column.event_name,
        "event_type": column.event_type,
        "direction": direction_of(
            column.metric_name,
            side.run.metadata.get("metric_directions"),
            metric=side.table.rules.get(column.metric_name),
        ),
        "is_boolean": column.is_boolean,
        "n": len(values),
        "mean": mean,
        "sd": spread,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "method": None if interval is None else interval.method,
        # The engine speaks of pairs, which a single run has none of.
        "warning": (interval.warning or "").replace(" pairs;", " datapoints;") or None if interval else None,
    }
