"""Holm and Benjamini-Hochberg against statsmodels, and what undefined p-values do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from experiments.domain.statistics.corrections import benjamini_hochberg, holm


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9, 12])
@pytest.mark.parametrize("decimals", [2, 12])  # few decimals make ties
def test_both_equal_statsmodels(size: int, decimals: int) -> None:
    generator = np.random.default_rng([size, decimals])
    p_values = np.round(generator.uniform(size=size) ** 3, decimals).tolist()
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)
    expected = multipletests(p_values, method="fdr_bh")[1].tolist()
    assert benjamini_hochberg(p_values) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.04, 0.05, 0.3, 1.0]), min_size=1, max_size=8))
def test_never_below_the_raw_p_and_holm_never_below_benjamini_hochberg(p_values: list[float]) -> None:
    for raw, strict, mild in zip(p_values, holm(p_values), benjamini_hochberg(p_values), strict=True):
        assert strict is not None
        assert mild is not None
        assert raw <= mild <= strict + 1e-15 <= 1 + 1e-15


def test_values_worked_out_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_undefined_ones_stay_undefined_and_do_not_count(correct) -> None:
    first, missing, second = correct([0.01, None, 0.03])
    assert missing is None
    assert [first, second] == correct([0.01, 0.03])
    assert correct([]) == []
    assert correct([None]) == [None]


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_numbers_that_are_no_p_values_are_refused(correct, p: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
        correct([0.5, p])
