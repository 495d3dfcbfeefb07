"""How often the tests cry wolf and the intervals miss, by simulation.

A few hundred repetitions with wide limits; `HHWEB_PROOF=1` asks for the full form of 4,000 with the limits that hold.
"""

import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.domain.statistics.intervals import bca_interval
from experiments.domain.statistics.multiple_arms import randomised_tukey
from experiments.domain.statistics.paired import permutation_tests
from tests.proofs import report

Floats = NDArray[np.float64]

FULL = os.environ.get("HHWEB_PROOF") == "1"
REPETITIONS = 4_000 if FULL else 300
DRAWS = 1_999
RESAMPLES = 1_999 if FULL else 999
COLUMNS = 50  # repetitions that share flips: independent data make their p-values all but independent
SLACK = 0.0 if FULL else 4.0  # percentage points; one standard error of 300 repetitions is 1.3


def label_swapped(generator: np.random.Generator, units: int) -> Floats:
    """Differences of two arms' nDCG-like scores (easy and hard queries, many 0 and 1), labels swapped at random."""
    ease = generator.beta(0.7, 0.9, size=units)
    arms = np.clip(ease + generator.normal(0, 0.2, size=(2, units)) + np.array([[0.0], [0.05]]), 0, 1)
    swapped = generator.random(units) < 0.5
    return np.where(swapped, arms[0] - arms[1], arms[1] - arms[0])


def skewed(generator: np.random.Generator, units: int) -> Floats:
    """Mean zero but far from symmetric: many small losses, few large gains (skewness 2)."""
    return generator.exponential(size=units) - 1


def improving(generator: np.random.Generator, units: int) -> Floats:
    """Differences of reciprocal-rank-like scores, true mean 0.083: half the queries tie, gains outweigh losses."""
    values = generator.choice([0.0, 0.5, 1.0, -0.5, -2 / 3], p=[0.5, 0.22, 0.08, 0.16, 0.04], size=units)
    return np.asarray(values + generator.normal(0, 0.05, size=units))


IMPROVEMENT = 0.22 * 0.5 + 0.08 - 0.16 * 0.5 - 0.04 * 2 / 3


def cluster_labels(clusters: int) -> NDArray[np.int64]:
    """Labels of clusters of 1 to 6 units."""
    return np.repeat(np.arange(clusters), 1 + np.arange(clusters) % 6)


def clustered(generator: np.random.Generator, labels: NDArray[np.int64]) -> Floats:
    """Mean-zero differences of which half the variance belongs to the cluster."""
    shared = generator.normal(0, 0.15, size=labels.max() + 1)
    return np.asarray(shared[labels] + generator.normal(0, 0.15, size=len(labels)))


def rejections(draw: Callable[[np.random.Generator], Floats], seed: int, clusters: list[int] | None = None) -> float:
    """Percentage of repetitions with p ≤ 0.05."""
    generator = np.random.default_rng(seed)
    found = 0
    for start in range(0, REPETITIONS, COLUMNS):
        columns = np.column_stack([draw(generator) for _ in range(COLUMNS)])
        results = permutation_tests(columns, seed=seed + start, draws=DRAWS, clusters=clusters)
        found += sum(result.p <= 0.05 for result in results)
    return 100 * found / REPETITIONS


def coverage(
    draw: Callable[[np.random.Generator], Floats], mean: float, seed: int, clusters: list[int] | None = None
) -> float:
    """Percentage of repetitions whose 95 % BCa interval covers `mean`."""
    generator = np.random.default_rng(seed)
    covered = 0
    for repetition in range(REPETITIONS):
        interval = bca_interval(draw(generator), seed=repetition, resamples=RESAMPLES, clusters=clusters)
        covered += interval.excludes(mean) is False
    return 100 * covered / REPETITIONS


@pytest.mark.parametrize("units", [30, 100, 225])
def test_label_swaps_are_called_a_difference_in_one_of_twenty(units: int) -> None:
    rate = rejections(lambda generator: label_swapped(generator, units), seed=units)
    report(f"null simulation, labels swapped, n = {units}", repetitions=REPETITIONS, rejections_percent=round(rate, 2))
    assert 4.3 - SLACK / 1.2 <= rate <= 5.7 + SLACK


@pytest.mark.parametrize("units", [100, 225])
def test_skewed_differences_of_mean_zero_are_called_a_difference_in_at_most_seven_percent(units: int) -> None:
    rate = rejections(lambda generator: skewed(generator, units), seed=units)
    report(
        f"null simulation, skewed mean zero, n = {units}", repetitions=REPETITIONS, rejections_percent=round(rate, 2)
    )
    assert 3.0 - SLACK / 1.5 <= rate <= 7.0 + SLACK


@pytest.mark.parametrize("clusters", [30, 60])
def test_clusters_keep_the_level(clusters: int) -> None:
    labels = cluster_labels(clusters)
    rate = rejections(lambda generator: clustered(generator, labels), seed=clusters, clusters=labels.tolist())
    without = rejections(lambda generator: clustered(generator, labels), seed=clusters)
    report(
        f"null simulation, {clusters} clusters of 1 to 6",
        repetitions=REPETITIONS,
        rejections_percent=round(rate, 2),
        rejections_percent_if_clusters_are_ignored=round(without, 2),
    )
    assert 4.3 - SLACK / 1.2 <= rate <= 5.7 + SLACK
    assert without > rate + 5  # what the cluster option is for


@pytest.mark.parametrize("units", [50, 100, 225])
@pytest.mark.parametrize(
    ("name", "draw", "mean"), [("labels swapped", label_swapped, 0.0), ("true difference", improving, IMPROVEMENT)]
)
def test_bca_intervals_cover_what_they_say(
    name: str, draw: Callable[[np.random.Generator, int], Floats], mean: float, units: int
) -> None:
    rate = coverage(lambda generator: draw(generator, units), mean, seed=units)
    report(f"BCa coverage, {name}, n = {units}", repetitions=REPETITIONS, covered_percent=round(rate, 2))
    assert 93 - SLACK <= rate <= 97 + SLACK / 2


@pytest.mark.parametrize("clusters", [30, 60])
def test_bca_intervals_over_clusters_cover_what_they_say(clusters: int) -> None:
    labels = cluster_labels(clusters)
    rate = coverage(lambda generator: clustered(generator, labels), 0.0, seed=clusters, clusters=labels.tolist())
    report(f"BCa coverage, {clusters} clusters of 1 to 6", repetitions=REPETITIONS, covered_percent=round(rate, 2))
    assert 93 - SLACK <= rate <= 97 + SLACK / 2


def test_randomised_tukey_makes_one_false_claim_in_twenty_families() -> None:
    generator = np.random.default_rng(21)
    families = REPETITIONS
    wrong = 0
    for family in range(families):
        scores = generator.beta(0.7, 0.9, size=(40, 1)) + generator.normal(0, 0.15, size=(40, 5))
        result = randomised_tukey(scores, seed=family, draws=499)
        wrong += min(min(row) for row in result.p) <= 0.05
    rate = 100 * wrong / families
    report(
        "randomised Tukey, 5 equal arms, n = 40", families=families, families_with_a_false_claim_percent=round(rate, 2)
    )
    assert 4.0 - SLACK / 1.2 <= rate <= 6.0 + SLACK
