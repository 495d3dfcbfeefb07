"""Paired tests against full enumeration in whole numbers, and against scipy and statsmodels."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from experiments.domain.statistics import paired

SEED = 20_240_601


def enumerated_p(differences: Sequence[Fraction]) -> Fraction:
    """Share of all sign patterns whose sum is at least as far from zero, in exact rational arithmetic."""
    observed = abs(sum(differences))
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    reached = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed for signs in patterns)
    return Fraction(reached, len(patterns))


def drawn_differences(kind: str, units: int, generator: np.random.Generator) -> list[Fraction]:
    """Differences whose sums tie often: binary scores, k-of-n scores, tied grades, tenths."""
    denominator = {"binary": 1, "k_of_n": 7, "tied": 3, "tenths": 10}[kind]
    scores = generator.integers(0, denominator + 1, size=(2, units))
    return [Fraction(int(new - old), denominator) for old, new in scores.T]


@pytest.mark.parametrize("kind", ["binary", "k_of_n", "tied", "tenths"])
@pytest.mark.parametrize("units", [1, 2, 5, 9, 12])
def test_exact_p_equals_the_enumeration_in_fractions(kind: str, units: int) -> None:
    generator = np.random.default_rng([units, len(kind)])
    for _ in range(4):
        differences = drawn_differences(kind, units, generator)
        result = paired.permutation_test([float(d) for d in differences], seed=SEED)
        assert result.is_exact
        assert result.p == float(enumerated_p(differences))
        assert result.statistic == pytest.approx(float(sum(differences) / units), abs=1e-15)


@pytest.mark.parametrize("scale", [1e-9, 1 / 3, 1e9])
def test_p_does_not_depend_on_the_unit_of_the_scores(scale: float) -> None:
    differences = drawn_differences("k_of_n", 11, np.random.default_rng(3))
    result = paired.permutation_test([float(d) * scale for d in differences], seed=SEED)
    assert result.p == float(enumerated_p(differences))


def test_naive_float_comparison_would_miss_ties() -> None:
    differences = [0.1, 0.2, -0.3, 0.1, 0.7, -0.7]
    exact = enumerated_p([Fraction(round(d * 10), 10) for d in differences])
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=6)))
    naive = float((np.abs(signs @ differences) >= abs(sum(differences))).mean())
    assert naive != float(exact)
    assert paired.permutation_test(differences, seed=SEED).p == float(exact)


def test_units_without_a_difference_do_not_stand_in_the_way_of_enumeration() -> None:
    differences = [1.0] * 9 + [-1.0] * 2 + [0.0] * 200
    result = paired.permutation_test(differences, seed=SEED)
    assert (result.is_exact, result.draws, result.units) == (True, 2**11, 211)
    assert result.p == pytest.approx(scipy.stats.binomtest(9, 11, 0.5).pvalue, abs=1e-15)  # McNemar's exact test


def test_drawn_p_agrees_with_the_exact_one_within_binomial_error(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(7)
    for kind in ("binary", "k_of_n", "tenths"):
        differences = [float(d) for d in drawn_differences(kind, 14, generator)]
        exact = paired.permutation_test(differences, seed=SEED)
        with monkeypatch.context() as patched:
            patched.setattr(paired, "EXACT_UNITS", 0)
            drawn = paired.permutation_test(differences, seed=SEED, draws=40_000)
        assert exact.is_exact
        assert not drawn.is_exact
        assert drawn.p == (1 + drawn.exceeding) / 40_001
        assert abs(drawn.p - exact.p) < 4 * math.sqrt(exact.p * (1 - exact.p) / 40_000) + 1 / 40_000


def test_flipped_sums_equal_signs_times_differences() -> None:
    generator = np.random.default_rng(11)
    sums = generator.normal(size=(37, 3))
    flips = generator.integers(0, 256, size=(50, 8), dtype=np.uint8)
    bits = np.unpackbits(flips, axis=1, bitorder="little")[:, :37]
    expected = (bits.astype(float) * 2 - 1) @ sums
    assert np.allclose(paired.flipped_sums(paired.flip_tables(sums), flips), expected, rtol=0, atol=1e-12)


def skewed(units: int, columns: int) -> NDArray[np.float64]:
    return np.random.default_rng(units).exponential(size=(units, columns)) - 0.8


@pytest.mark.parametrize("block_rows", [1, 7, 1_000, 10_000])
def test_block_size_never_changes_the_result(block_rows: int) -> None:
    differences, draws = skewed(70, 2), 2_000
    expected = paired.permutation_tests(differences, seed=SEED, draws=draws)
    assert paired.permutation_tests(differences, seed=SEED, draws=draws, block_rows=block_rows) == expected


def test_each_column_has_the_p_of_its_own_test_and_another_seed_another_one() -> None:
    differences = skewed(60, 4)
    differences[:, 3] = 0
    differences[:3, 3] = 1
    results = paired.permutation_tests(differences, seed=SEED, draws=3_000)
    assert results == [paired.permutation_test(column, seed=SEED, draws=3_000) for column in differences.T]
    assert [result.is_exact for result in results] == [False, False, False, True]
    others = paired.permutation_tests(differences, seed=SEED + 1, draws=3_000)
    assert [r.exceeding for r in others] != [r.exceeding for r in results]


def test_the_same_seed_gives_the_same_number_on_every_day() -> None:
    result = paired.permutation_test([math.sin(k) + 0.2 for k in range(40)], seed=1, draws=10_000)
    assert result.exceeding == 519


def test_pairs_missing_in_one_comparison_leave_the_others_alone() -> None:
    differences = skewed(12, 2)
    differences[[1, 5], 1] = np.nan
    first, second = paired.permutation_tests(differences, seed=SEED)
    assert first == paired.permutation_test(differences[:, 0], seed=SEED)
    assert second == paired.permutation_test(differences[~np.isnan(differences[:, 1]), 1], seed=SEED)
    assert second.units == 10


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_p_is_symmetric_ordered_at_random_and_never_zero(values: list[int]) -> None:
    p = paired.permutation_test([v / 3 for v in values], seed=SEED).p
    assert p == paired.permutation_test([-v / 3 for v in values], seed=SEED).p
    assert p == paired.permutation_test([v / 3 for v in reversed(values)], seed=SEED).p
    assert 2 ** -len(values) <= p <= 1


def test_no_difference_at_all_gives_one() -> None:
    result = paired.permutation_test([0.0] * 50, seed=SEED)
    assert (result.p, result.statistic, result.is_exact) == (1.0, 0.0, True)
    assert paired.sign_test([0.0] * 5) == paired.TestResult(0.0, 1.0)
    assert paired.wilcoxon_pratt([0.0] * 5) == paired.TestResult(0.0, 1.0)
    assert paired.paired_t([0.0] * 5) == paired.TestResult(None, None)
    assert paired.effect_size([0.0] * 5) is None


def test_clusters_flip_as_a_whole() -> None:
    generator = np.random.default_rng(5)
    values = generator.normal(size=24) + 0.4
    clusters = [f"document {number % 8}" for number in range(24)]
    sums = [sum(v for v, c in zip(values, clusters, strict=True) if c == f"document {k}") for k in range(8)]
    result = paired.permutation_test(values, seed=SEED, clusters=clusters)
    assert (result.is_exact, result.units, result.draws) == (True, 8, 256)
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=8)))
    assert result.p == float((np.abs(signs @ sums) >= abs(sum(sums)) - 1e-9).mean())
    assert result.p != paired.permutation_test(values[:16], seed=SEED).p


def test_textbook_tests_equal_scipy() -> None:
    values = np.round(np.random.default_rng(9).normal(0.1, 0.3, size=60), 1)
    assert (values == 0).any()
    expected_t = scipy.stats.ttest_1samp(values, 0.0)
    assert paired.paired_t(values).p == pytest.approx(expected_t.pvalue, rel=1e-12)
    assert paired.paired_t(values).statistic == pytest.approx(expected_t.statistic, rel=1e-12)
    expected_w = scipy.stats.wilcoxon(values, zero_method="pratt")
    assert paired.wilcoxon_pratt(values) == paired.TestResult(float(expected_w.statistic), float(expected_w.pvalue))
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    assert paired.sign_test(values).p == scipy.stats.binomtest(wins, wins + losses, 0.5).pvalue
    assert paired.effect_size(values) == pytest.approx(values.mean() / values.std(ddof=1), rel=1e-12)


def test_clustered_t_equals_cluster_robust_least_squares_of_statsmodels() -> None:
    from statsmodels.api import OLS

    generator = np.random.default_rng(13)
    clusters = generator.integers(0, 12, size=80)
    values = generator.normal(size=80) + generator.normal(size=12)[clusters] + 0.3
    fitted = OLS(values, np.ones(80)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    result = paired.paired_t(values, clusters=clusters.tolist())
    assert result.statistic == pytest.approx(float(fitted.tvalues[0]), rel=1e-10)
    assert result.p == pytest.approx(float(fitted.pvalues[0]), rel=1e-8)


def test_differences_by_rounding_only_are_ties() -> None:
    record = paired.wins_ties_losses([0.1 + 0.2 - 0.3, 1e-12, -1e-12, 2e-12, -0.5])
    assert record == paired.WinsTiesLosses(wins=1, ties=3, losses=1)
    assert paired.wilcoxon_pratt([0.1 + 0.2 - 0.3] * 4).p == 1.0
    assert paired.standard_deviation([0.1 + 0.2, 0.3]) == 0.0


def test_too_few_units_leave_the_textbook_tests_undefined() -> None:
    assert paired.paired_t([0.4]) == paired.TestResult(None, None)
    assert paired.paired_t([0.4, 0.5], clusters=["a", "a"]) == paired.TestResult(None, None)
    assert paired.standard_deviation([0.4]) is None
    assert paired.effect_size([0.4]) is None
    assert paired.permutation_test([0.4], seed=SEED).p == 1.0


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf]])
def test_values_that_are_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"finite|at least one"):
        paired.permutation_test(values, seed=SEED)


def test_bad_arguments_are_refused_with_their_values() -> None:
    with pytest.raises(ValueError, match="got 0 and"):
        paired.permutation_test([0.1], seed=SEED, draws=0)
    with pytest.raises(ValueError, match="2 cluster labels for 3 units"):
        paired.permutation_test([0.1, 0.2, 0.3], seed=SEED, clusters=["a", "b"])
    with pytest.raises(ValueError, match="one dimension"):
        paired.sign_test([[0.1]])
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        paired.permutation_tests([0.1, 0.2, 0.3], seed=SEED)
    with pytest.raises(ValueError, match="NaN where"):
        paired.permutation_tests([[math.inf]], seed=SEED)
