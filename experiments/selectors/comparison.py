"""Two runs compared, computed on read with the same aggregate function on both sides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate_name
from experiments.domain.comparison import Column, ComparedMetric, compare_columns, pair_columns, presence
from experiments.domain.filters import Condition
from experiments.domain.thresholds import Direction, direction_of
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


@dataclass(frozen=True, slots=True)
class Sides:
    """Two runs read for a comparison, both tables filled. `common` are datapoint ids in the old run's order."""

    old: Computation
    new: Computation
    common: list[str]

    def columns(self, function: str) -> Iterator[tuple[Column | None, Column | None, Direction]]:
        """(old, new, direction) of each metric of either run, at least one of them given.

        A metric's direction is the new run's `metric_directions`, then the old run's, then the project metric's.
        """
        old, new = (
            [side.table.compared_column(column, function) for column in side.table.filled_columns()]
            for side in (self.old, self.new)
        )
        said = [side.run.metadata.get("metric_directions") for side in (self.new, self.old)]
        for before, after in pair_columns(old, new):
            shown = after or before
            if shown is not None:
                rule = self.new.table.rules.get(shown.metric_name)
                yield before, after, direction_of(shown.metric_name, *said, metric=rule)


def read_sides(*, caller: Caller, new: str, old: str, conditions: Sequence[Condition] = ()) -> Sides:
    """Sessions and measurements of two runs of the caller's project, by their run ids."""
    runs = [get_run(caller=caller, run_key=key) for key in (new, old)]
    new_side, old_side = (Computation(caller=caller, run=run, conditions=conditions) for run in runs)
    for side in (old_side, new_side):
        for _ in side.chunks():
            pass
    in_new = set(new_side.table.keys)
    return Sides(old_side, new_side, [key for key in dict.fromkeys(old_side.table.keys) if key in in_new])


def compare_runs(
    *,
    caller: Caller,
    new: str,
    old: str,
    aggregate_function: str = DEFAULT_AGGREGATE,
    conditions: Sequence[Condition] = (),
) -> Comparison:
    """The comparison of two runs of the caller's project, by their run ids."""
    name = aggregate_name(aggregate_function)
    sides = read_sides(caller=caller, new=new, old=old, conditions=conditions)
    metrics = [
        compare_columns(before, after, common=sides.common, direction=direction)
        for before, after, direction in sides.columns(name)
    ]
    return Comparison(
        aggregate_function=name,
        metrics=metrics,
        common_datapoints=sides.common,
        event_details=presence(sides.old.event_details(), sides.new.event_details()),
        old_run=sides.old.wire_run(),
        new_run=sides.new.wire_run(),
    )
