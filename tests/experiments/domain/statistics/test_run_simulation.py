"""How often comparisons of runs cry wolf and their intervals miss, with clusters, repetitions and crashes.

A few hundred repetitions with wide limits; `HHWEB_PROOF=1` asks for the full form of 4,000 with the limits that hold.
"""

import os
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.domain.statistics.binary import mcnemar_exact, newcombe_paired
from experiments.domain.statistics.change_points import Point, change_points
from experiments.domain.statistics.corrections import holm
from experiments.domain.statistics.intervals import bca_interval, t_interval
from experiments.domain.statistics.metrics import Metric, MetricScores, Setting, compare_metrics
from experiments.domain.statistics.multiple_arms import range_test
from experiments.domain.statistics.paired import permutation_tests
from tests.proofs import report

Floats = NDArray[np.float64]

FULL = os.environ.get("HHWEB_PROOF") == "1"
REPETITIONS = 4_000 if FULL else 300
RESAMPLES = 1_999 if FULL else 999
DRAWS = 1_999
SLACK = 0.0 if FULL else 4.0  # percentage points; one standard error of 300 repetitions is 1.3
COLUMNS = 50  # repetitions that share flips


@dataclass(frozen=True, slots=True)
class Design:
    """Datapoints in clusters of 1 to 6, each executed 1 to 4 times on either side."""

    clusters: NDArray[np.int64]
    executions: NDArray[np.int64]  # datapoint of each execution


def design(clusters: int) -> Design:
    labels = np.repeat(np.arange(clusters), 1 + np.arange(clusters) % 6)
    return Design(labels, np.repeat(np.arange(len(labels)), 1 + np.arange(len(labels)) % 4))


def executions(generator: np.random.Generator, plan: Design) -> Floats:
    """2 × executions: two sides alike in distribution. Documents and datapoints suit one side or the other."""
    count = len(plan.clusters)
    ease = generator.beta(0.9, 0.7, size=count)
    tastes = [
        generator.normal(0, 0.15, size=plan.clusters.max() + 1)[plan.clusters] + generator.normal(0, 0.1, size=count)
        for _ in range(2)
    ]
    noise = generator.normal(0, 0.25, size=(2, len(plan.executions)))
    return np.clip(np.stack([(ease + taste)[plan.executions] for taste in tastes]) + noise, 0, 1)


def averaged(scores: Floats, plan: Design) -> Floats:
    """Differences of the datapoints' means, as comparisons average repetitions first."""
    counts = np.bincount(plan.executions)
    means = [np.bincount(plan.executions, weights=side) / counts for side in scores]
    return np.asarray(means[1] - means[0])


@pytest.mark.parametrize("clusters", [30, 60])
def test_clusters_with_repetitions_keep_the_level(clusters: int) -> None:
    plan, generator = design(clusters), np.random.default_rng(clusters)
    of_execution = plan.clusters[plan.executions].tolist()
    rejected = ignored = pooled = 0
    for start in range(0, REPETITIONS, COLUMNS):
        drawn = [executions(generator, plan) for _ in range(COLUMNS)]
        means = np.column_stack([averaged(scores, plan) for scores in drawn])
        single = np.column_stack([scores[1] - scores[0] for scores in drawn])
        for_clusters = permutation_tests(means, seed=start, draws=DRAWS, clusters=plan.clusters.tolist())
        rejected += sum(test.p <= 0.05 for test in for_clusters)
        ignored += sum(test.p <= 0.05 for test in permutation_tests(means, seed=start, draws=DRAWS))
        pooled += sum(test.p <= 0.05 for test in permutation_tests(single, seed=start, draws=DRAWS))
    assert len(of_execution) > len(plan.clusters)
    rates = [round(100 * count / REPETITIONS, 2) for count in (rejected, ignored, pooled)]
    report(
        f"null simulation, {clusters} clusters of 1 to 6 with 1 to 4 repetitions",
        repetitions=REPETITIONS,
        rejections_percent=rates[0],
        rejections_percent_if_clusters_are_ignored=rates[1],
        rejections_percent_if_repetitions_count_as_datapoints=rates[2],
    )
    assert 4.3 - SLACK / 1.2 <= rates[0] <= 5.7 + SLACK
    assert rates[1] > rates[0] + 5
    assert rates[2] > rates[1]  # what averaging first is for


@pytest.mark.parametrize("clusters", [30, 60])
def test_intervals_over_clusters_with_repetitions_cover_what_they_say(clusters: int) -> None:
    plan, generator = design(clusters), np.random.default_rng(clusters + 1)
    labels = plan.clusters.tolist()
    bca = robust = 0
    for repetition in range(REPETITIONS):
        differences = averaged(executions(generator, plan), plan)
        bca += bca_interval(differences, seed=repetition, resamples=RESAMPLES, clusters=labels).excludes(0.0) is False
        robust += t_interval(differences, clusters=labels).excludes(0.0) is False
    rates = [round(100 * count / REPETITIONS, 2) for count in (bca, robust)]
    report(
        f"coverage, {clusters} clusters of 1 to 6 with 1 to 4 repetitions",
        repetitions=REPETITIONS,
        bca_covered_percent=rates[0],
        t_covered_percent=rates[1],
    )
    for rate in rates:
        assert 93 - SLACK <= rate <= 97 + SLACK / 2


