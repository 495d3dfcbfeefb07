"""What a statistical comparison of two runs consists of, and how each part is written down as JSON."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.domain.comparison import Column, ComparedMetric
from experiments.domain.comparison_options import Bounds
from experiments.domain.statistics.binary import newcombe_paired
from experiments.domain.statistics.comparison import PairedComparison
from experiments.domain.statistics.failures import FailedPair, count_failures, failed_pairs
from experiments.domain.statistics.intervals import Interval, wilson_interval
from experiments.domain.statistics.sentences import p_text
from experiments.selectors.results import Computation

MOVERS = 10
FAILURES_LISTED = 100
QUANTILES = 101
CORRECTION_NAMES = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg", "none": "none"}


@dataclass(frozen=True, slots=True)
class PassRate:
    """Datapoints of a whole run that passed everything, with the Wilson interval of their share.

    No bounds before the run is complete: who looks again and again would see a wrong interval far too often.
    """

    passed: int
    total: int
    interval: Interval
    is_complete: bool = True

    def to_json(self) -> dict[str, Any]:
        """Counts, share (None for no datapoints) and bounds."""
        return {
            "passed": self.passed,
            "total": self.total,
            "rate": self.passed / self.total if self.total else None,
            "low": self.interval.low if self.is_complete else None,
            "high": self.interval.high if self.is_complete else None,
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
        difference = finite(self.new - self.old)
        return {"datapoint_id": self.datapoint_id, "old": self.old, "new": self.new, "difference": difference}


@dataclass(frozen=True, slots=True)
class MetricFinding:
    """One metric of both runs: the figures of the plain comparison, the statistics, and who moved most."""

    figures: ComparedMetric
    statistics: PairedComparison
    bounds: Bounds | None
    is_primary: bool
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
            "is_primary": self.is_primary,
            "bounds": None if self.bounds is None else list(self.bounds),
            "old_aggregate": self.figures.old_aggregate,
            "new_aggregate": self.figures.new_aggregate,
            "difference": finite(self.figures.difference),
            "percentage_change": finite(self.figures.percentage_change),
            "found_count": self.figures.found_count,
            "improved_count": len(self.figures.improved),
            "degraded_count": len(self.figures.degraded),
            "same_count": len(self.figures.same),
            "statistics": self.statistics.to_json(),
            "quantiles": {"old": quantiles(self.figures.old_values), "new": quantiles(self.figures.new_values)},
            "improved_most": [mover.to_json() for mover in self.improved_most],
            "degraded_most": [mover.to_json() for mover in self.degraded_most],
        }


@dataclass(frozen=True, slots=True)
class FailureFinding:
    """Common datapoints with a crashed execution, per side. `interval` is of new rate − old rate (Newcombe).

    `pairs` are the first hundred of them, those that failed on the new side alone before the others.
    """

    old: int
    new: int
    both: int
    executed: int
    p: float | None
    interval: Interval
    is_shown_worse: bool
    pairs: list[FailedPair]
    is_complete: bool = True

    @property
    def sentence(self) -> str:
        """How often both sides failed, and whether the new one fails more."""
        if not self.old and not self.new:
            return "No common datapoint failed in either run."
        said = f"Of {self.executed:,} common datapoints {self.new:,} failed in the new run and {self.old:,} in the old"
        if self.new <= self.old:
            return f"{said}."
        if not self.is_complete or self.p is None:
            return f"{said}, so far."
        how = "more often, by exact McNemar" if self.is_shown_worse else "more often, though that may be chance"
        return f"{said}: the new run fails {how} ({p_text(self.p)})."

    def to_json(self) -> dict[str, Any]:
        """Counts, the test, and the pairs listed."""
        return {
            "old": self.old,
            "new": self.new,
            "both": self.both,
            "only_old": self.old - self.both,
            "only_new": self.new - self.both,
            "difference": (self.new - self.old) / self.executed if self.executed else None,
            "low": self.interval.low if self.is_complete else None,
            "high": self.interval.high if self.is_complete else None,
            "level": self.interval.level,
            "method": self.interval.method,
            "p": self.p if self.is_complete else None,
            "new_fails_more": self.new > self.old,
            "is_shown_worse": self.is_shown_worse and self.is_complete,
            "sentence": self.sentence,
            "datapoints": [{"datapoint_id": pair.unit, "side": side_of(pair)} for pair in self.pairs],
            "datapoints_left_out": max(0, self.old + self.new - self.both - len(self.pairs)),
        }


def quantiles(values: Sequence[float]) -> list[float]:
    """The values ascending, or their 0th to 100th percentiles where there are more than 101 of them."""
    if len(values) <= QUANTILES:
        return sorted(values)
    # One of the values each time: nothing in between could overflow.
    steps = np.quantile(np.asarray(values), np.linspace(0, 1, QUANTILES), method="inverted_cdf")
    return [float(value) for value in steps]


def side_of(pair: FailedPair) -> str:
    """`new`, `old` or `both`."""
    return "both" if pair.failed_arm and pair.failed_control else "new" if pair.failed_arm else "old"


def failures_of(
    executed: Sequence[str], failed_old: Sequence[str], failed_new: Sequence[str], *, alpha: float, is_complete: bool
) -> FailureFinding:
    """Failures of two runs over the datapoints that both executed."""
    found = count_failures(executed, failed_old, failed_new)
    neither = found.executed - found.both - found.only_control - found.only_arm
    order = {"new": 0, "both": 1, "old": 2}
    pairs = sorted(failed_pairs(executed, failed_old, failed_new), key=lambda pair: (order[side_of(pair)], pair.unit))
    return FailureFinding(
        old=found.control,
        new=found.arm,
        both=found.both,
        executed=found.executed,
        p=found.p,
        interval=newcombe_paired(found.both, found.only_control, found.only_arm, neither, level=1 - alpha),
        is_shown_worse=found.is_arm_worse(alpha),
        pairs=pairs[:FAILURES_LISTED],
        is_complete=is_complete,
    )


def pass_rate_of(side: Computation, *, confidence: float, is_complete: bool) -> PassRate:
    """The pass rate of a whole run."""
    passed, failed = side.table.verdicts()
    total = len(passed) + len(failed)
    return PassRate(len(passed), total, wilson_interval(len(passed), total, level=confidence), is_complete)


def movers_of(figures: ComparedMetric, before: Column, after: Column) -> tuple[list[Mover], list[Mover]]:
    """(those that improved most, those that degraded most), ten of each."""

    def moved(keys: Sequence[str]) -> list[Mover]:
        # Only ten of perhaps a hundred thousand become objects.
        most = heapq.nsmallest(
            MOVERS, keys, key=lambda key: (-abs(after.by_datapoint[key] - before.by_datapoint[key]), key)
        )
        return [Mover(key, before.by_datapoint[key], after.by_datapoint[key]) for key in most]

    return moved(figures.improved), moved(figures.degraded)


def settled(found: PairedComparison) -> PairedComparison:
    """The statistics as they may be shown: of runs that are not complete neither tests nor intervals.

    Who watches a run and may stop looking at any time would take noise for change far more often than alpha.
    """
    if found.is_complete:
        return found
    known = found.evidence
    if known is not None:
        known = replace(
            known,
            failures=replace(known.failures, p=None, mid_p=None),
            lacking=known.lacking and replace(known.lacking, p=None, mid_p=None),
            binary=None,
            noninferiority=None,
            worst_case=None,
            holm_p=None,
            benjamini_hochberg_p=None,
        )
    return replace(
        found, interval_low=None, interval_high=None, p=None, sign_p=None, t_p=None, wilcoxon_p=None, adjusted_p=None,
        equivalence_p=None, adjusted_equivalence_p=None, is_equivalence_shown=False, evidence=known, warnings=[],
    )  # fmt: skip


def finite(value: float | None) -> float | None:
    """None for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None
