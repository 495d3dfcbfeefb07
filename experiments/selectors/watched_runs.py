"""Runs of the server that are still in progress: intervals that hold however often somebody looks.

Datapoints are executed in a seeded random order. What has finished first says more about speed than about quality
(slow answers may be the bad ones), so only the finished prefix of that order counts: it is a random sample without
replacement of all datapoints. Only metrics with declared bounds have such an interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Min

from experiments.domain.comparison_options import DEFAULT_CONFIDENCE, Bounds, declared_bounds
from experiments.domain.experiment_status import DatapointRunStatus, ExperimentStatus
from experiments.domain.run_status import TERMINAL, RunStatus
from experiments.domain.statistics.sequences import AlwaysValidInterval, always_valid_difference, always_valid_interval
from experiments.models import DatapointRun, Experiment, Run
from experiments.selectors.comparison import (
    ComparedColumns,
    compared_columns,
    crashed_datapoints,
    read_side,
    run_shown,
)
from experiments.selectors.results import Computation
from experiments.selectors.runs import get_run
from governance.domain.caller import Caller

STEPS = 200  # an interval at every half per cent: a run of 100,000 datapoints is not read anew for each of them
LABEL = (
    "May be watched: this interval holds at every look, until the run ends. It is of the datapoints that were drawn "
    "first and have finished."
)
OF_A_CLIENT = (
    "The run's client executes it: the order in which its datapoints finish is not random, so there is no interval "
    "before the end."
)
WITHOUT_BOUNDS = (
    "Metrics without bounds that hold have no interval before the end; declare them in the run's metadata.bounds, as "
    "{metric: [low, high]}."
)
BASELINE_IN_PROGRESS = "The baseline is not complete, so there are no differences to it."
_FINISHED = (DatapointRunStatus.COMPLETED, DatapointRunStatus.FAILED)
_BEFORE_THE_START = (ExperimentStatus.QUEUED, ExperimentStatus.PREPARING)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first datapoints of a run's random order, all of them finished, out of `population`.

    `finished` is how many there are; `datapoints` are as many of them as are looked at.
    """

    datapoints: list[str]
    finished: int
    population: int