@pytest.mark.parametrize(("pairs", "control_rate", "shift"), [(50, 0.8, 0.0), (50, 0.8, 0.1), (200, 0.9, 0.05)])
def test_newcombe_covers_the_difference_and_mcnemar_keeps_the_level(
    pairs: int, control_rate: float, shift: float
) -> None:
    generator = np.random.default_rng(pairs)
    covered = rejected = mid = 0
    for _ in range(REPETITIONS):
        ease = generator.random(pairs)  # what both sides find hard
        control, arm = (
            np.where(generator.random(pairs) < 0.6, ease, generator.random(pairs)) < rate
            for rate in (control_rate, control_rate + shift)
        )
        table = [int(cells.sum()) for cells in (control & arm, control & ~arm, ~control & arm, ~control & ~arm)]
        covered += newcombe_paired(*table).excludes(shift) is False
        test = mcnemar_exact(table[1], table[2])
        rejected, mid = rejected + (test.p <= 0.05), mid + (test.mid_p <= 0.05)
    rates = [round(100 * count / REPETITIONS, 2) for count in (covered, rejected, mid)]
    report(
        f"Newcombe's interval, rates {control_rate:g} and {control_rate + shift:g}, n = {pairs}",
        repetitions=REPETITIONS,
        covered_percent=rates[0],
        mcnemar_rejections_percent=rates[1],
        mid_p_rejections_percent=rates[2],
    )
    assert 93 - SLACK <= rates[0] <= 98 + SLACK / 2
    if not shift:
        assert rates[1] <= rates[2] <= 5.7 + SLACK


def test_crashes_on_its_worst_datapoints_do_not_make_a_run_better() -> None:
    """Two runs alike, of which the new one crashes on half of those where it would lose clearly."""
    generator, units = np.random.default_rng(31), [f"d{number}" for number in range(60)]
    repetitions, claims, naive, filled = 1_000 if FULL else 40, 0, 0, 0
    for repetition in range(repetitions):
        ease = generator.beta(1.2, 0.8, size=len(units))
        sides = np.clip(ease + generator.normal(0, 0.12, size=(2, len(units))), 0, 1)
        loses = (sides[1] < sides[0] - 0.15) & (generator.random(len(units)) < 0.5)
        crashed = [unit for unit, is_lost in zip(units, loses, strict=True) if is_lost]
        control, arm = (dict(zip(units, side.tolist(), strict=True)) for side in sides)
        scores = [MetricScores(Metric("m", bounds=(0.0, 1.0)), control, arm)]
        setting = Setting(seed=repetition, failed_arm=crashed)
        (found,) = compare_metrics(scores, executed=units, setting=setting)
        (worst,) = compare_metrics(
            scores, executed=units, setting=Setting(seed=repetition, failed_arm=crashed, missing="worst")
        )
        claims += found.verdict == "better"
        filled += worst.verdict == "better"
        naive += (found.p or 1.0) <= 0.05 and (found.difference or 0.0) > 0
    rates = [round(100 * count / repetitions, 2) for count in (claims, filled, naive)]
    report(
        "equal runs, the new one crashes on half of its clear losses, n = 60",
        repetitions=repetitions,
        called_better_percent=rates[0],
        called_better_percent_if_scored_at_the_worst=rates[1],
        called_better_percent_if_crashes_vanish=rates[2],
    )
    assert rates[0] <= 2.5 + SLACK / 2
    assert rates[1] <= 2.5 + SLACK / 2
    assert rates[2] > 5  # twice and more what chance allows on that side


def test_holm_makes_one_false_claim_in_twenty_families_of_correlated_metrics() -> None:
    generator, wrong = np.random.default_rng(41), 0
    for repetition in range(REPETITIONS):
        shared = generator.normal(size=(60, 1))
        metrics = 0.6 * shared + generator.normal(size=(60, 5))
        p = [test.p for test in permutation_tests(metrics, seed=repetition, draws=499)]
        wrong += min(value for value in holm(p) if value is not None) <= 0.05
    rate = round(100 * wrong / REPETITIONS, 2)
    report("Holm over 5 correlated metrics, n = 60", families=REPETITIONS, families_with_a_false_claim_percent=rate)
    assert rate <= 5.7 + SLACK


def test_the_normal_range_test_makes_one_false_claim_in_twenty_families() -> None:
    generator, wrong = np.random.default_rng(51), 0
    families = REPETITIONS // 4
    for _ in range(families):
        scores = generator.beta(0.7, 0.9, size=(300, 1)) + generator.normal(0, 0.15, size=(300, 4))
        wrong += min(min(row) for row in range_test(scores)) <= 0.05
    rate = round(100 * wrong / families, 2)
    report("Tukey HSD of normal sums, 4 equal runs, n = 300", families=families, false_claim_percent=rate)
    assert 3.5 - SLACK / 1.2 <= rate <= 6.5 + SLACK


@pytest.mark.parametrize(("runs", "between"), [(10, 0.0), (30, 0.0), (30, 0.05)])
def test_a_series_without_change_gets_a_mark_in_one_of_twenty(runs: int, between: float) -> None:
    """Means of 20 to 500 pass-or-fail datapoints, with and without noise between runs."""
    generator, marked = np.random.default_rng(runs), 0
    repetitions = REPETITIONS if FULL else 120
    for repetition in range(repetitions):
        counts = generator.integers(20, 500, size=runs)
        levels = np.clip(0.7 + generator.normal(0, between, size=runs), 0, 1)
        rates = generator.binomial(counts, levels) / counts
        points = [
            Point(float(rate), int(count), float(np.sqrt(rate * (1 - rate) * count / (count - 1))))
            for rate, count in zip(rates, counts, strict=True)
        ]
        marked += bool(change_points(points, seed=repetition, draws=199))
    rate = round(100 * marked / repetitions, 2)
    report(
        f"change points, {runs} runs without change, spread between runs {between:g}",
        repetitions=repetitions,
        series_with_a_mark_percent=rate,
    )
    assert rate <= 6.0 + SLACK
