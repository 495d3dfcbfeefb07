"""Scores of two runs laid out as columns over the units that both executed: failures, fills, and the worst case."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.domain.statistics.clusters import Floats
from experiments.domain.statistics.evidence import FailureRule, Missing
from experiments.domain.statistics.failures import Failures, count_failures
from experiments.domain.statistics.paired import TIE
from experiments.domain.statistics.verdict import Scores, labels_of

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and what was declared for it: lowest and highest value, and the differences that matter.

    `margin` is the difference that does not matter (equivalence), `noninferiority_margin` the loss that does not,
    `effect` the smallest difference worth finding.
    """

    name: str
    higher_is_better: bool = True
    bounds: tuple[float, float] | None = None
    margin: float | None = None
    noninferiority_margin: float | None = None
    effect: float | None = None

    @property
    def worst(self) -> float | None:
        """The worse of its bounds."""
        return None if self.bounds is None else self.bounds[0 if self.higher_is_better else 1]


@dataclass(frozen=True, slots=True)
class MetricScores:
    """One metric of both sides: unit → score, the mean of its repetitions. None, like an absent unit, is no score."""

    metric: Metric
    control: Scores
    arm: Scores


@dataclass(frozen=True, slots=True)
class Setting:
    """What all metrics of one comparison share. `failed_*` are units; `clusters` maps units to clusters.

    `missing="worst"` scores failed units at the worst bound. `failure_rule="any"` leaves every metric undecided as
    soon as one unit failed, `"more"` only withholds claims for an arm that fails more (`Evidence.withholds`).
    """

    seed: int
    alpha: float = 0.05
    clusters: Mapping[str, Hashable] | None = None
    failed_control: Collection[str] = frozenset()
    failed_arm: Collection[str] = frozenset()
    is_complete: bool = True
    missing: Missing = "leave_out"
    failure_rule: FailureRule = "more"
    control_name: str = "control"
    arm_name: str = "arm"
    units_word: str = "datapoints"


