"""Results as typed values, for the console and exports."""

import uuid

import pytest

from experiments.admin.run_page import datapoint_line
from experiments.domain.filters import parse_filters
from experiments.domain.run_results import MetricValue
from experiments.selectors.comparison import compare_runs
from experiments.selectors.results import iter_datapoint_rows, result_of_run
from governance.domain.errors import InvalidInput, NotFound
from tests.experiments.factories import make_event, make_metric, make_run, make_session

pytestmark = pytest.mark.django_db


def test_typed_result(caller, project) -> None:
    make_metric(project, "score", threshold={"min": 0.5})
    run = make_run(project, configuration={"function": "fn"})
    good = make_session(project, run.run_key, "d1", metrics={"score": 0.1 + 0.2 + 0.4, "ok": True})
    make_session(project, run.run_key, "d2", metrics={"score": 0.25, "ok": False})
    make_session(project, run.run_key, "d3", error="died")

    result = result_of_run(caller=caller, run_key=run.run_key, aggregate_function="min")

    assert (result.status, result.success, result.aggregate_function) == ("completed", False, "min")
    assert (result.passed, result.failed) == (["d1"], ["d2", "d3"])
    assert result.run["run_id"] == run.run_key
    assert [(row.datapoint_id, row.passed, row.crashed) for row in result.datapoints] == [
        ("d1", True, False),
        ("d2", False, False),
        ("d3", False, True),
    ]
    assert result.datapoints[0].session_id == good
    assert result.datapoints[0].metrics == [
        MetricValue("ok", "fn", "chain", True, True),
        MetricValue("score", "fn", "chain", 0.1 + 0.2 + 0.4, True),
    ]
    ok, score = result.metrics
    assert (ok.metric_name, ok.passing_range, list(ok.values)) == ("ok", None, [1.0, 0.0])
    assert (score.aggregate, score.passed, score.failed) == (0.25, ["d1"], ["d2"])
    assert list(iter_datapoint_rows(caller=caller, run_key=run.run_key)) == result.datapoints


def test_refusals_come_before_the_first_row(caller) -> None:
    with pytest.raises(NotFound):
        iter_datapoint_rows(caller=caller, run_key="unknown")
    with pytest.raises(InvalidInput):
        result_of_run(caller=caller, run_key="unknown", aggregate_function="mode")


def test_several_values_in_a_session_keep_their_order(caller, project) -> None:
    run = make_run(project)
    second = uuid.UUID(make_session(project, run.run_key, "b", start_time=2.0))
    first = uuid.UUID(make_session(project, run.run_key, "a", start_time=1.0))
    for session, datapoint, value in ((second, "b", 9.0), (first, "a", 3.0), (second, "b", 1.0), (first, "a", True)):
        make_event(
            project, session=session, run=run.run_key, datapoint=datapoint, event_name="step", metrics={"m": value}
        )

    result = result_of_run(caller=caller, run_key=run.run_key)

    (column,) = result.metrics
    assert list(column.values) == [3.0, 1.0, 9.0, 1.0]
    assert column.passed == ["a", "b"]
    assert [[metric.value for metric in row.metrics] for row in result.datapoints] == [[3.0, True], [9.0, 1.0]]


def test_doubles_come_back_exactly(caller, project) -> None:
    values = [1 / 3, 0.1 + 0.2, 1e-300, 1.5e300, 123456789.12345679, -0.0, 2.0**53]
    run = make_run(project)
    for number, value in enumerate(values):
        make_session(project, run.run_key, f"d{number}", metrics={"m": value})

    (column,) = result_of_run(caller=caller, run_key=run.run_key).metrics

    assert list(column.values) == values


def test_boolean_composites_and_failing_flags(caller, project) -> None:
    make_metric(
        project,
        "all",
        type="COMPOSITE",
        criteria="minimum",
        return_type="boolean",
        child_metrics=[{"name": "a", "weight": 1}, {"name": "b", "weight": 1}],
        threshold={"pass_when": True},
        filters={"filterArray": [{"field": "event_type", "operator": "is", "value": "chain", "type": "string"}]},
    )
    run = make_run(project)
    make_session(project, run.run_key, "d1", metrics={"a": True, "b": True}, session_metrics={"a": False})
    make_session(project, run.run_key, "d2", metrics={"a": True, "b": False})

    result = result_of_run(caller=caller, run_key=run.run_key)

    assert result.failed == ["d2"]
    assert [row.metrics[-1] for row in result.datapoints] == [
        MetricValue("all", "session", "session", True, True),
        MetricValue("all", "session", "session", False, False),
    ]


