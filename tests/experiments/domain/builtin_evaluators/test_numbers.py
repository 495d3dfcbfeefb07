"""Numbers within a tolerance."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.domain.builtin_evaluators.numbers import numeric_tolerance

NUMBERS = st.one_of(st.floats(allow_nan=False), st.integers(-(2**40), 2**40), st.floats(0.999, 1.001))
TOLERANCES = st.one_of(st.none(), st.sampled_from([0.0, 1e-6, 0.1, 5.0]))


@settings(max_examples=60, deadline=None)
@given(NUMBERS, NUMBERS, TOLERANCES, TOLERANCES)
def test_numbers_are_close_when_pytest_says_so(output, expected, tolerance, relative):
    # pytest keeps its 1e-12 beside a relative tolerance; ours counts for nothing there.
    absolute = 0.0 if tolerance is None and relative is not None else tolerance
    closeness = pytest.approx(expected, rel=relative, abs=absolute)
    assert numeric_tolerance(output, expected, tolerance=tolerance, relative=relative) is bool(output == closeness)


@pytest.mark.parametrize(
    ("output", "truth", "options", "expected"),
    [
        ("42", 42, {}, True),
        (" 1,234.5 ", 1234.5, {}, True),
        ("1e3", {"value": 1000}, {}, True),
        ({"answer": "41.95"}, 42, {"tolerance": 0.1}, True),
        (41.8, 42, {"tolerance": 0.1}, False),
        (41.8, 42, {"relative": 0.01}, True),
        ("inf", float("inf"), {"tolerance": 1}, True),
        (1e308, float("inf"), {"relative": 1}, False),
    ],
)
def test_texts_that_are_numbers_count_as_numbers(output, truth, options, expected):
    assert numeric_tolerance(output, truth, **options) is expected


@pytest.mark.parametrize("output", ["about 42", "1,23", "", True, None, [42], "nan"])
def test_an_output_that_is_no_number_is_wrong_and_says_so(output):
    assert numeric_tolerance(output, 42) == {"score": False, "explanation": f"{str(output)!r} is no number"}


def test_what_cannot_be_judged_is_told():
    with pytest.raises(ValueError, match="the ground truth 'many' is no number"):
        numeric_tolerance(1, "many")
    with pytest.raises(ValueError, match="the datapoint has no ground truth"):
        numeric_tolerance(1, None)
    with pytest.raises(ValueError, match="tolerance=-1 must be 0 or more"):
        numeric_tolerance(1, 1, tolerance=-1)
