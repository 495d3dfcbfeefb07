"""Randomised Tukey and max-T against enumeration of all permutations, and their bounds."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.domain.statistics.multiple_arms import max_t_test, randomised_tukey
from experiments.domain.statistics.paired import permutation_test

SEED = 99


def enumerated_tukey(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """p of each pair over every way to permute the labels within each unit."""
    units, arms = scores.shape
    permutations = list(itertools.permutations(range(arms)))
    sums = np.array([
        sum(scores[unit, list(order)] for unit, order in enumerate(orders))
        for orders in itertools.product(permutations, repeat=units)
    ])  # fmt: skip
    ranges = sums.max(axis=1) - sums.min(axis=1)
    totals = scores.sum(axis=0)
    observed = np.abs(totals[:, None] - totals[None, :])
    return (ranges[:, None, None] >= observed - 1e-9).mean(axis=0)


@pytest.mark.parametrize("denominator", [1, 4, 1_000])
def test_tukey_agrees_with_the_enumeration(denominator: int) -> None:
    scores = np.random.default_rng(denominator).integers(0, denominator + 1, size=(5, 3)) / denominator
    exact, draws = enumerated_tukey(scores), 40_000
    result = randomised_tukey(scores, seed=SEED, draws=draws)
    for i, j in itertools.permutations(range(3), 2):
        p = float(exact[i, j])
        assert result.p[i][j] == result.p[j][i]
        assert abs(result.p[i][j] - p) < 4 * math.sqrt(p * (1 - p) / draws) + 2 / draws
    assert [result.p[k][k] for k in range(3)] == [1.0] * 3
    assert result.means == pytest.approx(scores.mean(axis=0).tolist())


def test_tukey_of_two_arms_is_the_paired_permutation_test() -> None:
    scores = np.random.default_rng(4).normal([0, 0.5], size=(12, 2))
    exact = permutation_test(scores[:, 1] - scores[:, 0], seed=SEED)
    assert exact.is_exact
    assert randomised_tukey(scores, seed=SEED).p[0][1] == pytest.approx(exact.p, abs=0.015)


def test_tukey_is_seeded_and_ignores_how_hard_a_query_is() -> None:
    scores = np.random.default_rng(5).normal(size=(30, 4))
    result = randomised_tukey(scores, seed=SEED, draws=2_000)
    harder = randomised_tukey(scores - np.arange(30)[:, None], seed=SEED, draws=2_000)
    assert result == randomised_tukey(scores, seed=SEED, draws=2_000)
    assert harder.p == result.p
    assert randomised_tukey(scores, seed=SEED + 1, draws=2_000).p != result.p


def test_tukey_permutes_clusters_as_a_whole() -> None:
    generator = np.random.default_rng(6)
    once = generator.normal([0, 0.6, 1.2], size=(10, 3))
    clusters = [number // 4 for number in range(40)]
    together = randomised_tukey(np.repeat(once, 4, axis=0), seed=SEED, draws=3_000, clusters=clusters)
    assert together.units == 10
    assert together.p == randomised_tukey(once * 4, seed=SEED, draws=3_000).p
    alone = randomised_tukey(np.repeat(once, 4, axis=0), seed=SEED, draws=3_000)
    assert alone.p[0][1] < together.p[0][1]


def test_tukey_without_any_difference_claims_nothing() -> None:
    assert randomised_tukey(np.ones((8, 3)), seed=SEED, draws=100).p == [[1.0] * 3] * 3


def enumerated_max_t(differences: NDArray[np.float64]) -> list[float]:
    """Westfall and Young's step-down p-values over every sign pattern."""
    scaled = differences / np.sqrt((differences**2).sum(axis=0))
    observed = np.abs(scaled.sum(axis=0))
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(differences))))
    reached = np.abs(signs @ scaled)
    adjusted, worst = [0.0] * len(observed), 0.0
    for rank, column in enumerate(order := np.argsort(-observed)):
        worst = max(worst, float((reached[:, order[rank:]].max(axis=1) >= observed[column] - 1e-9).mean()))
        adjusted[column] = worst
    return adjusted


def test_max_t_agrees_with_the_enumeration_and_is_sharper_than_bonferroni() -> None:
    generator = np.random.default_rng(12)
    base = generator.normal(size=(10, 1))
    differences = base + 0.4 * generator.normal(size=(10, 4)) + [0.3, 0.5, 0.8, 0.1]
    exact = enumerated_max_t(differences)
    result = max_t_test(differences, seed=SEED, draws=40_000)
    assert result.p == pytest.approx(exact, abs=0.012)
    single = [permutation_test(column, seed=SEED).p for column in differences.T]
    smallest = int(np.argmin(single))
    assert single[smallest] < result.p[smallest] < 4 * single[smallest]


def test_max_t_gives_one_to_a_comparison_without_differences() -> None:
    differences = np.column_stack([np.zeros(20), np.full(20, 0.5)])
    result = max_t_test(differences, seed=SEED, draws=999)
    assert result.p == [1.0, 0.001]
    clustered = max_t_test(differences, seed=SEED, draws=999, clusters=[k // 10 for k in range(20)])
    assert clustered.units == 2
    assert clustered.p[1] == pytest.approx(0.5, abs=0.08)


def test_gaps_and_bad_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="complete arms only"):
        randomised_tukey([[0.1, math.nan]], seed=SEED)
    with pytest.raises(ValueError, match="at least two arms"):
        randomised_tukey([[0.1], [0.2]], seed=SEED)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        randomised_tukey([[0.1, 0.2]], seed=SEED, draws=0)
    with pytest.raises(ValueError, match="units × comparisons"):
        max_t_test([0.1, 0.2], seed=SEED)
