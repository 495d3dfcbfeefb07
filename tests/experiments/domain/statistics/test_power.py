"""Power and equivalence against statsmodels, the figures of the paper, and a simulation."""

import math

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from experiments.domain.statistics import power


def test_figures_for_cranfield_and_cisi() -> None:
    assert power.detectable_effect(0.193, 225) == pytest.approx(0.036, abs=0.0005)
    assert power.detectable_effect(0.243, 76) == pytest.approx(0.078, abs=0.0005)
    assert power.pairs_needed(0.193, 0.02) == 731  # (2.801585 · 0.193 / 0.02)² = 730.9


def test_both_are_each_others_inverse() -> None:
    effect = power.detectable_effect(0.2, 400, alpha=0.01, power=0.9)
    assert effect is not None
    assert power.pairs_needed(0.2, effect * (1 + 1e-9), alpha=0.01, power=0.9) == 400
    assert power.pairs_needed(0.2, -effect * (1 + 1e-9), alpha=0.01, power=0.9) == 400


def test_the_detectable_effect_is_found_in_four_of_five_samples() -> None:
    generator, deviation, pairs = np.random.default_rng(17), 0.2, 120
    effect = power.detectable_effect(deviation, pairs)
    assert effect is not None
    samples = generator.normal(effect, deviation, size=(4_000, pairs))
    t = samples.mean(axis=1) / (samples.std(axis=1, ddof=1) / math.sqrt(pairs))
    assert np.mean(np.abs(t) > 1.98) == pytest.approx(0.8, abs=0.025)


def test_undefined_where_nothing_is_known() -> None:
    assert power.detectable_effect(None, 10) is None
    assert power.detectable_effect(0.2, 0) is None
    assert power.pairs_needed(None, 0.02) is None
    assert power.pairs_needed(0.2, None) is None
    assert power.pairs_needed(0.2, 0.0) is None
    assert power.pairs_needed(0.0, 0.02) == 2
    assert power.planning_deviation([0.1]) is None
    assert power.planning_deviation([0.3, 0.1 + 0.2]) == 0.0
    with pytest.raises(ValueError, match="got 5 and"):
        power.detectable_effect(0.2, 10, alpha=5)


def test_planning_deviation_carries_the_design_effect_of_clusters() -> None:
    values = np.random.default_rng(1).normal(size=40)
    assert power.planning_deviation(values) == pytest.approx(values.std(ddof=1), rel=1e-12)
    doubled, clusters = np.repeat(values, 2), np.repeat(np.arange(40), 2).tolist()
    assert power.planning_deviation(doubled, clusters) == pytest.approx(values.std(ddof=1) * math.sqrt(2), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.03, -0.2])
def test_equivalence_equals_the_two_one_sided_tests_of_statsmodels(shift: float) -> None:
    differences = np.random.default_rng(8).normal(shift, 0.2, size=150)
    expected, _, _ = DescrStatsW(differences).ttost_mean(-0.05, 0.05)
    result = power.equivalence_test(differences, margin=0.05)
    assert result.p == pytest.approx(float(expected), rel=1e-9)
    assert result.is_equivalent is bool(expected <= 0.05)


def test_clusters_make_equivalence_harder() -> None:
    differences = np.random.default_rng(8).normal(0, 0.2, size=150)
    clusters = np.repeat(np.arange(50), 3).tolist()
    alone = power.equivalence_test(np.repeat(differences[:50], 3), margin=0.05)
    together = power.equivalence_test(np.repeat(differences[:50], 3), margin=0.05, clusters=clusters)
    assert alone.p is not None
    assert together.p is not None
    assert together.p > alone.p


def test_equal_differences_prove_equivalence_only_in_number() -> None:
    assert power.equivalence_test([0.0] * 29, margin=0.01) == power.Equivalence(None, False, True, 0.01)
    assert power.equivalence_test([0.0] * 30, margin=0.01) == power.Equivalence(None, True, True, 0.01)
    assert not power.equivalence_test([0.02] * 30, margin=0.01).is_equivalent
    few_clusters = power.equivalence_test([0.0] * 30, margin=0.01, clusters=[k % 5 for k in range(30)])
    assert not few_clusters.is_equivalent
    assert not power.equivalence_test([], margin=0.1).is_equivalent
    assert power.equivalence_test([0.0, 0.5], margin=0.1, clusters=["a", "a"]).p is None


@pytest.mark.parametrize("margin", [0.0, -0.1, math.nan, math.inf])
def test_a_margin_must_be_a_positive_number(margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be"):
        power.equivalence_test([0.1, 0.2], margin=margin)
