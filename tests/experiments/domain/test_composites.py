"""Composite functions, with the documented example and by hand."""

import pytest

from experiments.domain.composites import (
    Child,
    CompositeFunction,
    children_of,
    composite,
    composites_of_run,
    function_of,
)
from experiments.domain.thresholds import MetricRule

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


@pytest.mark.parametrize(
    "entry",
    [
        "text",
        None,
        {},
        {"criteria": "minimum", "child_metrics": []},
        {"name": 5, "criteria": "minimum", "child_metrics": []},
        {"name": "", "criteria": "minimum", "child_metrics": []},
        {"name": "x" * 256, "criteria": "minimum", "child_metrics": []},
        {"name": "c", "criteria": "the best", "child_metrics": []},
        {"name": "c", "criteria": ["minimum"], "child_metrics": []},
        {"name": "c", "criteria": "minimum", "child_metrics": {"name": "a"}},
        {"name": "c", "criteria": "minimum"},
    ],
)
def test_composites_of_a_run_that_make_no_sense_are_skipped(entry) -> None:
    good = {"name": "good", "criteria": "Weighted_Average", "child_metrics": [{"name": "a", "weight": 2}, "text"]}
    children = [{"name": "a", "weight": 2}]
    rule = MetricRule("good", "COMPOSITE", criteria="Weighted_Average", child_metrics=children)
    assert composites_of_run({"composites": [entry, good, {**good, "criteria": "minimum"}]}) == [rule]


@pytest.mark.parametrize("stated", [None, {"name": "c"}, "text", 5, []])
def test_a_run_without_a_list_of_composites_has_none(stated) -> None:
    assert composites_of_run({"composites": stated}) == []
