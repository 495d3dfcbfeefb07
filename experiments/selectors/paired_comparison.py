"""Two runs compared with statistics: what changed from one to the other, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate_name
from experiments.domain.comparison import Column, ComparedMetric, compare_columns
from experiments.domain.run_status import RunStatus
from experiments.domain.statistics.comparison import PairedComparison
from experiments.domain.statistics.intervals import Interval, wilson_interval
from experiments.domain.statistics.randomness import derived_seed
from experiments.domain.statistics.verdict import compare_paired
from experiments.models import Run
from experiments.selectors.comparison import Sides, read_sides
from experiments.selectors.results import Computation
from governance.domain.caller import Caller

DEFAULT_CONFIDENCE = 0.95
UNITS = "datapoints"
THOROUGH_PAIRS = 2_000  # of one metric; about 0.2 s each
THOROUGH_PAIRS_IN_ALL = 40_000  # of all metrics of one answer
THOROUGH_FLIPS = 99_999
QUICK_FLIPS = 9_999
MOVERS = 10
NAME_SHOWN = 60
SEED_BITS = 53  # what every JSON reader can hold
LARGEST = 1e140  # the sum of squares of so large values is still a finite number


@dataclass(frozen=True, slots=True)
class Work:
    """How thoroughly a metric is compared."""

    flips: int
    interval: Literal["bca", "t"]


@dataclass(frozen=True, slots=True)
class PassRate:
    """Datapoints of a whole run that passed everything, with the Wilson interval of their share."""

    passed: int
    total: int
    interval: Interval

    def to_json(self) -> dict[str, Any]:
        """Counts, share (None for no datapoints) and bounds."""
        return {
            "passed": self.passed,
            "total": self.total,
            "rate": self.passed / self.total if self.total else None,
            "low": self.interval.low,
            "high": self.interval.high,
            "level": self.interval.level,
            "method": self.interval.method,
        }


@dataclass(frozen=True, slots=True)
class Mover:
    """A common datapoint whose value changed; means where it has several executions."""

    datapoint_id: str
    old: float
    new: float

    def to_json(self) -> dict[str, Any]:
        """Its values and new − old."""
        difference = _finite(self.new - self.old)
        return {"datapoint_id": self.datapoint_id, "old": self.old, "new": self.new, "difference": difference}


@dataclass(frozen=True, slots=True)
class MetricFinding:
    """One metric of both runs: the figures of the plain comparison, the statistics, and who moved most."""

    figures: ComparedMetric
    statistics: PairedComparison
    improved_most: list[Mover]
    degraded_most: list[Mover]

    def to_json(self) -> dict[str, Any]:
        """Figures of the whole runs at the top, those of the common datapoints under `statistics`."""
        return {
            "metric_name": self.figures.metric_name,
            "metric_type": self.figures.metric_type,
            "event_name": self.figures.event_name,
            "event_type": self.figures.event_type,
            "direction": self.figures.direction,
            "old_aggregate": self.figures.old_aggregate,
            "new_aggregate": self.figures.new_aggregate,
            "difference": _finite(self.figures.difference),
            "percentage_change": _finite(self.figures.percentage_change),
            "found_count": self.figures.found_count,
            "improved_count": len(self.figures.improved),
            "degraded_count": len(self.figures.degraded),
            "same_count": len(self.figures.same),
            "statistics": self.statistics.to_json(),
            "improved_most": [mover.to_json() for mover in self.improved_most],
            "degraded_most": [mover.to_json() for mover in self.degraded_most],
        }


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Everything known of two runs side by side."""

    sides: Sides
    aggregate_function: str
    confidence: float
    metrics: list[MetricFinding]
    only_in_one: list[dict[str, str]]
    pass_rates: dict[str, PassRate]
    crashed: dict[str, int]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The native API's answer."""
        counts = {side: len(set(keys.table.keys)) for side, keys in (("new", self.sides.new), ("old", self.sides.old))}
        common = len(self.sides.common)
        return {
            "new_run": _shown(self.sides.new.run),
            "old_run": _shown(self.sides.old.run),
            "aggregate_function": self.aggregate_function,
            "confidence": self.confidence,
            "common_datapoints": common,
            "new_only_datapoints": counts["new"] - common,
            "old_only_datapoints": counts["old"] - common,
            "crashed_datapoints": self.crashed,
            "pass_rates": {side: rate.to_json() for side, rate in self.pass_rates.items()},
            "metrics": [metric.to_json() for metric in self.metrics],
            "only_in_one": self.only_in_one,
            "warnings": self.warnings,
        }


