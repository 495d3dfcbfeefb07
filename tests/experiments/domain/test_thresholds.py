"""Pass rules in their order of priority, and directions."""

import pytest

from experiments.domain.thresholds import (
    Interval,
    MetricRule,
    applies_to,
    category_passes,
    direction_of,
    interval_of,
    passing_interval,
)


def rule(**fields) -> MetricRule:
    return MetricRule(**{"name": "m", "type": "PYTHON", **fields})


def decide(metric=None, ranges=None, event_name="fn", event_type="chain"):
    return passing_interval("m", event_name=event_name, event_type=event_type, passing_ranges=ranges, metric=metric)


@pytest.mark.parametrize(
    ("metric", "ranges", "wanted"),
    [
        (None, None, None),
        (None, {"m": {"min": 1}}, Interval(1.0, None)),
        (None, {"other": {"min": 1}}, None),
        (None, {"m": {"min": "1", "max": None}}, None),
        (None, {"m": {"max": float("nan")}}, None),
        (None, "text", None),
        (rule(threshold={"min": 0.5, "max": 0.9}), {"m": {"max": 2}}, Interval(None, 2.0)),
        (rule(threshold={"min": 0.5, "max": 0.9}), {"m": {}}, Interval(0.5, 0.9)),
        (rule(threshold={"min": 0.5, "pass_when": 3}), None, Interval(0.5, None)),
        (rule(threshold={"pass_when": 3}), None, Interval(3.0, 3.0)),
        (rule(threshold={"pass_when": False}, return_type="boolean"), None, Interval(0.0, 0.0)),
        (rule(threshold={}, return_type="boolean"), None, Interval(1.0, 1.0)),
        (rule(return_type="boolean"), None, None),
        (rule(threshold={"passing_categories": ["a"]}, return_type="categorical"), None, None),
    ],
)
def test_rules(metric, ranges, wanted) -> None:
    assert decide(metric, ranges) == wanted


def test_bounds_are_inclusive_and_open_where_missing() -> None:
    assert [Interval(1, 2).holds(value) for value in (0.999, 1, 2, 2.001)] == [False, True, True, False]
    assert Interval(None, 2).holds(-1e308)
    assert Interval(1, None).as_wire() == {"min": 1}
    assert interval_of({"min": True, "max": 10**400}) == Interval(1.0, None)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ({"field": "event_name", "operator": "is", "value": "fn"}, True),
        ({"field": "event_name", "operator": "is not", "value": "fn"}, False),
        ({"field": "event_name", "operator": "contains", "value": "n"}, True),
        ({"field": "event_name", "operator": "not contains", "value": "n"}, False),
        ({"field": "event_type", "operator": "is", "value": "model"}, False),
        ({"field": "event_type", "operator": "exists"}, True),
        ({"field": "event_type", "operator": "not exists"}, False),
        ({"field": "metadata.x", "operator": "is", "value": 1}, True),
        ({"field": "event_type", "operator": "unheard of"}, True),
    ],
)
def test_filters_of_metrics_decide_by_name_and_type(condition, wanted) -> None:
    metric = rule(threshold={"min": 1}, filters=[condition])

    assert applies_to([condition], event_name="fn", event_type="chain") is wanted
    assert (decide(metric) is not None) is wanted
    assert decide(metric, {"m": {"min": 5}}) == Interval(5.0, None)


def test_categories() -> None:
    scores = [{"category": "good", "score": 1}, {"category": "bad", "score": 0}, {"category": "odd", "score": None}]
    by_name = rule(categories=scores, threshold={"passing_categories": ["good", "odd"]})
    by_score = rule(categories=scores, threshold={"min": 0.5})

    assert [category_passes(by_name, name) for name in ("good", "bad", "odd", "new")] == [
        (1.0, True),
        (0.0, False),
        (None, True),
        (None, False),
    ]
    assert [category_passes(by_score, name) for name in ("good", "bad", "odd")] == [
        (1.0, True),
        (0.0, False),
        (None, False),
    ]
    assert category_passes(rule(categories=scores), "bad") == (0.0, True)


def test_directions() -> None:
    lower = rule(direction="lower")

    assert direction_of("m", metric=None) == "higher"
    assert direction_of("m", metric=lower) == "lower"
    assert direction_of("m", {"m": "higher"}, {"m": "lower"}, metric=lower) == "higher"
    assert direction_of("m", {"m": "sideways"}, None, {"m": "lower"}, metric=None) == "lower"
    assert direction_of("m", "text", metric=lower) == "lower"
