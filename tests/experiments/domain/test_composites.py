"""Composite functions, with the documented example and by hand."""

import pytest

from experiments.domain.composites import Child, CompositeFunction, children_of, composite, function_of

PAIR = [Child("a", 2), Child("b", 1)]
STEPS = [Child("third", 3), Child("first", 1), Child("second", 2)]


def test_the_documented_example() -> None:
    scores = {"a": 4.0, "b": 3.0}

    assert composite(CompositeFunction.WEIGHTED_AVERAGE, PAIR, scores) == pytest.approx(3.67, abs=0.005)
    assert composite(CompositeFunction.WEIGHTED_SUM, PAIR, scores) == 11.0
    assert composite(CompositeFunction.MINIMUM, PAIR, scores) == 3.0
    assert composite(CompositeFunction.MAXIMUM, PAIR, scores) == 4.0


def test_children_without_score_are_left_out() -> None:
    assert composite(CompositeFunction.WEIGHTED_AVERAGE, PAIR, {"b": 3.0}) == 3.0
    for function in CompositeFunction:
        assert composite(function, PAIR, {"c": 1.0}) is None
    assert composite(CompositeFunction.WEIGHTED_AVERAGE, [Child("a", 0)], {"a": 3.0}) is None


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ({"first": 1, "second": 1, "third": 1}, 3),
        ({"first": 1, "second": 0, "third": 1}, 1),
        ({"first": 0, "second": 1, "third": 1}, 0),
        ({"first": 1, "third": 1}, 1),
    ],
)
def test_hierarchical_highest_true(scores, wanted) -> None:
    assert composite(CompositeFunction.HIERARCHICAL, STEPS, scores) == wanted


def test_names_of_functions() -> None:
    assert function_of(" Weighted  Average ") is CompositeFunction.WEIGHTED_AVERAGE
    assert function_of("hierarchical_highest-true") is CompositeFunction.HIERARCHICAL
    assert function_of("MIN") is CompositeFunction.MINIMUM
    assert function_of("the mean of all") is None


def test_stored_children() -> None:
    raw = [{"name": "a", "weight": 2}, {"name": "b"}, {"weight": 1}, {"name": "c", "weight": "x"}]

    assert children_of(raw) == [Child("a", 2.0), Child("b", 1.0)]


@pytest.mark.parametrize("scores", [{"a": 1e308, "b": 1e308}, {"a": 1e308, "b": -1e308}, {"a": 1e200, "b": 1.0}])
def test_sums_beyond_all_numbers_are_undefined(scores: dict[str, float]) -> None:
    heavy = [Child("a", 1e300), Child("b", 1e300)]

    assert composite(CompositeFunction.WEIGHTED_SUM, heavy, scores) is None
    assert composite(CompositeFunction.WEIGHTED_AVERAGE, heavy, scores) is None
    assert (
        composite(CompositeFunction.WEIGHTED_SUM, [Child("a", 1e308), Child("b", 1e308)], {"a": 1.0, "b": 1.0}) is None
    )