def prefix_of(experiment: Experiment) -> Prefix:
    """The finished prefix of an experiment, cut to a whole number of steps. At most two queries."""
    repetitions = max(1, int(experiment.spec.get("repetitions", 1)))
    population = experiment.datapoint_runs_count // repetitions
    if experiment.status in _BEFORE_THE_START:
        return Prefix([], 0, population)
    rows = DatapointRun.objects.filter(experiment=experiment)
    open_rows = rows.exclude(status__in=_FINISHED).aggregate(first=Min("rank"))
    first = open_rows["first"]
    # The repetitions of a datapoint follow each other in the order.
    finished = population if first is None else first // repetitions
    step = max(1, population // STEPS)
    looked_at = finished if finished == population else finished // step * step
    chosen = rows.filter(rank__lt=looked_at * repetitions).order_by("rank")
    keys = list(dict.fromkeys(chosen.values_list("datapoint_key", flat=True)))
    return Prefix(keys, finished, population)


def experiment_of(run: Run) -> Experiment | None:
    """The experiment behind a run; None for runs that a client executes. One query."""
    return Experiment.objects.filter(project_id=run.project_id, run_id=run.pk).first()


@dataclass(frozen=True, slots=True)
class Look:
    """A run at one moment: its prefix, and what the intervals will be of. Making it is cheap."""

    caller: Caller
    run: Run
    old_run: Run | None
    experiment: Experiment | None
    prefix: Prefix
    confidence: float

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to compute."""
        return self.experiment is None or not self.prefix.datapoints

    @property
    def has_ended(self) -> bool:
        """Whether the run may still change by itself."""
        return self.run.status in TERMINAL

    def head(self) -> dict[str, Any]:
        """How far the run is: everything of the answer but intervals."""
        old = self.old_run
        note = OF_A_CLIENT if self.experiment is None else ""
        return {
            "run": run_shown(self.run),
            "status": self.run.status if self.experiment is None else self.experiment.status,
            "total": self.prefix.population,
            "finished": self.prefix.finished,
            "prefix": len(self.prefix.datapoints),
            "confidence": self.confidence,
            "label": LABEL,
            "metrics": [],
            "without_bounds": [],
            "baseline": None if old is None else {"run": run_shown(old), "common_datapoints": 0, "metrics": []},
            "note": note,
        }

    def said(self) -> list[Any]:
        """What the intervals depend on while the run is in progress, beside the baseline's own revision."""
        keys = (self.run.project_id, self.run.run_key, self.old_run and self.old_run.run_key)
        return [*keys, self.prefix.population, len(self.prefix.datapoints), self.confidence, self.run.metadata]


def look_at(*, caller: Caller, run_id: str, baseline: str = "", confidence: float = DEFAULT_CONFIDENCE) -> Look:
    """The run as it is now. At most five queries. Raises NotFound for runs that are not of the caller's project."""
    run = get_run(caller=caller, run_key=run_id)
    old_run = get_run(caller=caller, run_key=baseline) if baseline else None
    experiment = experiment_of(run)
    # The prefix first: what has finished by then has its events stored.
    prefix = Prefix([], 0, 0) if experiment is None else prefix_of(experiment)
    return Look(caller, run, old_run, experiment, prefix, confidence)


def watch_run(
    *, caller: Caller, run_id: str, baseline: str = "", confidence: float = DEFAULT_CONFIDENCE
) -> dict[str, Any]:
    """`look_at` a run, with its intervals."""
    look = look_at(caller=caller, run_id=run_id, baseline=baseline, confidence=confidence)
    return look.head() if look.is_empty else look.head() | intervals_of(look)


def intervals_of(look: Look) -> dict[str, Any]:
    """Always-valid intervals of a run's metrics, and of their differences to a baseline, over the finished prefix.

    Bounds are those that the run declares (`metadata.bounds`), 0..1 for booleans. A datapoint that finished without a
    score, or with a failed execution, widens the interval: it may have been anything within the bounds.
    """
    prefix, metrics = look.prefix, []
    side = read_side(caller=look.caller, run=look.run)
    failed = frozenset(crashed_datapoints(side))
    without: list[str] = []
    for column in side.table.filled_columns():
        values = side.table.compared_column(column, "average")
        bounds = _bounds(values.metric_name, values.is_boolean, [look.run])
        scores = [None if key in failed else values.by_datapoint.get(key) for key in prefix.datapoints]
        if bounds is None or not _hold(bounds, scores):
            without.append(column.name)
            continue
        found = always_valid_interval(scores, population=prefix.population, bounds=bounds, level=look.confidence)
        names = {"metric_name": column.name, "event_name": column.event_name, "event_type": column.event_type}
        metrics.append({**names, "mean": found.estimate, **_interval(found)})
    notes = [WITHOUT_BOUNDS] if without else []
    baseline = None
    if look.old_run is not None:
        baseline = {"run": run_shown(look.old_run), "common_datapoints": 0, "metrics": list[Any]()}
        if look.old_run.status == RunStatus.COMPLETED:
            old_side = read_side(caller=look.caller, run=look.old_run)
            baseline |= _differences(side, old_side, prefix, failed, look.confidence)
        else:
            notes.append(BASELINE_IN_PROGRESS)
    return {
        "metrics": metrics,
        "without_bounds": sorted(set(without)),
        "baseline": baseline,
        "note": " ".join(notes),
    }


def _differences(
    new: Computation, old: Computation, prefix: Prefix, failed: frozenset[str], confidence: float
) -> dict[str, Any]:
    """Differences over the datapoints of the order that the baseline has as well: still in random order.

    The baseline has ended, so that these datapoints stay the same from look to look.
    """
    in_old = set(old.table.keys)
    units = [key for key in prefix.datapoints if key in in_old]
    population = _population(new, in_old)
    failed_old = frozenset(crashed_datapoints(old))
    metrics = []
    for pair in compared_columns(old, new, common=units, function="average"):
        bounds = _common_bounds(pair, [new.run, old.run])
        if bounds is None or pair.old is None or pair.new is None:
            continue
        before = [None if key in failed_old else pair.old.by_datapoint.get(key) for key in units]
        after = [None if key in failed else pair.new.by_datapoint.get(key) for key in units]
        if not units or not _hold(bounds, [*before, *after]):
            continue
        found = always_valid_difference(before, after, population=population, bounds=bounds, level=confidence)
        names = {
            "metric_name": pair.figures.metric_name,
            "event_name": pair.figures.event_name,
            "event_type": pair.figures.event_type,
            "direction": pair.figures.direction,
        }
        metrics.append({**names, "difference": found.estimate, **_interval(found)})
    return {"common_datapoints": population, "metrics": metrics}


def _population(new: Computation, in_old: set[str]) -> int:
    """Datapoints of the whole run that the baseline has: what the prefix is drawn from. One query."""
    rows = DatapointRun.objects.filter(experiment__run_id=new.run.pk, repetition=0)
    return sum(key in in_old for key in rows.values_list("datapoint_key", flat=True))


def _bounds(name: str, is_boolean: bool, runs: Sequence[Run]) -> Bounds | None:
    for run in runs:
        if (found := declared_bounds(run.metadata.get("bounds")).get(name)) is not None:
            return found
    return (0.0, 1.0) if is_boolean else None


def _common_bounds(pair: ComparedColumns, runs: Sequence[Run]) -> Bounds | None:
    is_boolean = all(side is not None and side.is_boolean for side in (pair.old, pair.new))
    return _bounds(pair.figures.metric_name, is_boolean, runs)


def _hold(bounds: Bounds, scores: Sequence[float | None]) -> bool:
    return all(score is None or bounds[0] <= score <= bounds[1] for score in scores)


def _interval(found: AlwaysValidInterval) -> dict[str, Any]:
    return {
        "low": found.low,
        "high": found.high,
        "method": found.method,
        "level": found.level,
        "n": found.finished,
        "unscored": found.unscored,
        "population": found.population,
        "bounds": list(found.bounds),
        "is_final": found.is_final,
    }
