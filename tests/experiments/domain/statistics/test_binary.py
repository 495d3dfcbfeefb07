"""McNemar and Newcombe against statsmodels, published values, and what must hold for every table."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from experiments.domain.statistics.binary import binary_pairs, mcnemar_exact, newcombe_paired
from experiments.domain.statistics.paired import permutation_test

COUNT = st.integers(min_value=0, max_value=60)


@pytest.mark.parametrize(("only_control", "only_arm"), [(0, 1), (1, 7), (5, 16), (9, 1), (59, 86), (0, 40)])
def test_exact_mcnemar_is_that_of_statsmodels(only_control: int, only_arm: int) -> None:
    theirs = mcnemar([[3, only_control], [only_arm, 8]], exact=True).pvalue
    assert mcnemar_exact(only_control, only_arm).p == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(
    ("only_control", "only_arm", "p", "mid_p"),
    [
        (
            1,
            7,
            0.070,
            0.039,
        ),  # airway hyper-responsiveness (Bentur et al.): Fagerland, Lydersen and Laake 2013, table 2
        (9, 1, 0.0215, 0.0117),
    ],
)
def test_mcnemar_gives_the_values_of_the_literature(only_control: int, only_arm: int, p: float, mid_p: float) -> None:
    found = mcnemar_exact(only_control, only_arm)
    assert (found.p, found.mid_p) == (pytest.approx(p, abs=5e-4), pytest.approx(mid_p, abs=5e-4))


def test_mcnemar_without_a_differing_pair_or_with_a_tie_says_nothing() -> None:
    assert (mcnemar_exact(0, 0).p, mcnemar_exact(4, 4).p, mcnemar_exact(4, 4).mid_p) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="must not be negative"):
        mcnemar_exact(-1, 2)


@given(COUNT, COUNT)
def test_mid_p_is_the_smaller_one_and_both_ignore_which_side_is_which(left: int, right: int) -> None:
    found = mcnemar_exact(left, right)
    assert 0 <= found.mid_p <= found.p <= 1
    assert found == mcnemar_exact(right, left)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe 1998, method 10: rows of table III (both, first only, second only, neither; first − second).
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((36, 14, 0, 0), 0.1528, 0.4167),
        ((18, 14, 0, 18), 0.1441, 0.3963),
        ((1, 97, 1, 1), 0.8737, 0.9850),
        ((54, 0, 0, 0), -0.0664, 0.0664),
        # Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014): airway hyper-responsiveness.
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_newcombe_gives_the_values_of_the_literature(table: tuple[int, int, int, int], low: float, high: float) -> None:
    both, first, second, neither = table
    found = newcombe_paired(both, second, first, neither)  # arm − control
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))
    assert found.method == "newcombe"


@pytest.mark.parametrize("table", [(0, 12, 30, 0), (40, 3, 0, 0), (0, 5, 0, 20), (7, 2, 11, 4)])
def test_newcombe_without_correlation_is_the_interval_of_two_independent_rates(
    table: tuple[int, int, int, int],
) -> None:
    both, only_control, only_arm, neither = table
    pairs = sum(table)
    numerator = both * neither - only_control * only_arm
    margins = (both + only_control) * (only_arm + neither) * (both + only_arm) * (only_control + neither)
    is_uncorrelated = not margins or 0 < numerator <= pairs / 2
    theirs = confint_proportions_2indep(
        both + only_arm, pairs, both + only_control, pairs, method="newcomb", compare="diff"
    )
    found = newcombe_paired(*table)
    agrees = (found.low, found.high) == (pytest.approx(theirs[0], abs=1e-9), pytest.approx(theirs[1], abs=1e-9))
    assert agrees is is_uncorrelated


@given(COUNT, COUNT, COUNT, COUNT, st.sampled_from([0.8, 0.95, 0.99]))
def test_newcombe_holds_the_difference_lies_within_one_and_turns_with_the_sides(
    both: int, only_control: int, only_arm: int, neither: int, level: float
) -> None:
    found = newcombe_paired(both, only_control, only_arm, neither, level=level)
    pairs = both + only_control + only_arm + neither
    if not pairs:
        assert (found.low, found.high) == (None, None)
        return
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= (only_arm - only_control) / pairs + 1e-12
    assert (only_arm - only_control) / pairs - 1e-12 <= found.high <= 1
    turned = newcombe_paired(both, only_arm, only_control, neither, level=level)
    assert (turned.low, turned.high) == (pytest.approx(-found.high, abs=1e-9), pytest.approx(-found.low, abs=1e-9))


def test_a_table_of_pairs_counts_what_passed_and_its_test_is_the_permutation_test() -> None:
    control = np.array([1, 1, 0, 0, 1, 0, 0, 0, 1, 0], dtype=float)
    arm = np.array([1, 0, 1, 1, 1, 1, 1, 0, 1, 1], dtype=float)
    found = binary_pairs(control, arm)
    assert found is not None
    assert (found.both, found.only_control, found.only_arm, found.neither) == (3, 1, 5, 1)
    assert (found.control_rate, found.arm_rate) == (0.4, 0.8)
    assert found.p == permutation_test(arm - control, seed=1).p == pytest.approx(14 / 64)
    assert found.low is not None
    assert found.low < 0.4 < (found.high or math.nan)
    assert found.to_json()["only_arm"] == 5


def test_other_scores_than_0_and_1_make_no_table() -> None:
    assert binary_pairs(np.array([0.5]), np.array([1.0])) is None
    assert binary_pairs(np.array([]), np.array([])) is None