@dataclass(frozen=True, slots=True)
class Units:
    """The executed units in ascending order, their clusters, and which of them failed."""

    names: list[str]
    labels: list[Hashable] | None
    failed_control: Flags
    failed_arm: Flags
    failures: Failures

    def labels_within(self, chosen: Flags) -> list[Hashable] | None:
        """Cluster labels of the units chosen."""
        if self.labels is None:
            return None
        return [label for label, is_chosen in zip(self.labels, chosen, strict=True) if is_chosen]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric on the executed units, NaN where a side has no score; how many scores were filled in.

    `lacks_*`: units that failed on that side, or that the other side alone scored.
    """

    metric: Metric
    control: Floats
    arm: Floats
    lacks_control: Flags
    lacks_arm: Flags
    filled_control: int = 0
    filled_arm: int = 0

    @property
    def pairs(self) -> Flags:
        """Units that both sides scored."""
        return np.isfinite(self.control) & np.isfinite(self.arm)

    @property
    def differences(self) -> Floats:
        """arm − control of each unit, zero where they differ by rounding only, NaN without a pair."""
        return _rounded_off(self.arm - self.control)


def units_of(executed: Collection[str], setting: Setting) -> Units:
    """The executed units as all columns of one comparison share them."""
    names = sorted(set(executed))
    failed_control, failed_arm = frozenset(setting.failed_control), frozenset(setting.failed_arm)
    return Units(
        names=names,
        labels=labels_of(names, setting.clusters),
        failed_control=np.array([name in failed_control for name in names], dtype=bool),
        failed_arm=np.array([name in failed_arm for name in names], dtype=bool),
        failures=count_failures(names, failed_control, failed_arm),
    )


def column_of(scores: MetricScores, units: Units, setting: Setting) -> Column:
    """One metric as a column: without the pairs that failed, or with the worst bound in their place.

    Raises ValueError for what `compare_metrics` names.
    """
    metric = scores.metric
    control, arm = (
        np.array([np.nan if (score := side.get(name)) is None else score for name in units.names], dtype=np.float64)
        for side in (scores.control, scores.arm)
    )
    _check(scores, units, (control, arm))
    lacks_control = units.failed_control | (np.isnan(control) & np.isfinite(arm))
    lacks_arm = units.failed_arm | (np.isnan(arm) & np.isfinite(control))
    control[units.failed_control] = np.nan
    arm[units.failed_arm] = np.nan
    failed = units.failed_control | units.failed_arm
    if setting.missing == "leave_out":
        control[failed] = np.nan
        arm[failed] = np.nan
        return Column(metric, control, arm, lacks_control, lacks_arm)
    is_known = failed | np.isfinite(control) | np.isfinite(arm)
    lacking_control, lacking_arm = is_known & np.isnan(control), is_known & np.isnan(arm)
    if metric.worst is None:
        if (lacking_control | lacking_arm).any():
            raise ValueError(
                f"{metric.name} has no declared bounds, which missing=worst needs for what failed or has no score; "
                "declare its lowest and highest value."
            )
        return Column(metric, control, arm, lacks_control, lacks_arm)
    control[lacking_control] = metric.worst
    arm[lacking_arm] = metric.worst
    filled = (int(lacking_control.sum()), int(lacking_arm.sum()))
    return Column(metric, control, arm, lacks_control, lacks_arm, *filled)


def lacking_of(column: Column, units: Units) -> Failures:
    """What either side lacks of a metric: units that failed, and units that the other side alone scored."""
    control, arm = (
        [name for name, lacks in zip(units.names, side, strict=True) if lacks]
        for side in (column.lacks_control, column.lacks_arm)
    )
    return count_failures(units.names, control, arm)


@dataclass(frozen=True, slots=True)
class WorstColumn:
    """Differences with `value` in the place of each score that only the arm lacks."""

    value: float
    filled: int
    differences: Floats


def worst_column(scores: MetricScores, column: Column, units: Units, setting: Setting) -> WorstColumn | None:
    """The worst case of a metric whose gaps are left out; None while the arm does not lack more.

    `value` is the worse of the metric's bounds, or without bounds the worst value that any unit scored on either side.
    """
    lacks_more = int((column.lacks_arm & ~column.lacks_control).sum()) > int(
        (column.lacks_control & ~column.lacks_arm).sum()
    )
    is_asked = setting.missing == "leave_out" and setting.failure_rule == "more" and lacks_more
    if not is_asked or not column.pairs.any():
        return None
    control = np.array(
        [np.nan if (score := scores.control.get(name)) is None else score for name in units.names], dtype=np.float64
    )
    failed = column.lacks_arm & ~column.lacks_control & np.isfinite(control)
    value = column.metric.worst
    if value is None:
        seen = np.concatenate([control[column.pairs | failed], column.arm[column.pairs]])
        value = float(seen.min() if column.metric.higher_is_better else seen.max())
    differences = column.differences
    differences[failed] = value - control[failed]
    return WorstColumn(value, int(failed.sum()), _rounded_off(differences))


def _rounded_off(differences: Floats) -> Floats:
    differences[np.abs(differences) <= TIE] = 0.0
    return differences


def _check(scores: MetricScores, units: Units, sides: tuple[Floats, Floats]) -> None:
    metric = scores.metric
    if metric.bounds is not None:
        low, high = metric.bounds
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"The bounds of {metric.name} must be two ascending finite numbers, got {low} and {high}.")
    for side in sides:
        known = side[~np.isnan(side)]
        if not np.isfinite(known).all():
            raise ValueError(f"Every score of {metric.name} must be a finite number; None marks one without a score.")
        if metric.bounds is not None and ((known < metric.bounds[0]) | (known > metric.bounds[1])).any():
            raise ValueError(
                f"A score of {metric.name} lies outside of its declared bounds {metric.bounds[0]:g} to "
                f"{metric.bounds[1]:g}; correct the bounds or the evaluator."
            )
    for name in scores.control.keys() & scores.arm.keys() - frozenset(units.names):
        if scores.control[name] is not None and scores.arm[name] is not None:
            raise ValueError(
                f"{name!r} has scores of {metric.name} on both sides, but is not among the executed units."
            )
