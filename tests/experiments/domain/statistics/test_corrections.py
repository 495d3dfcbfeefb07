"""Holm and Benjamini-Hochberg against statsmodels, and what undefined p-values do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from experiments.domain.statistics.corrections import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0]), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(P_VALUES)
def test_both_equal_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)
    expected = multipletests(p_values, method="fdr_bh")[1].tolist()
    assert benjamini_hochberg(p_values) == pytest.approx(expected, abs=1e-12)


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