def test_means_beyond_the_range_are_undefined_and_fail_nothing(caller, project) -> None:
    make_metric(
        project, "all", type="COMPOSITE", criteria="maximum", child_metrics=[{"name": "m", "weight": 1}], filters={}
    )
    runs = [make_run(project), make_run(project)]
    for run in runs:
        for _ in range(2):
            session = uuid.UUID(make_session(project, run.run_key, "d1", metrics={"ok": 1.0}))
            for _ in range(2):
                make_event(
                    project,
                    session=session,
                    run=run.run_key,
                    datapoint="d1",
                    event_name="step",
                    metrics={"m": 1.7e308},
                )

    result = result_of_run(caller=caller, run_key=runs[0].run_key)
    compared = compare_runs(caller=caller, new=runs[0].run_key, old=runs[1].run_key)

    (column,) = [metric for metric in result.metrics if metric.metric_name == "m"]
    assert column.aggregate is None
    assert [entry.found_count for entry in compared.metrics if entry.metric_name == "m"] == [0]


def test_a_run_s_own_composites_take_part_everywhere(caller, project) -> None:
    children = [{"name": "a", "weight": 2}, {"name": "b", "weight": 1}]
    metadata = {
        "composites": [
            {"name": "quality", "criteria": "weighted average", "child_metrics": children},
            {"name": "shared", "criteria": "minimum", "child_metrics": children},
            {"name": "odd", "criteria": "the best", "child_metrics": children},
        ],
        "passing_ranges": {"quality": {"min": 3.5}},
        "metric_directions": {"quality": "lower"},
    }
    make_metric(project, "shared", type="COMPOSITE", criteria="maximum", child_metrics=children)
    new, old = make_run(project, metadata=metadata), make_run(project, metadata=metadata)
    for run, shift in ((new, 0), (old, -3)):
        make_session(project, run.run_key, "d1", metrics={"a": 4 + shift, "b": 4})
        make_session(project, run.run_key, "d2", metrics={"a": 3, "b": 3})

    result = result_of_run(caller=caller, run_key=new.run_key)
    compared = compare_runs(caller=caller, new=new.run_key, old=old.run_key)
    rows = list(iter_datapoint_rows(caller=caller, run_key=new.run_key))

    found = {metric.metric_name: metric for metric in result.metrics if metric.event_type == "session"}
    assert set(found) == {"quality", "shared"}
    assert (found["quality"].metric_type, list(found["quality"].values)) == ("COMPOSITE", [4.0, 3.0])
    assert (found["quality"].direction, result.passed, result.failed) == ("lower", ["d1"], ["d2"])
    assert list(found["shared"].values) == [4.0, 3.0]
    (moved,) = [metric for metric in compared.metrics if metric.metric_name == "quality"]
    assert (moved.old_aggregate, moved.new_aggregate, moved.degraded) == (2.5, 3.5, ["d1"])
    assert MetricValue("quality", "session", "session", 3.0, False) in rows[1].metrics


def test_a_required_metric_that_is_missing_fails_its_datapoint_once_the_run_is_over(project, caller):
    metadata = {"required_metrics": ["a", 5], "passing_ranges": {"a": {"min": 1}}}
    running = make_run(project, metadata=metadata, status="running")
    ended = make_run(project, metadata=metadata, status="completed")
    for run in (running, ended):
        make_session(project, run.run_key, "d1", metrics={"a": 1})
        make_session(project, run.run_key, "d2", metrics={"b": 1})

    def verdicts(run, **options):
        result = result_of_run(caller=caller, run_key=run.run_key, **options)
        return result.passed, result.failed

    assert verdicts(running) == (["d1", "d2"], [])
    assert verdicts(ended) == (["d1"], ["d2"])
    rows = list(iter_datapoint_rows(caller=caller, run_key=ended.run_key))
    assert [list(row.missing) for row in rows] == [[], ["a"]]
    assert [(score["name"], score["text"], score["passed"]) for score in datapoint_line(rows[1], None)["scores"]] == [
        ("a", "–", False),
        ("b", "1.000", True),
    ]
    part = parse_filters([{"field": "event_type", "operator": "is", "value": "session", "type": "string"}])
    assert verdicts(ended, conditions=part) == (["d1", "d2"], [])
