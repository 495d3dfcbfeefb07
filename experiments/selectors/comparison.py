"""Two runs compared, computed on read with the same aggregate function on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate_name
from experiments.domain.comparison import ComparedMetric, compare_columns, pair_columns, presence
from experiments.domain.filters import Condition
from experiments.domain.thresholds import direction_of
from experiments.selectors.results import Computation
from experiments.selectors.runs import get_run
from governance.domain.caller import Caller


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from `old_run` to `new_run` (run objects of the wire)."""

    aggregate_function: str
    metrics: list[ComparedMetric]
    common_datapoints: list[str]
    event_details: list[dict[str, str]]
    old_run: dict[str, Any]
    new_run: dict[str, Any]

    def as_wire(self) -> dict[str, Any]:
        """The protocol's answer."""
        return {
            "metrics": [metric.as_wire() for metric in self.metrics],
            "commonDatapoints": self.common_datapoints,
            "event_details": self.event_details,
            "old_run": self.old_run,
            "new_run": self.new_run,
            "aggregation_function": self.aggregate_function,
        }


def compare_runs(
    *,
    caller: Caller,
    new: str,
    old: str,
    aggregate_function: str = DEFAULT_AGGREGATE,
    conditions: Sequence[Condition] = (),
) -> Comparison:
    """The comparison of two runs of the caller's project, by their run ids.

    A metric's direction is the new run's `metric_directions`, then the old run's, then the project metric's.
    """
    name = aggregate_name(aggregate_function)
    new_run = get_run(caller=caller, run_key=new)
    old_run = get_run(caller=caller, run_key=old)
    sides = [Computation(caller=caller, run=run, conditions=conditions) for run in (old_run, new_run)]
    for side in sides:
        for _ in side.chunks():
            pass
    old_side, new_side = sides
    in_new = set(new_side.table.keys)
    common = [key for key in dict.fromkeys(old_side.table.keys) if key in in_new]
    columns = [[side.table.compared_column(column, name) for column in side.table.filled_columns()] for side in sides]
    rules = new_side.table.rules
    metrics = []
    for before, after in pair_columns(*columns):
        shown = after or before
        if shown is not None:
            direction = direction_of(
                shown.metric_name,
                new_run.metadata.get("metric_directions"),
                old_run.metadata.get("metric_directions"),
                metric=rules.get(shown.metric_name),
            )
            metrics.append(compare_columns(before, after, common=common, direction=direction))
    return Comparison(
        aggregate_function=name,
        metrics=metrics,
        common_datapoints=common,
        event_details=presence(old_side.event_details(), new_side.event_details()),
        old_run=old_side.wire_run(),
        new_run=new_side.wire_run(),
    )
