"""All metrics of two runs compared together: one set of flips, failures that count, and both corrections."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from experiments.domain.statistics.binary import BinaryPairs, binary_pairs
from experiments.domain.statistics.clusters import Floats
from experiments.domain.statistics.comparison import PairedComparison, decide, is_stopped_by_failures, is_withheld
from experiments.domain.statistics.corrections import benjamini_hochberg, holm
from experiments.domain.statistics.evidence import Evidence, NonInferiority, WorstCase
from experiments.domain.statistics.intervals import Interval, bca_intervals
from experiments.domain.statistics.metric_columns import (
    Column,
    Metric,
    MetricScores,
    Setting,
    Units,
    WorstColumn,
    column_of,
    lacking_of,
    units_of,
    worst_column,
)
from experiments.domain.statistics.paired import PermutationResult, permutation_tests
from experiments.domain.statistics.plan import Plan, plan_of
from experiments.domain.statistics.power import equivalence_test, noninferiority_test
from experiments.domain.statistics.sentences import noninferiority_sentence
from experiments.domain.statistics.verdict import compare_paired, corrected

Correction = Literal["none", "holm", "benjamini_hochberg"]

__all__ = ["Metric", "MetricScores", "Setting", "compare_metric_slices", "compare_metrics"]


def compare_metrics(
    metrics: Sequence[MetricScores],
    *,
    executed: Collection[str],
    setting: Setting,
    correction: Correction = "holm",
) -> list[PairedComparison]:
    """`compare_paired` for each metric under the same flips, with `evidence`; in the order of `metrics`.

    `executed` are the units that both sides ran, scored or not; what only one side ran counts as one-sided. A unit
    that failed on either side is left out of every metric, and counted. With `missing="worst"` an executed unit that
    failed, or that one side alone scored, gets the worst of the metric's bounds on each side without score; a unit
    that neither side scored and neither failed stays out. Holm and Benjamini-Hochberg over the metrics are both in
    the evidence; `correction` says which one the verdicts use, if any. `plan_of` says how much is computed.
    Raises ValueError as `compare_paired` does, for scores outside of declared bounds, for something to fill in
    without bounds, and for a unit that both sides scored and `executed` lacks.
    """
    return with_corrections(measured(metrics, executed=executed, setting=setting), correction)


def compare_metric_slices(
    metrics: Sequence[MetricScores],
    slices: Mapping[str, str | None],
    *,
    executed: Collection[str],
    setting: Setting,
) -> list[PairedComparison]:
    """`compare_metrics` within each label of `slices` (unit → label; None or absent: in no slice), labels ascending.

    Verdicts use p-values adjusted by Benjamini-Hochberg over the whole table of slices and metrics, as `correction`
    and `family_size` say; both corrections are in the evidence. Slices under 30 pairs carry a warning, and a failed
    unit belongs to its own slice alone.
    """
    members: dict[str, list[str]] = {}
    for unit in executed:
        if (label := slices.get(unit)) is not None:
            members.setdefault(label, []).append(unit)
    found = []
    for label in sorted(members):
        within = frozenset(members[label])
        part = [
            replace(
                one,
                control={unit: one.control.get(unit) for unit in within},
                arm={unit: one.arm.get(unit) for unit in within},
            )
            for one in metrics
        ]
        narrowed = replace(
            setting,
            failed_control=within.intersection(setting.failed_control),
            failed_arm=within.intersection(setting.failed_arm),
        )
        in_all = len(executed) * len(metrics)
        found += [
            replace(one, slice_label=label)
            for one in measured(part, executed=within, setting=narrowed, pairs_in_all=in_all)
        ]
    return with_corrections(found, "benjamini_hochberg")


def measured(
    metrics: Sequence[MetricScores], *, executed: Collection[str], setting: Setting, pairs_in_all: int = 0
) -> list[PairedComparison]:
    """Each metric compared, before any correction over the family; `with_corrections` completes and judges.

    `pairs_in_all` tells the plan of all pairs that are compared for the same answer.
    """
    units = units_of(executed, setting)
    columns = [column_of(one, units, setting) for one in metrics]
    pairs = [int(column.pairs.sum()) for column in columns]
    plans = [plan_of(count, pairs_in_all=max(sum(pairs), pairs_in_all)) for count in pairs]
    worst = [worst_column(one, column, units, setting) for one, column in zip(metrics, columns, strict=True)]
    nothing = np.full(len(units.names), np.nan)
    differences = [column.differences for column in columns]
    differences += [nothing if column is None else column.differences for column in worst]
    tests = _tests(differences, plans * 2, units, setting.seed)
    intervals = _intervals(columns, plans, units, setting)
    found = []
    for place, (column, plan) in enumerate(zip(columns, plans, strict=True)):
        comparison = _compared(metrics[place], column, units, setting, plan, tests[place], intervals[place])
        evidence = Evidence(
            plan=plan,
            failures=units.failures,
            failure_rule=setting.failure_rule,
            missing=setting.missing,
            lacking=lacking_of(column, units),
            filled_control=column.filled_control,
            filled_arm=column.filled_arm,
            filled_with=column.metric.worst if setting.missing == "worst" else None,
            binary=_binary(column, comparison),
            noninferiority=_noninferiority(column, units, setting),
            worst_case=_worst_case(column.metric, worst[place], tests[len(columns) + place], units, setting),
        )
        found.append(
            replace(
                comparison,
                n_failed_control=units.failures.control,
                n_failed_arm=units.failures.arm,
                evidence=evidence,
            )
        )
    return found


def with_corrections(found: Sequence[PairedComparison], correction: Correction) -> list[PairedComparison]:
    """Both adjusted p-values into the evidence, and the verdicts that hold under the correction chosen.

    A family of one needs no correction, and gets none.
    """
    step_down, step_up = holm([one.p for one in found]), benjamini_hochberg([one.p for one in found])
    known = [
        replace(one, evidence=one.evidence and replace(one.evidence, holm_p=down, benjamini_hochberg_p=up))
        for one, down, up in zip(found, step_down, step_up, strict=True)
    ]
    margins: list[float | None] = [None] * len(known)
    if correction != "none" and len(known) > 1:
        name, correct = ("Holm", holm) if correction == "holm" else ("Benjamini-Hochberg", benjamini_hochberg)
        known = corrected(known, correction=name, correct=correct)
        margins = correct([_noninferiority_p(one) for one in known])
    return [_with_noninferiority(decide(one), p) for one, p in zip(known, margins, strict=True)]


def _tests(columns: Sequence[Floats], plans: Sequence[Plan], units: Units, seed: int) -> list[PermutationResult | None]:
    """One permutation test for each column, those of equal plans together; None for a column without a pair."""
    results: list[PermutationResult | None] = [None] * len(columns)
    for flips in sorted({plan.flips for plan in plans}):
        places = [
            place
            for place, (column, plan) in enumerate(zip(columns, plans, strict=True))
            if plan.flips == flips and np.isfinite(column).any()
        ]
        if places:
            table = np.column_stack([columns[place] for place in places])
            tests = permutation_tests(table, seed=seed, draws=flips, clusters=units.labels)
            for place, test in zip(places, tests, strict=True):
                results[place] = test
    return results


def _intervals(
    columns: Sequence[Column], plans: Sequence[Plan], units: Units, setting: Setting
) -> list[Interval | None]:
    """BCa intervals where the plans ask for them, those of metrics with the same pairs from the same resamples."""
    results: list[Interval | None] = [None] * len(columns)
    alike: dict[bytes, list[int]] = {}
    for place, (column, plan) in enumerate(zip(columns, plans, strict=True)):
        if plan.interval == "bca" and column.pairs.any():
            alike.setdefault(column.pairs.tobytes(), []).append(place)
    for places in alike.values():
        pairs = columns[places[0]].pairs
        intervals = bca_intervals(
            [columns[place].differences[pairs] for place in places],
            seed=setting.seed,
            level=1 - setting.alpha,
            resamples=plans[places[0]].resamples,
            clusters=units.labels_within(pairs),
        )
        for place, interval in zip(places, intervals, strict=True):
            results[place] = interval
    return results


def _compared(
    scores: MetricScores,
    column: Column,
    units: Units,
    setting: Setting,
    plan: Plan,
    test: PermutationResult | None,
    interval: Interval | None,
) -> PairedComparison:
    metric, inside = column.metric, frozenset(units.names)
    control, arm = (
        {unit: value for unit, value in zip(units.names, values.tolist(), strict=True) if not math.isnan(value)}
        | {unit: score for unit, score in side.items() if unit not in inside}
        for values, side in ((column.control, scores.control), (column.arm, scores.arm))
    )
    found = compare_paired(
        control,
        arm,
        metric=metric.name,
        seed=setting.seed,
        alpha=setting.alpha,
        margin=metric.margin,
        effect=metric.effect,
        is_complete=setting.is_complete,
        clusters=setting.clusters,
        higher_is_better=metric.higher_is_better,
        interval_method=plan.interval,
        control_name=setting.control_name,
        arm_name=setting.arm_name,
        units_word=setting.units_word,
        flips=test,
        interval=interval,
    )
    if found.sd != 0:
        return found
    # Equal differences say nothing of their spread: neither an interval of width 0 nor "0 can be detected" is true.
    return replace(found, interval_low=None, interval_high=None, mde=None, queries_needed=None, more_queries=None)


def _binary(column: Column, comparison: PairedComparison) -> BinaryPairs | None:
    """None with clusters: McNemar and Newcombe take every pair for independent of the others."""
    if comparison.n_clusters is not None:
        return None
    pairs = column.pairs
    return binary_pairs(column.control[pairs], column.arm[pairs], level=comparison.interval_level)


def _noninferiority(column: Column, units: Units, setting: Setting) -> NonInferiority | None:
    margin, pairs = column.metric.noninferiority_margin, column.pairs
    if margin is None:
        return None
    test = noninferiority_test(
        column.differences[pairs],
        margin=margin,
        alpha=setting.alpha,
        clusters=units.labels_within(pairs),
        higher_is_better=column.metric.higher_is_better,
    )
    return NonInferiority(margin, test.p, None, test.is_equivalent, "")


def _worst_case(
    metric: Metric,
    column: WorstColumn | None,
    test: PermutationResult | None,
    units: Units,
    setting: Setting,
) -> WorstCase | None:
    if column is None or test is None:
        return None
    pairs = np.isfinite(column.differences)
    differences, labels = column.differences[pairs], units.labels_within(pairs)
    is_equivalent = metric.margin is not None and (
        equivalence_test(differences, margin=metric.margin, alpha=setting.alpha, clusters=labels).is_equivalent
    )
    is_not_worse = metric.noninferiority_margin is not None and (
        noninferiority_test(
            differences,
            margin=metric.noninferiority_margin,
            alpha=setting.alpha,
            clusters=labels,
            higher_is_better=metric.higher_is_better,
        ).is_equivalent
    )
    return WorstCase(column.value, column.filled, test.statistic, test.p, is_equivalent, is_not_worse)


def _noninferiority_p(found: PairedComparison) -> float | None:
    return found.evidence.noninferiority.p if found.evidence and found.evidence.noninferiority else None


def _with_noninferiority(found: PairedComparison, adjusted_p: float | None) -> PairedComparison:
    """Non-inferiority with its correction, what failures forbid, and its sentence."""
    known = found.evidence
    if known is None or known.noninferiority is None:
        return found
    test = known.noninferiority
    decisive = test.p if adjusted_p is None else adjusted_p
    is_found = test.is_shown and (decisive is None or decisive <= found.alpha)
    is_open = not found.is_complete or is_stopped_by_failures(found) or is_withheld(found, "not_worse")
    is_shown = is_found and not is_open
    sentence = noninferiority_sentence(
        found, margin=test.margin, p=decisive, is_shown=is_shown, is_withheld=is_found and is_open
    )
    judged = replace(test, adjusted_p=adjusted_p, is_shown=is_shown, sentence=sentence)
    return replace(found, evidence=replace(known, noninferiority=judged))