def compare_runs_statistically(
    *,
    caller: Caller,
    new: str,
    old: str,
    confidence: float = DEFAULT_CONFIDENCE,
    margins: Mapping[str, float] | None = None,
    aggregate_function: str = DEFAULT_AGGREGATE,
) -> RunComparison:
    """Paired statistics of each metric that both runs have, over the datapoints they share.

    Executions of one datapoint are averaged first: they are no independent units. A datapoint with a crashed
    execution on either side has failed, and a metric with a failed datapoint gets no verdict, as does any metric of a
    run that did not complete. `margins` (metric name → difference that does not matter, > 0) allow the verdict
    `equivalent` and set the effect for the number of datapoints still needed. The seed comes from the two run ids:
    the same rows give the same answer. Work is bounded: `THOROUGH_*` above, else fewer flips and the t interval.
    Values beyond ± 1e140 count as no score.
    """
    name, margins = aggregate_name(aggregate_function), margins or {}
    sides = read_sides(caller=caller, new=new, old=old)
    crashed = {"new": _crashed(sides.new, sides.common), "old": _crashed(sides.old, sides.common)}
    both, only_in_one = _columns(sides, name)
    is_thorough = sum(figures.found_count for figures, _, _ in both) <= THOROUGH_PAIRS_IN_ALL
    is_complete = sides.new.run.status == sides.old.run.status == RunStatus.COMPLETED
    old_name, new_name = _names(sides.old.run, sides.new.run)
    metrics = []
    for figures, before, after in both:
        thorough = is_thorough and figures.found_count <= THOROUGH_PAIRS
        work = Work(THOROUGH_FLIPS, "bca") if thorough else Work(QUICK_FLIPS, "t")
        statistics = compare_paired(
            _among(before, sides.common),
            _among(after, sides.common),
            metric=figures.metric_name,
            seed=_seed(sides, figures),
            # 1 − 0.95 has a last digit that 0.05 has not.
            alpha=round(1 - confidence, 12),
            margin=margins.get(figures.metric_name),
            draws=work.flips,
            interval_method=work.interval,
            is_complete=is_complete,
            higher_is_better=figures.direction == "higher",
            failed_control=crashed["old"],
            failed_arm=crashed["new"],
            control_name=old_name,
            arm_name=new_name,
            units_word=UNITS,
        )
        metrics.append(MetricFinding(figures, statistics, *_movers(figures, before, after)))
    return RunComparison(
        sides=sides,
        aggregate_function=name,
        confidence=confidence,
        metrics=metrics,
        only_in_one=only_in_one,
        pass_rates={"new": _pass_rate(sides.new, confidence), "old": _pass_rate(sides.old, confidence)},
        crashed={side: len(keys) for side, keys in crashed.items()},
        warnings=_warnings(sides, margins, {figures.metric_name for figures, _, _ in both}),
    )


def _columns(sides: Sides, function: str) -> tuple[list[tuple[ComparedMetric, Column, Column]], list[dict[str, str]]]:
    both, only_in_one = [], []
    for before, after, direction in sides.columns(function):
        figures = compare_columns(before, after, common=sides.common, direction=direction)
        if before is not None and after is not None:
            both.append((figures, before, after))
        else:
            presence = "old" if after is None else "new"
            only_in_one.append(
                {"metric_name": figures.metric_name, "event_name": figures.event_name, "presence": presence}
            )
    return both, only_in_one


def _among(column: Column, common: list[str]) -> dict[str, float | None]:
    found = {key: column.by_datapoint.get(key) for key in common}
    return {key: value if value is not None and abs(value) <= LARGEST else None for key, value in found.items()}


def _crashed(side: Computation, common: list[str]) -> list[str]:
    found = {session.datapoint_id or session.session_id for session in side.sessions if session.crashed}
    return [key for key in common if key in found]


def _names(old: Run, new: Run) -> tuple[str, str]:
    """What sentences call the two runs: their names where these tell them apart."""
    names = [run.name[:NAME_SHOWN] for run in (old, new)]
    if not all(names) or names[0] == names[1]:
        return "the old run", "the new run"
    return names[0], names[1]


def _seed(sides: Sides, figures: ComparedMetric) -> int:
    said = (sides.new.run.run_key, sides.old.run.run_key, figures.metric_name, figures.event_name, figures.event_type)
    return derived_seed(0, "\n".join(said)) >> (128 - SEED_BITS)


def _movers(figures: ComparedMetric, before: Column, after: Column) -> tuple[list[Mover], list[Mover]]:
    improved, degraded = (
        sorted(
            (Mover(key, before.by_datapoint[key], after.by_datapoint[key]) for key in keys),
            key=lambda mover: (-abs(mover.new - mover.old), mover.datapoint_id),
        )[:MOVERS]
        for keys in (figures.improved, figures.degraded)
    )
    return improved, degraded


def _pass_rate(side: Computation, confidence: float) -> PassRate:
    passed, failed = side.table.verdicts()
    total = len(passed) + len(failed)
    return PassRate(len(passed), total, wilson_interval(len(passed), total, level=confidence))


def _warnings(sides: Sides, margins: Mapping[str, float], compared: set[str]) -> list[str]:
    warnings = [
        f"The {which} run is {side.run.status}: its figures may still change, and it gets no verdict."
        for which, side in (("new", sides.new), ("old", sides.old))
        if side.run.status != RunStatus.COMPLETED
    ]
    warnings += [
        f"The margin of {metric[:100]!r} is not used: the runs do not both have that metric."
        for metric in margins
        if metric not in compared
    ]
    return warnings


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _shown(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_key,
        "name": run.name,
        "status": run.status,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }
