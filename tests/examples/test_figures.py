"""The demo's evaluators and its own arithmetic, against figures worked out by hand."""

import asyncio

import pytest

from examples.demo.evaluators import exact, f1, precision, recall, wrong_facts
from examples.demo.figures import (
    AGGREGATES,
    Recorded,
    Rule,
    comparison_figures,
    differences,
    run_figures,
    scores_of,
)

TRUTH = {"dates": ["2026-01-01"], "amounts": ["EUR 1.00"], "emails": ["a@b.example"], "quantities": []}
PARTLY = {"dates": ["2026-01-01"], "amounts": ["EUR 9.00"], "emails": [], "quantities": []}
NOTHING = {"dates": [], "amounts": [], "emails": [], "quantities": []}


def datapoint(name, truth):
    return {"id": name, "inputs": {"text": name, "sent": "2026-01-01"}, "ground_truth": truth}


def test_evaluators_score_a_half_right_answer():
    assert asyncio.run(recall(PARTLY, {}, TRUTH)) == 1 / 3
    assert asyncio.run(precision(PARTLY, {}, TRUTH)) == 1 / 2
    assert exact(PARTLY, {}, TRUTH) is False
    assert wrong_facts(PARTLY, {}, TRUTH) == 1
    assert f1(PARTLY, {}, TRUTH) == {
        "score": 0.4,
        "explanation": "missed EUR 1.00, a@b.example; made up EUR 9.00",
        "missed": 2,
    }


def test_evaluators_have_no_share_to_report_without_facts():
    assert asyncio.run(recall(NOTHING, {}, NOTHING)) is None
    assert asyncio.run(precision(NOTHING, {}, NOTHING)) is None
    assert exact(NOTHING, {}, NOTHING) is True
    assert f1(NOTHING, {}, NOTHING) == {"score": 1.0, "explanation": "missed nothing; made up nothing", "missed": 0}


def test_same_fact_of_another_kind_is_another_fact():
    assert exact({**NOTHING, "dates": ["x"]}, {}, {**NOTHING, "emails": ["x"]}) is False


def test_scores_leave_out_texts_and_absent_values():
    assert scores_of(NOTHING, datapoint("a", NOTHING)) == {"exact": True, "f1": 1.0, "f1_missed": 0, "wrong_facts": 0}


def test_aggregates_are_the_nine_of_the_protocol():
    values = [3, 1, 2, 4]
    assert {name: compute(values) for name, compute in AGGREGATES.items()} == {
        "average": 2.5,
        "min": 1,
        "max": 4,
        "median": 2.5,
        "p90": pytest.approx(3.7),
        "p95": pytest.approx(3.85),
        "p99": pytest.approx(3.97),
        "sum": 10,
        "count": 4,
    }
    assert {name: compute([0.5]) for name, compute in AGGREGATES.items()} == dict.fromkeys(AGGREGATES, 0.5) | {
        "count": 1
    }


def test_rule_bounds_are_inclusive_and_open_when_missing():
    assert [Rule(minimum=0.5).passes(value) for value in (0.4, 0.5, 9)] == [False, True, True]
    assert [Rule(maximum=1).passes(value) for value in (-9, 1, 2)] == [True, True, False]
    assert Rule().passes(float("-inf"))


def test_run_figures_count_a_raised_datapoint_as_failed_and_without_scores():
    datapoints = [datapoint("right", TRUTH), datapoint("partly", TRUTH), datapoint("raised", TRUTH)]
    recorded = {"right": Recorded(TRUTH), "partly": Recorded(PARTLY), "raised": Recorded(error="ValueError: no")}
    figures = run_figures(datapoints, recorded)
    assert figures["success"] is False
    assert figures["passed"] == ["EXT-right"]
    assert figures["failed"] == ["EXT-partly", "EXT-raised"]
    assert figures["datapoints"]["EXT-raised"] == {"scores": {}, "passed": False}
    assert figures["metrics"]["f1"]["values"] == [0.4, 1.0]
    assert figures["metrics"]["f1"]["failed"] == ["EXT-partly"]
    assert figures["metrics"]["wrong_facts"]["failed"] == []
    assert figures["metrics"]["exact"]["aggregates"]["sum"] == 1


def test_comparison_follows_the_direction_of_the_metric():
    datapoints = [datapoint("one", TRUTH), datapoint("two", TRUTH)]
    old = run_figures(datapoints, {"one": Recorded(PARTLY), "two": Recorded(error="ValueError: no")})
    new = run_figures(datapoints, {"one": Recorded(TRUTH), "two": Recorded(TRUTH)})
    figures = comparison_figures(old, new, "average")
    assert figures["common"] == ["EXT-one", "EXT-two"]
    assert figures["metrics"]["wrong_facts"] == {
        "old_aggregate": 1,
        "new_aggregate": 0,
        "difference": -1,
        "percentage_change": -100,
        "found_count": 1,
        "improved_count": 1,
        "degraded_count": 0,
        "same_count": 0,
        "improved": ["EXT-one"],
        "degraded": [],
        "same": [],
    }
    assert figures["metrics"]["exact"]["percentage_change"] is None
    assert figures["metrics"]["exact"]["improved"] == ["EXT-one"]


def test_differences_name_the_figure_and_tolerate_the_ninth_digit():
    ours = {"a": {"b": [1.0, 0.1 + 0.2]}, "same": "x"}
    assert differences(ours, {"a": {"b": [1, 0.3]}, "same": "x"}) == []
    assert differences(ours, {"a": {"b": [1, 0.31]}, "same": "x"}) == [
        f"a.b[1]: computed here {0.1 + 0.2!r}, served 0.31"
    ]
    assert differences({"a": [1]}, {"a": [1, 2]}) == ["a: computed here [1], served [1, 2]"]
    assert differences({"a": ["x", "y"]}, {"a": ["y", "z"]}) == ["a: only computed here ['x'], only served ['z']"]
    assert differences({"a": ["x", "x"]}, {"a": ["x"]}) == ["a: computed here ['x', 'x'], served ['x']"]
    assert differences({"a": ["x"]}, {"a": ["x"]}) == []
    assert differences({"a": 1}, {"b": 1}) == ["a: computed here 1, served None", "b: computed here None, served 1"]
