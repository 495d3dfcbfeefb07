"""Two runs compared, computed on read with the same aggregate function on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate_name
from experiments.domain.comparison import Column, ComparedMetric, compare_columns, pair_columns, presence
from experiments.domain.filters import Condition
from experiments.domain.thresholds import direction_of
from experiments.models import Run
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

    def compared(self, function: str) -> list["ComparedColumns"]:
        """Each metric of either run, in the protocol's order.

        A metric's direction is the new run's `metric_directions`, then the old run's, then the project metric's.
        """
        return compared_columns(self.old, self.new, common=self.common, function=function)


class ComparedColumns(NamedTuple):
    """One metric of two runs; a side that has none is None."""

    figures: ComparedMetric
    old: Column | None
    new: Column | None


def read_side(*, caller: Caller, run: Run, conditions: Sequence[Condition] = ()) -> Computation:
    """Sessions and measurements of one run, its table filled. Three queries."""
    side = Computation(caller=caller, run=run, conditions=conditions)
    for _ in side.chunks():
        pass
    return side


def sides_of(old: Computation, new: Computation) -> Sides:
    """Two runs that are read already, put side by side."""
    in_new = set(new.table.keys)
    return Sides(old, new, [key for key in dict.fromkeys(old.table.keys) if key in in_new])


def read_sides(*, caller: Caller, new: str, old: str, conditions: Sequence[Condition] = ()) -> Sides:
    """Sessions and measurements of two runs of the caller's project, by their run ids."""
    new_run, old_run = (get_run(caller=caller, run_key=key) for key in (new, old))
    old_side, new_side = (read_side(caller=caller, run=run, conditions=conditions) for run in (old_run, new_run))
    return sides_of(old_side, new_side)


def compared_columns(
    old: Computation, new: Computation, *, common: Sequence[str], function: str
) -> list[ComparedColumns]:
    """Metrics of two runs paired up; see `Sides.compared`."""
    olds, news = (
        [side.table.compared_column(column, function) for column in side.table.filled_columns()] for side in (old, new)
    )
    said = [side.run.metadata.get("metric_directions") for side in (new, old)]
    found = []
    for before, after in pair_columns(olds, news):
        shown = after or before
        if shown is not None:
            rule = new.table.rules.get(shown.metric_name)
            direction = direction_of(shown.metric_name, *said, metric=rule)
            figures = compare_columns(before, after, common=common, direction=direction)
            found.append(ComparedColumns(figures, before, after))
    return found


def compare_runs(
    *,
    caller: Caller,
    new: str,
    old: str,
    aggregate_function: str = DEFAULT_AGGREGATE,
    conditions: Sequence[Condition] = (),
) -> Comparison:
    """The comparison of two runs of the caller's project, by their run ids."""
    sides = read_sides(caller=caller, new=new, old=old, conditions=conditions)
    return comparison_of(sides, function=aggregate_name(aggregate_function))


def comparison_of(sides: Sides, *, function: str, compared: Sequence[ComparedColumns] | None = None) -> Comparison:
    """The comparison of two runs that are read already; `compared` where the metrics are paired already as well."""
    found = sides.compared(function) if compared is None else compared
    return Comparison(
        aggregate_function=function,
        metrics=[each.figures for each in found],
        common_datapoints=sides.common,
        event_details=presence(sides.old.event_details(), sides.new.event_details()),
        old_run=sides.old.wire_run(),
        new_run=sides.new.wire_run(),
    )


def crashed_datapoints(side: Computation) -> list[str]:
    """Datapoints of a run with at least one crashed execution, each once, in order of start."""
    return list(
        dict.fromkeys(session.datapoint_id or session.session_id for session in side.sessions if session.crashed)
    )


def run_shown(run: Run) -> dict[str, Any]:
    """A run as comparisons name it."""
    return {
        "run_id": run.run_key,
        "name": run.name,
        "status": run.status,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }
